//! One connection: from kernel chunks to a parser's events.

use std::collections::VecDeque;

use clew_common::control::{
    CAPTURE, Control, IGNORE, IS_CLIENT, IS_SERVER, REQUEST_AT, SKIP_RECEIVED, SKIP_SENT,
    SKIP_THRESHOLD, UNDECIDED,
};

use super::stream::{Place, Stream};
use crate::{
    metrics::{Count, Drop, Metrics},
    model::{
        Address, Carried, Chunk, Connection, ConnectionEnd, Direction, ParserEvent, Role, Side,
        Started, Task, Timestamp,
    },
    protocol::{self, Likeness, Parser, Wants},
};

/// Chunks of a connection older than the agent that may pass by before it is taken for one that
/// no parser understands.
const LATE_TRIES: u32 = 64;
/// Bytes of a stream's start that are kept while they are too few to tell the protocol.
const PREFIX_MAX: usize = 32;
/// Chunks after which the kernel is told that the connection is wanted, so that it stops asking.
/// A connection with fewer is not worth the system call.
const CONFIRM_AFTER: u32 = 8;
/// How far ahead a skip may reach: positions in the kernel have 32 bits and are compared by
/// distance.
const SKIP_AHEAD_MAX: u64 = 1 << 30;
/// A skip shorter than this is not worth the system call.
const SKIP_MIN: u64 = 128 << 10;

/// What is known about the protocol.
enum Speech {
    /// Too little was seen.
    Unknown { prefix: [Vec<u8>; 2], tries: u32 },
    /// A parser understands it.
    Known,
    /// None does.
    Foreign,
}

/// A connection and its parser.
pub struct Tracked {
    /// What the kernel said when it was first seen, and where its streams stand now.
    pub connection: Connection,
    /// Address of the kernel's socket.
    pub socket: u64,
    /// The process that used it last.
    pub last_pid: u32,
    /// When its last chunk moved.
    pub last_seen: Timestamp,
    streams: [Stream; 2],
    speech: Speech,
    parser: Option<Box<dyn Parser>>,
    chunks: u32,
    told: Control,
    /// Contexts of messages that the parser has not reported yet, by the low half of their position.
    carried: VecDeque<(u32, Carried)>,
    /// On a connection of unknown role: what its first request has shown.
    side: Option<Side>,
    /// The kernel side asks where the next request that is sent begins.
    boundary_asked: bool,
}

/// Contexts that may wait for their messages; of more the oldest goes. Most often there is one.
const CARRIED_MAX: usize = 64;

/// A captured chunk as the kernel gave it.
pub struct RawChunk<'a> {
    /// Which way.
    pub direction: Direction,
    /// Position as the kernel counts it.
    pub position: u64,
    /// The position may be one too high.
    pub perhaps_fin: bool,
    /// Bytes that the kernel side inserted while these were sent: they have positions, but are
    /// not among `length` and `data`.
    pub inserted: u64,
    /// The kernel side asks where the next request that is sent begins.
    pub boundary_unknown: bool,
    /// Bytes moved, not 0.
    pub length: u64,
    /// Captured bytes.
    pub data: &'a [u8],
    /// When.
    pub time: Timestamp,
    /// Who.
    pub task: Task,
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Received => 0,
        Direction::Sent => 1,
    }
}

impl Tracked {
    /// A connection that has just been announced.
    #[must_use]
    pub fn new(connection: Connection, socket: u64, parser: Box<dyn Parser>) -> Self {
        let streams = connection.positions.map(Stream::at);
        Self {
            last_pid: connection.pid,
            last_seen: connection.time,
            connection,
            socket,
            streams,
            speech: Speech::Unknown {
                prefix: [Vec::new(), Vec::new()],
                tries: 0,
            },
            parser: Some(parser),
            chunks: 0,
            told: Control::default(),
            carried: VecDeque::new(),
            side: None,
            boundary_asked: false,
        }
    }

    /// Whether nothing more of it is of interest.
    #[must_use]
    pub const fn is_ignored(&self) -> bool {
        matches!(self.speech, Speech::Foreign)
    }

    /// Stops listening to it.
    pub fn ignore(&mut self) {
        self.speech = Speech::Foreign;
        self.parser = None;
    }

