//! From the bytes of a connection to its exchanges: one file per protocol, behind one trait.
//!
//! A protocol is known by its content, never by a port. [`ALL`] lists what can be known.

pub mod amqp;
pub mod cassandra;
pub mod cursor;
pub mod dns;
pub mod ending;
pub mod fastcgi;
pub mod fifo;
pub mod frames;
pub mod http1;
pub mod http2;
pub mod kafka;
pub mod memcached;
pub mod mongo;
pub mod mqtt;
pub mod mysql;
pub mod nats;
pub mod open;
pub mod pairs;
pub mod postgres;
pub mod recording;
pub mod redis;
pub mod sql;
pub mod template;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::context::Extractor;
use crate::model::{Chunk, Connection, ConnectionEnd, Direction, ParserEvent, Protocol, Side};

/// What a parser still wants of one direction of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// The bytes, as they come.
    Bytes,
    /// Nothing before this stream offset: a body of known length lies there. The chunk that
    /// reaches the offset is wanted again.
    SkipUntil(u64),
    /// Nothing any more: the connection has become something else (a tunnel, say).
    Nothing,
}

/// What matters in a call that moves more bytes than are captured of it, behind those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Nothing: it is a body, or what it is makes no difference.
    Nothing,
    /// The frames of HTTP/2 that begin there.
    Frames,
    /// The last bytes: how what was asked for ended.
    Tail,
}

/// What parses a connection that has become another protocol.
pub struct Successor {
    /// Its parser.
    pub parser: Box<dyn Parser>,
    /// Where it begins, in the stream of the chunk that was parsed last; what comes in the other
    /// direction is the successor's too.
    pub from: u64,
}

/// Parses one connection, both directions.
///
/// Parsing never fails hard: captures are cut, joined late, and sometimes lies. A parser returns
/// what it understood, with notes; it never panics, loops, or allocates by a length that it read.
pub trait Parser: Send {
    /// Which protocol it parses.
    fn protocol(&self) -> Protocol;

    /// Takes the next chunk of a direction. Chunks of one direction come in stream order, with
    /// holes announced in [`Chunk::gap`]; between the directions the order is that of the kernel's
    /// events, which on loopback is not always that of cause and effect: a response may be seen
    /// before the end of its request.
    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>);

    /// The connection, or one of its directions, has ended.
    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>);

    /// Asked after each chunk: the parser of what the connection has become, if it has. It takes over the
    /// exchanges that are open, and the count of exchanges.
    fn successor(&mut self, connection: &Connection, settings: &Settings) -> Option<Successor> {
        let _ = (connection, settings);
        None
    }

    /// What it wants of a direction from now on.
    fn wants(&self, direction: Direction) -> Wants;

    /// What the kernel should look for behind the captured bytes of a call; it comes as further chunks.
    fn behind(&self) -> Behind {
        Behind::Nothing
    }

    /// Whether all that has moved in a direction are complete requests, and all are answered: what
    /// comes next begins another.
    fn is_between_requests(&self, direction: Direction) -> bool;

    /// Bytes of memory that it holds, for the budget.
    fn memory(&self) -> usize;
}

/// What the first bytes of a direction say about a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// They are this protocol's.
    Yes,
    /// They are not.
    No,
    /// Too few to tell.
    Perhaps,
}

/// Bytes by which a protocol is to be known.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Which way they went.
    pub direction: Direction,
    /// Which end sent them, where the connection's beginning was seen.
    pub sender: Option<Side>,
    /// They are the first of their direction. Else they are the first of some chunk, which may be the
    /// middle of anything: only what can hardly be anything else is to be taken for a protocol then.
    pub from_start: bool,
    /// Those that were captured.
    pub bytes: &'a [u8],
    /// How many there were, the captured ones included.
    pub length: u64,
}

/// A protocol: how it is known, and what parses it.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Which one.
    pub protocol: Protocol,
    /// Whether bytes are this protocol's.
    pub likeness: fn(&Sample<'_>) -> Likeness,
    /// Makes a parser for a connection.
    pub make: fn(&Connection, &Settings) -> Box<dyn Parser>,
}

