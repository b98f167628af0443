//! What is open on a connection, and what it remembers.

use crate::model::{
    ConnectionEnd, Finished, Note, Outcome, ParserEvent, Side, SpanStatus, Started, Task, Timestamp,
};
use crate::protocol::fifo::Fifo;
use crate::protocol::frames::Moved;
use crate::protocol::{Limits, QueryText, ending};

use super::attributes;
use super::command::{Command, Kind};
use super::element::Nesting;
use super::note;
use super::replies::{Channels, Reply, Seen, Shape};

/// What a command is called.
#[derive(Debug)]
pub(super) enum Name {
    Known(&'static Command),
    Unknown(String),
    /// It cannot be told.
    None,
    /// It was not captured: perhaps it is one that is not told.
    Unseen,
}

/// A command, complete or not.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) name: Name,
    pub(super) position: u64,
    pub(super) start: Timestamp,
    /// Who moved what completed its name.
    pub(super) task: Task,
    /// Its exchange, once that is told.
    pub(super) exchange: Option<u64>,
    pub(super) overlapping: bool,
    /// How many words it has.
    pub(super) words: u32,
    /// Its text with keys.
    pub(super) text: Option<String>,
    /// The script or function that it calls.
    pub(super) procedure: Option<String>,
    /// The database that it selects.
    pub(super) database: Option<u32>,
    /// Whether there will be replies, if it says something of that.
    pub(super) replies: Option<Replies>,
    /// Confirmations still to come.
    pub(super) confirmations: u32,
    pub(super) note: Option<Note>,
    /// Its last byte, as far as it has come.
    pub(super) last: Moved,
}

impl Request {
    pub(super) fn kind(&self) -> Kind {
        match self.name {
            Name::Known(command) => command.kind,
            Name::Unknown(_) | Name::None => Kind::Plain,
            Name::Unseen => Kind::Probe,
        }
    }

    fn weight(&self) -> usize {
        let name = match &self.name {
            Name::Unknown(name) => name.capacity(),
            Name::Known(_) | Name::None | Name::Unseen => 0,
        };
        let texts = [&self.text, &self.procedure].into_iter().flatten();
        name + texts.map(String::capacity).sum::<usize>()
    }
}

/// Whether commands are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replies {
    On,
    Off,
    /// Not the next one.
    Skip,
}

/// How an exchange ends.
#[derive(Debug)]
pub(super) enum Ending {
    Reply(Reply),
    /// With itself: there is no reply.
    Sent,
    Aborted(&'static str, Timestamp),
    Lost(Note),
}

/// All but the walk over bytes.
pub(super) struct Core {
    pub(super) side: Side,
    pub(super) limits: Limits,
    pub(super) query_text: QueryText,
    pub(super) fifo: Fifo<Request, Reply>,
    /// The command that is coming.
    pub(super) coming: Option<Request>,
    /// Words of it that are still to come.
    pub(super) left: u64,
    /// How much of its next word is wanted.
    pub(super) cap: usize,
    pub(super) nesting: Nesting,
    pub(super) seen: Seen,
    /// A reply whose end is not seen.
    pub(super) inferred: Option<Reply>,
    /// Nothing is understood any more.
    pub(super) over: bool,
    /// The number of the next exchange.
    next: u64,
    /// Heap memory of requests' texts.
    weight: usize,
    database: Option<u32>,
    /// Commands that were queued since `MULTI`.
    queued: Option<u32>,
    /// What a queued `SELECT` chooses.
    queued_database: Option<u32>,
    pub(super) replies: Replies,
    pub(super) channels: Channels,
    /// Confirmations that were seen before what they confirm.
    pub(super) early_confirmations: u32,
}

impl Core {
    pub(super) const fn new(
        side: Side,
        from_start: bool,
        fifo: Fifo<Request, Reply>,
        limits: Limits,
        query_text: QueryText,
    ) -> Self {
        Self {
            side,
            limits,
            query_text,
            fifo,
            coming: None,
            left: 0,
            cap: 0,
            nesting: Nesting::new(),
            seen: Seen::new(),
            inferred: None,
            over: false,
            next: 0,
            weight: 0,
            database: if from_start { Some(0) } else { None },
            queued: None,
            queued_database: None,
            replies: Replies::On,
            channels: Channels::none(),
            early_confirmations: 0,
        }
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.fifo.is_empty() && self.coming.is_none() && self.nesting.is_at_rest()
    }

