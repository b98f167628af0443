//! How the protocol is known by its bytes.

use super::super::{Likeness, Sample};
use super::envelope::{
    COMPRESSED, CUSTOM_PAYLOAD, FRAME_HEADER, HEADER, Header, Opcode, TRACING, WARNING,
    first_in_frame,
};
use super::reader::Reader;
use super::request::consistency;
use crate::model::Side;

/// Whether a connection speaks this protocol.
pub fn likeness(sample: &Sample<'_>) -> Likeness {
    let bytes = sample.bytes;
    let client = sample.sender.map(|sender| sender == Side::Client);
    if !sample.from_start {
        return yes(
            first_in_frame(bytes).is_some_and(|header| is_sent_by(&header, client))
                || is_plain(bytes, sample.length, client) && ends(bytes, sample.length),
        );
    }
    if bytes.len() < HEADER {
        let begins = match (bytes.first(), client) {
            (Some(3..=6), Some(true) | None) => {
                bytes.get(1).is_none_or(|flags| *flags & !0x10 == 0)
            }
            (Some(0x83..=0x86), Some(false) | None) => true,
            _ => bytes.is_empty(),
        };
        return match begins && sample.length == bytes.len() as u64 {
            true => Likeness::Perhaps,
            false => Likeness::No,
        };
    }
    let Some(header) = Header::read(bytes).filter(|header| is_sent_by(header, client)) else {
        return Likeness::No;
    };
    let body = &bytes[HEADER..];
    yes(header.flags & COMPRESSED == 0
        && match header.opcode {
            Opcode::Options | Opcode::Ready => header.length == 0 && sample.length == 9,
            // A map that has `CQL_VERSION`, which is required.
            Opcode::Startup => {
                header.whole() == sample.length
                    && memchr::memmem::find(body, b"\0\x0bCQL_VERSION\0").is_some()
            }
            Opcode::Supported | Opcode::Authenticate | Opcode::Error => {
                header.whole() == sample.length && is_right(&header, body)
            }
            _ => false,
        })
}

fn yes(yes: bool) -> Likeness {
    if yes { Likeness::Yes } else { Likeness::No }
}

fn is_sent_by(header: &Header, client: Option<bool>) -> bool {
    client.is_none_or(|client| header.is_request == client)
}

/// Whether bytes begin with an envelope whose inside is as it must be.
pub fn is_plain(bytes: &[u8], length: u64, client: Option<bool>) -> bool {
    Header::read(bytes).is_some_and(|header| {
        is_sent_by(&header, client)
            && header.stands_alone()
            && header.stream >= 0
            && header.flags & COMPRESSED == 0
            && (header.whole() <= length || header.length > 1024)
            && is_right(&header, &bytes[HEADER..])
    })
}

/// Whether envelopes of the same kind end where bytes do, as far as those are here.
fn ends(bytes: &[u8], length: u64) -> bool {
    let mut rest = bytes;
    let mut left = length;
    let Some(first) = Header::read(bytes) else {
        return false;
    };
    while left > 0 {
        let Some(header) = Header::read(rest).filter(|header| {
            header.version == first.version && header.is_request == first.is_request
        }) else {
            return false;
        };
        if header.whole() > left {
            return false;
        }
        left -= header.whole();
        match usize::try_from(header.whole())
            .ok()
            .and_then(|whole| rest.get(whole..))
        {
            Some(behind) => rest = behind,
            None => return left == 0,
        }
        if rest.is_empty() && (bytes.len() as u64) < length {
            return left == 0;
        }
    }
    true
}

/// Whether the inside of an envelope can be what it says.
fn is_right(header: &Header, body: &[u8]) -> bool {
    // What else stands before it is not looked at.
    if header.flags & (TRACING | WARNING | CUSTOM_PAYLOAD) != 0 && !header.is_request
        || header.flags & CUSTOM_PAYLOAD != 0
    {
        return false;
    }
    inside(header, body).unwrap_or(false)
}

fn inside(header: &Header, body: &[u8]) -> Option<bool> {
    let mut reader = Reader::new(body);
    let length = header.length as usize;
    Some(match header.opcode {
        Opcode::Query | Opcode::Prepare => {
            let (text, cut) = reader.long_string()?;
            let text_length = usize::try_from(i32::from_be_bytes(*body.first_chunk()?)).ok()?;
            let fits = text_length >= 4 && text_length + 4 <= length;
            let query = header.opcode == Opcode::Query;
            fits && is_text(text) && (cut || !query || consistency(reader.short()?).is_some())
        }
        Opcode::Execute => {
            // The id is an MD5 sum.
            const ID: usize = 16;
            let is_id = reader.string()?.len() == ID;
            if header.version >= 5 {
                reader.string()?;
            }
            is_id && consistency(reader.short()?).is_some()
        }
        Opcode::Batch => {
            let (kind, count, first) = (reader.byte()?, reader.short()?, reader.byte()?);
            let text = match first {
                0 => is_text(reader.long_string()?.0),
                1 => reader.string()?.len() == 16,
                _ => false,
            };
            kind <= 2 && count > 0 && text
        }
        Opcode::Result => matches!(
            (reader.int()?, length),
            (1, 4) | (2, 16..) | (3, 7..) | (4, 18..) | (5, 8..)
        ),
        Opcode::Error => {
            let code = reader.int()?;
            (0..0x2600).contains(&code) && reader.long_message(length)?
        }
        Opcode::Authenticate => {
            let name = reader.string()?;
            name.len() + 2 == length && is_text(name)
        }
        Opcode::Supported => (1..32).contains(&reader.short()?) && is_text(reader.string()?),
        _ => false,
    })
}

fn is_text(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| *byte >= b' ' || matches!(byte, b'\t' | b'\r' | b'\n'))
}

impl Reader<'_> {
    /// Whether an error's message fits into a body of this length.
    fn long_message(&mut self, length: usize) -> Option<bool> {
        let message = usize::from(self.short()?);
        let here = &self.rest[..message.min(self.rest.len())];
        Some(message + 6 <= length && is_text(here))
    }
}

/// Whether bytes begin a frame that begins with an envelope.
pub fn is_framed(bytes: &[u8], client: Option<bool>) -> bool {
    bytes.len() > FRAME_HEADER
        && first_in_frame(bytes).is_some_and(|header| is_sent_by(&header, client))
}
