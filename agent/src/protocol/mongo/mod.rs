//! MongoDB's wire protocol: `OP_MSG`, `OP_COMPRESSED`, and the messages of old
//! (<https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>).
//!
//! Requests and replies are paired by `requestID` and `responseTo`. Span names and attributes follow
//! OpenTelemetry's conventions for MongoDB: `find orders`.
//!
//! # What has no span
//!
//! - Handshakes, heartbeats and what drivers do for themselves: `hello` (also where the server streams
//!   answers to it), `isMaster`, `ping`, `endSessions`, `refreshSessions`, `logout`, and the heartbeats of
//!   replica sets.
//! - Authentication, unless it fails.
//! - A `getMore` that waits for documents still to be written (a tailable cursor, a change stream): no
//!   span where none came; else one that begins when the reply came, so that it does not look slow. Such
//!   a cursor is known by `maxTimeMS`, which servers take for no other, and by the command that opened it if
//!   that was on the same connection. Elsewhere the span keeps its times, with a note if nothing came.
//!
//! # What else is assumed
//!
//! - A request that asks for no answer (`moreToCome`: an unacknowledged write) ends with its own last byte.
//! - Replies that follow one another (`moreToCome`: an exhaust cursor) are one exchange.
//! - A write whose reply has `writeErrors` or a `writeConcernError` failed, with the code of the first.
//! - Filters, documents and values are never exported, and no `db.query.text` is made of them.
//! - What snappy or zstd compressed is an exchange named `mongodb`, with a note; also a waiting `getMore`
//!   is one then, as it cannot be told from others.

mod bson;
mod command;
mod exchange;
mod message;
mod reply;
#[cfg(test)]
mod tests;
mod zip;

use crate::model::{
    Chunk, Connection, ConnectionEnd, Direction, EndReason, Note, ParserEvent, Protocol, Role,
};

use super::frames::{Frames, Moved, Step};
use super::{Entry, Limits, Parser, Settings, Wants};
use exchange::Exchanges;
use message::Header;

/// MongoDB among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Mongo,
    likeness: message::likeness,
    make: |connection, settings| Box::new(Mongo::new(connection, settings)),
};

const COMPRESSED: Note = "command compressed";
const COMMAND_UNSEEN: Note = "command not captured";
const COMMAND_CUT: Note = "command cut";
const REPLY_CUT: Note = "reply cut";
const WAITED: Note = "waited for data";
const GAP: Note = "bytes lost";
const TOO_MANY_OPEN: Note = "too many requests open";

/// The parser of one connection.
#[derive(Debug)]
pub struct Mongo {
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

impl Mongo {
    /// A parser for a connection whose first chunk is still to come.
    #[must_use]
    pub fn new(connection: &Connection, settings: &Settings) -> Self {
        let limits = settings.limits;
        let requests = match connection.role {
            Role::Accepted => Some(Direction::Received),
            Role::Connected => Some(Direction::Sent),
            Role::Unknown => None,
        };
        let mut exchanges = Exchanges::new(connection.from_start, limits);
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

impl Parser for Mongo {
    fn protocol(&self) -> Protocol {
        Protocol::Mongo
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let Self {
            limits,
            requests,
            frames,
            exchanges,
            ..
        } = self;
        let direction = chunk.direction;
        let frames = &mut frames[index(direction)];
        frames.chunk_or_pieces(chunk, |bytes, _| {
            message::is_message(bytes, requests.map(|requests| requests == direction))
        });
        while let Some(step) = frames.next(|bytes| message::framing(bytes, limits.message)) {
            let asks = *requests == Some(direction);
            match step {
                Step::Frame(frame) => {
                    let Some(header) = Header::read(frame.bytes) else {
                        continue;
                    };
                    let asks = match requests {
                        Some(_) => asks,
                        None => {
                            let asks = header.to == 0 && header.code != message::OP_REPLY;
                            let found = if asks {
                                direction
                            } else {
                                direction.opposite()
                            };
                            exchanges.set_side(found);
                            *requests = Some(found);
                            asks
                        }
                    };
                    if asks {
                        exchanges.ask(&header, &frame, events);
                    } else {
                        exchanges.answer(&header, &frame);
                    }
                }
                Step::Ended(moved) if asks => exchanges.asked(moved, events),
                Step::Ended(moved) => exchanges.answered(moved, events),
                Step::Lost if asks => exchanges.lose_requests(Moved::of(chunk), events),
                Step::Lost => exchanges.lose_replies(Moved::of(chunk), events),
            }
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        match end.reason {
            EndReason::PeerClosed => self.ended[0] = true,
            EndReason::LocalClosed => self.ended[1] = true,
            _ => self.ended = [true; 2],
        }
        let replies = self
            .requests
            .map_or(Direction::Received, Direction::opposite);
        if self.ended[index(replies)] {
            let lost = self.frames[index(replies)].is_lost();
            self.exchanges.end(end, lost, events);
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