    pub(super) fn memory(&self) -> usize {
        self.fifo.memory() + self.nesting.memory() + self.weight
    }

    /// Tells of a command, if it can be known what answers it.
    pub(super) fn start(&mut self, request: &mut Request, events: &mut Vec<ParserEvent>) {
        if request.exchange.is_some() || !self.fifo.is_aligned() {
            return;
        }
        request.exchange = Some(self.next);
        events.push(ParserEvent::Started(Started {
            exchange: self.next,
            side: self.side,
            position: request.position,
            start: request.start,
            task: request.task,
            context: None,
            overlapping: request.overlapping,
            telemetry: false,
            carried: None,
        }));
        self.next += 1;
    }

    /// A command is complete.
    pub(super) fn ask(&mut self, mut request: Request, events: &mut Vec<ParserEvent>) {
        let kind = request.kind();
        let unanswered = match (request.replies, self.replies) {
            (Some(Replies::On), _) => {
                self.replies = Replies::On;
                false
            }
            (Some(replies), _) => {
                // Where there are none, there are none to be skipped.
                if self.replies != Replies::Off {
                    self.replies = replies;
                }
                true
            }
            (None, Replies::On) => false,
            (None, Replies::Off) => true,
            (None, Replies::Skip) => {
                self.replies = Replies::On;
                true
            }
        };
        if kind == Kind::Replication {
            self.over = true;
        }
        if unanswered {
            request.note = Some(note::NO_REPLY);
            self.finish(request, &Ending::Sent, events);
            return;
        }
        if kind == Kind::Subscription {
            let early = self.early_confirmations.min(request.confirmations);
            self.early_confirmations -= early;
            request.confirmations -= early;
            if early > 0 && request.confirmations == 0 {
                let end = request.last;
                let reply = Reply::new(Shape::Value, end);
                self.finish(request, &Ending::Reply(reply), events);
                return;
            }
        }
        if !self.fifo.is_aligned() {
            self.fifo.pass();
            self.finish(request, &Ending::Lost(note::LOST), events);
            return;
        }
        self.weight += request.weight();
        if let Some((request, reply)) = self.fifo.ask(request) {
            self.answered(request, reply, events);
        } else if self.fifo.len() > self.limits.open
            && let Some(request) = self.fifo.abandon()
        {
            self.weight -= request.weight();
            self.finish(request, &Ending::Lost(note::TOO_MANY_OPEN), events);
        }
    }

    /// A reply is complete.
    pub(super) fn answer(&mut self, reply: Reply, events: &mut Vec<ParserEvent>) {
        if let Some((request, reply)) = self.fifo.answer(reply) {
            self.answered(request, reply, events);
        }
    }

    /// What it remembers of a command and its reply.
    pub(super) fn answered(
        &mut self,
        mut request: Request,
        reply: Reply,
        events: &mut Vec<ParserEvent>,
    ) {
        self.weight -= request.weight();
        let kind = request.kind();
        let database = self.database;
        if reply.shape == Shape::Queued {
            request.note = Some(note::QUEUED);
            self.queued = self.queued.map(|queued| queued.saturating_add(1));
            self.queued_database = request.database.or(self.queued_database);
        } else if reply.error.is_none() || kind == Kind::Exec {
            match kind {
                Kind::Select => self.database = request.database,
                Kind::Multi => self.queued = Some(0),
                Kind::Exec if reply.shape == Shape::Null => {
                    request.note = Some(note::NOT_EXECUTED);
                    self.queued_database = None;
                }
                Kind::Exec => {
                    self.database = self.queued_database.take().or(self.database);
                }
                Kind::Discard => {
                    self.queued = None;
                    self.queued_database = None;
                }
                Kind::Reset => {
                    self.database = Some(0);
                    self.queued = None;
                    self.queued_database = None;
                    self.channels = Channels::none();
                    self.replies = Replies::On;
                }
                Kind::Monitor => self.over = true,
                _ => {}
            }
        }
        let batch = match kind {
            Kind::Exec => self.queued.take(),
            _ => None,
        };
        self.tell(request, &Ending::Reply(reply), database, batch, events);
        if self.over {
            self.lose(note::LOST, events);
        }
    }

