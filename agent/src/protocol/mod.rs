//! From the bytes of a connection to its exchanges: one file per protocol, behind one trait.

pub mod http1;

use std::sync::Arc;

use crate::context::Extractor;
use crate::model::{Chunk, Connection, ConnectionEnd, Direction, ParserEvent, Protocol};

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

    /// What it wants of a direction from now on.
    fn wants(&self, direction: Direction) -> Wants;

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

/// Whether a stream that begins with `bytes` may speak a protocol that a parser understands.
#[must_use]
pub fn likeness(direction: Direction, bytes: &[u8]) -> Likeness {
    http1::likeness(direction, bytes)
}

/// What parsers are told by the configuration; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How much an HTTP/1 connection may hold.
    pub http1: http1::Limits,
    /// What must not be exported.
    pub redaction: Arc<http1::Redaction>,
    /// Which trace contexts are understood.
    pub context: Arc<Extractor>,
}

/// A parser for a connection whose protocol is not known yet. With one protocol there is nothing
/// to choose.
#[must_use]
pub fn parser_for(connection: &Connection, settings: &Settings) -> Box<dyn Parser> {
    Box::new(http1::Http1::new(
        connection,
        settings.http1,
        &settings.redaction,
        &settings.context,
    ))
}
