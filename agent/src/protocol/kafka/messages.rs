//! Requests to send messages and to fetch them, and their answers.

use std::sync::Arc;

use crate::context::Extractor;

use super::batch::{Batch, One, Topic};
use super::reader::Reader;
use super::records;
use super::topics::{CLUSTER_METADATA, NAME_MAX, Topics};

/// The first versions that name topics by id (KIP-516).
const PRODUCE_IDS: i16 = 13;
const FETCH_IDS: i16 = 13;

/// What reading needs besides the bytes.
pub(super) struct Setting<'a> {
    pub(super) version: i16,
    pub(super) topics: &'a Topics,
    pub(super) extractor: &'a Extractor,
}

impl Setting<'_> {
    fn topic(&self, reader: &mut Reader<'_>, ids_from: i16) -> Option<Topic> {
        if self.version >= ids_from {
            let id = reader.uuid()?;
            return Some(match self.topics.name(id) {
                Some(name) => Topic::Name(name),
                None => Topic::Id(id),
            });
        }
        let name = reader.text()?;
        let name = std::str::from_utf8(name).ok()?;
        (name.len() <= NAME_MAX).then(|| Topic::Name(Arc::from(name)))
    }
}

/// Whether a request to send wants an answer; `None` where that was not captured.
pub(super) fn produce(
    reader: &mut Reader<'_>,
    setting: &Setting<'_>,
    to: &mut Batch,
) -> Option<bool> {
    if setting.version >= 3 {
        // The transaction.
        reader.text()?;
    }
    let acks = reader.int16()?;
    reader.int32()?;
    if produced(reader, setting, to).is_none() {
        to.uncounted = true;
        to.contexts_left = true;
    }
    // The broker gives the messages their offsets.
    to.offset = None;
    Some(acks != 0)
}

fn produced(reader: &mut Reader<'_>, setting: &Setting<'_>, to: &mut Batch) -> Option<()> {
    let topics = reader.count()?;
    if topics > 1 {
        // Each is named once.
        (to.topic, to.partition) = (One::Several, One::Several);
    }
    for topics_left in (0..topics).rev() {
        to.topic.add(setting.topic(reader, PRODUCE_IDS)?);
        let partitions = reader.count()?;
        if partitions > 1 {
            to.partition = One::Several;
        }
        for left in (0..partitions).rev() {
            to.partition.add(reader.int32()?);
            let (seen, length) = reader.partly()?;
            records::read(seen, length, to, setting.extractor);
            if seen.len() < length {
                // What the last partition's first bytes said of it is all there is to know.
                return (topics_left == 0 && left == 0).then_some(());
            }
            reader.end()?;
        }
        reader.end()?;
    }
    Some(())
}

/// The answer to a request to send: its offset and its error.
pub(super) fn produce_answer(
    reader: &mut Reader<'_>,
    setting: &Setting<'_>,
    to: &mut Batch,
) -> Option<()> {
    let topics = reader.count()?;
    for _ in 0..topics {
        let topic = setting.topic(reader, PRODUCE_IDS)?;
        let partitions = reader.count()?;
        if topics == 1 || to.topic == One::None {
            to.topic.add(topic);
        }
        for _ in 0..partitions {
            to.partition.add(reader.int32()?);
            let error = reader.int16()?;
            let offset = reader.int64()?;
            if error != 0 {
                to.error.get_or_insert(error);
            } else if offset >= 0 {
                to.offset.get_or_insert(offset);
            }
            if setting.version >= 2 {
                reader.int64()?;
            }
            if setting.version >= 5 {
                reader.int64()?;
            }
            if setting.version >= 8 {
                for _ in 0..reader.count()? {
                    reader.int32()?;
                    reader.text()?;
                    reader.end()?;
                }
                reader.text()?;
            }
            reader.end()?;
        }
        reader.end()?;
    }
    Some(())
}

/// What a request to fetch says that its answer does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fetch {
    /// A broker copies from another one.
    pub(super) replica: bool,
    /// The one partition that it names, and from which offset on.
    pub(super) from: Option<(i32, i64)>,
}

