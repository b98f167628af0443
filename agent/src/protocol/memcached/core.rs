//! What is open on a connection.

use std::borrow::Cow;

use crate::model::{
    Attribute, ConnectionEnd, Finished, Note, Outcome, ParserEvent, Side, SpanStatus, Started,
    Timestamp, Value,
};
use crate::protocol::fifo::Fifo;
use crate::protocol::frames::Moved;
use crate::protocol::{Limits, QueryText, ending};

use super::command::{Command, Kind};
use super::note;

/// As many attributes as a span usually has in the end: one allocation.
const USUAL: usize = 16;
/// More keys than this are not written one by one.
const KEYS_MAX: u32 = 16;

/// A command, complete or not.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: &'static Command,
    /// Its exchange, once that is told.
    pub(super) exchange: Option<u64>,
    pub(super) position: u64,
    pub(super) first: Moved,
    /// Its last byte, as far as it has come.
    pub(super) last: Moved,
    pub(super) overlapping: bool,
    pub(super) keys: u32,
    /// Its text with keys.
    pub(super) text: Option<String>,
    /// It wants no answer.
    pub(super) noreply: bool,
    /// It wants an answer only if that is out of the ordinary.
    pub(super) quiet: bool,
    /// What its answer will carry: a hash of the opaque token.
    pub(super) opaque: Option<u64>,
}

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) code: Code,
    /// Values in it.
    pub(super) values: u32,
    /// A hash of the opaque token.
    pub(super) opaque: Option<u64>,
    /// Its last line has begun.
    pub(super) ends: bool,
    /// Where it ended was not seen.
    pub(super) inferred: bool,
    pub(super) end: Moved,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Code {
    /// It is done, or there it is.
    #[default]
    Done,
    /// The meta commands' word for it, without a value.
    Header,
    /// The end of what was to be said before it (`MN`).
    Barrier,
    /// It is not done, for a reason that is in the order of things.
    Outcome(&'static str),
    /// It has failed.
    Failed(&'static str),
}

/// How an exchange ends.
enum Ending {
    Answer(Answer),
    /// With itself, or with another's answer.
    Silent(Moved, Note),
    Aborted(&'static str, Timestamp),
    Lost(Note),
}

/// All but the walk over bytes.
pub(super) struct Core {
    pub(super) side: Side,
    pub(super) limits: Limits,
    pub(super) query_text: QueryText,
    pub(super) fifo: Fifo<Request, Answer>,
    /// The command whose value is coming.
    pub(super) coming: Option<Request>,
    /// What has come of an answer.
    pub(super) answer: Option<Answer>,
    /// An answer whose end is not seen.
    pub(super) inferred: Option<Answer>,
    /// Nothing is understood any more.
    pub(super) over: bool,
    next: u64,
    /// Heap memory of requests' texts.
    weight: usize,
}

impl Request {
    fn weight(&self) -> usize {
        self.text.as_ref().map_or(0, String::capacity)
    }

    /// Whether its flag `q` keeps this answer back.
    fn keeps_back(&self, code: Code) -> bool {
        match self.command.name {
            "mg" | "me" => code == Code::Outcome("EN"),
            // `NF` depends on the server's version.
            _ => code == Code::Header,
        }
    }
}

impl Core {
    pub(super) const fn new(
        side: Side,
        fifo: Fifo<Request, Answer>,
        limits: Limits,
        query_text: QueryText,
    ) -> Self {
        Self {
            side,
            limits,
            query_text,
            fifo,
            coming: None,
            answer: None,
            inferred: None,
            over: false,
            next: 0,
            weight: 0,
        }
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.fifo.is_empty() && self.coming.is_none() && self.answer.is_none()
    }

    /// Nothing was told of it so far.
    pub(super) const fn is_new(&self) -> bool {
        self.next == 0
    }

    pub(super) fn memory(&self) -> usize {
        self.fifo.memory() + self.weight
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
            start: request.first.time,
            task: request.last.task,
            context: None,
            overlapping: request.overlapping,
            telemetry: false,
            carried: None,
        }));
        self.next += 1;
    }

    /// A command is complete.
    pub(super) fn ask(&mut self, request: Request, events: &mut Vec<ParserEvent>) {
        if request.noreply {
            let last = request.last;
            self.finish(request, Ending::Silent(last, note::NO_REPLY), events);
            return;
        }
        if !self.fifo.is_aligned() {
            self.fifo.pass();
            self.finish(request, Ending::Lost(note::LOST), events);
            return;
        }
        let watch = request.command.kind == Kind::Watch;
        self.weight += request.weight();
        if let Some((request, answer)) = self.fifo.ask(request) {
            self.weight -= request.weight();
            self.finish(request, Ending::Answer(answer), events);
        } else if self.fifo.len() > self.limits.open
            && let Some(request) = self.fifo.abandon()
        {
            self.weight -= request.weight();
            self.finish(request, Ending::Lost(note::TOO_MANY_OPEN), events);
        }
        if watch {
            self.lose(events);
            self.over = true;
        }
    }

    /// An answer is complete.
    pub(super) fn answered(&mut self, answer: Answer, events: &mut Vec<ParserEvent>) {
        while let Some(oldest) = self.fifo.oldest() {
            if !oldest.quiet {
                break;
            }
            let own = match (oldest.opaque, answer.opaque) {
                _ if answer.code == Code::Barrier || oldest.keeps_back(answer.code) => false,
                (Some(asked), Some(answered)) => asked == answered,
                // It can be this one's or that of a later quiet one.
                _ => {
                    if let Some((request, answer)) = self.fifo.answer(answer) {
                        self.weight -= request.weight();
                        let ending = match answer.code {
                            Code::Failed(_) => Ending::Answer(answer),
                            _ => Ending::Silent(answer.end, note::QUIET),
                        };
                        self.finish(request, ending, events);
                    }
                    return;
                }
            };
            if own {
                break;
            }
            let Some(request) = self.fifo.pass_over() else {
                break;
            };
            self.weight -= request.weight();
            self.finish(request, Ending::Silent(answer.end, note::QUIET), events);
        }
        if let Some((request, answer)) = self.fifo.answer(answer) {
            self.weight -= request.weight();
            self.finish(request, Ending::Answer(answer), events);
        }
    }

    fn finish(&mut self, mut request: Request, ending: Ending, events: &mut Vec<ParserEvent>) {
        if let Ending::Answer(Answer {
            code: Code::Failed(_),
            ..
        }) = &ending
        {
            // Also what is told only where it fails.
            self.start(&mut request, events);
        }
        let Some(exchange) = request.exchange else {
            return;
        };
        let mut attributes = Vec::with_capacity(USUAL);
        let mut add = |key, value: Value| attributes.push(Attribute::new(key, value));
        add("db.system.name", "memcached".into());
        add("db.operation.name", request.command.name.into());
        match (self.query_text, request.text) {
            (QueryText::Off, _) => {}
            (QueryText::Full, Some(text)) => add("db.query.text", text.into()),
            _ => add("db.query.text", sanitized(request.command, request.keys)),
        }
        let mut notes = Vec::new();
        let mut status = SpanStatus::Unset;
        let (end, task, outcome) = match ending {
            Ending::Answer(answer) => {
                if answer.inferred {
                    notes.push(note::END_INFERRED);
                }
                match answer.code {
                    Code::Done | Code::Header | Code::Barrier => {}
                    Code::Outcome(code) => add("db.response.status_code", code.into()),
                    Code::Failed(code) => {
                        add("db.response.status_code", code.into());
                        add("error.type", code.into());
                        status = SpanStatus::Error;
                    }
                }
                if matches!(request.command.kind, Kind::Get | Kind::GetAndTouch)
                    && status == SpanStatus::Unset
                    && !answer.inferred
                {
                    add("db.response.returned_rows", i64::from(answer.values).into());
                }
                // One that was seen before its command cannot have ended before it began.
                let end = answer.end.time.max(request.first.time);
                (end, Some(answer.end.task), Outcome::Complete)
            }
            Ending::Silent(moved, note) => {
                notes.push(note);
                (moved.time, Some(moved.task), Outcome::Complete)
            }
            Ending::Aborted(error, time) => {
                add("error.type", error.into());
                status = SpanStatus::Error;
                (time.max(request.last.time), None, Outcome::Aborted)
            }
            Ending::Lost(note) => {
                notes.push(note);
                (request.last.time, None, Outcome::Lost)
            }
        };
        events.push(ParserEvent::Finished(Finished {
            exchange,
            end,
            task,
            outcome,
            kind: None,
            links: Vec::new(),
            name: Cow::Borrowed(request.command.name),
            status,
            attributes,
            notes,
        }));
    }

    /// Bytes were lost on which the pairing of commands and answers depends.
    pub(super) fn lose(&mut self, events: &mut Vec<ParserEvent>) {
        while let Some(request) = self.fifo.pop() {
            self.finish(request, Ending::Lost(note::LOST), events);
        }
        self.weight = 0;
        self.inferred = None;
        self.fifo.misalign();
    }

    /// The command that was coming will not be known.
    pub(super) fn lose_coming(&mut self, events: &mut Vec<ParserEvent>) {
        if let Some(request) = self.coming.take() {
            self.finish(request, Ending::Lost(note::LOST), events);
        }
    }

    /// The connection has ended, or only its commands have.
    pub(super) fn end(&mut self, end: &ConnectionEnd, all: bool, events: &mut Vec<ParserEvent>) {
        let ending = || match ending::error_type(end.reason) {
            Some(error) => Ending::Aborted(error, end.time),
            None => Ending::Lost(ending::FORGOTTEN),
        };
        if all
            && let Some(answer) = self.inferred.take()
            && ending::is_orderly(end.reason)
        {
            self.answered(answer, events);
        }
        while all && let Some(request) = self.fifo.pop() {
            // Of what is quiet it is in order that nothing came.
            let ending = match request.quiet {
                true => Ending::Silent(request.last, note::QUIET),
                false => ending(),
            };
            self.finish(request, ending, events);
        }
        if let Some(request) = self.coming.take() {
            self.finish(request, ending(), events);
        }
        if all {
            self.weight = 0;
            self.fifo.misalign();
            self.over = true;
        }
    }
}

/// The command with `?` for each key.
fn sanitized(command: &'static Command, keys: u32) -> Value {
    let known = usize::try_from(keys).ok();
    if let Some(&text) = known.and_then(|keys| command.texts.get(keys)) {
        return text.into();
    }
    let mut text = command.name.to_owned();
    (0..keys.min(KEYS_MAX)).for_each(|_| text.push_str(" ?"));
    if keys > KEYS_MAX {
        text.push_str(" ...");
    }
    text.into()
}
