//! Requests that wait for their answer, and the spans that both become.

use std::sync::Arc;

use super::super::frames::Moved;
use super::super::pairs::{Answered, Pairs};
use super::super::{Settings, ending};
use super::envelope::EVENTS;
use super::note;
use super::request::{Request, Sort, consistency};
use super::result::{Answer, PROTOCOL_ERROR};
use super::statements::Told;
use crate::model::{
    Attribute, ConnectionEnd, Finished, Note, Outcome, ParserEvent, RemoteContext, Side,
    SpanStatus, Started, Task,
};

/// Where a request begins, and when it was known.
#[derive(Clone, Copy, Debug)]
pub struct Begin {
    pub position: u64,
    pub first: Moved,
    pub last: Moved,
}

/// A request that waits.
#[derive(Debug)]
struct Open {
    /// Its exchange's number, if it is one.
    exchange: Option<u64>,
    begin: Begin,
    request: Request,
    /// Requests have been lost since, and answers.
    missed: [bool; 2],
}

/// How a request ends.
enum Ending {
    Answered(Answer),
    Aborted(&'static str),
    Lost(Note),
}

/// The exchanges of one connection.
#[derive(Debug)]
pub struct Exchanges {
    pub side: Side,
    settings: Settings,
    /// By the stream, which is unique while the request is open.
    pairs: Pairs<i16, Open, (Answer, Moved)>,
    /// The number of the next exchange.
    next: u64,
    /// The session's keyspace.
    pub keyspace: Option<Arc<str>>,
    /// Where the client begins to log in.
    login: Option<Begin>,
    /// No answer comes any more, and this is why.
    end: Option<ConnectionEnd>,
}

impl Exchanges {
    pub fn new(aligned: bool, side: Side, settings: &Settings) -> Self {
        Self {
            side,
            settings: settings.clone(),
            pairs: Pairs::new(aligned, settings.limits.early),
            next: 0,
            keyspace: None,
            login: None,
            end: None,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.pairs.is_empty()
    }

    pub fn memory(&self) -> usize {
        let told = self.pairs.iter().map(|open| open.request.told.memory());
        self.pairs.memory() + told.sum::<usize>()
    }

    /// A request has come.
    pub fn ask(
        &mut self,
        stream: i16,
        begin: Begin,
        mut request: Request,
        events: &mut Vec<ParserEvent>,
    ) {
        // The client uses a stream again when it has the answer: that was not seen, then. (But where
        // nothing was lost, the answer may only be seen later.)
        if self
            .pairs
            .find(&stream)
            .is_some_and(|open| open.missed != [false; 2])
            && let Some(open) = self.pairs.take(&stream)
        {
            self.finish(open, Ending::Lost(note::BYTES_LOST), begin.first, events);
        }
        if self.pairs.len() >= self.settings.limits.open
            && let Some(oldest) = self.pairs.pop()
        {
            self.finish(
                oldest,
                Ending::Lost(note::TOO_MANY_OPEN),
                begin.first,
                events,
            );
        }
        let context = request.found.context.take();
        let exchange = (request.sort == Sort::Execute).then(|| self.start(begin, context, events));
        if request.sort == Sort::Startup {
            self.login = Some(begin);
        }
        let open = Open {
            exchange,
            begin,
            request,
            missed: [false; 2],
        };
        if let Some(end) = self.end {
            return self.close(open, &end, events);
        }
        if let Some((open, (answer, moved))) = self.pairs.ask(stream, open) {
            self.meet(stream, open, answer, moved, events);
        }
    }

    fn start(
        &mut self,
        begin: Begin,
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
            task: begin.last.task,
            context,
            overlapping: true,
            telemetry: false,
            carried: None,
        }));
        exchange
    }

    /// An answer has come, with its last byte.
    pub fn answer(
        &mut self,
        stream: i16,
        answer: Answer,
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        if stream == EVENTS {
            return;
        }
        if let Answered::Meets(open, (answer, moved)) = self.pairs.answer(stream, (answer, moved)) {
            self.meet(stream, open, answer, moved, events);
        }
    }

    fn meet(
        &mut self,
        stream: i16,
        open: Open,
        answer: Answer,
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        // It may answer a request that was lost, or the next one of the stream.
        let [requests, answers] = open.missed;
        if answers && (requests || self.pairs.find(&stream).is_some()) {
            return self.finish(open, Ending::Lost(note::BYTES_LOST), moved, events);
        }
        match (open.request.sort, &answer) {
            (Sort::Execute, Answer::Keyspace(name)) => self.keyspace = Some(Arc::clone(name)),
            (Sort::Prepare, Answer::Prepared(id)) => {
                self.settings.prepared.learn(id, &open.request.told);
            }
            // The client tries which version the server understands.
            (Sort::Startup, Answer::Error(Some(PROTOCOL_ERROR))) => return,
            (Sort::Startup | Sort::Login, Answer::LetIn) => self.login = None,
            (Sort::Prepare, Answer::Error(_)) => {
                return self.failed(open, answer, moved, events);
            }
            (Sort::Startup | Sort::Login, Answer::Error(_)) => {
                let mut open = open;
                open.begin = self.login.take().unwrap_or(open.begin);
                open.request.told = Arc::new(Told::named("connect", None, None));
                return self.failed(open, answer, moved, events);
            }
            _ => {}
        }
        self.finish(open, Ending::Answered(answer), moved, events);
    }

    /// What is no exchange unless it fails has failed.
    fn failed(
        &mut self,
        mut open: Open,
        answer: Answer,
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        open.exchange = Some(self.start(open.begin, None, events));
        self.finish(open, Ending::Answered(answer), moved, events);
    }

    /// Requests were lost.
    pub fn lose_requests(&mut self) {
        self.pairs.misalign();
        self.pairs.iter_mut().for_each(|open| open.missed[0] = true);
    }

    /// Answers were lost.
    pub fn lose_answers(&mut self) {
        self.pairs.misalign();
        self.pairs.iter_mut().for_each(|open| open.missed[1] = true);
    }

    /// No more answers come.
    pub fn end(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        self.end.get_or_insert(*end);
        while let Some(open) = self.pairs.pop() {
            self.close(open, end, events);
        }
        self.pairs.misalign();
    }

    fn close(&self, open: Open, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let moved = Moved {
            time: end.time,
            task: Task::default(),
        };
        let ending = match ending::error_type(end.reason) {
            _ if open.missed[1] => Ending::Lost(note::BYTES_LOST),
            Some(error) => Ending::Aborted(error),
            None => Ending::Lost(ending::FORGOTTEN),
        };
        self.finish(open, ending, moved, events);
    }

    fn finish(&self, open: Open, ending: Ending, moved: Moved, events: &mut Vec<ParserEvent>) {
        let Some(exchange) = open.exchange else {
            return;
        };
        let Request {
            told,
            batch,
            found,
            page_size,
            ..
        } = open.request;
        let mut attributes = told.attributes();
        let mut notes: Vec<Note> = told.note.into_iter().chain(found.note).collect();
        let mut status = SpanStatus::Unset;
        if let Some(batch) = batch {
            attributes.push(Attribute::new("db.operation.batch.size", i64::from(batch)));
        }
        if let Some(level) = open.request.consistency.and_then(consistency) {
            attributes.push(Attribute::new("cassandra.consistency.level", level));
        }
        if let Some(size) = page_size {
            attributes.push(Attribute::new("cassandra.page.size", i64::from(size)));
        }
        let outcome = match ending {
            Ending::Answered(answer) => {
                match answer {
                    Answer::Rows(Some(rows)) => {
                        let rows = i64::from(rows);
                        attributes.push(Attribute::new("db.response.returned_rows", rows));
                    }
                    Answer::Rows(None) | Answer::Unreadable => notes.push(note::ROWS_UNSEEN),
                    Answer::Compressed if told.note != Some(note::COMPRESSED) => {
                        notes.push(note::COMPRESSED);
                    }
                    Answer::Error(code) => {
                        status = SpanStatus::Error;
                        let code = code.map(|code| code.to_string());
                        if let Some(code) = code.clone() {
                            attributes.push(Attribute::new("db.response.status_code", code));
                        }
                        let error = code.unwrap_or_else(|| "_OTHER".to_owned());
                        attributes.push(Attribute::new("error.type", error));
                    }
                    _ => {}
                }
                // What is told of it is true, but not all.
                match told.note {
                    None | Some(note::COMPRESSED) => Outcome::Complete,
                    Some(_) => Outcome::Lost,
                }
            }
            Ending::Aborted(error) => {
                status = SpanStatus::Error;
                attributes.push(Attribute::new("error.type", error));
                Outcome::Aborted
            }
            Ending::Lost(why) => {
                notes.push(why);
                Outcome::Lost
            }
        };
        events.push(ParserEvent::Finished(Finished {
            exchange,
            end: moved.time.max(open.begin.first.time),
            task: (moved.task != Task::default()).then_some(moved.task),
            outcome,
            kind: None,
            links: Vec::new(),
            name: told.name(),
            status,
            attributes,
            notes,
        }));
    }
}
