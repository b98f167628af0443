//! Commands that wait for their reply, and the spans that both become.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem::size_of;

use super::super::Limits;
use super::super::ending;
use super::super::frames::{Frame, Moved};
use super::super::pairs::{Answered, Pairs};
use super::command::{Command, Sort};
use super::message::{HEADER, Header};
use super::reply::{Failure, Reply};
use super::zip::Inflate;
use super::{COMMAND_CUT, GAP, REPLY_CUT, TOO_MANY_OPEN, WAITED};
use crate::model::{
    Attribute, ConnectionEnd, Direction, Finished, Note, Outcome, ParserEvent, Side, SpanStatus,
    Started, Timestamp,
};

/// A request that waits.
#[derive(Debug)]
struct Open {
    /// Its exchange's number, once its start has been told.
    exchange: Option<u64>,
    position: u64,
    first: Moved,
    /// When its command was known.
    last: Moved,
    command: Command,
    /// Documents of the replies before the last one.
    rows: Option<i64>,
    overlapping: bool,
}

/// A reply that is coming, or waits for its request.
#[derive(Debug)]
struct Answer {
    /// Which request it answers.
    to: i32,
    /// What the reply after it answers, if one follows.
    id: i32,
    first: Moved,
    last: Moved,
    reply: Reply,
    /// Its last byte was not seen.
    is_lost: bool,
}

/// How an exchange ends.
enum Ending {
    Answered(Answer),
    Unanswered(Moved),
    Aborted(&'static str, Timestamp),
    Lost(Note),
}

/// The exchanges of one connection.
#[derive(Debug)]
pub(super) struct Exchanges {
    side: Side,
    limits: Limits,
    /// By the request's id, which is unique while the request is open.
    pairs: Pairs<i32, Open, Answer>,
    /// The request that wants no answer and is still on its way.
    sending: Option<Open>,
    /// The reply that is coming.
    answer: Option<Answer>,
    /// Cursors that wait for documents.
    tailing: VecDeque<i64>,
    inflate: Inflate,
    /// The number of the next exchange.
    next: u64,
    /// Heap memory of the open commands, in bytes.
    weight: usize,
    /// No reply comes any more, and this is why.
    end: Option<ConnectionEnd>,
}

impl Exchanges {
    pub(super) fn new(aligned: bool, limits: Limits) -> Self {
        Self {
            side: Side::Server,
            limits,
            pairs: Pairs::new(aligned, limits.early),
            sending: None,
            answer: None,
            tailing: VecDeque::new(),
            inflate: Inflate::default(),
            next: 0,
            weight: 0,
            end: None,
        }
    }

    pub(super) const fn set_side(&mut self, requests: Direction) {
        self.side = match requests {
            Direction::Received => Side::Server,
            Direction::Sent => Side::Client,
        };
    }

    /// A request has come.
    pub(super) fn ask(
        &mut self,
        header: &Header,
        frame: &Frame<'_>,
        events: &mut Vec<ParserEvent>,
    ) {
        let body = frame.bytes.get(HEADER..).unwrap_or_default();
        let whole = header.length - HEADER;
        let mut command = Command::read(header.code, body, whole, &mut self.inflate);
        if command.cursor.is_some_and(|id| self.tailing.contains(&id)) {
            command.sort = Sort::Awaits;
        }
        let mut open = Open {
            exchange: None,
            position: frame.position,
            first: frame.first,
            last: frame.last,
            command,
            rows: None,
            overlapping: !self.pairs.is_empty(),
        };
        if matches!(open.command.sort, Sort::Collection | Sort::Other) {
            self.tell(&mut open, events);
        }
        self.weight += open.command.memory();
        if open.command.unanswered {
            self.sending = Some(open);
        } else if let Some(end) = self.end {
            self.finish(open, closing(&end), events);
        } else {
            // What was missed before has ids of its own, so every request from here on is known.
            self.pairs.align();
            if self.pairs.len() >= self.limits.open
                && let Some(oldest) = self.pairs.pop()
            {
                self.finish(oldest, Ending::Lost(TOO_MANY_OPEN), events);
            }
            if let Some((open, answer)) = self.pairs.ask(header.id, open) {
                self.meet(open, answer, events);
            }
        }
    }

    /// The request has come to its end.
    pub(super) fn asked(&mut self, moved: Moved, events: &mut Vec<ParserEvent>) {
        if let Some(open) = self.sending.take() {
            self.finish(open, Ending::Unanswered(moved), events);
        }
    }

