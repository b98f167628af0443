//! Whether bytes begin an HTTP/1 message.
//!
//! Asked of the first bytes of every connection, and again wherever a stream must be found again,
//! so it answers from a few bytes where it can: known methods before a target, and the status
//! line's version. A method that is not known counts only with a whole request line that ends in
//! `HTTP/1.x`: other protocols too begin with words in capitals.

use memchr::memchr;

use crate::protocol::Likeness;

/// The longest request line that is waited for before an unknown method is given up.
const LINE_MAX: usize = 8 * 1024;
/// The longest method; registered ones have 17 letters at most (`UPDATEREDIRECTREF`).
const METHOD_MAX: usize = 24;

/// Methods that need no further proof than a target after them: RFC 9110, RFC 5789, `QUERY`, and
/// WebDAV's (RFC 4918, 3253).
const METHODS: [&[u8]; 18] = [
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"CONNECT",
    b"TRACE",
    b"QUERY",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"REPORT",
];

/// What a direction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Requests,
    Responses,
}

/// Where bytes stand that may begin a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the beginning of a stream, or where another message ended.
    Expected,
    /// After bytes that were not seen or not understood: perhaps in the middle of a message, so
    /// that `OST` may be what is left of `POST`. Only known methods count.
    Anywhere,
}

/// Whether `data`, the first bytes of a chunk, begin a request or a response of HTTP/1.
///
/// Either may come first in either direction (a connection may be joined late), so the direction
/// does not matter.
#[must_use]
pub fn likeness(data: &[u8]) -> Likeness {
    let data = without_newlines(data);
    match (
        of_kind(Kind::Requests, data, Place::Expected),
        of_kind(Kind::Responses, data, Place::Expected),
    ) {
        (Likeness::Yes, _) | (_, Likeness::Yes) => Likeness::Yes,
        (Likeness::Perhaps, _) | (_, Likeness::Perhaps) => Likeness::Perhaps,
        (Likeness::No, Likeness::No) => Likeness::No,
    }
}

/// `data` without the empty lines that a recipient ignores before a message (RFC 9112, 2.2).
pub(super) fn without_newlines(data: &[u8]) -> &[u8] {
    let start = data
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(data.len());
    &data[start..]
}

/// Whether `data` begins a message of this kind.
pub(super) fn of_kind(kind: Kind, data: &[u8], place: Place) -> Likeness {
    match kind {
        Kind::Requests => request(data, place),
        Kind::Responses => response(data),
    }
}

fn response(data: &[u8]) -> Likeness {
    const START: &[u8] = b"HTTP/1.";
    let shown = data.len().min(START.len());
    if data[..shown] != START[..shown] {
        return Likeness::No;
    }
    match data.get(START.len()..) {
        None | Some([]) => Likeness::Perhaps,
        Some([b'0' | b'1']) => Likeness::Perhaps,
        Some([b'0' | b'1', b' ', ..]) => Likeness::Yes,
        Some(_) => Likeness::No,
    }
}

fn request(data: &[u8], place: Place) -> Likeness {
    let capital = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    let length = data
        .iter()
        .take(METHOD_MAX + 1)
        .take_while(|byte| capital(byte))
        .count();
    if length > METHOD_MAX {
        return Likeness::No;
    }
    let (method, rest) = data.split_at(length);
    if place == Place::Anywhere && !METHODS.iter().any(|known| known.starts_with(method)) {
        return Likeness::No;
    }
    let target = match rest {
        [] => return Likeness::Perhaps,
        [b' ', target @ ..] if !method.is_empty() => target,
        _ => return Likeness::No,
    };
    // The connection preface of HTTP/2 (RFC 9113, 3.4) looks like a request on purpose.
    if method == b"PRI" {
        return Likeness::No;
    }
    let known = METHODS.contains(&method);
    if !known && place == Place::Anywhere {
        return Likeness::No;
    }
    if known {
        match target {
            [] => return Likeness::Perhaps,
            [b'/', ..] => return Likeness::Yes,
            _ => {}
        }
    }
    match memchr(b'\n', &target[..target.len().min(LINE_MAX)]) {
        Some(end) if proves_version(&target[..end]) => Likeness::Yes,
        None if target.len() < LINE_MAX => Likeness::Perhaps,
        _ => Likeness::No,
    }
}

/// Whether the rest of a request line, after its method, ends in a version 1.x.
fn proves_version(rest: &[u8]) -> bool {
    let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
    matches!(
        rest,
        [
            _,
            ..,
            b' ',
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'0' | b'1'
        ]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes() {
        use Likeness::{No, Perhaps, Yes};
        let table: [(&[u8], Likeness); 29] = [
            (b"GET / HTTP/1.1\r\n", Yes),
            (b"GET /", Yes),
            (b"\r\n\r\nPOST /x", Yes),
            (b"GET ", Perhaps),
            (b"GE", Perhaps),
            (b"", Perhaps),
            (b"\r\n", Perhaps),
            (b"PROPFIND /dav", Yes),
            (b"OPTIONS * HTTP/1.1\r\n", Yes),
            (b"OPTIONS * HTT", Perhaps),
            (b"GET http://a/b HTTP/1.0\r\n", Yes),
            (b"CONNECT a:443 HTTP/1.1\r\n", Yes),
            (b"FROBNICATE /x HTTP/1.1\r\n", Yes),
            (b"FROBNICATE /x HTTP/1.1", Perhaps),
            (b"FROBNICATE /x\r\n", No),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", No),
            (b"PRI * ", No),
            (b"HTTP/1.1 200 OK\r\n", Yes),
            (b"HTTP/1.0 200", Yes),
            (b"HTTP/1.", Perhaps),
            (b"HTTP/1.1", Perhaps),
            (b"HTTP/2 200", No),
            (b"GET key\r\n", No),
            (b"get /x HTTP/1.1\r\n", No),
            (b"*1\r\n$4\r\nPING\r\n", No),
            (b"EHLO host\r\n", No),
            (b"\x16\x03\x01\x02\x00", No),
            (b"GET\t/ HTTP/1.1", No),
            (b"THISISNOMETHODBUTALONGWORD", No),
        ];
        for (data, expected) in table {
            let found = likeness(data);
            assert_eq!(found, expected, "{}", data.escape_ascii());
        }
    }

    #[test]
    fn a_rest_of_a_method_is_none() {
        for rest in [
            "OST /x HTTP/1.1\r\n",
            "ROB /x HTTP/1.1\r\n",
            "GE / HTTP/1.1\r\n",
        ] {
            assert_eq!(request(rest.as_bytes(), Place::Anywhere), Likeness::No);
            assert_eq!(request(rest.as_bytes(), Place::Expected), Likeness::Yes);
        }
        assert_eq!(request(b"POST /x", Place::Anywhere), Likeness::Yes);
        assert_eq!(request(b"PO", Place::Anywhere), Likeness::Perhaps);
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut line = b"FROBNICATE /".to_vec();
        line.resize(LINE_MAX - 1, b'a');
        assert_eq!(request(&line, Place::Expected), Likeness::Perhaps);
        line.resize(2 * LINE_MAX, b'a');
        assert_eq!(request(&line, Place::Expected), Likeness::No);
    }
}
