//! AMQP 0-9-1 as RabbitMQ speaks it (<https://www.rabbitmq.com/docs/protocol>), seen from a client or
//! from the broker.
//!
//! # What becomes a span
//!
//! - **A message that is sent** (`basic.publish`): `publish EXCHANGE`, of kind producer at the client and
//!   server at the broker. On channels with publisher confirms it ends at the broker's `ack` or `nack`,
//!   else with its last byte. `nack` is an error, and so is a message that is returned (`mandatory`), if
//!   the channel has confirms: without, the message has ended before its return is seen.
//! - **A message that is delivered** (`basic.deliver`), at the client: `process QUEUE`, of kind consumer,
//!   from its first byte to the client's `ack`, `nack` or `reject`; without acknowledgements, to its last
//!   byte. A rejection is noted; it is no error. The broker's deliveries have no spans.
//! - **A message that is asked for** (`basic.get`): `receive QUEUE`, if there was one, with a link to the
//!   message's sender. What answers `get-empty` was a poll, and has no span.
//! - **Requests about exchanges and queues, `tx.commit` and `tx.rollback`**: named like their methods; for
//!   `no-wait`, until their last byte. Other requests (logging in, opening channels, `basic.consume`, ...)
//!   only if they fail.
//! - **`channel.close` and `connection.close` with an error's code** end all that is open on the channel,
//!   or on the connection, with that code as error.
//!
//! Names that brokers make for queues, and those with UUIDs or hashes in them, are left out of span names.
//!
//! # What is assumed where the bytes do not tell
//!
//! - Delivery tags of confirms are counted from `confirm.select`. After a loss, and on a channel that was
//!   joined late, the count is not known, and messages end as lost with their last byte, until nothing has been
//!   sent for a second after a confirm: then all before are confirmed, and the next message has the next
//!   number. Who always has messages unconfirmed gives no such moment: the order of messages and confirms is
//!   the same for any number of them. Several messages without a confirm show that a channel has none.
//! - The queue of a delivery is known from `basic.consume`. Where that was not seen, exchange or routing
//!   key stand for it; and whether the client acknowledges is known from its first acknowledgement on the
//!   channel on. Deliveries end with their last byte until then.

mod asking;
mod delivering;
mod messages;
mod publishing;
mod state;
#[cfg(test)]
mod tests;
mod told;
mod wire;

use crate::model::{Chunk, Connection, ConnectionEnd, Direction, ParserEvent, Protocol, Side};

use super::frames::{Frames, Moved, Step};
use super::{Entry, Likeness, Limits, Parser, Sample, Settings, Wants};
use state::State;

/// AMQP among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Amqp,
    likeness,
    make: |connection, settings| Box::new(Amqp::new(connection, settings)),
};

/// The parser of one AMQP connection.
#[derive(Debug)]
struct Amqp {
    limits: Limits,
    /// Received, sent.
    frames: [Frames; 2],
    state: State,
}

impl Amqp {
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
    let bytes = sample.bytes;
    let shown = bytes.len().min(wire::PROTOCOL.len());
    if sample.from_start
        && sample.sender != Some(Side::Server)
        && bytes[..shown] == wire::PROTOCOL[..shown]
    {
        return if shown == wire::PROTOCOL.len() {
            Likeness::Yes
        } else {
            Likeness::Perhaps
        };
    }
    if wire::is_frame(bytes) {
        Likeness::Yes
    } else {
        Likeness::No
    }
}

impl Parser for Amqp {
    fn protocol(&self) -> Protocol {
        Protocol::Amqp
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        if self.state.other {
            return;
        }
        let message = self.limits.message;
        let frames = &mut self.frames[index(chunk.direction)];
        let was_lost = frames.is_lost();
        frames.chunk_or_pieces(chunk, |bytes, _| wire::is_frame(bytes));
        if was_lost && !frames.is_lost() {
            self.state.found(chunk.direction, Moved::of(chunk), events);
        }
        while let Some(step) = frames.next(|bytes| wire::framing(bytes, message)) {
            match step {
                Step::Frame(frame) => self.state.frame(chunk.direction, &frame, events),
                Step::Ended(moved) => self.state.frame_ended(chunk.direction, moved, events),
                Step::Lost => self.state.lost(chunk.direction, Moved::of(chunk), events),
            }
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        self.state.ended(end, events);
    }

    fn wants(&self, direction: Direction) -> Wants {
        if self.state.other {
            return Wants::Nothing;
        }
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
