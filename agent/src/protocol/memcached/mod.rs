//! Memcached's text protocol with its meta commands, seen from either end:
//! <https://github.com/memcached/memcached/blob/master/doc/protocol.txt>.
//!
//! Each command is an exchange, also in pipelines; answers come in the order of the commands ([`Fifo`]).
//! The old binary protocol is known and left alone.
//!
//! # What is told, and what is not
//!
//! - **Keys** only with [`QueryText::Full`](super::QueryText::Full); values and credentials never. The text is the command with
//!   `?` for each key.
//! - **Outcomes** that are neither success nor failure (`NOT_FOUND`, `EXISTS`, `NOT_STORED`, a miss `EN`)
//!   are `db.response.status_code`; only `ERROR`, `CLIENT_ERROR` and `SERVER_ERROR` are errors.
//! - **Hits** of retrievals are `db.response.returned_rows`.
//! - **Long answers** of several values, whose inner lengths lie among bytes that were not captured, end
//!   with the last byte before the client asks again, where it is known to wait; with a note.
//! - **Without an answer**: `noreply`, and meta commands with the flag `q`, end with their own last byte.
//!   Of the latter an answer may come all the same (a hit; a failure): it is recognised by what it says
//!   where another one is expected, else it is taken for the next command's. Clients put `mn` behind
//!   them; that has no span, like `version`, by which connections are tried.

mod answers;
mod command;
mod core;
mod likeness;
mod note;
mod requests;
#[cfg(test)]
mod tests;

use crate::model::{
    Chunk, Connection, ConnectionEnd, Direction, ParserEvent, Protocol, Role, Side,
};

use self::core::Core;
use super::fifo::Fifo;
use super::frames::Frames;
use super::{Entry, Parser, Settings, Wants, ending};

pub use likeness::likeness;

/// Memcached among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Memcached,
    likeness,
    make: |connection, settings| Box::new(Memcached::new(connection, settings)),
};

/// The parser of one connection.
struct Memcached {
    /// The direction that carries commands, once it is known.
    requests: Option<Direction>,
    /// Commands, answers.
    frames: [Frames; 2],
    core: Core,
    /// Shortest rest of a message that is worth skipping.
    skip: u64,
}

impl Memcached {
    fn new(connection: &Connection, settings: &Settings) -> Self {
        let limits = settings.limits;
        let requests = match connection.role {
            Role::Accepted => Some(Direction::Received),
            Role::Connected => Some(Direction::Sent),
            Role::Unknown => None,
        };
        let frames = || Frames::new(connection.from_start, limits.message);
        Self {
            requests,
            frames: [frames(), frames()],
            core: Core::new(
                side(requests),
                Fifo::new(connection.from_start, connection.time, limits.early),
                limits,
                settings.query_text,
            ),
            skip: limits.skip,
        }
    }

    fn find_side(&mut self, chunk: &Chunk<'_>) -> Option<Direction> {
        if self.requests.is_none() {
            if likeness::is_command(chunk.data) {
                self.requests = Some(chunk.direction);
            } else if likeness::is_answer(chunk.data) {
                self.requests = Some(chunk.direction.opposite());
            }
            self.core.side = side(self.requests);
        }
        self.requests
    }
}

fn side(requests: Option<Direction>) -> Side {
    match requests {
        Some(Direction::Sent) => Side::Client,
        _ => Side::Server,
    }
}

impl Parser for Memcached {
    fn protocol(&self) -> Protocol {
        Protocol::Memcached
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        if self.core.over {
            return;
        }
        match self.find_side(chunk) {
            Some(requests) if requests == chunk.direction => {
                if likeness::is_binary(chunk.data) && self.core.is_new() {
                    self.core.over = true;
                    return;
                }
                self.request_chunk(chunk, events);
            }
            Some(_) => self.answer_chunk(chunk, events),
            None => self.core.over = likeness::is_binary(chunk.data),
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let Some(requests) = self.requests else {
            return;
        };
        if ending::ends(end.reason, requests.opposite()) {
            self.core.end(end, true, events);
        } else if ending::ends(end.reason, requests) {
            self.core.end(end, false, events);
        }
    }

    fn wants(&self, direction: Direction) -> Wants {
        if self.core.over {
            return Wants::Nothing;
        }
        let Some(requests) = self.requests else {
            return Wants::Bytes;
        };
        let frames = &self.frames[usize::from(direction != requests)];
        match frames.skips_until(self.skip) {
            Some(until) => Wants::SkipUntil(until),
            None => Wants::Bytes,
        }
    }

    fn is_between_requests(&self, direction: Direction) -> bool {
        self.requests == Some(direction)
            && self.frames.iter().all(Frames::is_at_boundary)
            && self.core.is_at_rest()
    }

    fn memory(&self) -> usize {
        let frames: usize = self.frames.iter().map(Frames::memory).sum();
        size_of::<Self>() + frames + self.core.memory()
    }
}
