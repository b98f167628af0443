//! FastCGI 1.0 (<https://fastcgi-archives.github.io/FastCGI_Specification.html>): what a web server
//! passes on to an application.
//!
//! A request is an HTTP request in other words, so its span is HTTP's: the same name and the same
//! attributes, with `network.protocol.name` `fastcgi`, because that is what is spoken on the connection. The
//! server's span has the application's script as `code.file.path`. A trace context is found in the
//! parameters of the headers (`HTTP_TRACEPARENT`).
//!
//! - A request begins with its last parameter. Its body is counted and never read.
//! - The status is the one of the `Status` field; without that it is 200, or 302 with a `Location`
//!   (RFC 3875, section 6).
//! - Requests may be multiplexed by their ids. Ids are used again, so an answer belongs to the oldest
//!   request of its id.
//! - An answer that ends without any head was not seen whole, unless the application says that it refused,
//!   or the web server gave up.
//! - An agent sees the first bytes of a long write, so the last record of a long answer may pass unseen.
//!   Such an answer, once its status is known, is taken to end with the last byte before the next request
//!   of its id begins or the connection closes; its size is left out.
//! - Authorizers and filters are taken like responders. Management records are passed over.

mod exchange;
mod open;
mod record;
mod request;
mod response;
#[cfg(test)]
mod tests;

use crate::model::{
    Chunk, Connection, ConnectionEnd, Direction, EndReason, Note, ParserEvent, Protocol, Role,
};

use super::frames::{Frames, Moved, Step};
use super::{Entry, Limits, Parser, Settings, Wants};
use exchange::Exchanges;
use record::Header;

/// FastCGI among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::FastCgi,
    likeness: record::likeness,
    make: |connection, settings| Box::new(FastCgi::new(connection, settings)),
};

const END_INFERRED: Note = "end of response inferred";
const PARAMETERS_CUT: Note = "parameters cut";
const NO_HEAD: Note = "response head not captured";
const STDERR: Note = "application wrote to stderr";
const EXIT_STATUS: Note = "application status is not 0";
const ABORTED: Note = "request aborted by web server";

/// The parser of one connection.
#[derive(Debug)]
pub struct FastCgi {
    limits: Limits,
    /// The direction that carries requests, once it is known.
    requests: Option<Direction>,
    /// Received, sent.
    frames: [Frames; 2],
    /// Directions in which nothing comes any more.
    ended: [bool; 2],
    exchanges: Exchanges,
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Received => 0,
        Direction::Sent => 1,
    }
}

impl FastCgi {
    /// A parser for a connection whose first chunk is still to come.
    #[must_use]
    pub fn new(connection: &Connection, settings: &Settings) -> Self {
        let limits = settings.limits;
        let requests = match connection.role {
            Role::Accepted => Some(Direction::Received),
            Role::Connected => Some(Direction::Sent),
            Role::Unknown => None,
        };
        let mut exchanges = Exchanges::new(connection.from_start, settings);
        if let Some(requests) = requests {
            exchanges.set_side(requests);
        }
        Self {
            limits,
            requests,
            frames: [(); 2].map(|()| Frames::new(connection.from_start, limits.message)),
            ended: [false; 2],
            exchanges,
        }
    }
}

impl Parser for FastCgi {
    fn protocol(&self) -> Protocol {
        Protocol::FastCgi
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let Self {
            requests,
            frames,
            exchanges,
            ..
        } = self;
        let direction = chunk.direction;
        let frames = &mut frames[index(direction)];
        let was_lost = frames.is_lost();
        frames.chunk_or_pieces(chunk, |bytes, _| {
            record::is_record(bytes, requests.map(|requests| requests == direction))
        });
        let answers = *requests == Some(direction.opposite());
        if answers && was_lost && chunk.gap > 0 {
            exchanges.pass_answers(false, Moved::of(chunk), events);
        }
        while let Some(step) =
            frames.next(|bytes| record::framing(bytes, |id| exchanges.wants_output(id)))
        {
            match step {
                Step::Frame(frame) => {
                    let Some(header) = Header::read(frame.bytes) else {
                        continue;
                    };
                    let found = record::requests(&header, direction);
                    if requests.is_none() {
                        exchanges.set_side(found);
                        *requests = Some(found);
                    }
                    // What goes the wrong way is nobody's.
                    if *requests == Some(found) {
                        exchanges.record(&header, &frame, events);
                    }
                }
                Step::Ended(moved) => exchanges.ended_record(direction, moved, events),
                Step::Lost if *requests == Some(direction) => {
                    exchanges.lose_requests(Moved::of(chunk), events);
                }
                Step::Lost => {
                    let hidden = chunk.gap == 0 && chunk.length > chunk.data.len() as u64;
                    exchanges.lose_answers(hidden, Moved::of(chunk), events);
                }
            }
        }
        if answers {
            exchanges.set_answers_lost(frames.is_lost());
            if frames.is_lost() {
                exchanges.pass_answers(frames.has_pieces(), Moved::of(chunk), events);
            }
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        match end.reason {
            EndReason::PeerClosed => self.ended[0] = true,
            EndReason::LocalClosed => self.ended[1] = true,
            _ => self.ended = [true; 2],
        }
        let answers = self
            .requests
            .map_or(Direction::Received, Direction::opposite);
        if self.ended[index(answers)] {
            self.exchanges.end(end, events);
        }
    }

    fn wants(&self, direction: Direction) -> Wants {
        match self.frames[index(direction)].skips_until(self.limits.skip) {
            Some(offset) => Wants::SkipUntil(offset),
            None => Wants::Bytes,
        }
    }

    fn is_between_requests(&self, direction: Direction) -> bool {
        self.requests == Some(direction)
            && self.frames.iter().all(Frames::is_at_boundary)
            && self.exchanges.is_empty()
    }

    fn memory(&self) -> usize {
        let frames: usize = self.frames.iter().map(Frames::memory).sum();
        size_of::<Self>() + frames + self.exchanges.memory()
    }
}
