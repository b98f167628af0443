//! BSON documents (<https://bsonspec.org/spec.html>, version 1.1), as far as they were captured.
//!
//! A walk over the elements of one document: values that nobody asks for are stepped over by their
//! length, so nothing recurses, and a document of any depth costs what its top level does.

use memchr::memchr;

const DOUBLE: u8 = 0x01;
const STRING: u8 = 0x02;
const DOCUMENT: u8 = 0x03;
const ARRAY: u8 = 0x04;
const BOOL: u8 = 0x08;
const INT32: u8 = 0x10;
const INT64: u8 = 0x12;
/// Longest element name that is looked for an end: those that matter are short, and keys of documents
/// may be of any length.
const NAME_MAX: usize = 1024;

/// Walks over a document's elements.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a> {
    /// The captured bytes from the next element on.
    bytes: &'a [u8],
    /// How many bytes the document says are left of its elements.
    left: usize,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    kind: u8,
    pub(super) name: &'a [u8],
    /// As much of the value as was captured.
    value: &'a [u8],
    whole: bool,
}

/// Four bytes, least significant first, from a place on.
pub(super) fn int32(bytes: &[u8], at: usize) -> Option<i32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(i32::from_le_bytes(four.try_into().ok()?))
}

/// A length that stands at a place, where it is one.
pub(super) fn length(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(int32(bytes, at)?).ok()
}

/// The bytes up to the next NUL, and where what follows it begins.
pub(super) fn cstring(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = memchr(0, &rest[..rest.len().min(NAME_MAX)])?;
    Some((&rest[..end], at + end + 1))
}

impl<'a> Elements<'a> {
    /// The document that begins with these bytes; `None` where not even its length is there.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        Some(Self {
            left: length(bytes, 0)?.checked_sub(5)?,
            bytes: &bytes[4..],
        })
    }

    /// Whether the walk came to the document's end: what was not found is not in it.
    pub(super) const fn is_at_end(&self) -> bool {
        self.left == 0
    }

    fn element(&self) -> Option<(Element<'a>, usize)> {
        let kind = *self.bytes.first()?;
        let (name, at) = cstring(self.bytes, 1)?;
        let after = &self.bytes[at..];
        let size = size(kind, after)?;
        let element = Element {
            kind,
            name,
            value: &after[..size.min(after.len())],
            whole: size <= after.len(),
        };
        Some((element, at.checked_add(size)?))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        if self.left == 0 {
            return None;
        }
        let found = self.element();
        match found.filter(|(_, length)| *length <= self.left) {
            Some((element, length)) => {
                self.left -= length;
                self.bytes = &self.bytes[length.min(self.bytes.len())..];
                Some(element)
            }
            // The rest was not captured, or is none of a document.
            None => {
                self.bytes = &[];
                None
            }
        }
    }
}

/// How long a value is that begins with these bytes.
fn size(kind: u8, value: &[u8]) -> Option<usize> {
    match kind {
        DOUBLE | 0x09 | 0x11 | INT64 => Some(8),
        // Strings, code and symbols.
        STRING | 0x0d | 0x0e => length(value, 0)?.checked_add(4),
        // Code with its scope counts its whole length, as documents do.
        DOCUMENT | ARRAY | 0x0f => length(value, 0).filter(|length| *length >= 5),
        // Binary: a length, and a subtype.
        0x05 => length(value, 0)?.checked_add(5),
        // Undefined, null, and the smallest and greatest key.
        0x06 | 0x0a | 0xff | 0x7f => Some(0),
        0x07 => Some(12),
        BOOL => Some(1),
        0x0b => {
            let (_, at) = cstring(value, 0)?;
            Some(cstring(value, at)?.1)
        }
        0x0c => length(value, 0)?.checked_add(16),
        INT32 => Some(4),
        0x13 => Some(16),
        _ => None,
    }
}

