//! Requests that move no messages, and their answers: groups, errors, and names of topics.

use super::api::{Api, ErrorAt, GroupAt};
use super::reader::Reader;
use super::topics::Topics;

/// The consumer group that a request names.
pub(super) fn group<'a>(api: &Api, version: i16, reader: &mut Reader<'a>) -> Option<&'a str> {
    let group = match api.group {
        GroupAt::Nowhere => return None,
        GroupAt::First => reader.text()?,
        GroupAt::Second => {
            reader.text()?;
            reader.text()?
        }
        GroupAt::Transaction => {
            reader.text()?;
            reader.take(10)?;
            reader.text()?
        }
        GroupAt::Several => only(reader)?,
        GroupAt::Offsets if version >= 8 => only(reader)?,
        GroupAt::Offsets => reader.text()?,
        // A key may be that of a transaction.
        GroupAt::Coordinator if version >= 4 => {
            let is_group = reader.int8()? == 0;
            is_group.then(|| only(reader))??
        }
        GroupAt::Coordinator => {
            let key = reader.text()?;
            let is_group = version == 0 || reader.int8()? == 0;
            is_group.then_some(key)?
        }
    };
    std::str::from_utf8(group)
        .ok()
        .filter(|group| !group.is_empty())
}

/// The text with which the only element of an array begins.
fn only<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    (reader.count()? == 1).then(|| reader.text())?
}

/// The first error code of an answer, 0 if there is none; `None` where it was not captured.
pub(super) fn error(
    api: &Api,
    version: i16,
    reader: &mut Reader<'_>,
    topics: &Topics,
) -> Option<i16> {
    let throttled = |from: i16, reader: &mut Reader<'_>| {
        if version >= from {
            reader.int32()?;
        }
        Some(())
    };
    match api.error {
        ErrorAt::Unknown => Some(0),
        ErrorAt::First => reader.int16(),
        ErrorAt::Throttled(from) => {
            throttled(from, reader)?;
            reader.int16()
        }
        ErrorAt::Topics(from) => {
            // Of this one, later versions are for brokers.
            if api.name == "AddPartitionsToTxn" && version >= 4 {
                return Some(0);
            }
            throttled(from, reader)?;
            // Only where partitions are nothing but an error, the next can be found.
            let bare = api.name != "ListOffsets";
            for _ in 0..reader.count()? {
                reader.text()?;
                for _ in 0..reader.count()? {
                    reader.int32()?;
                    match reader.int16()? {
                        0 if bare => reader.end()?,
                        error => return Some(error),
                    }
                }
                reader.end()?;
            }
            Some(0)
        }
        ErrorAt::Named(from) => {
            throttled(from, reader)?;
            if reader.count()? == 0 {
                return Some(0);
            }
            reader.text()?;
            let has_id = matches!((api.key, version), (19, 7..) | (20, 6..));
            if has_id {
                reader.uuid()?;
            }
            reader.int16()
        }
        ErrorAt::Coded(from) => {
            throttled(from, reader)?;
            if reader.count()? == 0 {
                return Some(0);
            }
            reader.int16()
        }
        ErrorAt::Coordinators => {
            throttled(1, reader)?;
            if version < 4 {
                return reader.int16();
            }
            if reader.count()? == 0 {
                return Some(0);
            }
            reader.text()?;
            reader.int32()?;
            reader.text()?;
            reader.int32()?;
            reader.int16()
        }
        ErrorAt::Metadata => metadata(version, reader, topics),
    }
}

/// Learns the names of topics, and finds the first topic's error.
fn metadata(version: i16, reader: &mut Reader<'_>, names: &Topics) -> Option<i16> {
    if version >= 3 {
        reader.int32()?;
    }
    for _ in 0..reader.count()? {
        reader.int32()?;
        reader.text()?;
        reader.int32()?;
        if version >= 1 {
            reader.text()?;
        }
        reader.end()?;
    }
    if version >= 2 {
        reader.text()?;
    }
    if version >= 1 {
        reader.int32()?;
    }
    let mut first = None;
    for _ in 0..reader.count()? {
        match topic(version, reader, names, &mut first) {
            Some(()) => {}
            // The first topic's error says enough of a long list.
            None if first.is_some() => break,
            None => return None,
        }
    }
    Some(first.unwrap_or(0))
}

fn topic(
    version: i16,
    reader: &mut Reader<'_>,
    names: &Topics,
    first: &mut Option<i16>,
) -> Option<()> {
    let error = reader.int16()?;
    if first.is_none_or(|first| first == 0) {
        *first = Some(error);
    }
    let name = reader.text()?;
    if version >= 10 {
        let id = reader.uuid()?;
        if let Ok(name) = std::str::from_utf8(name) {
            names.learn(id, name);
        }
    }
    if version >= 1 {
        reader.int8()?;
    }
    for _ in 0..reader.count()? {
        reader.take(10)?;
        if version >= 7 {
            reader.int32()?;
        }
        reader.skip_array(4)?;
        reader.skip_array(4)?;
        if version >= 5 {
            reader.skip_array(4)?;
        }
        reader.end()?;
    }
    if version >= 8 {
        reader.int32()?;
    }
    reader.end()
}
