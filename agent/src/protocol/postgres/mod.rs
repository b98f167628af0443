//! PostgreSQL's frontend/backend protocol, versions 3.0 and 3.2 ("Frontend/Backend Protocol" in
//! PostgreSQL's manual), seen from either end.
//!
//! [`front`] reads what the client sends and [`back`] what the server does; [`exchanges`] puts them
//! together.
//!
//! # What is an exchange
//!
//! - **A simple query**, also of several statements; a function call.
//! - **Each Execute** of the extended protocol, pipelined or not. It begins with the messages that
//!   prepare it (Parse, Bind, Describe), since the last Execute, Flush or Sync, and ends with its
//!   answer, or with ReadyForQuery where that is the next. What the server skips after an error, up to
//!   Sync, is an error too: `pipeline_aborted`.
//! - **What fails without an Execute**: a Parse of its own, and a login (`connect DATABASE`).
//!   Succeeding ones are none, nor is a request to cancel, which has no answer.
//! - `COPY` is one from its query to the end of the data. A replication stream never ends: its
//!   exchange ends where it begins, and nothing is looked at any more. Notifications answer nothing.
//!
//! # Where the bytes do not tell
//!
//! Servers send results in pieces of 8 KiB, of which the first half and the end are captured, so the place
//! in the stream is often lost inside a result. Its end is found at a wholly captured chunk that ends
//! with ReadyForQuery, or it is the last byte before the client's next message (or the connection's
//! end). The number of rows is then known only from the server's own count, or not. Where
//! several queries were under way, nobody knows which were answered: they end as
//! [`Outcome::Lost`](crate::model::Outcome::Lost).

mod back;
mod exchanges;
mod front;
mod messages;
mod note;
mod statements;
#[cfg(test)]
mod tests;

use crate::model::{
    Chunk, Connection, ConnectionEnd, Direction, ParserEvent, Protocol, Role, Side,
};

use super::frames::{Frames, Moved};
use super::{Behind, Entry, Parser, Settings, Wants, ending};
use exchanges::{Answer, Exchanges};
use statements::Statements;

pub use messages::likeness;

/// PostgreSQL among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Postgres,
    likeness,
    make: |connection, settings| Box::new(Postgres::new(connection, settings)),
};

/// The parser of one connection.
#[derive(Debug)]
pub struct Postgres {
    settings: Settings,
    /// The direction in which the client speaks, once it is known.
    requests: Option<Direction>,
    front: Frames,
    back: Frames,
    /// The client's next message begins with its length, as all before StartupMessage's end do.
    starting: bool,
    /// The server has not been ready yet: it logs the client in.
    logging_in: bool,
    /// It has sent a message, not only said whether it encrypts.
    back_speaks: bool,
    /// The next chunk of the server's begins with a message, although frames are lost.
    back_ready: bool,
    /// When the server's last byte moved.
    back_moved: Option<Moved>,
    /// What the server's present message says, once it is over.
    pending: Option<Answer>,
    statements: Statements,
    exchanges: Exchanges,
    /// The directions that are over: received, sent.
    over: [bool; 2],
    /// Nothing more is understood.
    nothing: bool,
}

impl Postgres {
    fn new(connection: &Connection, settings: &Settings) -> Self {
        let requests = match connection.role {
            Role::Connected => Some(Direction::Sent),
            Role::Accepted => Some(Direction::Received),
            Role::Unknown => None,
        };
        let from_start = connection.from_start && requests.is_some();
        let limit = settings.limits.message;
        Self {
            settings: settings.clone(),
            requests,
            front: Frames::new(from_start, limit),
            back: Frames::new(from_start, limit),
            starting: from_start,
            logging_in: from_start,
            back_speaks: false,
            back_ready: false,
            back_moved: None,
            pending: None,
            statements: Statements::new(&settings.limits),
            exchanges: Exchanges::new(
                from_start,
                requests.map_or(Side::Server, side),
                &settings.limits,
            ),
            over: [false; 2],
            nothing: false,
        }
    }

    /// What comes is no longer this protocol.
    fn stop(&mut self) {
        self.nothing = true;
        self.front.give_up();
        self.back.give_up();
    }

    fn find_side(&mut self, chunk: &Chunk<'_>) -> Option<Direction> {
        if self.requests.is_none() {
            let requests = if messages::is_front(chunk.data, chunk.length) {
                chunk.direction
            } else if messages::is_back(chunk.data, chunk.length) {
                chunk.direction.opposite()
            } else {
                return None;
            };
            self.requests = Some(requests);
            self.exchanges.side = side(requests);
        }
        self.requests
    }
}

const fn side(requests: Direction) -> Side {
    match requests {
        Direction::Received => Side::Server,
        Direction::Sent => Side::Client,
    }
}

impl Parser for Postgres {
    fn protocol(&self) -> Protocol {
        Protocol::Postgres
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        if self.nothing {
            return;
        }
        let Some(requests) = self.find_side(chunk) else {
            return;
        };
        if chunk.direction == requests {
            self.front_chunk(chunk, events);
        } else {
            self.back_chunk(chunk, events);
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        for direction in [Direction::Received, Direction::Sent] {
            if ending::ends(end.reason, direction) {
                self.over[direction as usize] = true;
            }
        }
        let answers = self
            .requests
            .map_or(Direction::Received, Direction::opposite);
        if self.over[answers as usize] {
            if self.back.is_lost() {
                self.exchanges.infer(self.back_moved, events);
            }
            self.exchanges.end(end, events);
        }
    }

    fn wants(&self, direction: Direction) -> Wants {
        if self.nothing {
            return Wants::Nothing;
        }
        let frames = match self.requests {
            Some(requests) if requests == direction => &self.front,
            Some(_) => &self.back,
            None => return Wants::Bytes,
        };
        match frames.skips_until(self.settings.limits.skip) {
            Some(offset) => Wants::SkipUntil(offset),
            None => Wants::Bytes,
        }
    }

    fn behind(&self) -> Behind {
        Behind::Tail
    }

    fn is_between_requests(&self, direction: Direction) -> bool {
        self.requests == Some(direction)
            && self.front.is_at_boundary()
            && self.back.is_at_boundary()
            && !self.starting
            && self.exchanges.is_idle()
    }

    fn memory(&self) -> usize {
        size_of::<Self>()
            + self.front.memory()
            + self.back.memory()
            + self.statements.memory()
            + self.exchanges.memory()
    }
}