    /// A reply has come.
    pub(super) fn answer(&mut self, header: &Header, frame: &Frame<'_>) {
        let body = frame.bytes.get(HEADER..).unwrap_or_default();
        let whole = header.length - HEADER;
        self.answer = Some(Answer {
            to: header.to,
            id: header.id,
            first: frame.first,
            last: frame.last,
            reply: Reply::read(header.code, body, whole, &mut self.inflate),
            is_lost: false,
        });
    }

    /// The reply has come to its end.
    pub(super) fn answered(&mut self, moved: Moved, events: &mut Vec<ParserEvent>) {
        if let Some(mut answer) = self.answer.take() {
            answer.last = moved;
            self.pair(answer, events);
        }
    }

    fn pair(&mut self, answer: Answer, events: &mut Vec<ParserEvent>) {
        match self.pairs.answer(answer.to, answer) {
            Answered::Meets(open, answer) => self.meet(open, answer, events),
            Answered::Waits => {}
            // Replies that nobody asked for take the places of those that are early.
            Answered::Unasked => self.pairs.misalign(),
        }
    }

    fn meet(&mut self, mut open: Open, mut answer: Answer, events: &mut Vec<ParserEvent>) {
        loop {
            if open.command.reads_documents {
                answer.reply = answer.reply.into_query();
            }
            if open.command.tails
                && let Some(cursor) = answer.reply.cursor
            {
                if self.tailing.len() >= self.limits.remembered {
                    self.tailing.pop_front();
                }
                self.tailing.push_back(cursor);
            }
            if !answer.reply.more || answer.is_lost {
                return self.finish(open, Ending::Answered(answer), events);
            }
            // The next reply answers this one.
            open.rows = sum(open.rows, answer.reply.rows);
            match self.pairs.ask(answer.id, open) {
                Some(next) => (open, answer) = next,
                None => return,
            }
        }
    }

    /// Bytes of the requests' direction were lost: those before keep their place, by their ids.
    pub(super) fn lose_requests(&mut self, now: Moved, events: &mut Vec<ParserEvent>) {
        self.pairs.misalign();
        if let Some(mut open) = self.sending.take() {
            open.last = now;
            self.finish(open, Ending::Lost(GAP), events);
        }
    }

    /// Bytes of the replies' direction were lost: any that is open may have been answered.
    pub(super) fn lose_replies(&mut self, now: Moved, events: &mut Vec<ParserEvent>) {
        if let Some(mut answer) = self.answer.take() {
            answer.last = now;
            answer.is_lost = true;
            self.pair(answer, events);
        }
        self.pairs.misalign();
        while let Some(open) = self.pairs.pop() {
            self.finish(open, Ending::Lost(GAP), events);
        }
    }

    /// No reply comes any more. Where replies pass unseen (`lost`), nothing is asserted of them.
    pub(super) fn end(&mut self, end: &ConnectionEnd, lost: bool, events: &mut Vec<ParserEvent>) {
        self.end.get_or_insert(*end);
        self.answer = None;
        self.pairs.misalign();
        if let Some(open) = self.sending.take() {
            self.finish(open, closing(end), events);
        }
        while let Some(open) = self.pairs.pop() {
            let ending = match lost {
                true => Ending::Lost(GAP),
                false => closing(end),
            };
            self.finish(open, ending, events);
        }
    }

    /// Nothing is open, and nothing on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.sending.is_none() && self.answer.is_none()
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        let tailing = self.tailing.capacity() * size_of::<i64>();
        self.pairs.memory() + tailing + self.inflate.memory() + self.weight
    }

    /// Tells that an exchange has begun.
    fn tell(&mut self, open: &mut Open, events: &mut Vec<ParserEvent>) {
        let exchange = self.next;
        self.next += 1;
        open.exchange = Some(exchange);
        events.push(ParserEvent::Started(Started {
            exchange,
            side: self.side,
            position: open.position,
            start: open.first.time,
            task: open.last.task,
            context: None,
            overlapping: open.overlapping,
            telemetry: false,
            carried: None,
        }));
    }

    fn finish(&mut self, mut open: Open, ending: Ending, events: &mut Vec<ParserEvent>) {
        self.weight = self.weight.saturating_sub(open.command.memory());
        if open.exchange.is_none() {
            // It begins only now, if it is worth a span after all.
            let Ending::Answered(answer) = &ending else {
                return;
            };
            let is_worth = match open.command.sort {
                Sort::Login => answer.reply.error.is_some(),
                Sort::Awaits => {
                    open.first.time = answer.first.time;
                    answer.reply.error.is_some() || answer.reply.rows.is_some_and(|rows| rows > 0)
                }
                _ => false,
            };
            if !is_worth {
                return;
            }
            self.tell(&mut open, events);
        }
        if let Some(exchange) = open.exchange {
            events.push(ParserEvent::Finished(open.finished(exchange, ending)));
        }
    }
}