/// Reads a request to fetch, as far as it was captured.
pub(super) fn fetch(reader: &mut Reader<'_>, setting: &Setting<'_>) -> Fetch {
    let mut found = Fetch::default();
    let _ = fetched(reader, setting, &mut found);
    found
}

fn fetched(reader: &mut Reader<'_>, setting: &Setting<'_>, found: &mut Fetch) -> Option<()> {
    let version = setting.version;
    if version <= 14 {
        found.replica = reader.int32()? >= 0;
    }
    reader.take(8)?;
    if version >= 3 {
        reader.int32()?;
    }
    if version >= 4 {
        reader.int8()?;
    }
    if version >= 7 {
        reader.take(8)?;
    }
    let mut partitions = 0;
    for _ in 0..reader.count()? {
        match setting.topic(reader, FETCH_IDS)? {
            Topic::Id(CLUSTER_METADATA) => found.replica = true,
            Topic::Name(name) if &*name == "__cluster_metadata" => found.replica = true,
            _ => {}
        }
        for _ in 0..reader.count()? {
            let partition = reader.int32()?;
            if version >= 9 {
                reader.int32()?;
            }
            let offset = reader.int64()?;
            if version >= 12 {
                reader.int32()?;
            }
            if version >= 5 {
                reader.int64()?;
            }
            reader.int32()?;
            reader.end()?;
            partitions += 1;
            found.from = (partitions == 1).then_some((partition, offset));
        }
        reader.end()?;
    }
    if version >= 7 {
        for _ in 0..reader.count()? {
            setting.topic(reader, FETCH_IDS)?;
            reader.skip_array(4)?;
            reader.end()?;
        }
    }
    if version >= 11 {
        reader.text()?;
    }
    // Since version 15 brokers name themselves in a tagged field.
    reader.tags(|tag| found.replica |= tag == 1)
}

/// What came of reading the answer to a request to fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    /// Messages came.
    pub(super) some: bool,
    /// What was not seen would not change what it is called.
    pub(super) sure: bool,
}

/// Reads the answer to a request to fetch.
pub(super) fn fetch_answer(
    reader: &mut Reader<'_>,
    setting: &Setting<'_>,
    to: &mut Batch,
) -> Fetched {
    let mut found = Fetched::default();
    if fetch_topics(reader, setting, to, &mut found).is_none() {
        // Of other partitions messages may have come too.
        to.partition = One::Several;
        to.uncounted = true;
        to.contexts_left = true;
    } else {
        found.sure = true;
    }
    found
}

fn fetch_topics(
    reader: &mut Reader<'_>,
    setting: &Setting<'_>,
    to: &mut Batch,
    found: &mut Fetched,
) -> Option<()> {
    let version = setting.version;
    if version >= 1 {
        reader.int32()?;
    }
    if version >= 7 {
        to.error = Some(reader.int16()?).filter(|error| *error != 0);
        reader.int32()?;
    }
    let topics = reader.count()?;
    for topics_left in (0..topics).rev() {
        let topic = setting.topic(reader, FETCH_IDS)?;
        for left in (0..reader.count()?).rev() {
            let partition = reader.int32()?;
            let error = reader.int16()?;
            reader.int64()?;
            if version >= 4 {
                reader.int64()?;
            }
            if version >= 5 {
                reader.int64()?;
            }
            if version >= 4 {
                for _ in 0..reader.count()? {
                    reader.take(16)?;
                    reader.end()?;
                }
            }
            if version >= 11 {
                reader.int32()?;
            }
            if error != 0 {
                to.error.get_or_insert(error);
            }
            let before = (to.messages, to.uncounted);
            let (seen, length) = reader.partly()?;
            records::read(seen, length, to, setting.extractor);
            let came = before != (to.messages, to.uncounted);
            found.some |= came;
            if came || error != 0 {
                to.topic.add(topic.clone());
                to.partition.add(partition);
            }
            if seen.len() < length {
                found.sure = topics == 1;
                return (topics_left == 0 && left == 0).then_some(());
            }
            reader.end()?;
        }
        reader.end()?;
    }
    Some(())
}