impl<'a> Element<'a> {
    /// The value, if it is a string that was captured whole.
    pub(super) fn text(&self) -> Option<&'a str> {
        if self.kind != STRING || !self.whole {
            return None;
        }
        std::str::from_utf8(self.value.get(4..)?.strip_suffix(&[0])?).ok()
    }

    /// The value, if it is a number or a truth value.
    pub(super) fn number(&self) -> Option<i64> {
        match (self.kind, self.value) {
            (BOOL, [value]) => Some((*value).into()),
            (INT32, _) => Some(int32(self.value, 0)?.into()),
            (INT64, _) => Some(i64::from_le_bytes(self.value.try_into().ok()?)),
            (DOUBLE, _) => Some(f64::from_le_bytes(self.value.try_into().ok()?) as i64),
            _ => None,
        }
    }

    /// The value's elements, if it is a document or an array.
    pub(super) fn elements(&self) -> Option<Elements<'a>> {
        matches!(self.kind, DOCUMENT | ARRAY)
            .then(|| Elements::new(self.value))
            .flatten()
    }

    /// How many elements the value has, if it is an array or a document and all of them were seen to
    /// begin.
    pub(super) fn count(&self) -> Option<i64> {
        let mut elements = self.elements()?;
        let count = elements.by_ref().count();
        elements.is_at_end().then_some(count as i64)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A document of elements that are already written.
    pub(in crate::protocol::mongo) fn document(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        elements.iter().for_each(|one| bytes.extend_from_slice(one));
        bytes.push(0);
        let length = (bytes.len() as u32).to_le_bytes();
        bytes[..4].copy_from_slice(&length);
        bytes
    }

    pub(in crate::protocol::mongo) fn element(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
        [&[kind], name.as_bytes(), &[0], value].concat()
    }

    pub(in crate::protocol::mongo) fn string(name: &str, text: &str) -> Vec<u8> {
        let length = (text.len() as u32 + 1).to_le_bytes();
        element(STRING, name, &[&length, text.as_bytes(), &[0]].concat())
    }

    pub(in crate::protocol::mongo) fn number(name: &str, value: i32) -> Vec<u8> {
        element(INT32, name, &value.to_le_bytes())
    }

    #[test]
    fn walks_over_every_kind() {
        let inner = document(&[number("x", 1), number("y", 2)]);
        let bytes = document(&[
            element(0x01, "double", &2.0f64.to_le_bytes()),
            string("string", "text"),
            element(0x03, "document", &inner),
            element(0x04, "array", &inner),
            element(0x05, "binary", &[2, 0, 0, 0, 0, 1, 2]),
            element(0x06, "undefined", &[]),
            element(0x07, "id", &[0; 12]),
            element(0x08, "bool", &[1]),
            element(0x09, "date", &[0; 8]),
            element(0x0a, "null", &[]),
            element(0x0b, "regex", b"a\0i\0"),
            element(0x0c, "pointer", b"\x01\0\0\0\0abcdefghijkl"),
            element(0x0d, "code", b"\x01\0\0\0\0"),
            element(0x0e, "symbol", b"\x01\0\0\0\0"),
            element(0x0f, "scope", b"\x0e\0\0\0\x01\0\0\0\0\x05\0\0\0\0"),
            number("int", -7),
            element(0x11, "timestamp", &[0; 8]),
            element(0x12, "long", &7i64.to_le_bytes()),
            element(0x13, "decimal", &[0; 16]),
            element(0xff, "min", &[]),
            element(0x7f, "max", &[]),
        ]);
        let mut elements = Elements::new(&bytes).unwrap();
        let all: Vec<_> = elements.by_ref().collect();
        assert!(elements.is_at_end());
        assert_eq!(all.len(), 21);
        let named = |name: &str| all.iter().find(|one| one.name == name.as_bytes()).unwrap();
        assert_eq!(named("string").text(), Some("text"));
        assert_eq!(named("double").number(), Some(2));
        assert_eq!(named("int").number(), Some(-7));
        assert_eq!(named("long").number(), Some(7));
        assert_eq!(named("bool").number(), Some(1));
        assert_eq!(named("array").count(), Some(2));
        // However much of it is there, nothing is read beyond, and it ends.
        for end in 0..bytes.len() - 1 {
            let Some(mut elements) = Elements::new(&bytes[..end]) else {
                continue;
            };
            assert!(elements.by_ref().count() <= 21);
        }
    }

    #[test]
    fn lengths_that_lie() {
        let table: [&[u8]; 7] = [
            b"",
            b"\x04\0\0\0",
            b"\xff\xff\xff\xff\0",
            b"\xff\xff\xff\x7f\x02a\0\xff\xff\xff\x7f",
            b"\x20\0\0\0\x02a\0\xff\xff\xff\xffxx",
            b"\x20\0\0\0\x03a\0\x01\0\0\0xx",
            b"\x20\0\0\0\x55a\0xx",
        ];
        for bytes in table {
            let count = Elements::new(bytes).map(|mut all| (all.by_ref().count(), all.is_at_end()));
            assert!(
                matches!(count, None | Some((0, false)) | Some((1, _))),
                "{bytes:?} {count:?}"
            );
        }
    }
}
