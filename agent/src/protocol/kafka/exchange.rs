//! A request, its answer, and what is told of them: OpenTelemetry's semantic conventions for Kafka,
//! <https://opentelemetry.io/docs/specs/semconv/messaging/kafka/>.

use std::borrow::Cow;
use std::sync::Arc;

use crate::model::{Attribute, Finished, Note, Outcome, SpanKind, SpanStatus};
use crate::protocol::frames::Moved;

use super::api::{Api, Kind};
use super::batch::{Batch, One};
use super::messages::Fetch;
use super::{errors, note};

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    /// Its exchange's number, where that has been told to have started.
    pub(super) exchange: Option<u64>,
    /// `None`: a request that is not known.
    pub(super) api: Option<&'static Api>,
    pub(super) version: i16,
    pub(super) correlation: i32,
    pub(super) position: u64,
    pub(super) client: Option<Arc<str>>,
    pub(super) group: Option<Box<str>>,
    /// What a request to send holds.
    pub(super) batch: Option<Box<Batch>>,
    pub(super) fetch: Fetch,
    pub(super) notes: Vec<Note>,
}

impl Asked {
    /// Its kind, where the layout of its version is known.
    pub(super) fn kind(&self) -> Kind {
        self.api.map_or(Kind::Silent, |api| api.kind)
    }

    /// Whether its layout is known.
    pub(super) fn is_known(&self) -> bool {
        self.api.is_some_and(|api| self.version <= api.latest)
    }

    pub(super) fn is_flexible(&self) -> bool {
        self.api.is_some_and(|api| self.version >= api.flexible)
    }

    /// Whether it is known where what it sends goes.
    pub(super) fn has_topic(&self) -> bool {
        let batch = self.batch.as_ref();
        batch.is_some_and(|batch| batch.topic != One::None)
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        let batch = self.batch.as_ref();
        batch.map_or(0, |batch| size_of::<Batch>() + batch.memory())
            + self.group.as_ref().map_or(0, |group| group.len())
            + self.notes.capacity() * size_of::<Note>()
    }
}

/// An answer, as far as it was captured.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) correlation: i32,
    /// What comes after the correlation id.
    pub(super) bytes: Vec<u8>,
    pub(super) cut: bool,
    pub(super) first: Moved,
    pub(super) end: Moved,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) end: Moved,
    /// Whether somebody is known to have moved the last byte.
    pub(super) moved: bool,
    /// The code in the answer.
    pub(super) code: i16,
    /// How the connection ended before.
    pub(super) error: Option<&'static str>,
}

impl Ending {
    /// With an answer.
    pub(super) const fn answered(end: Moved, code: i16) -> Self {
        Self {
            outcome: Outcome::Complete,
            end,
            moved: true,
            code,
            error: None,
        }
    }

    /// It is not known how.
    pub(super) const fn lost(end: Moved) -> Self {
        Self {
            outcome: Outcome::Lost,
            end,
            moved: false,
            code: 0,
            error: None,
        }
    }
}

/// What is told of an exchange that has been told to have started.
pub(super) fn finished(
    exchange: u64,
    asked: Asked,
    batch: Option<&Batch>,
    ending: Ending,
    longest: usize,
) -> Finished {
    let mut notes = asked.notes;
    let mut attributes = Vec::with_capacity(16);
    attributes.push(Attribute::new("messaging.system", "kafka"));
    let (name, operation, kind) = match asked.api {
        Some(api) if api.kind == Kind::Produce => ("send", Some("send"), Some(SpanKind::Producer)),
        Some(api) if api.kind == Kind::Fetch => ("poll", Some("receive"), None),
        Some(api) if api.kind == Kind::Settle => (api.name, Some("settle"), None),
        Some(api) => (api.name, None, None),
        None => ("kafka", None, None),
    };
    attributes.push(Attribute::new("messaging.operation.name", name));
    if let Some(operation) = operation {
        attributes.push(Attribute::new("messaging.operation.type", operation));
    }
    let topic = batch.and_then(Batch::topic);
    if let Some(batch) = batch {
        batch.attributes(&mut attributes, &mut notes);
    }
    for (key, text) in [
        ("messaging.consumer.group.name", asked.group.as_deref()),
        ("messaging.client.id", asked.client.as_deref()),
    ] {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            continue;
        };
        let end = text.floor_char_boundary(longest);
        if end < text.len() {
            note::add(&mut notes, note::VALUE_CUT);
        }
        attributes.push(Attribute::new(key, text[..end].to_owned()));
    }
    let failed = !matches!(ending.code, 0 | errors::MEMBER_ID_REQUIRED);
    let error = ending
        .error
        .or_else(|| failed.then(|| errors::name(ending.code)));
    if let Some(error) = error {
        attributes.push(Attribute::new("error.type", error));
    }
    Finished {
        exchange,
        end: ending.end.time,
        task: ending.moved.then_some(ending.end.task),
        outcome: ending.outcome,
        // The broker's view is that of a server, of whatever it is asked.
        kind,
        links: match batch {
            // One context is that of the request itself.
            Some(batch) if asked_alone(asked.api, batch) => Vec::new(),
            Some(batch) => batch.links(),
            None => Vec::new(),
        },
        name: match topic {
            Some(topic) => Cow::Owned([name, " ", topic].concat()),
            None => Cow::Borrowed(name),
        },
        status: match error {
            Some(_) => SpanStatus::Error,
            None => SpanStatus::Unset,
        },
        attributes,
        notes,
    }
}

/// Whether the one context of what is sent was told at the start.
fn asked_alone(api: Option<&Api>, batch: &Batch) -> bool {
    api.is_some_and(|api| api.kind == Kind::Produce) && batch.contexts.len() == 1
}

/// Adds what an answer to a request to send says to what the request said.
pub(super) fn merged(mut sent: Batch, answer: Batch) -> Batch {
    if sent.topic == One::None {
        sent.topic = answer.topic;
    }
    if sent.partition == One::None {
        sent.partition = answer.partition;
    }
    sent.offset = answer.offset;
    sent
}
