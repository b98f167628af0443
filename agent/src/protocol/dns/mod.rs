//! DNS (RFC 1035, RFC 6891): questions and their answers, in datagrams and over TCP (RFC 7766).
//!
//! Who asks is who sends a question, whatever the socket. A question is known by its id, name and type
//! until its answer comes: answers come in any order. On a UDP socket that is not connected
//! nobody says which peer a datagram is from or for; two peers who ask the same with the same id at the
//! same time are taken for one who repeats itself.
//!
//! A question that is sent again in another datagram is the same exchange. One that is never answered
//! ends when its socket does; since the kernel does not tell the end of a UDP socket, that may be later
//! than who asked gave up. The exchange's time then reaches to when it was asked last.
//!
//! `dns.answers` is left out: it is opt-in in the conventions. A server's span is an error only where
//! the server failed; that there is no such name is a good answer.
//!
//! Multicast DNS, LLMNR and NetBIOS look alike and are something else: who is asked is nobody in
//! particular.

mod exchanges;
mod message;
mod words;

use crate::model::{
    Address, Chunk, Connection, ConnectionEnd, Direction, EndReason, ParserEvent, Protocol, Side,
};

use self::exchanges::{Exchanges, Gone, Place};
use self::message::{HEADER, Message, SHORTEST};
use super::frames::{Frames, Framing, Moved, Step};
use super::{Entry, Likeness, Parser, Sample, Settings, Wants, ending};

/// DNS over TCP: each message after its length in two bytes (RFC 1035, section 4.2.2).
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Dns,
    likeness: likeness_of_stream,
    make: |connection, settings| Box::new(Stream::new(connection, settings)),
};

/// DNS in datagrams.
pub const DATAGRAMS: Entry = Entry {
    protocol: Protocol::Dns,
    likeness: likeness_of_datagram,
    make: |connection, settings| Box::new(Datagrams::new(connection, settings)),
};

/// Length of the length before a message.
const PREFIX: usize = 2;
/// Bytes of a message that are looked at: all of most.
const WANTED: usize = 4096;
/// The ports of multicast DNS (RFC 6762) and LLMNR (RFC 4795).
const FOR_NOBODY: [u16; 2] = [5353, 5355];

fn likeness_of_datagram(sample: &Sample<'_>) -> Likeness {
    let length = usize::try_from(sample.length).unwrap_or(usize::MAX);
    match Message::of(sample.bytes, length) {
        Some(message) if message.is_likely() => Likeness::Yes,
        _ => Likeness::No,
    }
}

fn likeness_of_stream(sample: &Sample<'_>) -> Likeness {
    let bytes = sample.bytes;
    if is_message(bytes, sample.sender) {
        return Likeness::Yes;
    }
    let seen = bytes.len() as u64 == sample.length;
    if sample.from_start && seen && may_become_message(bytes) {
        return Likeness::Perhaps;
    }
    Likeness::No
}

/// Whether bytes begin with a whole message, in its frame, that can hardly be anything else.
fn is_message(bytes: &[u8], sender: Option<Side>) -> bool {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return false;
    };
    let length = usize::from(u16::from_be_bytes(*prefix));
    let message = rest
        .get(..length)
        .and_then(|bytes| Message::of(bytes, length));
    message.is_some_and(|message| {
        let from = match message.is_response() {
            true => Side::Server,
            false => Side::Client,
        };
        message.is_likely() && sender.is_none_or(|sender| sender == from)
    })
}

/// Whether bytes that are too few can be the beginning of such a message, as far as the header goes. Of
/// what is still to come, everything is possible.
fn may_become_message(bytes: &[u8]) -> bool {
    let word = |at: usize| {
        let word = bytes.get(at..at + 2)?;
        Some(u16::from_be_bytes([word[0], word[1]]))
    };
    let length = word(0).map(usize::from);
    let flags = word(PREFIX + 2);
    // What a question has besides must be 0: no answers, and no flags that only those have.
    let forbidden = flags.map(|flags| match flags >> 15 {
        0 => (flags & 0x7ecf, word(PREFIX + 6)),
        _ => (flags & 0x7840, None),
    });
    length.is_none_or(|length| length >= SHORTEST && bytes.len() < PREFIX + length)
        && forbidden.is_none_or(|(flags, answers)| flags == 0 && answers.is_none_or(|n| n == 0))
        && word(PREFIX + 4).is_none_or(|questions| questions == 1)
}

/// DNS over one TCP connection.
struct Stream {
    /// By [`index`] of their direction.
    frames: [Frames; 2],
    exchanges: Exchanges,
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Received => 0,
        Direction::Sent => 1,
    }
}

