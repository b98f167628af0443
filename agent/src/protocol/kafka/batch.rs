//! What a request or an answer says of the messages in it.

use std::sync::Arc;

use crate::context::{Extractor, NotUnderstood};
use crate::model::{Attribute, Link, Note, RemoteContext};

use super::note;

/// Most contexts that are kept of the messages of one exchange.
const CONTEXTS_MAX: usize = 32;

/// One thing, or several that differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum One<T> {
    #[default]
    None,
    Is(T),
    Several,
}

impl<T: PartialEq> One<T> {
    pub(super) fn add(&mut self, thing: T) {
        match self {
            Self::None => *self = Self::Is(thing),
            Self::Is(other) if *other == thing => {}
            Self::Is(_) | Self::Several => *self = Self::Several,
        }
    }
}

/// A topic, by its name or by an id whose name is not known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Topic {
    Name(Arc<str>),
    Id(u128),
}

/// The messages of an exchange.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) topic: One<Topic>,
    pub(super) partition: One<i32>,
    /// Of the first message.
    pub(super) offset: Option<i64>,
    pub(super) messages: u64,
    /// Some batches were not seen, or cannot be counted.
    pub(super) uncounted: bool,
    pub(super) compressed: bool,
    /// Different ones, in order.
    pub(super) contexts: Vec<RemoteContext>,
    /// Some messages' headers were not seen.
    pub(super) contexts_left: bool,
    pub(super) context_invalid: bool,
    /// The first error code of a partition.
    pub(super) error: Option<i16>,
}

impl Batch {
    /// Takes a message's context.
    pub(super) fn carried(&mut self, carrier: &crate::context::Carrier<'_>, by: &Extractor) {
        match by.extract(carrier) {
            Ok(None) => {}
            Ok(Some(found)) if self.contexts.contains(&found.context) => {}
            Ok(Some(_)) if self.contexts.len() >= CONTEXTS_MAX => self.contexts_left = true,
            Ok(Some(found)) => self.contexts.push(found.context),
            Err(_) => self.context_invalid = true,
        }
    }

    /// The context that all messages have which have one.
    pub(super) fn context(&self) -> Option<RemoteContext> {
        match &self.contexts[..] {
            [context] => Some(context.clone()),
            _ => None,
        }
    }

    /// Links to the spans that the messages name.
    pub(super) fn links(&self) -> Vec<Link> {
        let link = |context: &RemoteContext| {
            let origin = context.origin?;
            Some(Link {
                trace_id: origin.trace_id,
                span_id: origin.span_id?,
                flags: context.flags.unwrap_or_default(),
            })
        };
        self.contexts.iter().filter_map(link).collect()
    }

    /// The topic, where there is one, and its name is known.
    pub(super) fn topic(&self) -> Option<&Arc<str>> {
        match &self.topic {
            One::Is(Topic::Name(name)) => Some(name),
            _ => None,
        }
    }

    pub(super) fn attributes(&self, to: &mut Vec<Attribute>, notes: &mut Vec<Note>) {
        if let Some(topic) = self.topic() {
            to.push(Attribute::new(
                "messaging.destination.name",
                topic.to_string(),
            ));
            // Partitions and offsets say nothing without their topic.
            if let One::Is(partition) = self.partition {
                to.push(Attribute::new(
                    "messaging.destination.partition.id",
                    partition.to_string(),
                ));
                if let Some(offset) = self.offset {
                    to.push(Attribute::new("messaging.kafka.offset", offset));
                }
            }
        }
        if self.uncounted {
            note::add(notes, note::COUNT_UNKNOWN);
        } else if self.messages > 0 {
            let messages = i64::try_from(self.messages).unwrap_or(i64::MAX);
            to.push(Attribute::new("messaging.batch.message_count", messages));
        }
        for (holds, about) in [
            (
                matches!(self.topic, One::Is(Topic::Id(_))),
                note::TOPIC_UNKNOWN,
            ),
            (self.compressed, note::COMPRESSED),
            (self.contexts_left, note::CONTEXTS_LEFT),
            (self.context_invalid, NotUnderstood::NOTE),
        ] {
            if holds {
                note::add(notes, about);
            }
        }
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        let states = self.contexts.iter().filter_map(|one| one.state.as_ref());
        states.map(|state| state.len()).sum::<usize>()
            + self.contexts.capacity() * size_of::<RemoteContext>()
    }
}
