//! Messages: their header, the sections of `OP_MSG`, and what they look like
//! (<https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>).

use super::super::frames::Framing;
use super::super::{Likeness, Sample};
use super::bson::{Elements, cstring, int32, length};
use crate::model::Side;

pub(super) const OP_REPLY: i32 = 1;
pub(super) const OP_UPDATE: i32 = 2001;
pub(super) const OP_INSERT: i32 = 2002;
pub(super) const OP_QUERY: i32 = 2004;
pub(super) const OP_GET_MORE: i32 = 2005;
pub(super) const OP_DELETE: i32 = 2006;
pub(super) const OP_KILL_CURSORS: i32 = 2007;
pub(super) const OP_COMPRESSED: i32 = 2012;
pub(super) const OP_MSG: i32 = 2013;

/// `OP_MSG`: a CRC-32C follows the sections.
const CHECKSUM: u32 = 1;
/// `OP_MSG`: another message follows without being asked for, or no answer is wanted.
pub(super) const MORE_TO_COME: u32 = 1 << 1;
/// `OP_MSG`: several answers are welcome.
const EXHAUST_ALLOWED: u32 = 1 << 16;

/// The header's length.
pub(super) const HEADER: usize = 16;
/// The longest message that servers take (`maxMessageSizeBytes`), and some room: routers may be told
/// otherwise.
const LENGTH_MAX: usize = 64 * 1024 * 1024;

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) length: usize,
    /// `requestID`.
    pub(super) id: i32,
    /// `responseTo`: 0 in requests.
    pub(super) to: i32,
    pub(super) code: i32,
}

impl Header {
    /// Reads it, if these bytes begin with one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let header = Self {
            length: length(bytes, 0)?,
            id: int32(bytes, 4)?,
            to: int32(bytes, 8)?,
            code: int32(bytes, 12)?,
        };
        // The shortest that each may be.
        let least = match header.code {
            OP_REPLY => 36,
            OP_MSG => 26,
            OP_QUERY => 34,
            OP_COMPRESSED => 25,
            OP_UPDATE | OP_INSERT | OP_DELETE | OP_GET_MORE | OP_KILL_CURSORS => 24,
            _ => return None,
        };
        (least..=LENGTH_MAX)
            .contains(&header.length)
            .then_some(header)
    }

    /// Whether it may go this way, if that is known.
    fn goes(&self, to_server: Option<bool>) -> bool {
        let asks = self.to == 0 && self.code != OP_REPLY;
        let answers = self.to != 0 && matches!(self.code, OP_MSG | OP_COMPRESSED | OP_REPLY);
        match to_server {
            Some(true) => asks,
            Some(false) => answers,
            None => asks || answers,
        }
    }
}

/// How long the message is that begins with these bytes.
pub(super) fn framing(bytes: &[u8], wanted: usize) -> Framing {
    match Header::read(bytes) {
        Some(header) => Framing::Frame {
            wanted,
            length: header.length as u64,
        },
        None if bytes.len() < HEADER => Framing::More,
        None => Framing::Nonsense,
    }
}

/// The sections of an `OP_MSG`.
#[derive(Clone, Debug, Default)]
pub(super) struct Sections<'a> {
    pub(super) flags: u32,
    /// The document of the section of kind 0.
    pub(super) body: Option<&'a [u8]>,
    /// What the sequence of documents (kind 1) is for, and how many it has, if all were seen to begin.
    pub(super) sequence: Option<(&'a [u8], Option<i64>)>,
}

impl<'a> Sections<'a> {
    /// Reads them from what follows the header; `whole` is its length.
    pub(super) fn read(bytes: &'a [u8], whole: usize) -> Self {
        let mut found = Self {
            flags: int32(bytes, 0).unwrap_or_default().cast_unsigned(),
            ..Self::default()
        };
        let checksum = if found.flags & CHECKSUM == 0 { 0 } else { 4 };
        let end = whole.saturating_sub(checksum);
        let mut at = 4;
        while at < end {
            let (Some(&kind), Some(size)) = (bytes.get(at), length(bytes, at + 1)) else {
                break;
            };
            match kind {
                0 => found.body = Some(&bytes[at + 1..]),
                1 => found.add_sequence(bytes, at + 1, size),
                _ => break,
            }
            // A section of no length would be read for ever.
            at += 1 + size.max(4);
        }
        found
    }

