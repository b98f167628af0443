//! Which answer belongs to which request.
//!
//! Answers come in the order of the requests; those up to a Sync (a simple query has its own) are
//! followed by ReadyForQuery, before which the server skips what it has not done when something fails.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::{
    Attribute, ConnectionEnd, Finished, Note, Outcome, ParserEvent, RemoteContext, Side,
    SpanStatus, Started, Task, Timestamp,
};
use crate::protocol::frames::Moved;
use crate::protocol::{Limits, ending};

use super::note;
use crate::protocol::sql::{Found, Told};

/// Where a request begins.
#[derive(Clone, Copy, Debug)]
pub struct Begin {
    pub position: u64,
    pub first: Moved,
}

/// Messages that prepare an Execute.
#[derive(Clone, Debug)]
pub struct Unit {
    pub begin: Begin,
    task: Task,
    /// The statement.
    pub told: Option<Arc<Told>>,
    /// The context that its text carries.
    pub found: Found,
}

/// What the server says that matters.
#[derive(Debug)]
pub enum Answer {
    /// Rows, so many.
    Rows(u64),
    /// A command is complete; how many rows it has returned, if it says so.
    Complete(Option<u64>),
    /// It failed, with this SQLSTATE.
    Error(Box<str>),
    /// It takes data now.
    CopyIn,
    /// A stream that does not end has begun.
    Stream,
    /// All up to a Sync is answered.
    Ready,
}

/// A request.
#[derive(Debug)]
struct Open {
    exchange: u64,
    told: Arc<Told>,
    /// It is answered when the server is ready again.
    simple: bool,
    rows: Option<u64>,
    /// Part of the answer was not seen.
    unseen: bool,
    error: Option<Box<str>>,
    /// Its answer was complete, then.
    done: Option<Moved>,
    notes: Vec<Note>,
}

#[derive(Debug)]
enum Item {
    Request(Box<Open>),
    Sync,
}

/// Requests that wait, and answers that wait for their request.
#[derive(Debug)]
pub struct Exchanges {
    pub side: Side,
    next: u64,
    queue: VecDeque<Item>,
    /// How many of them are Syncs.
    syncs: usize,
    early: VecDeque<(Answer, Moved)>,
    /// Every request since the last loss is known.
    aligned: bool,
    /// Part of what answers the present queue was not seen.
    blurred: bool,
    /// The server's messages are not seen one by one now.
    pub blind: bool,
    /// The server has said nothing since the last request.
    pub quiet: bool,
    /// What has begun since the last Execute, Flush or Sync.
    unit: Option<Unit>,
    /// A unit without an Execute that may still fail.
    prepared: Option<Unit>,
    /// Where the client begins to log in.
    pub login: Option<(Begin, Task)>,
    max_open: usize,
    max_early: usize,
}

