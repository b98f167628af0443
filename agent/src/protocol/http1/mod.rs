//! HTTP/1.0 and 1.1 (RFC 9112) from the wire, seen from either end.
//!
//! Each direction is a [`lane::Lane`] that finds heads and walks over bodies; [`exchange`] pairs
//! requests with responses. Which direction carries requests is told by their content.
//!
//! # What is assumed where the bytes do not tell
//!
//! - **Responses belong to requests in their order.** A response that is seen before its request
//!   (the events of loopback traffic are not always in the order of cause and effect) waits for
//!   it, in a few words of state. Only while all requests are known, though: after a connection
//!   was joined late, or after a loss, a response without a request is left alone until the next
//!   request, or it would be taken for the answer to that.
//! - **Framing that is lost** (a head cut at the capture cap, a chunk size among uncaptured bytes)
//!   is found again at a chunk that begins with a head. The response is taken to end with the last
//!   byte before the next request begins, before the next response's head at the start of a chunk,
//!   or before the connection ends; a chunked one also with a captured chunk that ends like a
//!   chunked body does. This prefers ending late to ending early, except for pipelined requests,
//!   which may end it too early. Its body size is then left out.
//! - **Lost bytes** inside a body of known length do no harm. Elsewhere, the exchanges they may
//!   have belonged to end as [`Outcome::Lost`](crate::model::Outcome::Lost).
//! - **Close-delimited bodies** are complete when the sender closes, also when a server's process
//!   exits (that is how some servers close), but not when the connection is reset.
//! - **The client need not finish its request**: an exchange ends with its response.

pub(super) mod attributes;
pub(super) mod body;
pub(super) mod ending;
pub(super) mod exchange;
mod forwarded;
pub(super) mod head;
mod lane;
mod likeness;
pub(super) mod note;
mod redact;
mod requests;
mod responses;
mod target;
pub(super) mod telemetry;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::context::Extractor;
use crate::model::{
    Address, Chunk, Connection, ConnectionEnd, Direction, ParserEvent, Protocol, Side,
};

use super::http2::Http2;
use super::{Entry, Likeness, Parser, Settings, Successor, Wants};
use exchange::{Ending, Exchanges, Moved};
use lane::{Bytes, Lane};

pub use likeness::likeness;
pub use redact::Redaction;

/// HTTP/1 among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Http1,
    likeness: |sample| likeness(sample.bytes),
    make: |connection, settings| {
        Box::new(Http1::new(
            connection,
            settings.http1,
            &settings.redaction,
            &settings.context,
        ))
    },
};

/// How much one connection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest head that is collected, in bytes.
    pub head: usize,
    /// Most requests that wait for a response (pipelining).
    pub open: usize,
    /// Most responses that wait for their request.
    pub early: usize,
    /// Longest text of an attribute, in bytes.
    pub text: usize,
    /// Shortest rest of a body that is worth skipping, in bytes.
    pub skip: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 64 * 1024,
            open: 256,
            early: 16,
            text: 2048,
            skip: 64 * 1024,
        }
    }
}

/// A connection that has been upgraded to HTTP/2: its only request is answered there.
#[derive(Debug)]
pub(super) struct Handover {
    /// The direction that carries requests.
    pub(super) requests: Direction,
    /// The request.
    pub(super) request: exchange::Request,
    /// Number of the next exchange.
    pub(super) next: u64,
    /// Where HTTP/2 begins in the stream of the responses.
    pub(super) from: u64,
}

/// The parser of one HTTP/1 connection.
#[derive(Debug)]
pub struct Http1 {
    limits: Limits,
    redaction: Arc<Redaction>,
    extractor: Arc<Extractor>,
    /// The other end, unless it is a Unix socket's.
    remote: Option<SocketAddr>,
    /// The direction that carries requests, once it is known.
    requests: Option<Direction>,
    /// Received, sent.
    lanes: [Lane; 2],
    exchanges: Exchanges,
    /// How exchanges end whose response can no longer come, once that is so.
    responses_ended: Option<Ending>,
    /// The ends of the directions.
    ends: [Option<ConnectionEnd>; 2],
    /// The last chunks of the directions.
    last: [Moved; 2],
    handover: Option<Handover>,
}

