//! MQTT 3.1, 3.1.1 and 5 over TCP (<https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html>), seen from
//! a client or from the broker.
//!
//! # What becomes a span
//!
//! - **A message that a client sends**: `publish TOPIC`, of kind producer at the client and server at the
//!   broker. With quality of service 1 and 2 it ends at `PUBACK` and `PUBCOMP`, else with its last byte. A
//!   reason that is an error (MQTT 5) makes it one. If it is sent again on its connection, it goes on.
//! - **A message that is delivered**, at the client: `process TOPIC`, of kind consumer, until the client
//!   sends `PUBACK` or `PUBREC`; with quality of service 0, to its last byte. Many clients acknowledge
//!   before or while the program works on the message. The broker's deliveries have no spans.
//! - **`CONNECT`, `SUBSCRIBE` and `UNSUBSCRIBE`**, if they are refused or not answered. Pings have none.
//!
//! Span names have `+` for levels of topics that look like ids. User names, passwords, wills and payloads
//! are not read.
//!
//! # What is assumed where the bytes do not tell
//!
//! - On a connection that was joined late the version is not known: a message whose properties are there
//!   and make sense is MQTT 5's. Sizes are left out until then.
//! - A topic's alias (MQTT 5) that was given among bytes that nobody saw is not known. Such messages have
//!   no topic.
//! - After a loss, and on a connection that was joined late, packets are found at a chunk that consists of
//!   packets only, together with the short ones before it: Mosquitto and Paho read a packet's first bytes
//!   one by one.
//! - Who is the client is known from the socket, or else from what only one end says. On a connection that
//!   was joined late and shows neither, nothing is told until it pings or subscribes.

mod state;
#[cfg(test)]
mod tests;
mod told;
mod wire;

use crate::model::{Chunk, Connection, ConnectionEnd, Direction, ParserEvent, Protocol, Side};

use super::frames::{Frames, Moved, Step};
use super::{Entry, Likeness, Limits, Parser, Sample, Settings, Wants};
use state::State;
use wire::Fixed;

/// MQTT among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Mqtt,
    likeness,
    make: |connection, settings| Box::new(Mqtt::new(connection, settings)),
};

/// The parser of one MQTT connection.
#[derive(Debug)]
struct Mqtt {
    limits: Limits,
    /// Received, sent.
    frames: [Frames; 2],
    state: State,
}

impl Mqtt {
    fn new(connection: &Connection, settings: &Settings) -> Self {
        Self {
            limits: settings.limits,
            frames: [(); 2].map(|()| Frames::new(connection.from_start, settings.limits.message)),
            state: State::new(connection, settings),
        }
    }
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Received => 0,
        Direction::Sent => 1,
    }
}

fn likeness(sample: &Sample<'_>) -> Likeness {
    if sample.from_start && sample.sender != Some(Side::Server) {
        return greeting(sample.bytes);
    }
    // Whole messages with topics, up to the end of the chunk.
    match wire::packets(sample.bytes, sample.length) {
        Some(1..) if sample.bytes.len() as u64 == sample.length => Likeness::Yes,
        _ => Likeness::No,
    }
}

/// Whether bytes begin a `CONNECT`.
fn greeting(bytes: &[u8]) -> Likeness {
    /// How the names of the protocol begin, with their lengths.
    const NAMES: [&[u8]; 3] = [b"\0\x04MQTT\x04", b"\0\x04MQTT\x05", b"\0\x06MQIsdp\x03"];
    if bytes
        .first()
        .is_some_and(|byte| *byte != wire::CONNECT << 4)
    {
        return Likeness::No;
    }
    let fixed = match Fixed::read(bytes) {
        Ok(fixed) => fixed,
        Err(true) => return Likeness::Perhaps,
        Err(false) => return Likeness::No,
    };
    let rest = &bytes[fixed.header..];
    let mut likeness = Likeness::No;
    for name in NAMES {
        let shown = rest.len().min(name.len());
        // A bridge between brokers sets the first bit of the version.
        let mut pairs = rest.iter().zip(name);
        if name.len() <= fixed.rest && pairs.all(|(a, b)| a == b || *a == b | 0x80 && *b < 8) {
            if shown == name.len() {
                return Likeness::Yes;
            }
            likeness = Likeness::Perhaps;
        }
    }
    likeness
}

impl Parser for Mqtt {
    fn protocol(&self) -> Protocol {
        Protocol::Mqtt
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let frames = &mut self.frames[index(chunk.direction)];
        let was_lost = frames.is_lost();
        frames.chunk_or_pieces(chunk, |bytes, length| {
            wire::packets(bytes, length).is_some()
        });
        if was_lost && !frames.is_lost() {
            self.state.found(chunk.direction, Moved::of(chunk), events);
        }
        loop {
            let version = self.state.version;
            let Some(step) = frames.next(|bytes| wire::framing(bytes, version)) else {
                return;
            };
            match step {
                Step::Frame(frame) => self.state.packet(chunk.direction, &frame, events),
                Step::Ended(moved) => self.state.packet_ended(chunk.direction, moved, events),
                Step::Lost => self.state.lost(chunk.direction, Moved::of(chunk), events),
            }
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        self.state.ended(end, events);
    }

    fn wants(&self, direction: Direction) -> Wants {
        match self.frames[index(direction)].skips_until(self.limits.skip) {
            Some(until) => Wants::SkipUntil(until),
            None => Wants::Bytes,
        }
    }

    fn is_between_requests(&self, _: Direction) -> bool {
        self.frames.iter().all(Frames::is_at_boundary) && self.state.is_idle()
    }

    fn memory(&self) -> usize {
        self.frames.iter().map(Frames::memory).sum::<usize>() + self.state.memory()
    }
}