    pub(super) fn finish(
        &mut self,
        request: Request,
        ending: &Ending,
        events: &mut Vec<ParserEvent>,
    ) {
        self.tell(request, ending, self.database, None, events);
    }

    fn tell(
        &mut self,
        mut request: Request,
        ending: &Ending,
        database: Option<u32>,
        batch: Option<u32>,
        events: &mut Vec<ParserEvent>,
    ) {
        if let Ending::Reply(Reply { error: Some(_), .. }) = ending
            && request.kind() != Kind::Probe
        {
            // Also what is told only where it fails.
            self.start(&mut request, events);
        }
        let Some(exchange) = request.exchange else {
            return;
        };
        let mut notes = Vec::new();
        notes.extend(request.note);
        if let Ending::Reply(Reply { inferred: true, .. }) = ending {
            notes.push(note::END_INFERRED);
        }
        let (end, task, outcome) = match ending {
            // One that was seen before its command cannot have ended before it began.
            Ending::Reply(reply) => (
                reply.end.time.max(request.start),
                Some(reply.end.task),
                Outcome::Complete,
            ),
            Ending::Sent => (
                request.last.time,
                Some(request.last.task),
                Outcome::Complete,
            ),
            Ending::Aborted(_, time) => ((*time).max(request.last.time), None, Outcome::Aborted),
            Ending::Lost(note) => {
                notes.push(note);
                (request.last.time, None, Outcome::Lost)
            }
        };
        let failed = matches!(
            ending,
            Ending::Reply(Reply { error: Some(_), .. }) | Ending::Aborted(..)
        );
        let (name, attributes) = attributes::of(
            request,
            ending,
            database,
            batch,
            self.query_text,
            self.limits.text,
        );
        events.push(ParserEvent::Finished(Finished {
            exchange,
            end,
            task,
            outcome,
            kind: None,
            links: Vec::new(),
            name,
            status: match failed {
                true => SpanStatus::Error,
                false => SpanStatus::Unset,
            },
            attributes,
            notes,
        }));
    }

    /// Bytes were lost on which the pairing of commands and replies depends.
    pub(super) fn lose(&mut self, note: Note, events: &mut Vec<ParserEvent>) {
        while let Some(request) = self.fifo.pop() {
            self.finish(request, &Ending::Lost(note), events);
        }
        self.weight = 0;
        self.inferred = None;
        self.fifo.misalign();
        self.early_confirmations = 0;
        // What may have been among them.
        self.database = None;
        self.queued = None;
        self.queued_database = None;
    }

    /// The command that was coming will not be known.
    pub(super) fn lose_coming(&mut self, events: &mut Vec<ParserEvent>) {
        self.left = 0;
        if let Some(request) = self.coming.take() {
            self.finish(request, &Ending::Lost(note::LOST), events);
        }
    }

    /// The connection has ended, or only its commands have.
    pub(super) fn end(&mut self, end: &ConnectionEnd, all: bool, events: &mut Vec<ParserEvent>) {
        let ending = || match ending::error_type(end.reason) {
            Some(error) => Ending::Aborted(error, end.time),
            None => Ending::Lost(ending::FORGOTTEN),
        };
        if all
            && let Some(reply) = self.inferred.take()
            && ending::is_orderly(end.reason)
        {
            self.answer(reply, events);
        }
        while all && let Some(request) = self.fifo.pop() {
            self.finish(request, &ending(), events);
        }
        self.left = 0;
        if let Some(request) = self.coming.take() {
            self.finish(request, &ending(), events);
        }
        if all {
            self.weight = 0;
            self.fifo.misalign();
            self.over = true;
        }
    }
}
