//! An exchange that is open, and the span that it becomes.

use std::borrow::Cow;
use std::mem::size_of;

use super::super::ending;
use super::super::frames::Moved;
use super::super::http1::exchange::is_error;
use super::response::Output;
use super::{ABORTED, EXIT_STATUS, NO_HEAD, STDERR};
use crate::model::{
    Attribute, ConnectionEnd, Finished, Note, Outcome, Side, SpanStatus, Timestamp, Value,
};

/// A request that waits.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) exchange: u64,
    pub(super) name: &'static str,
    pub(super) is_named: bool,
    pub(super) attributes: Vec<Attribute>,
    pub(super) notes: Vec<Note>,
    pub(super) start: Timestamp,
    pub(super) last: Moved,
    /// Bytes of its body so far, if they can be counted.
    pub(super) body: Option<u64>,
    /// The web server gave up.
    pub(super) is_aborted: bool,
    pub(super) weight: usize,
}

/// An answer that is coming, or waits for its request.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) output: Output,
    pub(super) wrote_errors: bool,
    pub(super) last: Moved,
    /// What the application and the protocol say of it in the end (section 5.5).
    pub(super) end: Option<(u32, u8)>,
    /// It answers what nobody saw.
    pub(super) is_ignored: bool,
    /// Its end passed unseen, or will.
    pub(super) is_unframed: bool,
}

/// How an exchange ends.
#[derive(Clone, Copy)]
pub(super) enum Ending {
    Complete,
    Aborted(&'static str, Timestamp),
    Lost(Note),
}

impl Open {
    pub(super) fn finished(mut self, side: Side, answer: &Answer, ending: Ending) -> Finished {
        let (status, size) = match answer.output {
            Output::Head(_) => (None, None),
            Output::Body { status, size } => (status, size),
        };
        let mut add = |key, value| self.attributes.push(Attribute::new(key, value));
        if let Some(status) = status {
            add("http.response.status_code", i64::from(status));
        }
        if let Some(body) = self.body.filter(|body| *body > 0) {
            add(
                "http.request.body.size",
                body.try_into().unwrap_or(i64::MAX),
            );
        }
        // Half an answer has no size.
        if let Some(size) = size.filter(|_| matches!(ending, Ending::Complete)) {
            add(
                "http.response.body.size",
                size.try_into().unwrap_or(i64::MAX),
            );
        }
        let (application, protocol) = answer.end.unwrap_or_default();
        let refusal = match protocol {
            0 => None,
            1 => Some("cant_multiplex"),
            2 => Some("overloaded"),
            3 => Some("unknown_role"),
            _ => Some("_OTHER"),
        };
        if answer.wrote_errors {
            self.notes.push(STDERR);
        }
        if application != 0 {
            self.notes.push(EXIT_STATUS);
        }
        if self.is_aborted {
            self.notes.push(ABORTED);
        }
        let explained = status.is_some() || refusal.is_some() || self.is_aborted;
        let (outcome, end) = match ending {
            Ending::Complete if explained && self.is_named => (Outcome::Complete, answer.last.time),
            Ending::Complete => {
                if !explained {
                    self.notes.push(NO_HEAD);
                }
                (Outcome::Lost, answer.last.time)
            }
            Ending::Aborted(_, time) => (Outcome::Aborted, time.max(self.last.time)),
            Ending::Lost(note) => {
                self.notes.push(note);
                (Outcome::Lost, answer.last.time.max(self.last.time))
            }
        };
        // A status that is an error explains more than how it ended.
        let failure = status.filter(|status| is_error(side, *status));
        let error = match (failure, refusal, ending) {
            (Some(status), ..) => Some(Value::from(status.to_string())),
            (_, Some(refusal), _) => Some(Value::from(refusal)),
            (.., Ending::Aborted(error, _)) => Some(Value::from(error)),
            _ if self.is_aborted && status.is_none() => Some(Value::from("aborted")),
            _ => None,
        };
        let span_status = match error {
            Some(_) => SpanStatus::Error,
            None => SpanStatus::Unset,
        };
        if let Some(error) = error {
            self.attributes.push(Attribute::new("error.type", error));
        }
        Finished {
            exchange: self.exchange,
            // An answer that was seen early.
            end: end.max(self.start),
            task: matches!(ending, Ending::Complete).then_some(answer.last.task),
            outcome,
            kind: None,
            links: Vec::new(),
            name: Cow::Borrowed(self.name),
            status: span_status,
            attributes: self.attributes,
            notes: self.notes,
        }
    }
}

/// Heap memory of attributes, in bytes.
pub(super) fn weight(attributes: &Vec<Attribute>) -> usize {
    let texts = attributes.iter().map(|one| match &one.value {
        Value::Text(Cow::Owned(text)) => text.capacity(),
        _ => 0,
    });
    texts.sum::<usize>() + attributes.capacity() * size_of::<Attribute>()
}

/// How exchanges end that the end of the connection cuts short.
pub(super) fn closing(end: &ConnectionEnd) -> Ending {
    match ending::error_type(end.reason) {
        Some(error) => Ending::Aborted(error, end.time),
        None => Ending::Lost(ending::FORGOTTEN),
    }
}