impl Http1 {
    /// A parser for a connection whose first chunk is still to come.
    #[must_use]
    pub fn new(
        connection: &Connection,
        limits: Limits,
        redaction: &Arc<Redaction>,
        extractor: &Arc<Extractor>,
    ) -> Self {
        Self {
            limits,
            redaction: Arc::clone(redaction),
            extractor: Arc::clone(extractor),
            remote: match connection.address {
                Address::Tcp { remote, .. } => Some(remote),
                Address::Udp { .. } | Address::Unix { .. } => None,
            },
            requests: None,
            lanes: [(); 2].map(|()| Lane::new(!connection.from_start)),
            exchanges: Exchanges::new(connection.from_start),
            responses_ended: None,
            ends: [None; 2],
            last: [Moved::default(); 2],
            handover: None,
        }
    }

    fn lane(&mut self, direction: Direction) -> &mut Lane {
        &mut self.lanes[index(direction)]
    }

    /// The direction that carries requests, as a lane; any while none is known.
    fn request_lane(&mut self) -> &mut Lane {
        self.lane(self.requests.unwrap_or(Direction::Received))
    }

    fn response_lane(&mut self) -> &mut Lane {
        self.lane(self.requests.unwrap_or(Direction::Received).opposite())
    }

    /// Tells from a chunk which direction carries requests.
    fn find_side(&mut self, chunk: &Chunk<'_>, bytes: &Bytes<'_>) -> Option<Direction> {
        let limit = self.limits.head;
        if chunk.gap > 0 {
            self.exchanges.aligned = false;
            self.lane(chunk.direction).seek();
        }
        let lane = self.lane(chunk.direction);
        let requests = match lane.likeness(bytes.captured()) {
            [Likeness::Yes, _] => chunk.direction,
            [_, Likeness::Yes] => chunk.direction.opposite(),
            [Likeness::No, Likeness::No] => return self.pass(chunk.direction),
            _ if lane.collect(bytes, chunk.time, limit) => return None,
            _ => return self.pass(chunk.direction),
        };
        self.requests = Some(requests);
        self.exchanges.side = match requests {
            Direction::Received => Side::Server,
            Direction::Sent => Side::Client,
        };
        self.requests
    }

    /// A message may pass unseen.
    fn pass(&mut self, direction: Direction) -> Option<Direction> {
        self.exchanges.aligned = false;
        self.lane(direction).seek();
        None
    }
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::Received => 0,
        Direction::Sent => 1,
    }
}

impl Parser for Http1 {
    fn protocol(&self) -> Protocol {
        Protocol::Http1
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let bytes = Bytes::new(chunk.data, chunk.length, chunk.position);
        self.last[index(chunk.direction)] = Moved {
            time: chunk.time,
            task: chunk.task,
        };
        let requests = match self.requests {
            Some(requests) => requests,
            None => match self.find_side(chunk, &bytes) {
                Some(requests) => {
                    if let Some(end) = self.ends[index(requests.opposite())] {
                        self.end_responses(&end, events);
                    }
                    requests
                }
                None => return,
            },
        };
        if chunk.direction == requests {
            self.request_bytes(chunk, bytes, events);
        } else {
            self.response_bytes(chunk, bytes, events);
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        self.end(end, events);
    }

    fn successor(&mut self, connection: &Connection, settings: &Settings) -> Option<Successor> {
        let handover = self.handover.take()?;
        Some(Successor {
            from: handover.from,
            parser: Box::new(Http2::upgraded(connection, settings, handover)),
        })
    }

    fn wants(&self, direction: Direction) -> Wants {
        self.lanes[index(direction)].wants(self.limits.skip)
    }

    fn is_between_requests(&self, direction: Direction) -> bool {
        self.requests == Some(direction)
            && self.lanes.iter().all(Lane::is_at_boundary)
            && self.exchanges.open.is_empty()
    }

    fn memory(&self) -> usize {
        let lanes: usize = self.lanes.iter().map(Lane::memory).sum();
        size_of::<Self>() + lanes + self.exchanges.memory()
    }
}
