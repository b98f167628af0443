//! Questions that wait for their answer, on one connection or socket.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem::size_of;

use super::super::Limits;
use super::super::frames::Moved;
use super::message::{Message, Question, text_of};
use super::words::{NOT_IMPLEMENTED, SERVER_FAILURE, TRANSFERS};
use super::{gone, words};
use crate::model::{
    Attribute, ConnectionEnd, Direction, Finished, Note, Outcome, ParserEvent, Side, SpanStatus,
    Started, Task, Timestamp,
};

/// How long a question in a datagram is waited for after it was asked last. Resolvers give up after
/// seconds.
const PATIENCE_NANOS: u64 = 30_000_000_000;
/// How much earlier than its question an answer may have been seen: the events of two threads may
/// come in the other order.
const EARLY_NANOS: u64 = 100_000_000;
/// Open questions for each that other protocols may have open: those of resolvers wait for servers
/// far away.
const OPEN_FACTOR: usize = 4;

const ASKED_AGAIN: Note = "asked more than once";
const UNANSWERED: Note = "no answer seen; how long it was waited for is not known";
const TRUNCATED: Note = "answer truncated";
const FIRST_OF_TRANSFER: Note = "first message of a zone transfer";
const ANSWER_UNSEEN: Note = "answer perhaps among bytes that were lost";
const TOO_MANY_OPEN: Note = "too many requests open";

/// What becomes of an exchange without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// Nobody waits any more; since when is not known.
    TimedOut,
    /// It ended with its connection: `error.type`.
    Aborted(&'static str),
    /// Nothing is known.
    Lost(Note),
}

/// What makes a question known again.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    side: Side,
    id: u16,
    kind: u16,
    /// In lower case: the case of letters says nothing, and some resolvers make it up.
    name: Box<[u8]>,
}

impl Key {
    fn is(&self, side: Side, id: u16, question: Option<&Question<'_>>) -> bool {
        self.side == side
            && self.id == id
            // An answer that says only that the question was not understood may leave it out.
            && question.is_none_or(|question| {
                self.kind == question.kind && self.name.eq_ignore_ascii_case(question.name)
            })
    }
}

#[derive(Debug)]
struct Open {
    exchange: u64,
    key: Key,
    /// When it was asked last.
    asked: Timestamp,
    again: bool,
    /// Its answer may have been lost.
    doubtful: bool,
}

#[derive(Debug)]
struct Answer {
    end: Timestamp,
    task: Task,
    code: u16,
    truncated: bool,
}

/// Both sides' exchanges.
#[derive(Debug)]
pub(super) struct Exchanges {
    next: u64,
    open: VecDeque<Open>,
    /// Answers whose question may still be seen.
    early: VecDeque<(Key, Answer)>,
    max_open: usize,
    max_early: usize,
    /// A question may be asked again.
    repeats: bool,
}

/// Where a message was, and when it moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) first: Moved,
    pub(super) last: Moved,
}

