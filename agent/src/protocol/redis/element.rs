//! The elements of RESP2 and RESP3: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use memchr::memchr;

/// The longest first line of an element that announces a length: a type and 20 digits.
const HEAD_MAX: usize = 24;
/// More than a server takes or gives: `proto-max-bulk-len` and lengths of containers.
const LENGTH_MAX: u64 = 1 << 32;

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// All of it is one line: a simple string, a number, a boolean.
    Line,
    /// A simple error.
    Error,
    /// A null, in either version's writing.
    Null,
    /// Bytes of known length: a bulk or verbatim string, a piece of a streamed one.
    Bulk,
    /// The same, and an error.
    BulkError,
    /// So many elements follow.
    Array(u64),
    /// So many elements follow, which are pushed.
    Push(u64),
    /// So many elements follow, which say something of the element after them.
    Attribute(u64),
    /// Elements follow until [`Kind::End`]; in the case of a string, pieces until an empty one.
    Streamed,
    /// The end of streamed elements.
    End,
}

/// An element's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) kind: Kind,
    /// Length of its first line, with the line's end.
    pub(super) head: usize,
    /// Length of all of it, without the elements that it announces.
    pub(super) length: u64,
}

/// Why there is no element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoElement {
    More,
    Nonsense,
}

/// Reads the element at the beginning of `bytes`.
pub(super) fn element(bytes: &[u8]) -> Result<Element, NoElement> {
    let Some(&first) = bytes.first() else {
        return Err(NoElement::More);
    };
    let whole = |kind, head| Element {
        kind,
        head,
        length: head as u64,
    };
    match first {
        b'+' | b'-' | b':' | b',' | b'#' | b'(' | b'_' | b'.' => {
            let head = line(bytes, usize::MAX)?;
            let kind = match first {
                b'-' => Kind::Error,
                b'_' => Kind::Null,
                b'.' => Kind::End,
                _ => Kind::Line,
            };
            Ok(whole(kind, head))
        }
        b'$' | b'=' | b'!' | b';' | b'*' | b'~' | b'%' | b'>' | b'|' => {
            let head = line(bytes, HEAD_MAX)?;
            let text = &bytes[1..head - 2];
            if text == b"-1" && matches!(first, b'$' | b'*') {
                return Ok(whole(Kind::Null, head));
            }
            if text == b"?" && matches!(first, b'$' | b'*' | b'~' | b'%') {
                return Ok(whole(Kind::Streamed, head));
            }
            let number = number(text).ok_or(NoElement::Nonsense)?;
            let kind = match first {
                b'!' => Kind::BulkError,
                b';' if number == 0 => return Ok(whole(Kind::End, head)),
                b'$' | b'=' | b';' => Kind::Bulk,
                b'*' | b'~' => return Ok(whole(Kind::Array(number), head)),
                b'%' => return Ok(whole(Kind::Array(number * 2), head)),
                b'>' => return Ok(whole(Kind::Push(number), head)),
                _ => return Ok(whole(Kind::Attribute(number * 2), head)),
            };
            Ok(Element {
                kind,
                head,
                length: head as u64 + number + 2,
            })
        }
        _ => Err(NoElement::Nonsense),
    }
}

/// Length of the first line, with its end.
fn line(bytes: &[u8], max: usize) -> Result<usize, NoElement> {
    let shown = &bytes[..bytes.len().min(max)];
    match memchr(b'\n', shown) {
        Some(at) if at >= 2 && bytes[at - 1] == b'\r' => Ok(at + 1),
        None if shown.len() < max => Err(NoElement::More),
        _ => Err(NoElement::Nonsense),
    }
}

/// A length in decimal digits.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let mut number = 0;
    if text.is_empty() || text.len() > 10 {
        return None;
    }
    for &byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(byte - b'0');
    }
    (number <= LENGTH_MAX).then_some(number)
}

/// How deep what is not the last of its container may lie.
const DEPTH_MAX: usize = 32;

/// The way through nested elements, one after the other. It remembers only containers of which more is
/// to come after the present element.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    /// Elements still to come; `None`: until their end is told.
    left: Option<u64>,
    /// It is no value, but comes before one.
    attribute: bool,
}

/// Where an element left the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Within a value.
    Inside,
    /// Behind a whole value.
    Over,
    /// Too deep, or an end of nothing.
    Lost,
}

