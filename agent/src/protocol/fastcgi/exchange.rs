//! Requests and answers of a connection: which answers which.

use std::mem::size_of;

use super::super::frames::{Frame, Moved};
use super::super::http1::note;
use super::super::pairs::{Answered, Pairs};
use super::super::{Limits, Settings};
use super::open::{Answer, Ending, Open, closing, weight};
use super::record::{
    ABORT_REQUEST, BEGIN_REQUEST, END_REQUEST, HEADER, Header, PARAMS, STDERR, STDIN, STDOUT,
};
use super::request;
use super::{END_INFERRED, PARAMETERS_CUT};
use crate::model::{ConnectionEnd, Direction, EndReason, ParserEvent, Side, Started};

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
