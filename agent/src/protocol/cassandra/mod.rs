//! Cassandra's CQL binary protocol, versions 3 to 5 (`native_protocol_v3.spec` to `v5.spec` in
//! Cassandra's sources), seen from either end.
//!
//! Requests and answers are paired by their stream, so they may overlap. [`envelope`] finds where they
//! begin and end, [`request`] and [`result`] read them, [`exchanges`] puts them together.
//!
//! # What is an exchange
//!
//! - **QUERY, EXECUTE and BATCH**; each page of a result is one, as the client asks for each.
//! - **What fails besides**: a PREPARE, and a login (`connect`). Succeeding ones are none, nor is an
//!   attempt with a version that the server does not understand. OPTIONS, which drivers send as a sign
//!   of life, and REGISTER are never one; EVENTs answer nothing.
//!
//! # Prepared statements
//!
//! A driver prepares a statement on one connection and executes it on all. All connections share what
//! is known ([`Prepared`]): a statement's id is a sum of its keyspace and text, the same everywhere.
//!
//! # Where the bytes do not tell
//!
//! - Of **compressed** envelopes the head is read: which operation it is, and whether it fails. In
//!   version 5 whole frames are compressed, so nothing is told of such a connection.
//! - **Lost bytes**: a request whose answer was lost ends as
//!   [`Outcome::Lost`](crate::model::Outcome::Lost) when its stream is used again, or with the
//!   connection.

mod envelope;
mod exchanges;
mod likeness;
mod note;
mod reader;
mod request;
mod result;
mod statements;
#[cfg(test)]
mod tests;

use std::mem::size_of;

use super::frames::{Frame, Frames, Step};
use super::{Entry, Parser, Settings, Wants, ending};
use crate::model::{
    Chunk, Connection, ConnectionEnd, Direction, ParserEvent, Protocol, Role, Side,
};
use envelope::{FRAME_HEADER, FRAMED_SINCE, FrameHeader, HEADER, Header, Opcode};
use exchanges::{Begin, Exchanges};
use request::{Session, Startup};
use result::Answer;

pub use likeness::likeness;
pub use statements::Prepared;

/// Cassandra among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Cassandra,
    likeness,
    make: |connection, settings| Box::new(Cassandra::new(connection, settings)),
};

/// One direction.
#[derive(Debug)]
struct Lane {
    frames: Frames,
    /// Envelopes stand in frames; `None` while that is not known.
    framed: Option<bool>,
    /// Bytes of the present envelope that are in frames to come.
    rest: u64,
    /// Answers in the present frame, or the one that goes on in the next frames.
    pending: Vec<(i16, Answer)>,
}

/// The parser of one connection.
#[derive(Debug)]
pub struct Cassandra {
    settings: Settings,
    /// The direction in which the client speaks, once it is known.
    requests: Option<Direction>,
    /// Received, sent.
    lanes: [Lane; 2],
    exchanges: Exchanges,
    /// Directions that are over.
    over: [bool; 2],
    /// Nothing more is understood.
    nothing: bool,
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Received => 0,
        Direction::Sent => 1,
    }
}

const fn side(requests: Direction) -> Side {
    match requests {
        Direction::Received => Side::Server,
        Direction::Sent => Side::Client,
    }
}

impl Cassandra {
    fn new(connection: &Connection, settings: &Settings) -> Self {
        let requests = match connection.role {
            Role::Connected => Some(Direction::Sent),
            Role::Accepted => Some(Direction::Received),
            Role::Unknown => None,
        };
        let from_start = connection.from_start;
        Self {
            settings: settings.clone(),
            requests,
            lanes: [(); 2].map(|()| Lane {
                frames: Frames::new(from_start, settings.limits.message),
                framed: from_start.then_some(false),
                rest: 0,
                pending: Vec::new(),
            }),
            exchanges: Exchanges::new(from_start, requests.map_or(Side::Server, side), settings),
            over: [false; 2],
            nothing: false,
        }
    }

    fn find_side(&mut self, chunk: &Chunk<'_>) -> Option<Direction> {
        if self.requests.is_none() {
            let header = Header::read(chunk.data)
                .filter(|_| likeness::is_plain(chunk.data, chunk.length, None))
                .or_else(|| envelope::first_in_frame(chunk.data))
                .or_else(|| Header::read(chunk.data).filter(|header| header.length == 0))?;
            let requests = match header.is_request {
                true => chunk.direction,
                false => chunk.direction.opposite(),
            };
            self.requests = Some(requests);
            self.exchanges.side = side(requests);
        }
        self.requests
    }

    /// Whether a direction whose place was lost is found again.
    fn is_found(&mut self, bytes: &[u8], chunk: &Chunk<'_>, asks: bool) -> bool {
        let framed = self.lanes[index(chunk.direction)].framed;
        // That frames began may have been lost too.
        let found = match framed {
            _ if likeness::is_framed(bytes, Some(asks)) => Some(true),
            Some(true) => None,
            _ => likeness::is_plain(bytes, chunk.length, Some(asks)).then_some(false),
        };
        if found.is_some() && found != framed {
            self.lanes.iter_mut().for_each(|lane| lane.framed = found);
        }
        found.is_some()
    }

    fn lose(&mut self, asks: bool) {
        if asks {
            self.exchanges.lose_requests();
        } else {
            self.exchanges.lose_answers();
        }
    }

