//! What Kafka looks like: <https://kafka.apache.org/protocol#protocol_messages>.

use crate::model::Side;
use crate::protocol::{Likeness, Sample};

use super::api;
use super::reader::Reader;

/// Bytes of a message that say how long it is.
pub(super) const SIZE: usize = 4;
/// Longer messages than brokers take by default (`socket.request.max.bytes`, 100 MiB) exist: answers.
const LONGEST: usize = 512 << 20;
/// The first request of a connection asks for versions, metadata or to be let in.
const FIRST_LONGEST: usize = 1 << 20;
/// Bytes of a request after its size, up to its client's name.
const HEAD: usize = 8;
/// The longest client's name that is believed.
const CLIENT_MAX: usize = 256;
/// Versions that are believed beyond the latest that is known.
const NEWER: i16 = 8;

/// A message's size, if it may be one: without its own four bytes.
pub(super) fn size(bytes: &[u8]) -> Option<usize> {
    let (size, _) = bytes.split_first_chunk::<SIZE>()?;
    let size = usize::try_from(i32::from_be_bytes(*size)).ok()?;
    (SIZE..=LONGEST).contains(&size).then_some(size)
}

/// Whether bytes are Kafka's.
pub(super) fn likeness(sample: &Sample<'_>) -> Likeness {
    if sample.from_start && sample.sender == Some(Side::Server) {
        // It never speaks first, but on loopback its answer may be seen before the question.
        return match size(sample.bytes) {
            Some(size) if size <= FIRST_LONGEST => Likeness::Perhaps,
            None if sample.bytes.len() < SIZE => Likeness::Perhaps,
            _ => Likeness::No,
        };
    }
    let Some(size) = size(sample.bytes) else {
        // Small sizes begin with a zero.
        let few = sample.bytes.len() < SIZE && sample.bytes.first().is_none_or(|byte| *byte == 0);
        return match sample.from_start && few {
            true => Likeness::Perhaps,
            false => Likeness::No,
        };
    };
    if sample.from_start {
        if !(HEAD + 2..=FIRST_LONGEST).contains(&size) {
            return Likeness::No;
        }
        return head(&sample.bytes[SIZE..], size, Client::Any);
    }
    let whole = sample.length == (size + SIZE) as u64;
    match head(&sample.bytes[SIZE..], size, Client::Named) {
        Likeness::Yes if whole => Likeness::Yes,
        _ => Likeness::No,
    }
}

/// Whether a chunk may be a request that a reader took without its size.
pub(super) fn is_body(bytes: &[u8], length: usize) -> bool {
    head(bytes, length, Client::Named) == Likeness::Yes
}

/// What a client's name has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client<'a> {
    /// Anything, even nothing.
    Any,
    /// Some name.
    Named,
    /// This one.
    Is(&'a [u8]),
}

/// Whether bytes begin a request of a size, after the size.
pub(super) fn head(bytes: &[u8], size: usize, client: Client<'_>) -> Likeness {
    let verdict = |holds: bool| match holds {
        true => Likeness::Perhaps,
        false => Likeness::No,
    };
    let mut reader = Reader::new(bytes);
    let Some(key) = reader.int16() else {
        return verdict(size >= HEAD + 2 && bytes.first().is_none_or(|byte| *byte == 0));
    };
    let Some(api) = api::find(key).filter(|_| size >= HEAD + 2) else {
        return Likeness::No;
    };
    let Some(version) = reader.int16() else {
        return Likeness::Perhaps;
    };
    if !(0..=api.latest + NEWER).contains(&version) {
        return Likeness::No;
    }
    match reader.int32() {
        None => return Likeness::Perhaps,
        Some(..0) => return Likeness::No,
        Some(_) => {}
    }
    let Some(length) = reader.int16() else {
        return Likeness::Perhaps;
    };
    let name = usize::try_from(length).unwrap_or(0);
    if length < -1 || name > CLIENT_MAX || HEAD + 2 + name > size {
        return Likeness::No;
    }
    // Without a name, it is known by what clients ask first: others' bytes may be zeros.
    let is_first = matches!(api.name, "ApiVersions" | "Metadata" | "SaslHandshake");
    match client {
        Client::Any if name == 0 => {
            return match is_first {
                true => Likeness::Yes,
                false => Likeness::No,
            };
        }
        Client::Named if name == 0 => return Likeness::No,
        Client::Is(known) if known.len() != name => return Likeness::No,
        _ => {}
    }
    let seen = &reader.rest()[..name.min(reader.rest().len())];
    let is_text = seen.iter().all(|byte| *byte >= b' ' && *byte != 0x7f);
    let known = match client {
        Client::Is(known) => known.starts_with(seen),
        _ => std::str::from_utf8(seen).map_or_else(|error| error.error_len().is_none(), |_| true),
    };
    match (is_text && known, seen.len() == name) {
        (true, true) => Likeness::Yes,
        (holds, _) => verdict(holds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Direction;

    #[test]
    fn first_bytes() {
        use Likeness::{No, Perhaps, Yes};
        let versions: &[u8] = b"\0\0\0\x13\0\x12\0\x03\0\0\0\0\0\x01a\0\x02b\x02c";
        let postgres: &[u8] = b"\0\0\0\x54\0\x03\0\0user\0postgres\0database\0postgres\0\0";
        let table: [(&[u8], Likeness, Likeness); 20] = [
            (b"", Perhaps, No),
            (b"\0\0", Perhaps, No),
            (b"\0\0\0\x13", Perhaps, No),
            (b"\0\0\0\x13\0\x12\0\x03\0\0", Perhaps, No),
            (b"\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff", Yes, No),
            (b"\0\0\0\x0b\0\x12\0\0\0\0\0\x01\0\x01a", Yes, Yes),
            (versions, Yes, No),
            // Without its size.
            (&versions[4..], No, No),
            (postgres, No, No),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", No, No),
            (b"GET / HTTP/1.1\r\n", No, No),
            (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", No, No),
            (b"SSH-2.0-x\r\n", No, No),
            // DNS over TCP.
            (b"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example", No, No),
            // MongoDB.
            (b"\x3a\0\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0\0\0\0\0", No, No),
            // ZooKeeper.
            (
                b"\0\0\0\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x75\x30\0\0\0\0\0\0\0\0\0\0\0\x10",
                No,
                No,
            ),
            // Cassandra, MQTT, FastCGI, MySQL.
            (b"\x04\0\0\0\x01\0\0\0\x16\0\x01\0\x0b", No, No),
            (b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04abcd", No, No),
            (b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0", No, No),
            (b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0", No, No),
        ];
        for (bytes, start, later) in table {
            for (from_start, expected) in [(true, start), (false, later)] {
                let found = likeness(&Sample {
                    direction: Direction::Received,
                    sender: None,
                    from_start,
                    bytes,
                    length: bytes.len() as u64,
                });
                assert_eq!(found, expected, "{from_start} {}", bytes.escape_ascii());
            }
        }
    }
}