    /// Bytes that its parser holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.parser.as_ref().map_or(0, |parser| parser.memory())
    }

    /// Takes a chunk; the parser's events go to `events`.
    pub fn chunk(&mut self, raw: &RawChunk<'_>, metrics: &Metrics, events: &mut Vec<ParserEvent>) {
        self.last_seen = raw.time;
        self.last_pid = raw.task.pid;
        let wraps = matches!(self.connection.address, Address::Tcp { .. });
        let stream = &mut self.streams[index(raw.direction)];
        let place = stream.place(raw.position, raw.length, wraps, raw.perhaps_fin);
        stream.pass(raw.inserted);
        if raw.direction == Direction::Sent {
            self.boundary_asked = raw.boundary_unknown;
        }
        let Place::At { position, gap } = place else {
            metrics.drop(Drop::LateChunk, 1);
            return;
        };
        self.connection.now[index(raw.direction)] = position.wrapping_add(raw.length);
        if gap > 0 && !self.skips(raw.direction) {
            metrics.count(Count::Gaps, 1);
        }
        self.chunks = self.chunks.saturating_add(1);
        let Some(parser) = &mut self.parser else {
            return;
        };
        parser.chunk(
            &Chunk {
                connection: self.connection.id,
                direction: raw.direction,
                position,
                gap,
                length: raw.length,
                data: raw.data,
                time: raw.time,
                task: raw.task,
            },
            events,
        );
        if matches!(self.speech, Speech::Unknown { .. }) {
            self.recognise(raw, !events.is_empty(), metrics);
        }
    }

    /// Keeps the context of a message that is to come.
    pub fn carried(&mut self, position: u32, carried: Carried) {
        if self.carried.len() == CARRIED_MAX {
            self.carried.pop_front();
        }
        self.carried.push_back((position, carried));
    }

    /// The parser reports a request: adds what the kernel knows of it.
    pub fn started(&mut self, started: &mut Started) {
        if self.connection.role == Role::Unknown {
            self.side = Some(started.side);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the kernel counts in 32 bits"
        )]
        let position = started.position as u32;
        while let Some(&(at, carried)) = self.carried.front() {
            // Compared by distance: positions wrap.
            let ahead = at.wrapping_sub(position).cast_signed();
            if ahead > 0 {
                break;
            }
            self.carried.pop_front();
            if ahead == 0 {
                started.carried = Some(carried);
            }
        }
    }

    /// Tells the parser of an end.
    pub fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        if let Some(parser) = &mut self.parser {
            parser.ended(end, events);
        }
    }

    /// Decides whether the parser can understand this connection.
    fn recognise(&mut self, raw: &RawChunk<'_>, understood: bool, metrics: &Metrics) {
        let Speech::Unknown { prefix, tries } = &mut self.speech else {
            return;
        };
        if understood {
            self.speech = Speech::Known;
            return;
        }
        *tries += 1;
        let prefix = &mut prefix[index(raw.direction)];
        // On a connection seen from its start the first bytes decide; on an older one any chunk
        // may be the middle of a body, so only a chunk that begins well says something.
        if !self.connection.from_start {
            prefix.clear();
        }
        let room = PREFIX_MAX - prefix.len();
        prefix.extend_from_slice(&raw.data[..raw.data.len().min(room)]);
        let verdict = match protocol::likeness(raw.direction, prefix) {
            Likeness::Yes => Some(Speech::Known),
            Likeness::Perhaps if prefix.len() < PREFIX_MAX => None,
            Likeness::No | Likeness::Perhaps if self.connection.from_start => Some(Speech::Foreign),
            _ if *tries >= LATE_TRIES => Some(Speech::Foreign),
            _ => None,
        };
        match verdict {
            Some(Speech::Foreign) => {
                metrics.count(Count::ConnectionsIgnored, 1);
                self.ignore();
            }
            Some(known) => self.speech = known,
            None => {}
        }
    }

    fn skips(&self, direction: Direction) -> bool {
        self.told.flags & skip_flag(direction) != 0
    }

    /// What the kernel should be told now, if that has changed. Asked after each chunk.
    pub fn control(&mut self, raw: &RawChunk<'_>) -> Option<Control> {
        let wanted = self.wanted(raw);
        if wanted == self.told {
            return None;
        }
        self.told = wanted;
        Some(wanted)
    }

    fn wanted(&self, raw: &RawChunk<'_>) -> Control {
        let ignored = Control {
            verdict: IGNORE,
            ..Control::default()
        };
        let Some(parser) = &self.parser else {
            return ignored;
        };
        let mut control = self.told;
        if self.boundary_asked
            && parser.is_between_requests(Direction::Sent)
            && let Some(next) = self.streams[index(Direction::Sent)].next()
        {
            control.flags |= REQUEST_AT;
            control.request_at = next as u32;
        }
        if control.verdict == UNDECIDED
            && (self.chunks >= CONFIRM_AFTER || self.side.is_some())
            && matches!(self.speech, Speech::Known)
        {
            control.verdict = CAPTURE;
            control.flags |= match self.side {
                None => 0,
                Some(Side::Client) => IS_CLIENT,
                Some(Side::Server) => IS_SERVER,
            };
        }
        // Skips begin and end with chunks that are large enough to ask for them.
        let large = raw.length >= u64::from(SKIP_THRESHOLD);
        if !large && control.flags & !REQUEST_AT == 0 && control.verdict != UNDECIDED {
            return control;
        }
        for direction in [Direction::Received, Direction::Sent] {
            let flag = skip_flag(direction);
            let until = match parser.wants(direction) {
                Wants::Nothing => return ignored,
                Wants::Bytes => None,
                Wants::SkipUntil(until) => {
                    let next = self.streams[index(direction)].next().unwrap_or(until);
                    let ahead = until.saturating_sub(next);
                    (ahead >= SKIP_MIN || control.flags & flag != 0 && ahead > 0)
                        .then_some((next, ahead))
                }
            };
            let field = match direction {
                Direction::Received => &mut control.received_until,
                Direction::Sent => &mut control.sent_until,
            };
            match until {
                Some((next, ahead)) => {
                    control.flags |= flag;
                    *field = next.wrapping_add(ahead.min(SKIP_AHEAD_MAX)) as u32;
                }
                None => {
                    control.flags &= !flag;
                    *field = 0;
                }
            }
        }
        control
    }
}

const fn skip_flag(direction: Direction) -> u32 {
    match direction {
        Direction::Received => SKIP_RECEIVED,
        Direction::Sent => SKIP_SENT,
    }
}