    /// A frame: the envelopes in it, or a piece of one.
    fn frame(&mut self, at: usize, asks: bool, frame: &Frame<'_>, events: &mut Vec<ParserEvent>) {
        let Some(head) = FrameHeader::read(frame.bytes) else {
            return;
        };
        let payload = &frame.bytes[FRAME_HEADER..];
        if self.lanes[at].rest > 0 {
            self.lanes[at].rest = self.lanes[at].rest.saturating_sub(head.length as u64);
            return;
        }
        let mut from = 0;
        while from < head.length {
            let bytes = payload.get(from..).unwrap_or_default();
            let header = Header::read(bytes).filter(|header| header.is_request == asks);
            let Some(header) = header else {
                return self.lose(asks);
            };
            let left = (head.length - from) as u64;
            if (header.whole() <= left) != head.self_contained {
                return self.lose(asks);
            }
            let whole = usize::try_from(header.whole()).unwrap_or(usize::MAX);
            let begin = Begin {
                // The first begins with the frame: there the client's message begins.
                position: match from {
                    0 => frame.position,
                    _ => frame.position.wrapping_add((FRAME_HEADER + from) as u64),
                },
                first: frame.first,
                last: frame.last,
            };
            let body = &bytes[HEADER..bytes.len().min(whole)];
            self.envelope(at, &header, body, begin, events);
            self.lanes[at].rest = header.whole().saturating_sub(left);
            from = from.saturating_add(whole);
        }
    }

    fn envelope(
        &mut self,
        at: usize,
        header: &Header,
        body: &[u8],
        begin: Begin,
        events: &mut Vec<ParserEvent>,
    ) {
        if !header.is_request {
            let answer = Answer::read(header, body);
            let begins = matches!(header.opcode, Opcode::Ready | Opcode::Authenticate);
            if begins && header.version >= FRAMED_SINCE {
                self.lanes[at].framed = Some(true);
            } else if header.opcode == Opcode::Error && self.lanes[at].framed == Some(false) {
                // The client may begin anew.
                self.lanes[1 - at].framed = Some(false);
            }
            self.lanes[at].pending.push((header.stream, answer));
            return;
        }
        if header.opcode == Opcode::Startup && header.version >= FRAMED_SINCE {
            if Startup::read(body).is_some_and(|startup| startup.compresses) {
                self.nothing = true;
            }
            self.lanes[at].framed = Some(true);
        }
        let session = Session {
            keyspace: self.exchanges.keyspace.as_ref(),
            settings: &self.settings,
        };
        let request = session.request(header, body);
        self.exchanges.ask(header.stream, begin, request, events);
    }

    fn step(
        &mut self,
        at: usize,
        asks: bool,
        frames: &mut Frames,
        events: &mut Vec<ParserEvent>,
    ) -> Option<()> {
        let limit = self.settings.limits.message;
        let framed = self.lanes[at].framed == Some(true);
        match frames.next(|bytes| match framed {
            true => envelope::framed(bytes, limit),
            false => envelope::plain(bytes, limit),
        })? {
            Step::Frame(frame) if framed => self.frame(at, asks, &frame, events),
            Step::Frame(frame) => {
                let header = Header::read(frame.bytes);
                match header.filter(|header| header.is_request == asks && header.stands_alone()) {
                    Some(header) => {
                        let begin = Begin {
                            position: frame.position,
                            first: frame.first,
                            last: frame.last,
                        };
                        self.envelope(at, &header, &frame.bytes[HEADER..], begin, events);
                    }
                    None => {
                        frames.give_up();
                        self.lose(asks);
                    }
                }
            }
            Step::Ended(moved) => {
                if self.lanes[at].rest == 0 {
                    let mut pending = std::mem::take(&mut self.lanes[at].pending);
                    for (stream, answer) in pending.drain(..) {
                        self.exchanges.answer(stream, answer, moved, events);
                    }
                    self.lanes[at].pending = pending;
                }
            }
            Step::Lost => {
                self.lanes[at].rest = 0;
                self.lanes[at].pending.clear();
                self.lose(asks);
            }
        }
        Some(())
    }
}

impl Parser for Cassandra {
    fn protocol(&self) -> Protocol {
        Protocol::Cassandra
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        if self.nothing {
            return;
        }
        let Some(requests) = self.find_side(chunk) else {
            return;
        };
        let asks = chunk.direction == requests;
        let at = index(chunk.direction);
        // Taken out, so that the rest can be used beside it.
        let empty = Frames::new(false, 0);
        let mut frames = std::mem::replace(&mut self.lanes[at].frames, empty);
        frames.chunk(chunk, |bytes| self.is_found(bytes, chunk, asks));
        while !self.nothing && self.step(at, asks, &mut frames, events).is_some() {}
        self.lanes[at].frames = frames;
        if self.nothing {
            self.lanes.iter_mut().for_each(|lane| lane.frames.give_up());
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        for direction in [Direction::Received, Direction::Sent] {
            self.over[index(direction)] |= ending::ends(end.reason, direction);
        }
        let answers = self
            .requests
            .map_or(Direction::Received, Direction::opposite);
        if self.over[index(answers)] {
            self.exchanges.end(end, events);
        }
    }

    fn wants(&self, direction: Direction) -> Wants {
        if self.nothing {
            return Wants::Nothing;
        }
        let frames = &self.lanes[index(direction)].frames;
        match frames.skips_until(self.settings.limits.skip) {
            Some(offset) => Wants::SkipUntil(offset),
            None => Wants::Bytes,
        }
    }

    fn is_between_requests(&self, direction: Direction) -> bool {
        self.requests == Some(direction)
            && self
                .lanes
                .iter()
                .all(|lane| lane.frames.is_at_boundary() && lane.rest == 0)
            && self.exchanges.is_idle()
    }

    fn memory(&self) -> usize {
        let lanes: usize = self
            .lanes
            .iter()
            .map(|lane| lane.frames.memory() + lane.pending.capacity() * size_of::<(i16, Answer)>())
            .sum();
        size_of::<Self>() + lanes + self.exchanges.memory()
    }
}