impl Exchanges {
    pub(super) fn new(limits: &Limits, repeats: bool) -> Self {
        Self {
            next: 0,
            open: VecDeque::new(),
            early: VecDeque::new(),
            max_open: limits.open.saturating_mul(OPEN_FACTOR).max(1),
            max_early: limits.early,
            repeats,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn memory(&self) -> usize {
        let open = self.open.iter().map(|open| &open.key);
        let keys = open.chain(self.early.iter().map(|(key, _)| key));
        let names: usize = keys.map(|key| key.name.len()).sum();
        names
            + self.open.capacity() * size_of::<Open>()
            + self.early.capacity() * size_of::<(Key, Answer)>()
    }

    /// A message that moved in a direction.
    pub(super) fn message(
        &mut self,
        message: &Message<'_>,
        direction: Direction,
        place: Place,
        events: &mut Vec<ParserEvent>,
    ) {
        // Who sends a question, and who gets an answer, is the client.
        let side = match (message.is_response(), direction) {
            (false, Direction::Sent) | (true, Direction::Received) => Side::Client,
            _ => Side::Server,
        };
        if message.is_response() {
            self.answer(message, side, place.last, events);
        } else if let Some(question) = message.question {
            self.ask(message.id, &question, side, place, events);
        }
    }

    fn ask(
        &mut self,
        id: u16,
        question: &Question<'_>,
        side: Side,
        place: Place,
        events: &mut Vec<ParserEvent>,
    ) {
        let Place { first, last, .. } = place;
        if self.repeats {
            let mut open = self.open.iter_mut();
            if let Some(open) = open.find(|open| open.key.is(side, id, Some(question))) {
                open.again = true;
                open.asked = last.time;
                return;
            }
        }
        if self.open.len() >= self.max_open
            && let Some(open) = self.open.pop_front()
        {
            events.push(unanswered(&open, Gone::Lost(TOO_MANY_OPEN), None));
        }
        let exchange = self.next;
        self.next += 1;
        events.push(ParserEvent::Started(Started {
            exchange,
            side,
            position: place.position,
            start: first.time,
            task: last.task,
            context: None,
            overlapping: true,
            telemetry: false,
            carried: None,
        }));
        let open = Open {
            exchange,
            key: Key {
                side,
                id,
                kind: question.kind,
                name: question.name.to_ascii_lowercase().into(),
            },
            asked: last.time,
            again: false,
            doubtful: false,
        };
        self.early
            .retain(|(_, answer)| last.time.since(answer.end) <= EARLY_NANOS);
        match self.early.iter().position(|(key, _)| *key == open.key) {
            Some(at) => {
                if let Some((_, mut answer)) = self.early.remove(at) {
                    answer.end = answer.end.max(first.time);
                    events.push(answered(&open, &answer));
                }
            }
            None => self.open.push_back(open),
        }
    }

    fn answer(
        &mut self,
        message: &Message<'_>,
        side: Side,
        last: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        let answer = Answer {
            end: last.time,
            task: last.task,
            code: message.code,
            truncated: message.is_truncated(),
        };
        let question = message.question.as_ref();
        let is = |open: &Open| open.key.is(side, message.id, question);
        let found = self.open.iter().position(is);
        if let Some(open) = found.and_then(|at| self.open.remove(at)) {
            events.push(answered(&open, &answer));
        } else if let Some(question) = question {
            if self.early.len() >= self.max_early {
                self.early.pop_front();
            }
            let key = Key {
                side,
                id: message.id,
                kind: question.kind,
                name: question.name.to_ascii_lowercase().into(),
            };
            self.early.push_back((key, answer));
        }
    }

    /// Bytes of a direction were lost, and perhaps answers among them.
    pub(super) fn lost(&mut self, direction: Direction) {
        let answered = match direction {
            Direction::Received => Side::Client,
            Direction::Sent => Side::Server,
        };
        for open in &mut self.open {
            open.doubtful |= open.key.side == answered;
        }
    }

    /// Gives up questions that were asked too long ago.
    pub(super) fn expire(&mut self, now: Timestamp, events: &mut Vec<ParserEvent>) {
        while let Some(open) = self.open.front()
            && now.since(open.asked) > PATIENCE_NANOS
            && let Some(open) = self.open.pop_front()
        {
            events.push(unanswered(&open, Gone::TimedOut, None));
        }
    }

    /// No answers come any more: for the exchanges of a side, or for all.
    pub(super) fn ended(
        &mut self,
        side: Option<Side>,
        end: &ConnectionEnd,
        events: &mut Vec<ParserEvent>,
    ) {
        let mut rest = VecDeque::new();
        for open in self.open.drain(..) {
            if side.is_none_or(|side| side == open.key.side) {
                events.push(unanswered(&open, gone(end.reason), Some(end.time)));
            } else {
                rest.push_back(open);
            }
        }
        self.open = rest;
    }
}

fn answered(open: &Open, answer: &Answer) -> ParserEvent {
    let mut finished = finished(open, answer.end);
    finished.task = Some(answer.task);
    let code = words::response_code(answer.code);
    finished
        .attributes
        .push(text("clew.dns.response_code", code.clone()));
    // A server has failed only where the answer says so.
    let is_error = match open.key.side {
        Side::Client => answer.code != 0,
        Side::Server => [SERVER_FAILURE, NOT_IMPLEMENTED].contains(&answer.code),
    };
    if is_error {
        finished.status = SpanStatus::Error;
        finished.attributes.push(text("error.type", code));
    }
    if answer.truncated {
        finished.notes.push(TRUNCATED);
    }
    if TRANSFERS.contains(&open.key.kind) {
        finished.notes.push(FIRST_OF_TRANSFER);
    }
    ParserEvent::Finished(finished)
}

fn unanswered(open: &Open, gone: Gone, end: Option<Timestamp>) -> ParserEvent {
    let (outcome, error, note) = match gone {
        Gone::Lost(note) => (Outcome::Lost, None, Some(note)),
        _ if open.doubtful => (Outcome::Lost, None, Some(ANSWER_UNSEEN)),
        Gone::TimedOut => (Outcome::Aborted, Some("timeout"), Some(UNANSWERED)),
        Gone::Aborted(error) => (Outcome::Aborted, Some(error), None),
    };
    // Of what ends with a timeout, or is lost, the end is not known.
    let end = match outcome {
        Outcome::Aborted if gone != Gone::TimedOut => end.unwrap_or(open.asked).max(open.asked),
        _ => open.asked,
    };
    let mut finished = finished(open, end);
    finished.outcome = outcome;
    finished.notes.extend(note);
    if let Some(error) = error {
        finished.status = SpanStatus::Error;
        finished
            .attributes
            .push(Attribute::new("error.type", error));
    }
    ParserEvent::Finished(finished)
}

/// What is the same however it ends.
fn finished(open: &Open, end: Timestamp) -> Finished {
    let Key { kind, name, .. } = &open.key;
    let mut attributes = Vec::with_capacity(12);
    attributes.push(Attribute::new("dns.question.name", text_of(name)));
    attributes.push(text("clew.dns.question.type", words::type_name(*kind)));
    Finished {
        exchange: open.exchange,
        end,
        task: None,
        outcome: Outcome::Complete,
        kind: None,
        links: Vec::new(),
        name: Cow::Borrowed(words::span_name(*kind)),
        status: SpanStatus::Unset,
        attributes,
        notes: match open.again {
            true => vec![ASKED_AGAIN],
            false => Vec::new(),
        },
    }
}

fn text(key: &'static str, value: Cow<'static, str>) -> Attribute {
    Attribute {
        key: Cow::Borrowed(key),
        value: crate::model::Value::Text(value),
    }
}
