//! What an application answers: the head of a CGI response (RFC 3875, section 6), collected from as many
//! records as it takes, and how much comes after it.

use memchr::memchr;

use super::super::http1::head;

/// The status of a response that names none (section 6.2.1), and of one that names another place
/// instead (section 6.2.3).
const OK: u16 = 200;
const FOUND: u16 = 302;

/// The output of a request.
#[derive(Debug)]
pub(super) enum Output {
    /// In the head; what there is of it.
    Head(Vec<u8>),
    /// After a head, with its status if that is known, and so many bytes behind it if they can be counted.
    Body {
        status: Option<u16>,
        size: Option<u64>,
    },
}

impl Default for Output {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Output {
    /// Takes a record: what was captured of its content, and how long that is. At most `limit` bytes of
    /// a head are collected.
    pub(super) fn take(&mut self, shown: &[u8], length: usize, limit: usize) {
        let head = match self {
            Self::Body { size, .. } => {
                *size = size.map(|size| size.saturating_add(length as u64));
                return;
            }
            Self::Head(head) => head,
        };
        let before = head.len();
        // A head in one record is not copied.
        let mut whole = shown;
        if before > 0 || end(shown).is_none() {
            head.extend_from_slice(shown);
            whole = head;
        }
        match end(whole) {
            Some(end) => {
                let body = (before + length).saturating_sub(end);
                *self = Self::Body {
                    status: status(&whole[..end]),
                    size: Some(body as u64),
                };
            }
            // The rest of it was not captured, or it is none.
            None if shown.len() < length || whole.len() >= limit => {
                let status = status(whole);
                *self = Self::Body { status, size: None };
            }
            None => {}
        }
    }

    /// What comes is not counted any more. Whether its head was understood.
    pub(super) const fn leave_unframed(&mut self) -> bool {
        match self {
            Self::Body {
                status: Some(_),
                size,
            } => {
                *size = None;
                true
            }
            _ => false,
        }
    }

    /// Whether more of the head is to come.
    pub(super) const fn is_head(&self) -> bool {
        matches!(self, Self::Head(_))
    }

    /// Bytes of heap memory.
    pub(super) const fn memory(&self) -> usize {
        match self {
            Self::Head(head) => head.capacity(),
            Self::Body { .. } => 0,
        }
    }
}

/// Where a head ends: after its empty line.
fn end(head: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(length) = memchr(b'\n', &head[at..]) {
        let line = &head[at..at + length];
        at += length + 1;
        if matches!(line, b"" | b"\r") {
            return Some(at);
        }
    }
    None
}

/// The status that a head gives. One that is cut may have named it in what is missing, unless it did
/// already.
fn status(head: &[u8]) -> Option<u16> {
    if let Some((line, _)) = head::response(head) {
        return line.status;
    }
    let is_whole = end(head).is_some();
    let mut status = is_whole.then_some(OK);
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        // Half a value is a wrong value.
        let (Some(b'\n'), Some(colon)) = (line.last(), memchr(b':', line)) else {
            continue;
        };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"status") {
            let digits = std::str::from_utf8(value.get(..3)?).ok()?;
            return digits
                .parse()
                .ok()
                .filter(|code| (100..1000).contains(code));
        }
        if name.eq_ignore_ascii_case(b"location") && is_whole {
            status = Some(FOUND);
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        /// Pieces, status, body bytes.
        type Case<'a> = (&'a [&'a [u8]], Option<u16>, u64);
        let table: [Case<'_>; 9] = [
            (
                &[b"Status: 404 Not Found\r\nA: b\r\n\r\nbody"],
                Some(404),
                4,
            ),
            (&[b"A: b\r\n\r\nbody", b"more"], Some(200), 8),
            (&[b"A: b\nStatus:500\n\nbody"], Some(500), 4),
            (&[b"Location: /x\r\n\r\n"], Some(302), 0),
            (&[b"Status: 201 C\r\nLocation: /x\r\n\r\n"], Some(201), 0),
            (&[b"Sta", b"tus: 404\r", b"\n\r", b"\nx"], Some(404), 1),
            (&[b"HTTP/1.1 503 No\r\nA: b\r\n\r\nxy"], Some(503), 2),
            (&[b"Status: no\r\n\r\nx"], None, 1),
            (&[b"\r\nx"], Some(200), 1),
        ];
        for (records, expected, body) in table {
            let mut output = Output::default();
            for record in records {
                output.take(record, record.len(), 100);
            }
            let Output::Body { status, size } = output else {
                panic!("no end: {records:?}");
            };
            assert_eq!((status, size), (expected, Some(body)), "{records:?}");
        }
    }

    #[test]
    fn a_head_that_is_cut() {
        for (shown, expected) in [
            (&b"Status: 404 Not Found\r\nA: "[..], Some(404)),
            (b"A: b\r\nStatus: 40", None),
            (b"A: b\r\n", None),
        ] {
            let mut output = Output::default();
            output.take(shown, 1000, 100);
            assert!(
                matches!(output, Output::Body { status, .. } if status == expected),
                "{output:?}"
            );
        }
    }
}
