//! What is told of messages: OpenTelemetry's semantic conventions for messaging spans,
//! <https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>.

use std::borrow::Cow;

use crate::model::{Attribute, Finished, Note, Outcome, Side, SpanKind, SpanStatus};
use crate::protocol::frames::Moved;

use super::{note, subject};

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It is sent.
    Publish,
    /// It is sent, and an answer is waited for.
    Request,
    /// It was delivered.
    Process,
    /// Not a message: a client logs in.
    Connect,
}

/// An exchange that has been told to have started.
#[derive(Debug)]
pub(super) struct Open {
    /// `None` where nothing is told of it.
    pub(super) exchange: Option<u64>,
    pub(super) side: Side,
    pub(super) what: What,
    pub(super) subject: Box<str>,
    pub(super) size: u64,
    pub(super) id: Option<Box<str>>,
    pub(super) queue: Option<Box<str>>,
    /// When the message's last byte moved, or what is known of that so far.
    pub(super) moved: Moved,
    pub(super) notes: Vec<Note>,
}

/// How an exchange ended.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) end: Moved,
    /// Whether somebody is known to have moved the last byte.
    pub(super) moved: bool,
    pub(super) error: Option<Cow<'static, str>>,
}

impl Ending {
    /// As it should.
    pub(super) const fn whole(end: Moved, error: Option<Cow<'static, str>>) -> Self {
        Self {
            outcome: Outcome::Complete,
            end,
            moved: true,
            error,
        }
    }

    /// It is not known how.
    pub(super) const fn lost(end: Moved) -> Self {
        Self {
            outcome: Outcome::Lost,
            end,
            moved: false,
            error: None,
        }
    }
}

impl Open {
    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        self.subject.len()
            + self.id.as_ref().map_or(0, |text| text.len())
            + self.queue.as_ref().map_or(0, |text| text.len())
            + self.notes.capacity() * size_of::<Note>()
    }

    /// What is told of it.
    pub(super) fn finished(self, exchange: u64, ending: Ending, longest: usize) -> Finished {
        let mut to = Builder {
            attributes: Vec::with_capacity(12),
            notes: self.notes,
            longest,
        };
        to.push("messaging.system", "nats");
        let (operation, kind) = match self.what {
            What::Publish => ("publish", Some("send")),
            What::Request => ("request", Some("send")),
            What::Process => ("process", Some("process")),
            What::Connect => ("connect", None),
        };
        to.push("messaging.operation.name", operation);
        if let Some(kind) = kind {
            to.push("messaging.operation.type", kind);
        }
        let mut name = Cow::Borrowed(operation);
        if self.what != What::Connect {
            to.text("messaging.destination.name", &self.subject);
            let template = subject::template(&self.subject);
            let of_all = template.as_deref().unwrap_or(&self.subject);
            let end = of_all.floor_char_boundary(longest);
            name = Cow::Owned([operation, " ", &of_all[..end]].concat());
            if let Some(template) = &template {
                to.text("messaging.destination.template", template);
            }
            let size = i64::try_from(self.size).unwrap_or(i64::MAX);
            let size = Attribute::new("messaging.message.body.size", size);
            to.attributes.push(size);
        }
        for (key, text) in [
            ("messaging.message.id", &self.id),
            ("messaging.consumer.group.name", &self.queue),
        ] {
            if let Some(text) = text {
                to.text(key, text);
            }
        }
        let status = match ending.error {
            Some(error) => {
                to.attributes.push(Attribute {
                    key: Cow::Borrowed("error.type"),
                    value: match error {
                        Cow::Borrowed(error) => error.into(),
                        Cow::Owned(error) => error.into(),
                    },
                });
                SpanStatus::Error
            }
            None => SpanStatus::Unset,
        };
        Finished {
            exchange,
            end: ending.end.time,
            task: ending.moved.then_some(ending.end.task),
            outcome: ending.outcome,
            kind: match (self.what, self.side) {
                (What::Publish, Side::Client) => Some(SpanKind::Producer),
                (What::Process, _) => Some(SpanKind::Consumer),
                _ => None,
            },
            links: Vec::new(),
            name,
            status,
            attributes: to.attributes,
            notes: to.notes,
        }
    }
}

/// Collects attributes, with texts cut to size.
struct Builder {
    attributes: Vec<Attribute>,
    notes: Vec<Note>,
    longest: usize,
}

impl Builder {
    fn push(&mut self, key: &'static str, text: &'static str) {
        self.attributes.push(Attribute::new(key, text));
    }

    fn text(&mut self, key: &'static str, text: &str) {
        let end = text.floor_char_boundary(self.longest);
        if end < text.len() {
            note::add(&mut self.notes, note::VALUE_CUT);
        }
        let text = text[..end].to_owned();
        self.attributes.push(Attribute::new(key, text));
    }
}
