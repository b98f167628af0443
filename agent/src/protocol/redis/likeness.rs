//! Whether bytes are Redis's.

use crate::model::Side;
use crate::protocol::{Likeness, Sample};

use super::command;
use super::element;

/// The longest first line of an inline command that is waited for.
const INLINE_MAX: usize = 256;

/// Whether bytes are commands or replies.
#[must_use]
pub fn likeness(sample: &Sample<'_>) -> Likeness {
    let data = sample.bytes;
    if sample.sender != Some(Side::Server) {
        if is_command(data) {
            return Likeness::Yes;
        }
        if sample.from_start && (may_become_command(data) || may_be_inline(data)) {
            return Likeness::Perhaps;
        }
    }
    if sample.sender != Some(Side::Client) && (is_proof(data, sample.length) || is_said(data)) {
        return Likeness::Yes;
    }
    Likeness::No
}

/// Whether bytes begin a command of which the name is here, and known.
pub(super) fn is_command(data: &[u8]) -> bool {
    first_word(data).is_some_and(|word| command::find(word).is_some())
}

/// The first word of a command of known length.
fn first_word(data: &[u8]) -> Option<&[u8]> {
    let rest = data.strip_prefix(b"*")?;
    let (words, rest) = number_line(rest)?;
    let (length, rest) = number_line(rest.strip_prefix(b"$")?)?;
    if words == 0 || words > 1 << 20 || length == 0 || length > 32 {
        return None;
    }
    let length = usize::try_from(length).ok()?;
    let word = rest.get(..length)?;
    rest[length..].starts_with(b"\r\n").then_some(word)
}

fn number_line(data: &[u8]) -> Option<(u64, &[u8])> {
    let digits = data
        .iter()
        .take(10)
        .take_while(|byte| byte.is_ascii_digit());
    let (text, rest) = data.split_at(digits.count());
    Some((element::number(text)?, rest.strip_prefix(b"\r\n")?))
}

/// Whether it is too short to tell, but good so far.
fn may_become_command(data: &[u8]) -> bool {
    const LEAST: usize = 48;
    let mut stages = data.iter().copied().peekable();
    if data.len() >= LEAST || stages.next_if_eq(&b'*').is_none() {
        return false;
    }
    for next in [b'$', b'.'] {
        let mut digits = 0;
        while stages.next_if(u8::is_ascii_digit).is_some() {
            digits += 1;
        }
        let Some(byte) = stages.next() else {
            return digits <= 10;
        };
        if digits == 0 || digits > 10 || byte != b'\r' {
            return false;
        }
        if stages.next().is_some_and(|byte| byte != b'\n') {
            return false;
        }
        if next == b'$' && stages.next().is_some_and(|byte| byte != b'$') {
            return false;
        }
    }
    let word = |byte: u8| byte.is_ascii_alphabetic() || byte == b'.' || byte == b'_';
    stages.all(|byte| word(byte) || byte.is_ascii_whitespace())
}

/// Whether it is a line that begins with a command's name. That proves nothing: only the reply does.
fn may_be_inline(data: &[u8]) -> bool {
    let letters = data
        .iter()
        .take(33)
        .take_while(|byte| byte.is_ascii_alphabetic());
    let (name, rest) = data.split_at(letters.count());
    let known = command::find(name).is_some();
    known
        && data.len() <= INLINE_MAX
        && matches!(rest.first(), Some(b' ' | b'\r' | b'\n'))
        && rest
            .iter()
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

/// Whether a line is an inline command, or an empty one, which servers pass over.
pub(super) fn is_inline(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let name = line
        .split(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default();
    line.is_empty() || command::find(name).is_some() || command::unknown(name).is_some()
}

/// Whether a chunk is whole replies and nothing else.
pub(super) fn is_reply(data: &[u8], length: u64) -> bool {
    data.len() as u64 == length && element::values(data).is_some()
}

/// Whether whole replies are there, and lengths among them that are right.
fn is_proof(data: &[u8], length: u64) -> bool {
    let counted = data.iter().filter(|&&byte| byte == b'\n').count() > 1;
    counted && matches!(data.first(), Some(b'$' | b'*' | b'%' | b'~')) && is_reply(data, length)
}

/// What only Redis says, in answer to a line that anybody could have sent.
fn is_said(data: &[u8]) -> bool {
    const SAID: [&[u8]; 6] = [
        b"+PONG\r\n",
        b"-NOAUTH ",
        b"-WRONGPASS ",
        b"-WRONGTYPE ",
        b"-DENIED Redis ",
        b"-ERR unknown command ",
    ];
    SAID.iter().any(|said| data.starts_with(said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Direction;

    fn of(bytes: &[u8], sender: Option<Side>, from_start: bool) -> Likeness {
        likeness(&Sample {
            direction: Direction::Received,
            sender,
            from_start,
            bytes,
            length: bytes.len() as u64,
        })
    }

    #[test]
    fn first_bytes() {
        use Likeness::{No, Perhaps, Yes};
        let client: [(&[u8], Likeness); 20] = [
            (b"*1\r\n$4\r\nPING\r\n", Yes),
            (b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$99\r\nabc", Yes),
            (b"*3\r\n$3\r\nSET", Perhaps),
            (b"*3\r\n", Perhaps),
            (b"*", Perhaps),
            (b"*3\r\n:3\r\n", No),
            (b"*3\r\n$3\r\n\0\0", No),
            (b"PING\r\n", Perhaps),
            (b"ping\r\n", Perhaps),
            (b"get x\r\n", Perhaps),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", Perhaps),
            (b"CONNECT {}\r\n", No),
            (b"gets x\r\n", No),
            (b"EHLO x\r\n", No),
            (b"\x16\x03\x01\x02\x00", No),
            (b"SSH-2.0-x\r\n", No),
            (b"\0\0\0\x08\x04\xd2\x16/", No),
            (b"AMQP\0\0\x09\x01", No),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", No),
            (b"\x80\0\0\x03", No),
        ];
        for (data, expected) in client {
            let found = of(data, Some(Side::Client), true);
            assert_eq!(found, expected, "{}", data.escape_ascii());
        }
        let server: [(&[u8], Likeness); 12] = [
            (b"+PONG\r\n", Yes),
            (b"-NOAUTH Authentication required.\r\n", Yes),
            (b"$5\r\nhello\r\n", Yes),
            (b"$5\r\nhell", No),
            (b"*2\r\n$1\r\na\r\n$-1\r\n", Yes),
            (b"+OK\r\n", No),
            (b"-ERR 'Authorization Violation'\r\n", No),
            (b":1\r\n", No),
            (b"$-1\r\n", No),
            (b"PONG\r\n", No),
            (b"VALUE k 0 1\r\na\r\nEND\r\n", No),
            (b"INFO {}\r\n", No),
        ];
        for (data, expected) in server {
            let found = of(data, Some(Side::Server), true);
            assert_eq!(found, expected, "{}", data.escape_ascii());
            let expected = if expected == Yes { Yes } else { No };
            assert_eq!(of(data, None, false), expected, "{}", data.escape_ascii());
        }
    }
}