    fn add_sequence(&mut self, bytes: &'a [u8], from: usize, size: usize) {
        let Some((name, mut at)) = cstring(bytes, from + 4) else {
            return;
        };
        let end = from + size;
        let mut count = 0;
        while at < end {
            match length(bytes, at) {
                Some(length) if length >= 5 => at += length,
                _ => break,
            }
            count += 1;
        }
        self.sequence
            .get_or_insert((name, (at == end).then_some(count)));
    }
}

/// Whether bytes begin a message, asked where anything may be. `to_server`: which way they went, if
/// that is known.
pub(super) fn is_message(bytes: &[u8], to_server: Option<bool>) -> bool {
    let Some(header) = Header::read(bytes) else {
        return false;
    };
    if !header.goes(to_server) {
        return false;
    }
    let body = &bytes[HEADER..];
    let whole = header.length - HEADER;
    match header.code {
        OP_MSG => has_sections(body, whole),
        OP_COMPRESSED => is_compressed(body),
        OP_REPLY => {
            // Flags, how many documents, and the length of the first.
            let small = |at, max| int32(body, at).is_some_and(|number| (0..max).contains(&number));
            small(0, 16)
                && small(16, 1 << 20)
                && (whole == 20 || is_document(&body[20..], whole - 20))
        }
        OP_QUERY => {
            let flags = int32(body, 0).is_some_and(|flags| (0..256).contains(&flags));
            flags
                && namespace(body, 4).is_some_and(|(_, at)| {
                    let rest = body.get(at + 8..).unwrap_or_default();
                    whole > at + 8 && is_document(rest, whole - at - 8)
                })
        }
        _ => namespace(body, 4).is_some(),
    }
}

fn has_sections(body: &[u8], whole: usize) -> bool {
    let Some(flags) = int32(body, 0).map(i32::cast_unsigned) else {
        return false;
    };
    if flags & !(CHECKSUM | MORE_TO_COME | EXHAUST_ALLOWED) != 0 {
        return false;
    }
    let rest = body.get(5..).unwrap_or_default();
    match body.get(4) {
        Some(0) => is_document(rest, whole - 5),
        Some(1) => {
            let fits = length(rest, 0).is_some_and(|size| size > 5 && size <= whole - 5);
            fits && cstring(rest, 4).is_some_and(|(name, _)| is_word(name))
        }
        _ => false,
    }
}

fn is_compressed(body: &[u8]) -> bool {
    let size = length(body, 4).is_some_and(|size| size <= LENGTH_MAX);
    let code = int32(body, 0);
    let compressor = body.get(8).is_some_and(|number| *number <= 3);
    size && compressor && matches!(code, Some(OP_MSG | OP_QUERY | OP_REPLY))
}

/// Whether bytes begin a document of at most `whole` bytes, with a first element (or none).
fn is_document(bytes: &[u8], whole: usize) -> bool {
    let fits = length(bytes, 0).is_some_and(|length| (5..=whole).contains(&length));
    let mut elements = Elements::new(bytes);
    let named = elements.as_mut().is_some_and(|elements| {
        let first = elements.next();
        elements.is_at_end() && first.is_none() || first.is_some_and(|first| is_word(first.name))
    });
    fits && named
}

/// `database.collection`, and what follows it.
pub(super) fn namespace(body: &[u8], at: usize) -> Option<(&str, usize)> {
    let (name, after) = cstring(body, at)?;
    let name = std::str::from_utf8(name).ok()?;
    name.contains('.').then_some((name, after))
}

/// Whether this may be the name of a command or of an argument.
pub(super) fn is_word(name: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    (1..=64).contains(&name.len()) && name.iter().all(letter)
}

/// See [`super::ENTRY`].
pub(super) fn likeness(sample: &Sample<'_>) -> Likeness {
    let bytes = sample.bytes;
    let to_server = sample.sender.map(|sender| sender == Side::Client);
    if is_message(bytes, to_server) {
        return Likeness::Yes;
    }
    // Up to the name of the first element, which may be late where a section of kind 1 comes first.
    let few = sample.from_start && bytes.len() < 128 && bytes.len() as u64 == sample.length;
    let may_be = match length(bytes, 0) {
        Some(length) if (24..=LENGTH_MAX).contains(&length) => {
            let header = match Header::read(bytes) {
                Some(header) => header.goes(to_server),
                None => bytes.len() < HEADER,
            };
            header && bytes.len() < length
        }
        Some(_) => false,
        None => bytes.len() < 4,
    };
    match few && may_be {
        true => Likeness::Perhaps,
        false => Likeness::No,
    }
}
