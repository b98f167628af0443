//! The client/server protocol of MySQL and MariaDB ("Client/Server Protocol" in MySQL's source
//! documentation, and in MariaDB's knowledge base), seen from either end.
//!
//! [`front`] reads what the client sends and [`back`] what the server does.
//!
//! # What is an exchange
//!
//! - **A query** (COM_QUERY), also one of several statements: up to its last result, and with the file
//!   that `LOAD DATA LOCAL` sends.
//! - **Each execution of a prepared statement**, also in bulk, and each fetch from its cursor, which
//!   tell of the statement that was prepared.
//! - **What fails besides**: a login or a change of the user (`connect`), preparing a statement,
//!   changing the database (`USE`). Succeeding ones are none, nor are all other commands.
//!
//! # Where the bytes do not tell
//!
//! Of each read the beginning and the end are captured, so the place in the stream is often lost inside a
//! result. It ends with an error at the end of a read, or with the last byte before the client's next command
//! (or before the connection's end); then it is told as [`Outcome::Lost`](crate::model::Outcome::Lost),
//! without its rows.
//!
//! A compressed or encrypted connection, and one that replicates, is not looked at.

mod back;
mod exchanges;
mod front;
mod note;
mod packets;
mod statements;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::model::{
    Chunk, Connection, ConnectionEnd, ConnectionId, Direction, Note, ParserEvent, Protocol, Role,
    Side,
};

use super::frames::{Frames, Moved};
use super::{Behind, Entry, Parser, Settings, Wants, ending};
use exchanges::{Exchanges, Expect};
use packets::HEAD;
use statements::Statements;

pub use packets::likeness;

/// MySQL among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Mysql,
    likeness,
    make: |connection, settings| Box::new(Mysql::new(connection, settings)),
};

/// The parser of one connection.
#[derive(Debug)]
pub struct Mysql {
    settings: Settings,
    /// The direction in which the client speaks, once it is known.
    requests: Option<Direction>,
    front: Frames,
    back: Frames,
    /// The server's greeting has come, or is lost.
    greeted: bool,
    /// So has the client's answer to it.
    login_came: bool,
    logged_in: bool,
    /// Capabilities that the server offers, where they are known, and those that are agreed on.
    offered: Option<u64>,
    flags: u64,
    /// Columns are not followed by an EOF packet; `None` until that is known.
    deprecates_eof: Option<bool>,
    /// The client's last sequence number, and whether its packet goes on.
    front_sequence: Option<u8>,
    front_continues: bool,
    /// Every command so far is known: what answers none is early.
    aligned: bool,
    /// What the server sent before the command that it answers was seen.
    early: VecDeque<Early>,
    early_size: usize,
    /// Four bytes that came by themselves, where the place is lost: a command's head, perhaps. Servers read
    /// that first.
    head: Option<(Direction, Early)>,
    /// The server's next chunk begins an answer, although the place is lost.
    resumes: bool,
    /// When the server's last byte moved, and whether it has been silent since the last command.
    back_moved: Moved,
    quiet: bool,
    statements: Statements,
    exchanges: Exchanges,
    /// The directions that are over: received, sent.
    over: [bool; 2],
    /// Nothing more is understood.
    nothing: bool,
}

/// A chunk that waits.
#[derive(Debug)]
struct Early {
    data: Box<[u8]>,
    position: u64,
    gap: u64,
    length: u64,
    moved: Moved,
}

impl Early {
    fn of(chunk: &Chunk<'_>) -> Self {
        Self {
            data: chunk.data.into(),
            position: chunk.position,
            gap: chunk.gap,
            length: chunk.length,
            moved: Moved::of(chunk),
        }
    }

    fn chunk(&self, direction: Direction) -> Chunk<'_> {
        Chunk {
            connection: ConnectionId(0),
            direction,
            position: self.position,
            gap: self.gap,
            length: self.length,
            data: &self.data,
            time: self.moved.time,
            task: self.moved.task,
        }
    }
}

