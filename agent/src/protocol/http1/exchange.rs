//! Requests that wait for their response, responses that wait for their request, and the pairing
//! of both.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem::size_of;

use crate::model::{
    Attribute, Finished, Note, Outcome, ParserEvent, Side, SpanStatus, Timestamp, Value,
};

use super::body::Method;
use super::note;

pub(in crate::protocol) use crate::protocol::frames::Moved;

/// A request whose exchange is open.
#[derive(Debug)]
pub(in crate::protocol) struct Request {
    pub(in crate::protocol) exchange: u64,
    pub(in crate::protocol) method: Method,
    /// Of the span.
    pub(in crate::protocol) name: &'static str,
    pub(in crate::protocol) attributes: Vec<Attribute>,
    pub(in crate::protocol) notes: Vec<Note>,
    /// Bytes of body so far; `None` if it has none, or if they cannot be counted.
    pub(in crate::protocol) body: Option<u64>,
    /// More of the body is to come.
    pub(in crate::protocol) unfinished: bool,
    /// The client waits for leave to send the body.
    pub(in crate::protocol) expects_continue: bool,
    pub(in crate::protocol) last: Moved,
    pub(in crate::protocol) response: Option<Response>,
}

/// A response, complete or not.
#[derive(Debug)]
pub(in crate::protocol) struct Response {
    pub(in crate::protocol) status: Option<u16>,
    /// Bytes of body so far; `None` if it has none, or if they cannot be counted.
    pub(in crate::protocol) body: Option<u64>,
    /// The chunk that completed the head.
    pub(in crate::protocol) head: Moved,
    /// Bytes after the head were taken for its body.
    pub(in crate::protocol) has_gone_on: bool,
    pub(in crate::protocol) last: Moved,
    pub(in crate::protocol) notes: Vec<Note>,
    /// Its head, or bytes in it, were lost.
    pub(in crate::protocol) lost: bool,
    /// How it ended, if it has.
    pub(in crate::protocol) ending: Option<Ending>,
}

/// How an exchange ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Ending {
    /// With its response.
    Complete,
    /// Without, or in the middle of it; `error` is the value of `error.type`.
    Aborted {
        error: &'static str,
        time: Timestamp,
    },
    /// Nobody knows.
    Lost(Note),
}

impl Response {
    pub(in crate::protocol) fn new(status: Option<u16>, now: Moved) -> Self {
        Self {
            status,
            body: None,
            head: now,
            has_gone_on: false,
            last: now,
            notes: Vec::new(),
            lost: false,
            ending: None,
        }
    }

    /// Whether the connection is no longer HTTP/1 after it.
    pub(in crate::protocol) fn switches(&self, method: Method) -> bool {
        match self.status {
            Some(101) => true,
            Some(200..300) => method == Method::Connect,
            _ => false,
        }
    }

    pub(in crate::protocol) fn moved(&mut self, payload: u64, now: Moved) {
        self.has_gone_on = true;
        self.last = now;
        if let Some(body) = &mut self.body {
            *body = body.saturating_add(payload);
        }
    }

    /// Ends it with its head: what was taken for its body is none.
    pub(in crate::protocol) fn end_at_head(&mut self) {
        self.body = None;
        self.last = self.head;
        self.ending = Some(Ending::Complete);
    }
}

/// The exchanges of one connection, in the order of their requests.
#[derive(Debug)]
pub(in crate::protocol) struct Exchanges {
    pub(in crate::protocol) side: Side,
    /// Requests without a complete response. Only the first can have a response already.
    pub(in crate::protocol) open: VecDeque<Request>,
    /// Responses that came before their request did. None while a request is open.
    pub(in crate::protocol) early: VecDeque<Response>,
    /// Every request since the last loss is known, so a response that finds none open is ahead of
    /// its own. Else it answers a request that nobody saw.
    pub(in crate::protocol) aligned: bool,
    /// Requests that were let go before their response came.
    pub(in crate::protocol) abandoned: usize,
    /// The response now coming is nobody's.
    pub(in crate::protocol) ignoring: bool,
    /// The number of the next exchange.
    pub(in crate::protocol) next: u64,
    /// Notes about what belongs to no exchange; the next one carries them.
    pub(in crate::protocol) notes: Vec<Note>,
}

impl Exchanges {
    pub(in crate::protocol) fn new(aligned: bool) -> Self {
        Self {
            side: Side::Server,
            open: VecDeque::new(),
            early: VecDeque::new(),
            aligned,
            abandoned: 0,
            ignoring: false,
            next: 0,
            notes: Vec::new(),
        }
    }

    /// The response whose bytes are now coming.
    pub(in crate::protocol) fn current(&mut self) -> Option<&mut Response> {
        if self.ignoring {
            return None;
        }
        match self.early.back_mut() {
            Some(early) => Some(early),
            None => self.open.front_mut()?.response.as_mut(),
        }
        .filter(|response| response.ending.is_none())
    }

    /// The request whose bytes are now coming.
    pub(in crate::protocol) fn coming(&mut self) -> Option<&mut Request> {
        self.open.back_mut().filter(|request| request.unfinished)
    }

    /// Finds the request that a response's head answers. Returns its method.
    pub(in crate::protocol) fn answer(&mut self, response: Response, early_max: usize) -> Method {
        self.ignoring = false;
        if self.abandoned > 0 {
            self.abandoned -= 1;
            self.ignoring = true;
            return Method::Other;
        }
        match self.open.front_mut() {
            Some(request) if request.response.is_none() => {
                request.response = Some(response);
                return request.method;
            }
            None if self.aligned && self.early.len() < early_max => self.early.push_back(response),
            _ => {
                self.ignoring = true;
                self.aligned = false;
                self.early.clear();
                note::add(&mut self.notes, note::UNASKED);
            }
        }
        Method::Other
    }