/// All protocols. The first that knows the bytes gets the connection, so what is harder to mistake
/// comes first.
pub const ALL: &[Entry] = &[
    http2::ENTRY,
    http1::ENTRY,
    postgres::ENTRY,
    mysql::ENTRY,
    cassandra::ENTRY,
    amqp::ENTRY,
    mqtt::ENTRY,
    mongo::ENTRY,
    kafka::ENTRY,
    fastcgi::ENTRY,
    nats::ENTRY,
    redis::ENTRY,
    memcached::ENTRY,
    dns::ENTRY,
];

/// Those whose messages are datagrams; each is a chunk of its own.
pub const OF_DATAGRAMS: &[Entry] = &[dns::DATAGRAMS];

/// Plays a chunk to a connection's parser; if the connection becomes another protocol in it, the rest is
/// played to that one's, which takes the parser's place.
pub fn play(
    parser: &mut Box<dyn Parser>,
    connection: &Connection,
    settings: &Settings,
    chunk: &Chunk<'_>,
    events: &mut Vec<ParserEvent>,
) {
    parser.chunk(chunk, events);
    let Some(successor) = parser.successor(connection, settings) else {
        return;
    };
    *parser = successor.parser;
    let passed = successor.from.wrapping_sub(chunk.position);
    if passed < chunk.length {
        let seen = usize::try_from(passed).map_or(chunk.data.len(), |at| at.min(chunk.data.len()));
        let rest = Chunk {
            position: successor.from,
            gap: 0,
            length: chunk.length - passed,
            data: &chunk.data[seen..],
            ..*chunk
        };
        parser.chunk(&rest, events);
    }
}

/// Which protocol bytes are, if any says so; else whether one still may.
///
/// # Errors
/// [`Likeness::No`] or [`Likeness::Perhaps`], where none says [`Likeness::Yes`].
pub fn identify(sample: &Sample<'_>) -> Result<Entry, Likeness> {
    find(sample, ALL)
}

/// Which protocol a datagram is of, if any says so.
///
/// # Errors
/// [`Likeness::No`] or [`Likeness::Perhaps`], where none says [`Likeness::Yes`].
pub fn identify_datagram(sample: &Sample<'_>) -> Result<Entry, Likeness> {
    find(sample, OF_DATAGRAMS)
}

fn find(sample: &Sample<'_>, among: &[Entry]) -> Result<Entry, Likeness> {
    let mut best = Likeness::No;
    for entry in among {
        match (entry.likeness)(sample) {
            Likeness::Yes => return Ok(*entry),
            Likeness::Perhaps => best = Likeness::Perhaps,
            Likeness::No => {}
        }
    }
    Err(best)
}

/// How much of what databases are asked is exported as `db.query.text`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryText {
    /// Nothing; `db.query.summary` stays.
    Off,
    /// The text with its literals replaced by `?`.
    #[default]
    Sanitized,
    /// The text as it is, up to [`Limits::text`], and keys of caches.
    Full,
}

/// How much one connection may hold, whatever its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes that are collected of one message.
    pub message: usize,
    /// Most requests that wait for a response.
    pub open: usize,
    /// Most responses that wait for their request.
    pub early: usize,
    /// Most things that are remembered for later requests (prepared statements, topics, channels).
    pub remembered: usize,
    /// Longest text of an attribute, in bytes.
    pub text: usize,
    /// Shortest rest of a message that is worth skipping, in bytes.
    pub skip: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 16 * 1024,
            open: 256,
            early: 16,
            remembered: 256,
            text: 2048,
            skip: 64 * 1024,
        }
    }
}

/// What parsers are told by the configuration; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How much an HTTP/1 connection may hold.
    pub http1: http1::Limits,
    /// How much a connection of another protocol may hold.
    pub limits: Limits,
    /// How much of queries is exported.
    pub query_text: QueryText,
    /// What must not be exported.
    pub redaction: Arc<http1::Redaction>,
    /// Which trace contexts are understood.
    pub context: Arc<Extractor>,
    /// The names of Kafka's topics.
    pub topics: Arc<kafka::Topics>,
    /// Cassandra's prepared statements.
    pub prepared: Arc<cassandra::Prepared>,
}