impl Mysql {
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
            greeted: !from_start,
            login_came: !from_start,
            logged_in: !from_start,
            offered: None,
            flags: 0,
            deprecates_eof: None,
            front_sequence: None,
            front_continues: false,
            aligned: from_start,
            early: VecDeque::new(),
            early_size: 0,
            head: None,
            resumes: false,
            back_moved: Moved::default(),
            quiet: true,
            statements: Statements::new(&settings.limits),
            exchanges: Exchanges::new(requests.map_or(Side::Server, side), settings.limits.open),
            over: [false; 2],
            nothing: false,
        }
    }

    /// What comes is no longer this protocol.
    fn stop(&mut self) {
        self.nothing = true;
        self.front.give_up();
        self.back.give_up();
        self.forget_early();
    }

    /// The connection replicates from here on.
    fn replicates(&mut self, now: Moved, events: &mut Vec<ParserEvent>) {
        self.lose(note::BYTES_LOST, now, events);
        self.stop();
    }

    fn forget_early(&mut self) {
        self.early = VecDeque::new();
        self.early_size = 0;
    }

    /// Nobody knows what answers what.
    fn lose(&mut self, why: Note, now: Moved, events: &mut Vec<ParserEvent>) {
        self.aligned = false;
        self.resumes = false;
        self.back.give_up();
        self.forget_early();
        self.exchanges.lose(why, now, events);
    }

    /// A command has come, but is not open yet.
    fn before_request(&mut self, now: Moved, events: &mut Vec<ParserEvent>) {
        // Definitions that nobody ends, and the client goes on: so that is agreed.
        if self.deprecates_eof.is_none()
            && !self.quiet
            && let [Some(one), None] = [0, 1].map(|at| self.exchanges.open.get(at))
            && one.expect == Expect::Definitions(0)
        {
            self.deprecates_eof = Some(true);
            self.exchanges.answered(self.back_moved, events);
        }
        if !self.back.is_lost() {
            return;
        }
        // Where the server's answer has been lost sight of, it ended before this.
        match self.exchanges.open.is_empty() {
            true => self.resumes = true,
            false if self.quiet => self.lose(note::BYTES_LOST, now, events),
            false => {
                self.exchanges.infer(self.back_moved, events);
                self.resumes = true;
            }
        }
    }

    /// A command is open: perhaps it has been answered.
    fn asked(&mut self, events: &mut Vec<ParserEvent>) {
        self.quiet = true;
        if self.back.is_lost() {
            return;
        }
        let now = self.back_moved;
        self.back_packets(now, events);
        while !self.nothing && self.exchanges.open.front().is_some() {
            let Some(early) = self.early.pop_front() else {
                return;
            };
            self.early_size -= early.data.len();
            let chunk = early.chunk(Direction::Received);
            self.back_chunk(&chunk, events);
        }
    }

    /// Keeps what the server said before anybody asked.
    fn keep_early(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let limits = self.settings.limits;
        if self.early.len() >= limits.early || self.early_size + chunk.data.len() > limits.message {
            return self.lose(note::BYTES_LOST, Moved::of(chunk), events);
        }
        self.early_size += chunk.data.len();
        self.early.push_back(Early::of(chunk));
    }

    /// Where the place is lost, and a command's head has come by itself: whether that is the head that was
    /// held, and this the rest.
    fn completes_head(&mut self, chunk: &Chunk<'_>) -> Option<Early> {
        let (_, head) = self.head.take_if(|(of, _)| *of == chunk.direction)?;
        let command = [&head.data, chunk.data].concat();
        let length = head.length + chunk.length;
        (chunk.gap == 0 && packets::is_front(&command, length)).then_some(head)
    }

    fn may_be_head(&self, chunk: &Chunk<'_>) -> bool {
        let head = HEAD as u64 == chunk.length && chunk.data.len() == HEAD && chunk.data[3] == 0;
        let front = self.requests.is_none_or(|front| front == chunk.direction);
        head && front && self.front.is_lost()
    }

    fn find_side(&mut self, chunk: &Chunk<'_>) -> Option<Direction> {
        if self.requests.is_none() && packets::is_front(chunk.data, chunk.length) {
            self.requests = Some(chunk.direction);
            self.exchanges.side = side(chunk.direction);
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

impl Parser for Mysql {
    fn protocol(&self) -> Protocol {
        Protocol::Mysql
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        if self.nothing {
            return;
        }
        if let Some(head) = self.completes_head(chunk) {
            self.requests = Some(chunk.direction);
            self.exchanges.side = side(chunk.direction);
            self.front_chunk(&head.chunk(chunk.direction), true, events);
        } else if self.may_be_head(chunk) {
            self.head = Some((chunk.direction, Early::of(chunk)));
            return;
        }
        let Some(requests) = self.find_side(chunk) else {
            return;
        };
        if chunk.direction == requests {
            self.front_chunk(chunk, false, events);
        } else if self.waits() && !(self.back.is_at_boundary() && self.early.is_empty()) {
            self.keep_early(chunk, events);
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
            if self.back.is_lost() && !self.quiet {
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
            && self.logged_in
            && self.front.is_at_boundary()
            && self.back.is_at_boundary()
            && self.early.is_empty()
            && self.exchanges.open.is_empty()
    }

    fn memory(&self) -> usize {
        size_of::<Self>()
            + self.front.memory()
            + self.back.memory()
            + self.early.capacity() * size_of::<Early>()
            + self.early_size
            + self.statements.memory()
            + self.exchanges.memory()
    }
}