impl Open {
    fn finished(self, exchange: u64, ending: Ending) -> Finished {
        let command = self.command;
        let mut notes: Vec<Note> = command.unread.into_iter().collect();
        // What was cut off may have been in the name.
        let nameless = command.unread == Some(super::COMMAND_UNSEEN)
            || command.is_cut && command.collection.is_none();
        if command.is_cut {
            notes.push(COMMAND_CUT);
        }
        let (mut error, mut status_code, mut rows) = (None, None, self.rows);
        let mut batch = command.batch;
        let (mut outcome, end, task) = match ending {
            Ending::Answered(answer) => {
                let reply = answer.reply;
                rows = sum(rows, reply.rows);
                if command.operation.as_deref() == Some("insert") && reply.error.is_none() {
                    // All documents were written, those too that were not captured.
                    batch = batch.or(reply.written);
                }
                if let Some(Failure { code }) = reply.error {
                    status_code = code.map(|code| code.to_string());
                    error = Some(status_code.clone().map_or("_OTHER".into(), Cow::Owned));
                }
                let waited = reply.rows == Some(0) && reply.cursor.is_some();
                if waited && command.operation.as_deref() == Some("getMore") {
                    notes.push(WAITED);
                }
                if reply.is_unclear && command.unread != Some(super::COMPRESSED) {
                    notes.push(REPLY_CUT);
                }
                if answer.is_lost {
                    notes.push(GAP);
                }
                let unclear = reply.is_unclear || answer.is_lost;
                let outcome = if unclear {
                    Outcome::Lost
                } else {
                    Outcome::Complete
                };
                (outcome, answer.last.time, Some(answer.last.task))
            }
            Ending::Unanswered(moved) => (Outcome::Complete, moved.time, Some(moved.task)),
            Ending::Aborted(why, time) => {
                error = Some(Cow::Borrowed(why));
                (Outcome::Aborted, time, None)
            }
            Ending::Lost(note) => {
                notes.push(note);
                (Outcome::Lost, self.last.time, None)
            }
        };
        if nameless && outcome == Outcome::Complete {
            outcome = Outcome::Lost;
        }
        let name = name(&command);
        let mut attributes = Vec::with_capacity(8);
        let mut add = |key, value: Cow<'static, str>| {
            attributes.push(Attribute {
                key: Cow::Borrowed(key),
                value: crate::model::Value::Text(value),
            });
        };
        add("db.system.name", Cow::Borrowed("mongodb"));
        if let Some(database) = command.database {
            add("db.namespace", Cow::Owned(database.into()));
        }
        if let Some(collection) = command.collection {
            add("db.collection.name", Cow::Owned(collection.into()));
        }
        if let Some(operation) = command.operation {
            add("db.operation.name", operation);
        }
        if let Some(code) = status_code {
            add("db.response.status_code", Cow::Owned(code));
        }
        let status = match error {
            Some(_) => SpanStatus::Error,
            None => SpanStatus::Unset,
        };
        if let Some(error) = error {
            add("error.type", error);
        }
        // Less than two are no batch, as the conventions see it.
        if let Some(batch) = batch.filter(|batch| *batch >= 2) {
            attributes.push(Attribute::new("db.operation.batch.size", batch));
        }
        if let Some(rows) = rows {
            attributes.push(Attribute::new("db.response.returned_rows", rows));
        }
        Finished {
            exchange,
            // An answer that was seen early.
            end: end.max(self.first.time),
            task,
            outcome,
            kind: None,
            links: Vec::new(),
            name,
            status,
            attributes,
            notes,
        }
    }
}

/// The span's name: what was done, to what.
fn name(command: &Command) -> Cow<'static, str> {
    let target = command.collection.as_ref().or(command.database.as_ref());
    match (&command.operation, target) {
        (Some(operation), Some(target)) => Cow::Owned([operation, " ", target].concat()),
        (Some(operation), None) => operation.clone(),
        (None, _) => Cow::Borrowed("mongodb"),
    }
}

fn sum(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => one.checked_add(other),
        (one, other) => one.or(other),
    }
}

/// How exchanges end that the end of the connection cuts short.
fn closing(end: &ConnectionEnd) -> Ending {
    match ending::error_type(end.reason) {
        Some(error) => Ending::Aborted(error, end.time),
        None => Ending::Lost(ending::FORGOTTEN),
    }
}
