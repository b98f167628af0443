//! The requests that wait for their answer: commands are answered one by one, in their order.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::{
    Attribute, ConnectionEnd, Finished, Note, Outcome, ParserEvent, Side, SpanStatus, Started, Task,
};
use crate::protocol::ending;
use crate::protocol::frames::Moved;

use super::note;
use crate::protocol::sql::{Found, Told};

/// What the answer to a request looks like, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// OK, an error, a file's name, or the number of columns.
    Result,
    /// The file is sent; then OK or an error.
    Infile,
    /// So many definitions of columns.
    Columns(u64),
    /// The end of the columns, where that is told.
    ColumnsEnd,
    /// Rows, to their end.
    Rows,
    /// The id of a statement.
    Prepared,
    /// So many definitions of parameters and columns, each sort with its end where that is told.
    Definitions(u64),
    /// One packet.
    One,
    /// What a login says, up to OK or an error.
    Login,
}

/// What a request changes when it succeeds.
#[derive(Clone, Debug)]
pub enum Change {
    Nothing,
    /// The database.
    Namespace(Option<String>),
    /// The statements are closed.
    Reset,
    /// Both.
    User(Option<String>),
}

/// A request.
#[derive(Debug)]
pub struct Request {
    pub position: u64,
    pub first: Moved,
    pub task: Task,
    /// What its span tells; `None` if it never has one.
    pub told: Option<Arc<Told>>,
    pub found: Found,
    /// It has a span only if it fails.
    pub silent: bool,
    pub expect: Expect,
    /// It comes with the number of rows.
    pub counts: bool,
    pub change: Change,
    /// Sequence number of the server's next packet, where it is known.
    pub sequence: Option<u8>,
    pub rows: Option<u64>,
    pub error: Option<u16>,
    /// The packet that ends its answer has begun.
    pub done: bool,
    /// The row goes on in another packet.
    pub continued: bool,
    exchange: Option<u64>,
}

impl Request {
    pub const fn new(position: u64, first: Moved, task: Task, expect: Expect) -> Self {
        Self {
            position,
            first,
            task,
            told: None,
            found: Found::NONE,
            silent: true,
            expect,
            counts: false,
            change: Change::Nothing,
            sequence: Some(1),
            rows: None,
            error: None,
            done: false,
            continued: false,
            exchange: None,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Exchanges {
    pub side: Side,
    next: u64,
    pub open: VecDeque<Box<Request>>,
    max_open: usize,
}

impl Exchanges {
    pub const fn new(side: Side, max_open: usize) -> Self {
        Self {
            side,
            next: 0,
            open: VecDeque::new(),
            max_open,
        }
    }

    /// A request that waits from now on. Whether there was room for it.
    pub fn ask(&mut self, mut request: Request, events: &mut Vec<ParserEvent>) -> bool {
        let room = self.open.len() < self.max_open;
        if !room {
            self.lose(note::TOO_MANY_OPEN, request.first, events);
        }
        if !request.silent && request.told.is_some() {
            self.start(&mut request, events);
        }
        self.open.push_back(Box::new(request));
        room
    }

    fn start(&mut self, request: &mut Request, events: &mut Vec<ParserEvent>) -> u64 {
        let exchange = self.next;
        self.next += 1;
        request.exchange = Some(exchange);
        events.push(ParserEvent::Started(Started {
            exchange,
            side: self.side,
            position: request.position,
            start: request.first.time,
            task: request.task,
            context: request.found.context.take(),
            overlapping: false,
            telemetry: false,
            carried: None,
        }));
        exchange
    }

    /// The oldest is answered.
    pub fn answered(&mut self, end: Moved, events: &mut Vec<ParserEvent>) -> Option<Box<Request>> {
        let mut request = self.open.pop_front()?;
        self.finish(&mut request, end, Outcome::Complete, None, None, events);
        Some(request)
    }

    /// The oldest was answered where nobody could follow.
    pub fn infer(&mut self, end: Moved, events: &mut Vec<ParserEvent>) {
        if let Some(mut request) = self.open.pop_front() {
            let why = Some(note::END_INFERRED);
            request.rows = None;
            self.finish(&mut request, end, Outcome::Lost, None, why, events);
        }
    }

    /// Nobody knows what answers the requests that are open.
    pub fn lose(&mut self, why: Note, moved: Moved, events: &mut Vec<ParserEvent>) {
        while let Some(mut request) = self.open.pop_front() {
            request.rows = None;
            self.finish(&mut request, moved, Outcome::Lost, None, Some(why), events);
        }
    }

    /// No more answers come.
    pub fn end(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let moved = Moved {
            time: end.time,
            task: Task::default(),
        };
        while let Some(mut request) = self.open.pop_front() {
            let error = ending::error_type(end.reason);
            let (outcome, why) = match error {
                Some(_) => (Outcome::Aborted, None),
                None => (Outcome::Lost, Some(ending::FORGOTTEN)),
            };
            self.finish(&mut request, moved, outcome, error, why, events);
        }
    }

    fn finish(
        &mut self,
        request: &mut Request,
        end: Moved,
        outcome: Outcome,
        aborted: Option<&'static str>,
        why: Option<Note>,
        events: &mut Vec<ParserEvent>,
    ) {
        let Some(told) = request.told.clone() else {
            return;
        };
        let exchange = match request.exchange {
            Some(exchange) => exchange,
            None if request.error.is_some() => self.start(request, events),
            None => return,
        };
        let mut attributes = told.attributes.clone();
        let mut status = SpanStatus::Unset;
        if let Some(code) = request.error {
            status = SpanStatus::Error;
            let code = code.to_string();
            attributes.push(Attribute::new("db.response.status_code", code.clone()));
            attributes.push(Attribute::new("error.type", code));
        } else if let Some(error) = aborted {
            status = SpanStatus::Error;
            attributes.push(Attribute::new("error.type", error));
        } else if let Some(rows) = request.rows.and_then(|rows| i64::try_from(rows).ok())
            && outcome == Outcome::Complete
        {
            attributes.push(Attribute::new("db.response.returned_rows", rows));
        }
        let notes: Vec<_> = [told.note, request.found.note, why]
            .into_iter()
            .flatten()
            .collect();
        // What is told is true, but not all.
        let outcome = match outcome {
            Outcome::Complete if told.note.is_some() => Outcome::Lost,
            outcome => outcome,
        };
        events.push(ParserEvent::Finished(Finished {
            exchange,
            end: end.time,
            task: (end.task != Task::default()).then_some(end.task),
            outcome,
            kind: None,
            links: Vec::new(),
            name: told.name.clone(),
            status,
            attributes,
            notes,
        }));
    }

    pub fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Box<Request>>()
            + self.open.len() * (size_of::<Request>() + 512)
    }
}