impl Nesting {
    pub(super) const fn new() -> Self {
        Self { levels: Vec::new() }
    }

    /// Between values.
    pub(super) fn is_at_rest(&self) -> bool {
        self.levels.is_empty()
    }

    pub(super) fn forget(&mut self) {
        self.levels.clear();
    }

    pub(super) fn memory(&self) -> usize {
        self.levels.capacity() * size_of::<Level>()
    }

    /// Passes an element.
    pub(super) fn pass(&mut self, kind: Kind) -> Place {
        let (left, attribute) = match kind {
            Kind::Array(0) | Kind::Push(0) => return self.value(),
            Kind::Attribute(0) => return Place::Inside,
            Kind::Array(left) | Kind::Push(left) => (Some(left), false),
            Kind::Attribute(left) => (Some(left), true),
            Kind::Streamed => (None, false),
            Kind::End => {
                return match self.levels.pop() {
                    Some(Level { left: None, .. }) => self.value(),
                    _ => Place::Lost,
                };
            }
            Kind::Bulk if matches!(self.levels.last(), Some(Level { left: None, .. })) => {
                return Place::Inside;
            }
            _ => return self.value(),
        };
        if self.levels.len() >= DEPTH_MAX {
            return Place::Lost;
        }
        self.levels.push(Level { left, attribute });
        Place::Inside
    }

    /// A value is whole; with it, perhaps, those that it is the last of.
    fn value(&mut self) -> Place {
        while let Some(level) = self.levels.last_mut() {
            match &mut level.left {
                None => return Place::Inside,
                Some(left) => {
                    *left -= 1;
                    if *left > 0 {
                        return Place::Inside;
                    }
                }
            }
            let attribute = level.attribute;
            self.levels.pop();
            if attribute {
                return Place::Inside;
            }
        }
        Place::Over
    }
}

/// How many whole values `bytes` are, if they are nothing else.
pub(super) fn values(mut bytes: &[u8]) -> Option<usize> {
    let mut nesting = Nesting::new();
    let mut count = 0;
    while !bytes.is_empty() {
        let element = element(bytes).ok()?;
        let length = usize::try_from(element.length).ok()?;
        if !bytes.get(..length)?.ends_with(b"\r\n") {
            return None;
        }
        bytes = &bytes[length..];
        match nesting.pass(element.kind) {
            Place::Inside => {}
            Place::Over => count += 1,
            Place::Lost => return None,
        }
    }
    (nesting.is_at_rest() && count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values() {
        let deep = |depth: usize| {
            let mut text = "*2\r\n".repeat(depth);
            text.push_str(&":1\r\n".repeat(depth + 1));
            text
        };
        let last = format!("{}:1\r\n", "*1\r\n".repeat(1000));
        let (shallow, deep) = (deep(30), deep(40));
        let table: [(&str, Option<usize>); 24] = [
            ("+OK\r\n", Some(1)),
            ("+\r\n", Some(1)),
            ("_\r\n", Some(1)),
            ("$-1\r\n", Some(1)),
            ("*-1\r\n:3\r\n", Some(2)),
            ("$5\r\nhello\r\n", Some(1)),
            ("$5\r\nhello!\n", None),
            ("$0\r\n\r\n", Some(1)),
            ("*0\r\n", Some(1)),
            ("*2\r\n*0\r\n*1\r\n$1\r\nx\r\n", Some(1)),
            ("%1\r\n+a\r\n:1\r\n", Some(1)),
            ("|1\r\n+a\r\n:1\r\n$1\r\nx\r\n", Some(1)),
            ("*2\r\n:1\r\n|1\r\n+a\r\n:1\r\n:2\r\n", Some(1)),
            ("$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n", Some(1)),
            ("*?\r\n:1\r\n*1\r\n:2\r\n.\r\n", Some(1)),
            ("*?\r\n:1\r\n", None),
            ("!3\r\nERR\r\n>1\r\n+x\r\n", Some(2)),
            (
                "=7\r\ntxt:abc\r\n#t\r\n,1.5\r\n(123\r\n~1\r\n:1\r\n",
                Some(5),
            ),
            ("*1\r\n", None),
            ("$x\r\n", None),
            ("$99999999999\r\n", None),
            ("+OK\n", None),
            (&shallow, Some(1)),
            (&deep, None),
        ];
        for (text, expected) in table {
            assert_eq!(values(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(values(last.as_bytes()), None, "too deep");
    }
}
