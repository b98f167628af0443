//! Requests that wait for their answer, and the spans that both become.

use std::borrow::Cow;
use std::mem::size_of;

use super::super::ending;
use super::super::frames::{Frame, Moved};
use super::super::http1::{exchange::is_error, note};
use super::super::pairs::{Answered, Pairs};
use super::super::{Limits, Settings};
use super::record::{
    ABORT_REQUEST, BEGIN_REQUEST, END_REQUEST, HEADER, Header, PARAMS, STDERR, STDIN, STDOUT,
};
use super::request;
use super::response::Output;
use super::{ABORTED, END_INFERRED, EXIT_STATUS, NO_HEAD, PARAMETERS_CUT};
use crate::model::{
    Attribute, ConnectionEnd, Direction, EndReason, Finished, Note, Outcome, ParserEvent, Side,
    SpanStatus, Started, Timestamp, Value,
};

/// A request whose parameters are still coming.
#[derive(Debug)]
struct Coming {
    id: u16,
    position: u64,
    first: Moved,
    params: Vec<u8>,
    /// Some were not captured: those after them are left out.
    is_cut: bool,
}

/// A request that waits.
#[derive(Debug)]
struct Open {
    exchange: u64,
    name: &'static str,
    is_named: bool,
    attributes: Vec<Attribute>,
    notes: Vec<Note>,
    start: Timestamp,
    last: Moved,
    /// Bytes of its body so far, if they can be counted.
    body: Option<u64>,
    /// The web server gave up.
    is_aborted: bool,
    weight: usize,
}

/// An answer that is coming, or waits for its request.
#[derive(Debug, Default)]
struct Answer {
    output: Output,
    wrote_errors: bool,
    last: Moved,
    /// What the application and the protocol say of it in the end (section 5.5).
    end: Option<(u32, u8)>,
    /// It answers what nobody saw.
    is_ignored: bool,
    /// Its end passed unseen, or will.
    is_unframed: bool,
}

