//! One connection: from kernel chunks to a parser's events.

use std::borrow::Cow;
use std::collections::VecDeque;

use clew_common::control::{
    CAPTURE, Control, FRAMES, IGNORE, IS_CLIENT, IS_SERVER, REQUEST_AT, SKIP_RECEIVED, SKIP_SENT,
    SKIP_THRESHOLD, TAIL, UNDECIDED,
};

use super::stream::{Place, Stream};
use crate::{
    metrics::{Count, Drop, Metrics},
    model::{
        Address, Carried, Chunk, Connection, ConnectionEnd, ConnectionId, Direction, ParserEvent,
        Role, Side, Started, Task, Timestamp,
    },
    protocol::frames::{self, PIECES_MAX},
    protocol::{self, Behind, Likeness, Parser, Sample, Settings, Wants},
};

/// Chunks of a connection older than the agent that may pass by before it is taken for one that
/// no parser understands.
const LATE_TRIES: u32 = 64;
/// The same for datagrams, of which each would say it.
const DATAGRAM_TRIES: u32 = 3;
/// Captured bytes of a connection's start that are kept while they are too few to tell the protocol:
/// no protocol needs more than an HTTP/1 request line with a method of one's own.
const HELD_BYTES_MAX: usize = 8 << 10;
/// Chunks of it.
const HELD_CHUNKS_MAX: usize = 64;
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
    Unknown { held: Vec<Held>, tries: u32 },
    /// A parser understands it.
    Known(Box<dyn Parser>),
    /// None does.
    Foreign,
}

/// A chunk that waits for its parser.
struct Held {
    direction: Direction,
    position: u64,
    gap: u64,
    length: u64,
    data: Box<[u8]>,
    time: Timestamp,
    task: Task,
}

impl Held {
    fn of(chunk: &Chunk<'_>) -> Self {
        Self {
            direction: chunk.direction,
            position: chunk.position,
            gap: chunk.gap,
            length: chunk.length,
            data: chunk.data.into(),
            time: chunk.time,
            task: chunk.task,
        }
    }