/// What the bytes at a message's place say of it.
fn framing(bytes: &[u8]) -> Framing {
    let Some(prefix) = bytes.first_chunk::<PREFIX>() else {
        return Framing::More;
    };
    let length = usize::from(u16::from_be_bytes(*prefix));
    if length < HEADER {
        return Framing::Nonsense;
    }
    Framing::Frame {
        wanted: PREFIX + length.min(WANTED),
        length: (PREFIX + length) as u64,
    }
}

impl Stream {
    fn new(connection: &Connection, settings: &Settings) -> Self {
        let frames = || {
            let limit = settings.limits.message.max(PREFIX + HEADER);
            Frames::new(connection.from_start, limit)
        };
        Self {
            frames: [frames(), frames()],
            exchanges: Exchanges::new(&settings.limits, false),
        }
    }
}

impl Parser for Stream {
    fn protocol(&self) -> Protocol {
        Protocol::Dns
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let frames = &mut self.frames[index(chunk.direction)];
        frames.chunk_or_pieces(chunk, |bytes, _| is_message(bytes, None));
        while let Some(step) = frames.next(framing) {
            match step {
                Step::Frame(frame) => {
                    let length = usize::try_from(frame.length).unwrap_or(usize::MAX);
                    let bytes = frame.bytes.get(PREFIX..).unwrap_or_default();
                    if let Some(message) = Message::of(bytes, length.saturating_sub(PREFIX)) {
                        let place = Place {
                            position: frame.position,
                            first: frame.first,
                            last: frame.last,
                        };
                        self.exchanges
                            .message(&message, chunk.direction, place, events);
                    } else if frame.cut {
                        self.exchanges.lost(chunk.direction);
                    }
                }
                Step::Ended(_) => {}
                Step::Lost => self.exchanges.lost(chunk.direction),
            }
        }
        // What was asked may be answered before the place is found.
        for direction in [Direction::Received, Direction::Sent] {
            if self.frames[index(direction)].is_lost() {
                self.exchanges.lost(direction);
            }
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        match end.reason {
            // What one end no longer sends, the other may still answer.
            EndReason::PeerClosed => self.exchanges.ended(Some(Side::Client), end, events),
            EndReason::LocalClosed => self.exchanges.ended(Some(Side::Server), end, events),
            _ => self.exchanges.ended(None, end, events),
        }
    }

    fn wants(&self, _: Direction) -> Wants {
        Wants::Bytes
    }

    fn is_between_requests(&self, _: Direction) -> bool {
        self.exchanges.is_empty() && self.frames.iter().all(Frames::is_at_boundary)
    }

    fn memory(&self) -> usize {
        let frames: usize = self.frames.iter().map(Frames::memory).sum();
        size_of::<Self>() + frames + self.exchanges.memory()
    }
}

/// DNS on one UDP socket.
struct Datagrams {
    exchanges: Exchanges,
    for_nobody: bool,
}

impl Datagrams {
    fn new(connection: &Connection, settings: &Settings) -> Self {
        let for_nobody = match &connection.address {
            Address::Udp { local, remote } => {
                let mut ports = [Some(local), remote.as_ref()].into_iter().flatten();
                ports.any(|end| FOR_NOBODY.contains(&end.port()))
            }
            _ => false,
        };
        Self {
            exchanges: Exchanges::new(&settings.limits, true),
            for_nobody,
        }
    }
}

impl Parser for Datagrams {
    fn protocol(&self) -> Protocol {
        Protocol::Dns
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        if self.for_nobody {
            return;
        }
        let moved = Moved::of(chunk);
        if chunk.gap > 0 {
            self.exchanges.lost(chunk.direction);
        }
        self.exchanges.expire(moved.time, events);
        let length = usize::try_from(chunk.length).unwrap_or(usize::MAX);
        match Message::of(chunk.data, length) {
            Some(message) => {
                let place = Place {
                    position: chunk.position,
                    first: moved,
                    last: moved,
                };
                self.exchanges
                    .message(&message, chunk.direction, place, events);
            }
            None if chunk.data.len() < length => self.exchanges.lost(chunk.direction),
            None => {}
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        self.exchanges.ended(None, end, events);
    }

    fn wants(&self, _: Direction) -> Wants {
        match self.for_nobody {
            true => Wants::Nothing,
            false => Wants::Bytes,
        }
    }

    fn is_between_requests(&self, _: Direction) -> bool {
        self.exchanges.is_empty()
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.exchanges.memory()
    }
}

/// How an exchange that is cut short by an end is told.
fn gone(reason: EndReason) -> Gone {
    match ending::error_type(reason) {
        Some(ending::TIMEOUT) => Gone::TimedOut,
        Some(error) => Gone::Aborted(error),
        None => Gone::Lost(ending::FORGOTTEN),
    }
}

#[cfg(test)]
mod tests;
