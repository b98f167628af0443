//! Redis and its kin (Valkey, KeyDB, Dragonfly): RESP2, RESP3 and inline commands, seen from either end.
//!
//! Each command is an exchange, also in pipelines; replies come in the order of the commands
//! ([`Fifo`]).
//!
//! # What is told, and what is not
//!
//! - **Names** are the commands' in capitals, with the second word of those that have one (`CONFIG
//!   GET`); the command as the client wrote it is no more than a matter of its case.
//! - **Arguments** are never told, but for keys with [`QueryText::Full`](super::QueryText::Full), and the program of `EVAL`
//!   with it; passwords lie in arguments that are neither. A script's digest or a function's name is
//!   `db.stored_procedure.name`.
//! - **Transactions**: each queued command is an exchange that ends with `+QUEUED` (and has a note);
//!   `EXEC` is the one that runs them, has their number as `db.operation.batch.size`, and the error of
//!   the first that failed.
//! - **Subscriptions** end with the confirmation of their last channel. Messages that are delivered to
//!   a subscriber, and what RESP3 pushes, are no exchanges: nothing answers them, and they carry no
//!   context.
//! - **Handshakes and keep-alives** (`HELLO`, `AUTH`, `SELECT`, `PING`, ...) are told only where they
//!   fail. What clients try on servers that may be too old for it (`CLIENT SETINFO`, ...) is never told.
//! - **Blocking commands** (`BLPOP`, `XREAD BLOCK`) keep their true times and have a note.
//! - **The database** (`db.namespace`) is the one that `SELECT` chose when it was answered; on a
//!   connection that is joined late it is not known before that.
//! - **Long answers** of several values, whose inner lengths lie among bytes that were not captured, end
//!   with the last byte before the client asks again, where it is known to wait; with a note.
//! - `MONITOR` and replication end what is understood.

mod attributes;
mod command;
mod commands;
mod core;
mod element;
mod likeness;
mod note;
mod replies;
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

/// Redis among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Redis,
    likeness,
    make: |connection, settings| Box::new(Redis::new(connection, settings)),
};

/// The parser of one connection.
struct Redis {
    /// The direction that carries commands, once it is known.
    requests: Option<Direction>,
    /// Commands, replies.
    frames: [Frames; 2],
    core: Core,
    /// Shortest rest of a message that is worth skipping.
    skip: u64,
}

impl Redis {
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
                connection.from_start,
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
            } else if likeness::is_reply(chunk.data, chunk.length) {
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

impl Parser for Redis {
    fn protocol(&self) -> Protocol {
        Protocol::Redis
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        if self.core.over {
            return;
        }
        match self.find_side(chunk) {
            Some(requests) if requests == chunk.direction => self.request_chunk(chunk, events),
            Some(_) => self.reply_chunk(chunk, events),
            None => {}
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