    fn chunk(&self, connection: ConnectionId) -> Chunk<'_> {
        Chunk {
            connection,
            direction: self.direction,
            position: self.position,
            gap: self.gap,
            length: self.length,
            data: &self.data,
            time: self.time,
            task: self.task,
        }
    }
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
    chunks: u32,
    told: Control,
    /// Contexts of messages that the parser has not reported yet, by the low half of their position.
    carried: VecDeque<(u32, Carried)>,
    /// On a connection whose beginning was not seen: what its first request has shown.
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
    pub fn new(connection: Connection, socket: u64) -> Self {
        let streams = connection.positions.map(Stream::at);
        Self {
            last_pid: connection.pid,
            last_seen: connection.time,
            connection,
            socket,
            streams,
            speech: Speech::Unknown {
                held: Vec::new(),
                tries: 0,
            },
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
    }

    /// Bytes that its parser holds, or that wait for one.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.speech {
            Speech::Known(parser) => parser.memory(),
            Speech::Unknown { held, .. } => {
                let data: usize = held.iter().map(|held| held.data.len()).sum();
                data + held.capacity() * size_of::<Held>()
            }
            Speech::Foreign => 0,
        }
    }

    /// Takes a chunk; the parser's events go to `events`.
    pub fn chunk(
        &mut self,
        raw: &RawChunk<'_>,
        settings: &Settings,
        metrics: &Metrics,
        events: &mut Vec<ParserEvent>,
    ) {
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
        let chunk = Chunk {
            connection: self.connection.id,
            direction: raw.direction,
            position,
            gap,
            length: raw.length,
            data: raw.data,
            time: raw.time,
            task: raw.task,
        };
        match &mut self.speech {
            Speech::Known(parser) => {
                protocol::play(parser, &self.connection, settings, &chunk, events);
            }
            Speech::Unknown { .. } => self.recognise(&chunk, settings, metrics, events),
            Speech::Foreign => {}
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
        if self.connection.role == Role::Unknown || !self.connection.from_start {
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

    /// Whether the kernel was told something of it.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told != Control::default()
    }

    /// Whether nothing is known to be under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match &self.speech {
            Speech::Known(parser) => [Direction::Received, Direction::Sent]
                .iter()
                .all(|&direction| parser.is_between_requests(direction)),
            _ => true,
        }
    }

    /// Tells the parser of an end.
    pub fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        if let Speech::Known(parser) = &mut self.speech {
            parser.ended(end, events);
        }
    }

    /// Finds the parser that understands this connection, and plays to it what has waited for it.
    fn recognise(
        &mut self,
        chunk: &Chunk<'_>,
        settings: &Settings,
        metrics: &Metrics,
        events: &mut Vec<ParserEvent>,
    ) {
        let Speech::Unknown { held, tries } = &mut self.speech else {
            return;
        };
        *tries += 1;
        // On a connection seen from its start the first bytes decide; on an older one any chunk
        // may be the middle of a body, so only a chunk that begins well says something.
        let from_start = self.connection.from_start;
        let mut bytes = Cow::Borrowed(chunk.data);
        let mut length = chunk.length;
        let mut whole = from_start && chunk.gap == 0;
        if from_start {
            let before = held.iter().filter(|held| held.direction == chunk.direction);
            let (mut joined, mut before_length) = (Vec::new(), 0);
            for held in before {
                joined.extend_from_slice(&held.data);
                before_length += held.length;
                whole &= held.gap == 0;
            }
            whole &= before_length == joined.len() as u64;
            if whole && !joined.is_empty() {
                joined.extend_from_slice(chunk.data);
                bytes = Cow::Owned(joined);
                length += before_length;
            }
        }
        let sample = Sample {
            direction: chunk.direction,
            sender: match (self.connection.role, chunk.direction) {
                (Role::Connected, Direction::Sent) | (Role::Accepted, Direction::Received) => {
                    Some(Side::Client)
                }
                (Role::Connected, Direction::Received) | (Role::Accepted, Direction::Sent) => {
                    Some(Side::Server)
                }
                (Role::Unknown, _) => None,
            },
            from_start: whole,
            bytes: &bytes,
            length,
        };
        let has_datagrams = self.connection.address.has_datagrams();
        let (mut found, most_tries) = match has_datagrams {
            true => (protocol::identify_datagram(&sample), DATAGRAM_TRIES),
            false => (protocol::identify(&sample), LATE_TRIES),
        };
        let may_go_on = !from_start && !has_datagrams;
        if may_go_on {
            // Nor does the rest of a message say much whose head was read by itself, or byte by byte.
            let goes_on = |held: &Held| chunk.gap == 0 && held.direction == chunk.direction;
            held.retain(|held| found.is_err() && goes_on(held));
            for from in 0..held.len() {
                let pieces = held[from..].iter().map(|held| &*held.data);
                let joined: Vec<u8> = pieces.chain([chunk.data]).flatten().copied().collect();
                let before = (joined.len() - chunk.data.len()) as u64;
                found = protocol::identify(&Sample {
                    bytes: &joined,
                    length: chunk.length + before,
                    ..sample
                });
                if found.is_ok() {
                    held.drain(..from);
                    break;
                }
            }
        }
        match found {
            Ok(entry) => {
                let mut parser = (entry.make)(&self.connection, settings);
                for held in held.iter() {
                    let held = held.chunk(chunk.connection);
                    protocol::play(&mut parser, &self.connection, settings, &held, events);
                }
                protocol::play(&mut parser, &self.connection, settings, chunk, events);
                self.speech = Speech::Known(parser);
            }
            Err(Likeness::Perhaps) if from_start => {
                held.push(Held::of(chunk));
                let bytes: usize = held.iter().map(|held| held.data.len()).sum();
                if bytes > HELD_BYTES_MAX || held.len() > HELD_CHUNKS_MAX {
                    self.give_up(metrics);
                }
            }
            Err(_) if from_start || *tries >= most_tries => self.give_up(metrics),
            Err(_) => {
                let may_go_on = may_go_on && frames::is_piece(chunk);
                let kept = if may_go_on { PIECES_MAX - 1 } else { 0 };
                held.drain(..held.len().saturating_sub(kept));
                if may_go_on {
                    held.push(Held::of(chunk));
                }
            }
        }
    }

    /// No parser understands it.
    fn give_up(&mut self, metrics: &Metrics) {
        metrics.count(Count::ConnectionsIgnored, 1);
        self.ignore();
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
        let parser = match &self.speech {
            Speech::Known(parser) => parser,
            Speech::Unknown { .. } => return self.told,
            Speech::Foreign => return ignored,
        };
        let mut control = self.told;
        if self.boundary_asked
            && parser.is_between_requests(Direction::Sent)
            && let Some(next) = self.streams[index(Direction::Sent)].next()
        {
            control.flags |= REQUEST_AT;
            control.request_at = next as u32;
        }
        // A UDP socket is often used for one question only, and does not take turns anyway.
        let side = match self.connection.address.has_datagrams() {
            true => None,
            false => self.side,
        };
        let behind = match parser.behind() {
            Behind::Nothing => 0,
            Behind::Frames => FRAMES,
            Behind::Tail => TAIL,
        };
        if control.verdict == UNDECIDED
            && (self.chunks >= CONFIRM_AFTER || side.is_some() || behind != 0)
        {
            control.verdict = CAPTURE;
            control.flags |= match side {
                None => 0,
                Some(Side::Client) => IS_CLIENT,
                Some(Side::Server) => IS_SERVER,
            };
        }
        control.flags = control.flags & !(FRAMES | TAIL) | behind;
        // Skips begin and end with chunks that are large enough to ask for them.
        let large = raw.length >= u64::from(SKIP_THRESHOLD);
        let skips = control.flags & (SKIP_RECEIVED | SKIP_SENT) != 0;
        if !large && !skips && control.verdict != UNDECIDED {
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
