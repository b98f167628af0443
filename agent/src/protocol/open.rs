//! Exchanges that are open: what is told at their start, and what is kept until their end.

use std::borrow::Cow;
use std::mem::size_of;

use crate::context::{Carrier, Extractor, NotUnderstood, Original};
use crate::model::{
    Attribute, ConnectionEnd, Finished, Link, Note, Outcome, ParserEvent, RemoteContext, Side,
    SpanKind, SpanStatus, Started, Task, Timestamp, Value,
};

use super::cursor::text;
use super::ending;
use super::frames::Moved;

/// Longest trace id of SkyWalking's that is kept.
const SKYWALKING_MAX: usize = 256;

/// Where and when a request began.
#[derive(Clone, Debug)]
pub struct Head {
    /// Offset of its first byte.
    pub position: u64,
    /// When its first byte moved.
    pub start: Timestamp,
    /// Who moved what completed its head.
    pub task: Task,
}

/// Numbers the exchanges of a connection.
#[derive(Debug, Default)]
pub struct Numbers(u64);

impl Numbers {
    /// Tells of the start of one that does not take turns with others; gives its number.
    pub fn start(
        &mut self,
        side: Side,
        head: &Head,
        context: Option<RemoteContext>,
        events: &mut Vec<ParserEvent>,
    ) -> u64 {
        let exchange = self.0;
        self.0 += 1;
        events.push(ParserEvent::Started(Started {
            exchange,
            side,
            position: head.position,
            start: head.start,
            task: head.task,
            context,
            overlapping: true,
            telemetry: false,
            carried: None,
        }));
        exchange
    }
}

/// What is to be told of an exchange at its end.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Name of the span.
    pub name: Cow<'static, str>,
    /// Its kind, where that is not its side's.
    pub kind: Option<SpanKind>,
    /// `error.type`, if it failed.
    pub error: Option<Cow<'static, str>>,
    /// Attributes, without `error.type`.
    pub attributes: Vec<Attribute>,
    /// Links.
    pub links: Vec<Link>,
    /// Notes.
    pub notes: Vec<Note>,
    /// What was told is true, but some of it was lost.
    pub lost: bool,
}

impl Told {
    /// Adds an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.attributes.push(Attribute::new(key, value));
    }

    /// Adds a note once.
    pub fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// It failed. The first failure holds.
    pub fn fail(&mut self, error: impl Into<Cow<'static, str>>) {
        self.error.get_or_insert(error.into());
    }

    /// The context that a message's headers carry, if it is understood.
    pub fn context(
        &mut self,
        extractor: &Extractor,
        carrier: &Carrier<'_>,
    ) -> Option<RemoteContext> {
        match extractor.extract(carrier) {
            Ok(None) => None,
            Ok(Some(found)) => {
                if let Some(Original::SkyWalking(id)) = &found.original {
                    self.set("sw8.trace_id", text(id, SKYWALKING_MAX));
                }
                Some(found.context)
            }
            Err(NotUnderstood) => {
                self.note(NotUnderstood::NOTE);
                None
            }
        }
    }

    /// A link to the span that sent what was taken.
    pub fn link(&mut self, context: &RemoteContext) {
        let Some(origin) = context.origin else { return };
        if let Some(span_id) = origin.span_id {
            self.links.push(Link {
                trace_id: origin.trace_id,
                span_id,
                flags: context.flags.unwrap_or_default(),
            });
        }
    }

    /// Bytes of heap memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        let texts = self
            .attributes
            .iter()
            .map(|attribute| match &attribute.value {
                Value::Text(text) => text.len(),
                _ => 0,
            });
        self.name.len()
            + self.attributes.capacity() * size_of::<Attribute>()
            + self.links.capacity() * size_of::<Link>()
            + self.notes.capacity() * size_of::<Note>()
            + texts.sum::<usize>()
    }

    /// Tells of the end.
    pub fn finish(mut self, exchange: u64, ending: Ending, events: &mut Vec<ParserEvent>) {
        let (outcome, moved) = match ending {
            Ending::Complete(moved) if self.lost => (Outcome::Lost, moved),
            Ending::Complete(moved) => (Outcome::Complete, moved),
            Ending::Lost(moved, note) => {
                self.note(note);
                (Outcome::Lost, moved)
            }
            Ending::Aborted { error, moved } => {
                self.fail(error);
                (Outcome::Aborted, moved)
            }
        };
        let status = match self.error.take() {
            None => SpanStatus::Unset,
            Some(error) => {
                self.attributes.push(Attribute {
                    key: Cow::Borrowed("error.type"),
                    value: Value::Text(error),
                });
                SpanStatus::Error
            }
        };
        events.push(ParserEvent::Finished(Finished {
            exchange,
            end: moved.time,
            task: (moved.task != Task::default()).then_some(moved.task),
            outcome,
            kind: self.kind,
            links: self.links,
            name: self.name,
            status,
            attributes: self.attributes,
            notes: self.notes,
        }));
    }
}

/// How an exchange ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Complete(Moved),
    /// Before that.
    Aborted {
        /// The value of `error.type`.
        error: &'static str,
        /// With what.
        moved: Moved,
    },
    /// Nobody knows.
    Lost(Moved, Note),
}

impl Ending {
    /// With its connection.
    #[must_use]
    pub fn of(end: &ConnectionEnd) -> Self {
        let moved = Moved {
            time: end.time,
            task: Task::default(),
        };
        match ending::error_type(end.reason) {
            Some(error) => Self::Aborted { error, moved },
            None => Self::Lost(moved, ending::FORGOTTEN),
        }
    }

    /// The same where what has not come was not sent; where it may have come unseen (`blind`), nobody
    /// knows.
    #[must_use]
    pub const fn seen(self, blind: bool, note: Note) -> Self {
        match self {
            Self::Aborted { moved, .. } if blind => Self::Lost(moved, note),
            other => other,
        }
    }
}