/// How an exchange ends.
#[derive(Clone, Copy)]
enum Ending {
    Complete,
    Aborted(&'static str, Timestamp),
    Lost(Note),
}

/// The exchanges of one connection.
#[derive(Debug)]
pub(super) struct Exchanges {
    side: Side,
    limits: Limits,
    settings: Settings,
    coming: Vec<Coming>,
    open: Pairs<u16, Open, Answer>,
    /// Answers that are coming, by the ids of their requests.
    answers: Vec<(u16, Answer)>,
    /// The answer whose last record is coming.
    ending: Option<u16>,
    /// Every request is known.
    is_aligned: bool,
    /// Answers pass unseen.
    answers_lost: bool,
    /// The number of the next exchange.
    next: u64,
    /// Heap memory of the open requests, in bytes.
    weight: usize,
    /// No answer comes any more, and this is why.
    end: Option<ConnectionEnd>,
}

impl Exchanges {
    pub(super) fn new(aligned: bool, settings: &Settings) -> Self {
        Self {
            side: Side::Server,
            limits: settings.limits,
            settings: settings.clone(),
            coming: Vec::new(),
            open: Pairs::new(aligned, settings.limits.early),
            answers: Vec::new(),
            ending: None,
            is_aligned: aligned,
            answers_lost: !aligned,
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

    /// Whether answers pass unseen from now on.
    pub(super) const fn set_answers_lost(&mut self, lost: bool) {
        self.answers_lost = lost;
    }

    /// Whether a request's output is still in its head.
    pub(super) fn wants_output(&self, id: u16) -> bool {
        let answer = self.answers.iter().find(|(other, _)| *other == id);
        answer.is_none_or(|(_, answer)| answer.output.is_head())
    }

    /// A record has come, of whichever direction.
    pub(super) fn record(
        &mut self,
        header: &Header,
        frame: &Frame<'_>,
        events: &mut Vec<ParserEvent>,
    ) {
        let content = frame.bytes.get(HEADER..).unwrap_or_default();
        match header.kind {
            BEGIN_REQUEST => self.begin(header.id, frame),
            PARAMS => self.params(header, content, frame, events),
            STDIN | ABORT_REQUEST => {
                if let Some(open) = self.open.find(&header.id) {
                    open.last = frame.last;
                    open.is_aborted |= header.kind == ABORT_REQUEST;
                    open.body = open
                        .body
                        .map(|body| body.saturating_add(header.content as u64));
                }
            }
            STDOUT | STDERR | END_REQUEST => self.answer(header, content, frame),
            _ => {}
        }
    }

    fn begin(&mut self, id: u16, frame: &Frame<'_>) {
        // An id is free again when its request has ended.
        self.coming.retain(|coming| coming.id != id);
        if self.coming.len() >= self.limits.early {
            self.coming.remove(0);
        }
        self.coming.push(Coming {
            id,
            position: frame.position,
            first: frame.first,
            params: Vec::new(),
            is_cut: false,
        });
    }

    fn params(
        &mut self,
        header: &Header,
        content: &[u8],
        frame: &Frame<'_>,
        events: &mut Vec<ParserEvent>,
    ) {
        let Some(at) = self.coming.iter().position(|one| one.id == header.id) else {
            return;
        };
        if header.content == 0 {
            let coming = self.coming.swap_remove(at);
            return self.ask(&coming, frame.last, events);
        }
        let coming = &mut self.coming[at];
        if coming.is_cut {
            return;
        }
        let room = self.limits.message.saturating_sub(coming.params.len());
        coming.is_cut = content.len() < header.content || content.len() > room;
        coming
            .params
            .extend_from_slice(&content[..content.len().min(room)]);
    }

    /// All parameters of a request are known, or as many as will be.
    fn ask(&mut self, coming: &Coming, now: Moved, events: &mut Vec<ParserEvent>) {
        let mut notes = Vec::new();
        if coming.is_cut {
            notes.push(PARAMETERS_CUT);
        }
        let request = request::read(&coming.params, self.side, &self.settings, &mut notes);
        let exchange = self.next;
        self.next += 1;
        events.push(ParserEvent::Started(Started {
            exchange,
            side: self.side,
            position: coming.position,
            start: coming.first.time,
            task: now.task,
            context: request.context,
            overlapping: !self.open.is_empty(),
            telemetry: false,
            carried: None,
        }));
        let open = Open {
            exchange,
            name: request.name,
            is_named: request.is_named,
            weight: weight(&request.attributes),
            attributes: request.attributes,
            notes,
            start: coming.first.time,
            last: now,
            body: Some(0),
            is_aborted: false,
        };
        self.weight += open.weight;
        if let Some(end) = self.end {
            return self.finish(open, &Answer::default(), closing(&end), events);
        }
        if !self.is_aligned {
            // What was being answered before was another request.
            for (_, answer) in self.answers.iter_mut().filter(|(id, _)| *id == coming.id) {
                answer.is_ignored = true;
            }
        }
        // An id is free again when its request has ended: where nobody could see that, it has.
        if self.answers_lost {
            self.end_unframed(coming.id, events);
            while let Some(before) = self.open.take(&coming.id) {
                self.finish(before, &Answer::default(), Ending::Lost(note::GAP), events);
            }
        }
        if self.open.is_empty() {
            self.is_aligned = true;
            self.open.align();
        }
        if self.open.len() >= self.limits.open
            && let Some(oldest) = self.open.pop()
        {
            let ending = Ending::Lost(note::TOO_MANY_OPEN);
            self.finish(oldest, &Answer::default(), ending, events);
        }
        if let Some((open, answer)) = self.open.ask(coming.id, open) {
            self.finish(open, &answer, Ending::Complete, events);
        }
    }

    fn answer(&mut self, header: &Header, content: &[u8], frame: &Frame<'_>) {
        let found = self.answers.iter().position(|(id, _)| *id == header.id);
        let at = match found {
            Some(at) => at,
            // Hardly any application answers so many at once; the rest end without their heads.
            None if self.answers.len() >= self.limits.early && header.kind != END_REQUEST => return,
            None => {
                self.answers.push((header.id, Answer::default()));
                self.answers.len() - 1
            }
        };
        let answer = &mut self.answers[at].1;
        answer.last = frame.last;
        match header.kind {
            STDOUT if header.content > 0 => {
                let limit = self.limits.message;
                answer.output.take(content, header.content, limit);
            }
            STDERR => answer.wrote_errors |= header.content > 0,
            END_REQUEST => {
                let status = content.first_chunk().map(|app| u32::from_be_bytes(*app));
                answer.end = status.zip(content.get(4).copied());
                self.ending = Some(header.id);
            }
            _ => {}
        }
    }

    /// The record has come to its end.
    pub(super) fn ended_record(
        &mut self,
        direction: Direction,
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        let answers = match self.side {
            Side::Server => Direction::Sent,
            Side::Client => Direction::Received,
        };
        if direction != answers {
            return;
        }
        let Some(id) = self.ending.take() else {
            return;
        };
        let Some(mut answer) = self.take_answer(id) else {
            return;
        };
        answer.last = moved;
        if answer.is_ignored {
            return;
        }
        match self.open.answer(id, answer) {
            Answered::Meets(open, answer) => self.finish(open, &answer, Ending::Complete, events),
            Answered::Waits => {}
            Answered::Unasked => self.misalign(),
        }
    }

    fn take_answer(&mut self, id: u16) -> Option<Answer> {
        let at = self.answers.iter().position(|(other, _)| *other == id)?;
        Some(self.answers.swap_remove(at).1)
    }

    fn misalign(&mut self) {
        self.is_aligned = false;
        self.open.misalign();
    }

    /// Bytes of the requests' direction were lost. What is known of those whose parameters were coming
    /// is all that will be.
    pub(super) fn lose_requests(&mut self, now: Moved, events: &mut Vec<ParserEvent>) {
        for mut coming in std::mem::take(&mut self.coming) {
            if !coming.params.is_empty() {
                coming.is_cut = true;
                self.ask(&coming, now, events);
            }
        }
        self.misalign();
        // Their bodies may have gone on there.
        for open in self.open.iter_mut() {
            open.body = None;
        }
    }

    /// Where the next record of the answers begins is not known: it is among bytes that were not captured
    /// (`hidden`), or some were lost. With those any request may have been answered; in the other case
    /// what comes goes on with the only answer there is, until something shows that it has ended.
    pub(super) fn lose_answers(&mut self, hidden: bool, now: Moved, events: &mut Vec<ParserEvent>) {
        if let [(id, answer)] = self.answers.as_mut_slice()
            && hidden
            && self.open.len() == 1
            && self.open.find(id).is_some()
            && self.ending.is_none()
            && answer.output.leave_unframed()
        {
            answer.is_unframed = true;
            answer.last = now;
            return;
        }
        self.misalign();
        self.ending = None;
        self.end_all(Ending::Lost(note::GAP), events);
    }

    /// No answer comes any more.
    pub(super) fn end(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        self.end.get_or_insert(*end);
        let in_order = match end.reason {
            EndReason::PeerClosed | EndReason::LocalClosed | EndReason::Closed => true,
            // That is how some applications close.
            EndReason::ProcessExited => self.side == Side::Server,
            EndReason::Failed(_) | EndReason::Forgotten => false,
        };
        let unframed = self.answers.iter().find(|(_, one)| one.is_unframed);
        if let Some(id) = unframed.filter(|_| in_order).map(|(id, _)| *id) {
            self.end_unframed(id, events);
        }
        self.misalign();
        // Where answers pass unseen, nothing is asserted of them.
        let unframed = self.answers.iter().any(|(_, one)| one.is_unframed);
        let ending = match self.answers_lost && !unframed {
            true => Ending::Lost(note::GAP),
            false => closing(end),
        };
        self.end_all(ending, events);
        self.coming.clear();
    }

    fn end_all(&mut self, ending: Ending, events: &mut Vec<ParserEvent>) {
        for (id, answer) in std::mem::take(&mut self.answers) {
            if answer.is_ignored {
                continue;
            }
            if let Answered::Meets(open, answer) = self.open.answer(id, answer) {
                self.finish(open, &answer, ending, events);
            }
        }
        while let Some(open) = self.open.pop() {
            let last = open.last;
            let answer = Answer {
                last,
                ..Answer::default()
            };
            self.finish(open, &answer, ending, events);
        }
    }

    /// Bytes of the answers' direction passed that nobody understands: they are the rest of the answer
    /// whose end is not seen, or else any request may have been answered by them, unless they may be
    /// understood with what follows (`perhaps`).
    pub(super) fn pass_answers(
        &mut self,
        perhaps: bool,
        now: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        let mut unframed = self.answers.iter_mut().filter(|(_, one)| one.is_unframed);
        match unframed.next() {
            Some((_, answer)) => answer.last = now,
            None if perhaps => {}
            None => self.lose_answers(false, now, events),
        }
    }

    /// Ends the answer to a request whose end was not seen, because something came that follows it.
    fn end_unframed(&mut self, id: u16, events: &mut Vec<ParserEvent>) {
        let unframed = |(other, answer): &(u16, Answer)| *other == id && answer.is_unframed;
        let Some(at) = self.answers.iter().position(unframed) else {
            return;
        };
        let (_, answer) = self.answers.swap_remove(at);
        if let Some(mut open) = self.open.take(&id) {
            open.notes.push(END_INFERRED);
            self.finish(open, &answer, Ending::Complete, events);
        }
    }

    /// Nothing is open, and nothing on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.coming.is_empty() && self.answers.is_empty()
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        let coming = self.coming.iter().map(|one| one.params.capacity());
        let answers = self.answers.iter().map(|(_, one)| one.output.memory());
        self.open.memory()
            + self.weight
            + self.coming.capacity() * size_of::<Coming>()
            + self.answers.capacity() * size_of::<(u16, Answer)>()
            + coming.sum::<usize>()
            + answers.sum::<usize>()
    }

    fn finish(
        &mut self,
        open: Open,
        answer: &Answer,
        ending: Ending,
        events: &mut Vec<ParserEvent>,
    ) {
        self.weight = self.weight.saturating_sub(open.weight);
        events.push(ParserEvent::Finished(
            open.finished(self.side, answer, ending),
        ));
    }
}

impl Open {
    fn finished(mut self, side: Side, answer: &Answer, ending: Ending) -> Finished {
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
            self.notes.push(super::STDERR);
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
fn weight(attributes: &Vec<Attribute>) -> usize {
    let texts = attributes.iter().map(|one| match &one.value {
        Value::Text(Cow::Owned(text)) => text.capacity(),
        _ => 0,
    });
    texts.sum::<usize>() + attributes.capacity() * size_of::<Attribute>()
}

/// How exchanges end that the end of the connection cuts short.
fn closing(end: &ConnectionEnd) -> Ending {
    match ending::error_type(end.reason) {
        Some(error) => Ending::Aborted(error, end.time),
        None => Ending::Lost(ending::FORGOTTEN),
    }
}