impl Exchanges {
    pub const fn new(aligned: bool, side: Side, limits: &Limits) -> Self {
        Self {
            side,
            next: 0,
            queue: VecDeque::new(),
            syncs: 0,
            early: VecDeque::new(),
            aligned,
            blurred: false,
            blind: false,
            quiet: false,
            unit: None,
            prepared: None,
            login: None,
            max_open: limits.open,
            max_early: limits.early,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.early.is_empty() && self.unit.is_none()
    }

    pub fn memory(&self) -> usize {
        self.queue.len() * (size_of::<Open>() + 64)
            + self.queue.capacity() * size_of::<Item>()
            + self.early.capacity() * size_of::<(Answer, Moved)>()
    }

    /// A request is known.
    pub fn ask(
        &mut self,
        begin: Begin,
        task: Task,
        told: Arc<Told>,
        found: Found,
        simple: bool,
        events: &mut Vec<ParserEvent>,
    ) {
        self.settle(events);
        self.aligned |= self.queue.is_empty();
        let exchange = self.start(begin, task, found.context, events);
        let notes = told.note.into_iter().chain(found.note).collect();
        self.queue.push_back(Item::Request(Box::new(Open {
            exchange,
            told,
            simple,
            rows: None,
            unseen: self.blind,
            error: None,
            done: None,
            notes,
        })));
        self.blurred |= self.blind;
        self.quiet = true;
        self.unit = None;
        self.prepared = None;
        if simple {
            self.push_sync();
        }
        self.after_request(events);
    }

    /// The client waits for ReadyForQuery.
    pub fn sync(&mut self, events: &mut Vec<ParserEvent>) {
        self.pause();
        self.aligned |= self.queue.is_empty();
        self.push_sync();
        self.blurred |= self.blind;
        self.quiet = true;
        self.after_request(events);
    }

    /// The server's messages are seen again.
    pub fn see_again(&mut self) {
        self.blind = false;
        if self.quiet {
            self.blurred = false;
            for item in &mut self.queue {
                if let Item::Request(open) = item {
                    open.unseen = false;
                }
            }
        }
    }

    /// Whether something waits for an answer.
    pub fn is_asked(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What prepares the next Execute.
    pub fn unit(&mut self, begin: Begin, task: Task) -> &mut Unit {
        self.unit.get_or_insert_with(|| Unit {
            begin,
            task,
            told: None,
            found: Found::default(),
        })
    }

    /// What comes next is another unit.
    pub fn pause(&mut self) {
        if let Some(unit) = self.unit.take() {
            self.prepared = Some(unit);
        }
    }

    fn push_sync(&mut self) {
        self.queue.push_back(Item::Sync);
        self.syncs += 1;
    }

    fn start(
        &mut self,
        begin: Begin,
        task: Task,
        context: Option<RemoteContext>,
        events: &mut Vec<ParserEvent>,
    ) -> u64 {
        let exchange = self.next;
        self.next += 1;
        events.push(ParserEvent::Started(Started {
            exchange,
            side: self.side,
            position: begin.position,
            start: begin.first.time,
            task,
            context,
            overlapping: false,
            telemetry: false,
            carried: None,
        }));
        exchange
    }

    fn after_request(&mut self, events: &mut Vec<ParserEvent>) {
        while let Some((answer, moved)) = self.early.pop_front() {
            if let Some(answer) = self.take(answer, moved, events) {
                self.early.push_front((answer, moved));
                break;
            }
        }
        if self.queue.len() > 2 * self.max_open {
            self.lose(note::TOO_MANY_OPEN, None, events);
        }
    }

    /// The server has said something.
    pub fn answer(&mut self, answer: Answer, moved: Moved, events: &mut Vec<ParserEvent>) {
        let rest = match self.early.is_empty() {
            true => self.take(answer, moved, events),
            false => Some(answer),
        };
        let room = self.early.len() < self.max_early;
        match (rest, self.early.back_mut()) {
            (None, _) => {}
            (Some(_), _) if !self.aligned => {}
            (Some(Answer::Rows(more)), Some((Answer::Rows(rows), last))) => {
                *rows += more;
                *last = moved;
            }
            (Some(answer), _) if room => self.early.push_back((answer, moved)),
            _ => self.lose(note::BYTES_LOST, Some(moved), events),
        }
    }

    /// Gives back the answer if what it answers is still to come.
    fn take(
        &mut self,
        answer: Answer,
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) -> Option<Answer> {
        if let Answer::Ready = answer {
            return self.ready(moved, events);
        }
        // An answer that is complete gives way to the next request's.
        if let [Item::Request(first), Item::Request(_), ..] = self.front_two()
            && let Some(done) = first.done
            && !first.simple
        {
            self.finish_first(done, events);
        }
        let blurred = self.blurred;
        let Some(Item::Request(open)) = self.queue.front_mut() else {
            return match (answer, self.prepared.take()) {
                (Answer::Error(code), Some(unit)) => {
                    self.failed(unit.begin, unit.task, unit.told, code, moved, events);
                    None
                }
                (answer, prepared) => {
                    self.prepared = prepared;
                    (self.syncs == 0).then_some(answer)
                }
            };
        };
        if blurred && open.done.is_some() {
            // It was answered before the place was lost: this may be another statement of it, or the
            // answer to a request that was lost.
            open.unseen = true;
            return None;
        }
        match answer {
            Answer::Rows(more) if open.done.is_none() || open.simple => {
                open.rows = Some(open.rows.unwrap_or(0) + more);
            }
            Answer::Complete(rows) if open.done.is_none() || open.simple => {
                if open.unseen {
                    open.rows = rows.filter(|_| !open.told.several);
                } else if rows.is_some() && open.rows.is_none() {
                    open.rows = rows;
                }
                open.done = Some(moved);
            }
            Answer::Error(code) => {
                open.error.get_or_insert(code);
                open.done = Some(moved);
            }
            Answer::CopyIn => {
                // The server takes no notice of those that come before the data.
                let simple = open.simple;
                while !simple && matches!(self.queue.get(1), Some(Item::Sync)) {
                    self.queue.remove(1);
                    self.syncs -= 1;
                }
            }
            Answer::Stream => {
                open.notes.push(note::STREAM);
                self.finish_first(moved, events);
            }
            // A request that is not here yet.
            answer => return Some(answer),
        }
        None
    }

    fn front_two(&mut self) -> &[Item] {
        let all = self.queue.make_contiguous();
        &all[..all.len().min(2)]
    }

    fn ready(&mut self, moved: Moved, events: &mut Vec<ParserEvent>) -> Option<Answer> {
        if self.syncs == 0 {
            // After COPY the end of the data may have been taken for that of the statement.
            return Some(Answer::Ready);
        }
        self.blurred = false;
        if self.syncs == 1 {
            self.prepared = None;
        }
        let mut failed = false;
        while let Some(item) = self.queue.pop_front() {
            let Item::Request(mut open) = item else {
                self.syncs -= 1;
                break;
            };
            let last = matches!(self.queue.front(), Some(Item::Sync));
            if open.done.is_none() && failed {
                open.error = Some("pipeline_aborted".into());
            }
            failed |= open.error.is_some();
            let end = match open.done {
                Some(done) if !last => done,
                _ => moved,
            };
            self.finish(*open, end, Outcome::Complete, None, events);
        }
        None
    }

    /// Ends an answered request that nothing more can be said of.
    fn settle(&mut self, events: &mut Vec<ParserEvent>) {
        if let [Item::Request(open)] = self.front_two()
            && let Some(done) = open.done
            && open.error.is_none()
        {
            self.finish_first(done, events);
        }
    }

    fn finish_first(&mut self, end: Moved, events: &mut Vec<ParserEvent>) {
        if let Some(Item::Request(open)) = self.queue.pop_front() {
            self.finish(*open, end, Outcome::Complete, None, events);
        }
    }

    /// Something failed that is no Execute's.
    pub fn failed(
        &mut self,
        begin: Begin,
        task: Task,
        told: Option<Arc<Told>>,
        code: Box<str>,
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        let Some(told) = told else { return };
        let exchange = self.start(begin, task, None, events);
        let open = Open {
            exchange,
            notes: told.note.into_iter().collect(),
            told,
            simple: false,
            rows: None,
            unseen: false,
            error: Some(code),
            done: None,
        };
        self.finish(open, moved, Outcome::Complete, None, events);
    }

    /// The server's messages are no longer seen one by one.
    pub fn blur(&mut self, moved: Moved, events: &mut Vec<ParserEvent>) {
        if self.syncs > 1 || (self.syncs == 0 && self.queue.len() > 1) {
            self.lose(note::BYTES_LOST, Some(moved), events);
            return;
        }
        self.blurred = !self.queue.is_empty();
        self.pass_by();
        for item in &mut self.queue {
            if let Item::Request(open) = item
                && open.done.is_none()
            {
                open.unseen = true;
                open.rows = None;
            }
        }
    }

    /// The server has said something that was not seen: perhaps what became of a unit without an Execute.
    pub fn pass_by(&mut self) {
        self.prepared = None;
    }

    /// The server was silent behind `last`, and the client goes on: what was asked is answered.
    pub fn infer(&mut self, last: Option<Moved>, events: &mut Vec<ParserEvent>) {
        let Some(last) = last else { return };
        if self.quiet || !std::mem::take(&mut self.blurred) {
            return;
        }
        let requests = self.queue.len() - self.syncs;
        if requests > 1 {
            return self.lose(note::BYTES_LOST, Some(last), events);
        }
        while let Some(item) = self.queue.pop_front() {
            match item {
                Item::Request(mut open) => {
                    open.notes.push(note::END_INFERRED);
                    self.finish(*open, last, Outcome::Complete, None, events);
                }
                Item::Sync => self.syncs -= 1,
            }
        }
    }

    /// Nobody knows what answers the requests that are open.
    pub fn lose(&mut self, why: Note, moved: Option<Moved>, events: &mut Vec<ParserEvent>) {
        self.aligned = false;
        self.blurred = false;
        self.early.clear();
        self.unit = None;
        self.prepared = None;
        self.syncs = 0;
        while let Some(item) = self.queue.pop_front() {
            if let Item::Request(mut open) = item {
                let end = open.done.or(moved).unwrap_or_default();
                open.notes.push(why);
                self.finish(*open, end, Outcome::Lost, None, events);
            }
        }
    }

    /// No more answers come.
    pub fn end(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let moved = Moved {
            time: end.time,
            task: Task::default(),
        };
        self.early.clear();
        self.syncs = 0;
        while let Some(item) = self.queue.pop_front() {
            let Item::Request(mut open) = item else {
                continue;
            };
            match (open.done, ending::error_type(end.reason)) {
                (Some(done), _) => self.finish(*open, done, Outcome::Complete, None, events),
                (None, Some(error)) => {
                    self.finish(*open, moved, Outcome::Aborted, Some(error), events);
                }
                (None, None) => {
                    open.notes.push(ending::FORGOTTEN);
                    self.finish(*open, moved, Outcome::Lost, None, events);
                }
            }
        }
    }

    fn finish(
        &self,
        open: Open,
        end: Moved,
        outcome: Outcome,
        aborted: Option<&'static str>,
        events: &mut Vec<ParserEvent>,
    ) {
        let mut attributes = open.told.attributes.clone();
        let mut status = SpanStatus::Unset;
        let mut notes = open.notes;
        // What is told of it is true, but not all. Where part of the answer was not seen, what ends it
        // may answer another request, if that was lost too.
        let told = open.told.note.is_none() && !open.unseen;
        let outcome = match outcome {
            Outcome::Complete if !told => Outcome::Lost,
            outcome => outcome,
        };
        if let Some(rows) = open.rows.and_then(|rows| i64::try_from(rows).ok())
            && open.error.is_none()
        {
            attributes.push(Attribute::new("db.response.returned_rows", rows));
        } else if open.unseen && open.error.is_none() {
            notes.push(note::RESULT_UNSEEN);
        }
        if let Some(error) = open.error {
            status = SpanStatus::Error;
            if error.len() == SQLSTATE {
                let code = error.to_string();
                attributes.push(Attribute::new("db.response.status_code", code));
            }
            attributes.push(Attribute::new("error.type", String::from(error)));
        } else if let Some(error) = aborted {
            status = SpanStatus::Error;
            attributes.push(Attribute::new("error.type", error));
        }
        events.push(ParserEvent::Finished(Finished {
            exchange: open.exchange,
            end: end.time.max(Timestamp(0)),
            task: (end.task != Task::default()).then_some(end.task),
            outcome,
            kind: None,
            links: Vec::new(),
            name: open.told.name.clone(),
            status,
            attributes,
            notes,
        }));
    }
}

/// How long the code of an error is.
const SQLSTATE: usize = 5;
