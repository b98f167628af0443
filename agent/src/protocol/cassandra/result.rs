//! What the server answers (section 4.2 of the specifications).

use std::sync::Arc;

use super::envelope::{COMPRESSED, CUSTOM_PAYLOAD, Header, Opcode, TRACING, WARNING};
use super::reader::Reader;
use super::request::payload;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// Rows; how many, if that was seen.
    Rows(Option<u32>),
    /// The session's keyspace is this now.
    Keyspace(Arc<str>),
    /// A statement is prepared under this id.
    Prepared(Box<[u8]>),
    /// The client is to say who it is.
    Authenticate,
    /// It is let in.
    LetIn,
    /// The request failed, with this code.
    Error(Option<i32>),
    /// Of this only the head can be read.
    Compressed,
    /// Too little of it was seen.
    Unreadable,
}

/// The code of an error that says that the protocol's version is not understood, or something else of
/// the protocol (section 9).
pub const PROTOCOL_ERROR: i32 = 0x000a;

/// Longest id of a prepared statement or name of a keyspace.
const NAME_MAX: usize = 128;

impl Answer {
    /// Reads an answer, of which perhaps only the beginning is here.
    pub fn read(header: &Header, body: &[u8]) -> Self {
        match header.opcode {
            Opcode::Ready | Opcode::AuthSuccess => return Self::LetIn,
            Opcode::Authenticate | Opcode::AuthChallenge => return Self::Authenticate,
            Opcode::Supported | Opcode::Event => return Self::Done,
            Opcode::Error if header.flags & COMPRESSED != 0 => return Self::Error(None),
            _ if header.flags & COMPRESSED != 0 => return Self::Compressed,
            _ => {}
        }
        let mut reader = Reader::new(body);
        let read = before(&mut reader, header.flags).and_then(|()| match header.opcode {
            Opcode::Error => Some(Self::Error(reader.int())),
            _ => result(&mut reader, header.version),
        });
        match (read, header.opcode) {
            (Some(answer), _) => answer,
            (None, Opcode::Error) => Self::Error(None),
            (None, _) => Self::Unreadable,
        }
    }
}

/// What may stand before a body (section 2.2).
fn before(reader: &mut Reader<'_>, flags: u8) -> Option<()> {
    if flags & TRACING != 0 {
        reader.uuid()?;
    }
    if flags & WARNING != 0 {
        reader.string_list()?;
    }
    if flags & CUSTOM_PAYLOAD != 0 {
        payload(reader)?;
    }
    Some(())
}

/// RESULT (section 4.2.5).
fn result(reader: &mut Reader<'_>, version: u8) -> Option<Answer> {
    Some(match reader.int()? {
        2 => Answer::Rows(rows(reader, version)),
        3 => {
            let name = reader.string().filter(|name| name.len() <= NAME_MAX)?;
            Answer::Keyspace(String::from_utf8_lossy(name).into())
        }
        4 => Answer::Prepared(reader.string().filter(|id| id.len() <= NAME_MAX)?.into()),
        _ => Answer::Done,
    })
}

/// How many rows there are, which stands behind what is told of the columns.
fn rows(reader: &mut Reader<'_>, version: u8) -> Option<u32> {
    const GLOBAL_TABLE: i32 = 0x01;
    const MORE_PAGES: i32 = 0x02;
    const NO_METADATA: i32 = 0x04;
    const CHANGED: i32 = 0x08;
    let flags = reader.int()?;
    let columns = reader.int()?;
    if flags & MORE_PAGES != 0 {
        reader.bytes()?;
    }
    if flags & CHANGED != 0 && version >= 5 {
        reader.string()?;
    }
    if flags & NO_METADATA == 0 {
        if flags & GLOBAL_TABLE != 0 {
            reader.string()?;
            reader.string()?;
        }
        for _ in 0..columns {
            if flags & GLOBAL_TABLE == 0 {
                reader.string()?;
                reader.string()?;
            }
            reader.string()?;
            column_type(reader, DEPTH_MAX)?;
        }
    }
    u32::try_from(reader.int()?).ok()
}

/// How deep types may be nested.
const DEPTH_MAX: u8 = 8;

/// Passes over `[option]`, the type of a column.
fn column_type(reader: &mut Reader<'_>, depth: u8) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match reader.short()? {
        // A type by the name of its class.
        0x0000 => {
            reader.string()?;
        }
        // list and set
        0x0020 | 0x0022 => column_type(reader, depth)?,
        // map
        0x0021 => {
            column_type(reader, depth)?;
            column_type(reader, depth)?;
        }
        // A type of the user's.
        0x0030 => {
            reader.string()?;
            reader.string()?;
            for _ in 0..reader.short()? {
                reader.string()?;
                column_type(reader, depth)?;
            }
        }
        // tuple
        0x0031 => {
            for _ in 0..reader.short()? {
                column_type(reader, depth)?;
            }
        }
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(version: u8, flags: u8, body: &[u8]) -> Answer {
        let header = Header {
            version,
            is_request: false,
            flags,
            stream: 1,
            opcode: Opcode::Result,
            length: u32::try_from(body.len()).unwrap(),
        };
        Answer::read(&header, body)
    }

    #[test]
    fn results() {
        let cases: [(u8, u8, &[u8], Answer); 9] = [
            (4, 0, b"\0\0\0\x01", Answer::Done),
            (4, 0, b"\0\0\0\x03\0\x04shop", Answer::Keyspace("shop".into())),
            (4, 0, b"\0\0\0\x04\0\x02ab...", Answer::Prepared(b"ab"[..].into())),
            (
                4,
                0,
                b"\0\0\0\x02\0\0\0\x04\0\0\0\x01\0\0\0\x07",
                Answer::Rows(Some(7)),
            ),
            // More pages, and a new metadata id in version 5.
            (
                5,
                0,
                b"\0\0\0\x02\0\0\0\x0e\0\0\0\x01\0\0\0\x01p\0\x01m\0\0\0\x07",
                Answer::Rows(Some(7)),
            ),
            // A map of a text to a tuple of two, in a table of its own; then a type of the user's.
            (
                4,
                0,
                b"\0\0\0\x02\0\0\0\0\0\0\0\x02\0\x01k\0\x01t\0\x01a\0\x21\0\x0d\0\x31\0\x02\0\x09\0\x0d\
                  \0\x01k\0\x01t\0\x01b\0\x30\0\x01k\0\x01u\0\x01\0\x01f\0\x22\0\x09\0\0\0\x03",
                Answer::Rows(Some(3)),
            ),
            // Cut.
            (
                4,
                0,
                b"\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\x01k\0\x01t\0\x01a\0\x0d\0\0",
                Answer::Rows(None),
            ),
            (4, WARNING, b"\0\x01\0\x02hm\0\0\0\x01", Answer::Done),
            (4, COMPRESSED, b"\0\0\0\x01", Answer::Compressed),
        ];
        for (version, flags, body, expected) in cases {
            assert_eq!(read(version, flags, body), expected, "{body:?}");
        }
        let deep: Vec<u8> = b"\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\x01k\0\x01t\0\x01a"
            .iter()
            .chain([0, 0x20].iter().cycle().take(1000))
            .copied()
            .collect();
        assert_eq!(read(4, 0, &deep), Answer::Rows(None));
    }
}