    /// Takes out the request that is open, if there is but one and it is being answered.
    pub(in crate::protocol) fn take_only(&mut self) -> Option<Request> {
        let only = self.open.len() == 1 && self.open.front()?.response.is_some();
        only.then(|| self.open.pop_front()).flatten()
    }

    /// Ends the oldest exchange.
    pub(in crate::protocol) fn finish(&mut self, ending: Ending, events: &mut Vec<ParserEvent>) {
        let Some(request) = self.open.pop_front() else {
            return;
        };
        events.push(ParserEvent::Finished(request.finished(self.side, ending)));
    }

    /// Ends all exchanges from the one at `first` on.
    pub(in crate::protocol) fn finish_from(
        &mut self,
        first: usize,
        ending: Ending,
        events: &mut Vec<ParserEvent>,
    ) {
        for request in self.open.drain(first.min(self.open.len())..) {
            events.push(ParserEvent::Finished(request.finished(self.side, ending)));
        }
    }

    /// Lets the oldest exchange go; its response will be ignored.
    pub(in crate::protocol) fn abandon_oldest(&mut self, events: &mut Vec<ParserEvent>) {
        match self.open.front() {
            Some(Request {
                response: Some(_), ..
            }) => self.ignoring = true,
            Some(_) => self.abandoned += 1,
            None => {}
        }
        self.finish(Ending::Lost(note::TOO_MANY_OPEN), events);
    }

    /// Which response answers which request is not known any more.
    pub(in crate::protocol) fn lose(
        &mut self,
        first: usize,
        note: Note,
        events: &mut Vec<ParserEvent>,
    ) {
        self.finish_from(first, Ending::Lost(note), events);
        self.early.clear();
        self.aligned = false;
        self.abandoned = 0;
    }

    /// Bytes of heap memory; asked once in a while, so that exchanges need not keep count.
    pub(in crate::protocol) fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Request>()
            + self.early.capacity() * size_of::<Response>()
            + self.open.iter().map(Request::weight).sum::<usize>()
    }
}

impl Request {
    /// Its heap memory, in bytes; the same from its start to its end.
    pub(in crate::protocol) fn weight(&self) -> usize {
        let texts: usize = self
            .attributes
            .iter()
            .map(|attribute| match &attribute.value {
                Value::Text(Cow::Owned(text)) => text.capacity(),
                _ => 0,
            })
            .sum();
        texts + self.attributes.capacity() * size_of::<Attribute>()
    }

    pub(in crate::protocol) fn finished(mut self, side: Side, ending: Ending) -> Finished {
        let response = self.response.take();
        let status = response.as_ref().and_then(|response| response.status);
        let last = response
            .as_ref()
            .map_or(self.last, |response| response.last);
        let mut add = |key, value: i64| self.attributes.push(Attribute::new(key, value));
        if let Some(status) = status {
            add("http.response.status_code", i64::from(status));
        }
        // A complete answer to a request that was not seen to its end: either the answer came early,
        // or the rest of the request went a way that is not seen (splice). Its size is not known.
        let unseen = self.unfinished && ending == Ending::Complete;
        if let Some(body) = self.body.filter(|_| !unseen) {
            add(
                "http.request.body.size",
                body.try_into().unwrap_or(i64::MAX),
            );
        }
        if let Some(body) = response.as_ref().and_then(|response| response.body) {
            add(
                "http.response.body.size",
                body.try_into().unwrap_or(i64::MAX),
            );
        }
        let lost = response.as_ref().is_some_and(|response| response.lost);
        let answered = response.is_some();
        for &note in response.iter().flat_map(|response| &response.notes) {
            note::add(&mut self.notes, note);
        }
        if unseen {
            note::add(&mut self.notes, note::REQUEST_UNFINISHED);
        }
        let (outcome, end) = match ending {
            Ending::Complete if lost => (Outcome::Lost, last.time),
            Ending::Complete => (Outcome::Complete, last.time),
            Ending::Aborted { time, .. } => (Outcome::Aborted, time.max(last.time)),
            Ending::Lost(note) => {
                note::add(&mut self.notes, note);
                (Outcome::Lost, last.time)
            }
        };
        // A status that is an error explains more than the end of the connection after it.
        let failure = status.filter(|&status| is_error(side, status));
        let error = match (failure, ending) {
            (Some(status), _) => Some(Value::from(status.to_string())),
            (None, Ending::Aborted { error, .. }) => Some(Value::from(error)),
            (None, _) => None,
        };
        let status = match error {
            Some(_) => SpanStatus::Error,
            None => SpanStatus::Unset,
        };
        if let Some(error) = error {
            self.attributes.push(Attribute::new("error.type", error));
        }
        Finished {
            exchange: self.exchange,
            end,
            task: answered.then_some(last.task),
            outcome,
            kind: None,
            links: Vec::new(),
            name: Cow::Borrowed(self.name),
            status,
            attributes: self.attributes,
            notes: self.notes,
        }
    }
}

/// A server is not at fault for a client's errors (HTTP spans, "Status").
pub(in crate::protocol) fn is_error(side: Side, status: u16) -> bool {
    match side {
        Side::Server => (500..600).contains(&status),
        Side::Client => (400..600).contains(&status),
    }
}
