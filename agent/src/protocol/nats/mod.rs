//! NATS's client protocol (<https://docs.nats.io/reference/reference-protocols/nats-protocol>), seen
//! from a client or from the server.
//!
//! # What becomes a span
//!
//! - **A message that is sent**: `publish SUBJECT`, of kind producer at the client and server at the
//!   server. Core NATS does not confirm it, so it ends with its last byte; on `verbose` connections, at
//!   `+OK`.
//! - **One with a subject for answers on which the client listens**: `request SUBJECT`, until the first
//!   answer. An answer that nobody was there to give (`503`) is an error.
//! - **A message that is delivered**, at the client: `process SUBJECT`, of kind consumer. The protocol
//!   does not say when the client has worked on it: it ends with its last byte, or, if there is a subject
//!   for answers, with the client's answer to that. So do JetStream's messages with their
//!   acknowledgement (progress reports apart), and `-NAK` and `+TERM` are errors. If none comes while the
//!   connection lasts, it ends with its last byte too. The server's deliveries have no spans.
//! - **Answers and acknowledgements** end these, and are none themselves. Neither are subscriptions,
//!   pings, and requests for JetStream's next messages, which wait for these: their deliveries have spans.
//! - **Logging in**, if it fails.
//!
//! Span names have `*` for tokens of subjects that look like ids ([`subject`]). Only the first answer to
//! a request counts. What a JetStream answer says of errors is in its payload, which is not read.
//!
//! # What is assumed where the bytes do not tell
//!
//! - Where a client reads or writes many messages at once, only the first bytes are captured. Messages
//!   among the others are not seen, and what may have been answered among them ends as lost.
//! - Connections of servers with each other, and those that turn to TLS, are not understood.

mod confirming;
mod exchange;
mod headers;
mod line;
mod messages;
mod note;
mod subject;
mod subscriptions;
#[cfg(test)]
mod tests;
mod waiting;

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::model::{
    Chunk, Connection, ConnectionEnd, Direction, Outcome, ParserEvent, Protocol, RemoteContext,
    Role, Side, Started,
};

use super::ending;
use super::frames::{Frame, Frames, Framing, Moved, Step};
use super::{Entry, Parser, Settings, Wants};
use exchange::{Ending, Open, What};
use line::Line;
use subscriptions::Subscriptions;
use waiting::{REPLY_MAX, Waiting};

/// NATS among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Nats,
    likeness: line::likeness,
    make: |connection, settings| Box::new(Nats::new(connection, settings)),
};

/// As much of an acknowledgement as tells what it says.
const ACK_SEEN: u64 = 4;

/// What happens when the present message of a direction has ended.
#[derive(Debug, Default)]
enum Coming {
    #[default]
    Nothing,
    /// It is all there is.
    Alone(Open),
    /// It waits for an answer to this subject.
    Delivered(Open, Box<[u8]>),
    /// It is the answer.
    Answers(Open, Option<Cow<'static, str>>),
    /// It is an answer, perhaps to something that was not seen yet.
    Early(Box<[u8]>, Option<Cow<'static, str>>),
}

/// An answer's subject, when its last byte moved, and its error.
type Early = (Box<[u8]>, Moved, Option<Cow<'static, str>>);

/// The parser of one connection.
struct Nats {
    settings: Settings,
    /// The direction in which the client speaks, once it is known.
    client: Option<Direction>,
    /// Received, sent.
    lanes: [Frames; 2],
    coming: [Coming; 2],
    subscriptions: Subscriptions,
    /// Requests of the client, and messages that were delivered to it.
    asked: Waiting,
    delivered: Waiting,
    /// Answers to requests that were not seen yet: the order of the directions is not always true.
    early: VecDeque<Early>,
    /// Every line of the client is confirmed: those that are to be, with the message if it was one.
    verbose: bool,
    unconfirmed: VecDeque<Option<Open>>,
    /// How many were confirmed before they were seen.
    confirmed: usize,
    /// The client has said who it is, and the server has said nothing to that.
    login: Option<Open>,
    next: u64,
    ended: [bool; 2],
    over: bool,
}

impl Nats {
    fn new(connection: &Connection, settings: &Settings) -> Self {
        let limits = &settings.limits;
        Self {
            settings: settings.clone(),
            client: match connection.role {
                Role::Accepted => Some(Direction::Received),
                Role::Connected => Some(Direction::Sent),
                Role::Unknown => None,
            },
            lanes: [(); 2].map(|()| Frames::new(connection.from_start, limits.message)),
            coming: Default::default(),
            subscriptions: Subscriptions::new(connection.from_start, limits.remembered),
            asked: Waiting::default(),
            delivered: Waiting::default(),
            early: VecDeque::new(),
            verbose: false,
            unconfirmed: VecDeque::new(),
            confirmed: 0,
            login: None,
            next: 0,
            ended: [false; 2],
            over: false,
        }
    }

    /// Whose process this is.
    fn side(&self) -> Side {
        match self.client {
            Some(Direction::Sent) => Side::Client,
            _ => Side::Server,
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, direction: Direction, events: &mut Vec<ParserEvent>) {
        let Some((line, end)) = line::parse(frame.bytes) else {
            return;
        };
        let from_client = match line {
            Line::Info(_) | Line::Deliver(..) | Line::Ok | Line::Error(_) => false,
            Line::Ping | Line::Pong => self.client == Some(direction),
            _ => true,
        };
        let client = match from_client {
            true => direction,
            false => direction.opposite(),
        };
        if *self.client.get_or_insert(client) != client {
            return;
        }
        let rest = &frame.bytes[end..];
        if !from_client && !matches!(line, Line::Error(_) | Line::Info(_)) {
            self.login = None;
        }
        match line {
            Line::Publish(message) => self.publish(frame, message, rest, events),
            Line::Deliver(message, id) => self.deliver(frame, message, id, rest, events),
            Line::Subscribe { subject, queue, id } => {
                self.subscriptions.add(id, subject, queue);
                self.confirmable(None);
            }
            Line::Unsubscribe { id, later } => {
                if !later {
                    self.subscriptions.remove(id);
                }
                self.confirmable(None);
            }
            Line::Connect(options) => {
                self.verbose = line::is_verbose(options);
                self.confirmable(None);
                self.login = Some(self.login(frame));
            }
            Line::Ok => self.confirmed(frame.last, None, events),
            Line::Error(text) => self.error(text, frame, events),
            Line::Info(_) | Line::Ping | Line::Pong => {}
        }
    }

    fn open(&self, what: What, side: Side, subject: &[u8], size: u64) -> Open {
        let longest = subject.len().min(self.settings.limits.text);
        Open {
            exchange: None,
            side,
            what,
            subject: String::from_utf8_lossy(&subject[..longest]).into(),
            size,
            id: None,
            queue: None,
            moved: Moved::default(),
            notes: Vec::new(),
        }
    }

    fn start(
        &mut self,
        open: &mut Open,
        frame: &Frame<'_>,
        context: Option<RemoteContext>,
        events: &mut Vec<ParserEvent>,
    ) {
        self.start_at(
            open,
            frame.position,
            frame.first,
            frame.last,
            context,
            events,
        );
    }

    fn start_at(
        &mut self,
        open: &mut Open,
        position: u64,
        first: Moved,
        last: Moved,
        context: Option<RemoteContext>,
        events: &mut Vec<ParserEvent>,
    ) {
        open.exchange = Some(self.next);
        events.push(ParserEvent::Started(Started {
            exchange: self.next,
            side: open.side,
            position,
            start: first.time,
            task: last.task,
            context,
            overlapping: true,
            telemetry: false,
            carried: None,
        }));
        self.next += 1;
    }

    fn finish(&self, open: Open, ending: Ending, events: &mut Vec<ParserEvent>) {
        if let Some(exchange) = open.exchange {
            let finished = open.finished(exchange, ending, self.settings.limits.text);
            events.push(ParserEvent::Finished(finished));
        }
    }

    fn lost(&self, mut open: Open, now: Moved, events: &mut Vec<ParserEvent>) {
        note::add(&mut open.notes, note::GAP);
        self.finish(open, Ending::lost(now), events);
    }

    /// A delivered message has a subject for answers, but none came: it need not.
    fn unanswered(&self, mut open: Open, events: &mut Vec<ParserEvent>) {
        note::add(&mut open.notes, note::UNANSWERED);
        let end = open.moved;
        self.finish(open, Ending::whole(end, None), events);
    }

    /// The connection ended before this did.
    fn cut_short(&self, mut open: Open, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let mut ending = Ending::lost(Moved {
            time: end.time,
            ..Moved::default()
        });
        match ending::error_type(end.reason) {
            Some(error) => {
                ending.outcome = Outcome::Aborted;
                ending.error = Some(Cow::Borrowed(error));
            }
            None => note::add(&mut open.notes, ending::FORGOTTEN),
        }
        self.finish(open, ending, events);
    }
}

/// The frame that bytes begin.
fn framing(bytes: &[u8]) -> Framing {
    match line::parse(bytes) {
        Some((line, end)) => {
            let (seen, length) = match line {
                Line::Publish(message) if message.subject.starts_with(subject::ACK) => {
                    (message.size.min(ACK_SEEN), message.length())
                }
                Line::Publish(message) | Line::Deliver(message, _) => {
                    (message.headers, message.length())
                }
                _ => (0, 0),
            };
            Framing::Frame {
                wanted: end.saturating_add(usize::try_from(seen).unwrap_or(usize::MAX)),
                length: end as u64 + length,
            }
        }
        None if line::may_begin(bytes) && memchr::memchr(b'\n', bytes).is_none() => Framing::More,
        None => Framing::Nonsense,
    }
}

/// Whether a chunk begins with a line, where the place is lost.
fn is_frame(bytes: &[u8], length: u64) -> bool {
    const SHORT: [&[u8]; 3] = [b"PING\r\n", b"PONG\r\n", b"+OK\r\n"];
    SHORT.contains(&bytes) || line::is_sure(bytes, length)
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Received => 0,
        Direction::Sent => 1,
    }
}

impl Parser for Nats {
    fn protocol(&self) -> Protocol {
        Protocol::Nats
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        if self.over {
            return;
        }
        let lane = index(chunk.direction);
        // A handshake record of TLS, which the server has asked for in its first line.
        if chunk.data.starts_with(&[0x16, 0x03]) && self.lanes[lane].is_at_boundary() {
            self.over = true;
            return;
        }
        let mut frames = std::mem::replace(&mut self.lanes[lane], Frames::new(false, 0));
        frames.chunk(chunk, |data| is_frame(data, chunk.length));
        while let Some(step) = frames.next(framing) {
            match step {
                Step::Frame(frame) => self.frame(&frame, chunk.direction, events),
                Step::Ended(moved) => self.frame_ended(lane, moved, events),
                Step::Lost => self.lane_lost(chunk.direction, Moved::of(chunk), events),
            }
        }
        self.lanes[lane] = frames;
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        for direction in [Direction::Received, Direction::Sent] {
            let lane = index(direction);
            self.ended[lane] |= ending::ends(end.reason, direction);
            if !self.ended[lane] {
                continue;
            }
            match std::mem::take(&mut self.coming[lane]) {
                Coming::Nothing | Coming::Early(..) => {}
                Coming::Alone(open) | Coming::Delivered(open, _) | Coming::Answers(open, _) => {
                    self.cut_short(open, end, events);
                }
            }
            if self.client == Some(direction) {
                while let Some(open) = self.delivered.pop() {
                    self.unanswered(open, events);
                }
                continue;
            }
            while let Some(open) = self.asked.pop() {
                self.cut_short(open, end, events);
            }
            while let Some(open) = self.unconfirmed.pop_front() {
                if let Some(open) = open {
                    self.cut_short(open, end, events);
                }
            }
        }
    }

    fn wants(&self, direction: Direction) -> Wants {
        match self.lanes[index(direction)].skips_until(self.settings.limits.skip) {
            _ if self.over => Wants::Nothing,
            Some(offset) => Wants::SkipUntil(offset),
            None => Wants::Bytes,
        }
    }

    fn is_between_requests(&self, direction: Direction) -> bool {
        self.client == Some(direction)
            && self.lanes.iter().all(Frames::is_at_boundary)
            && self.asked.is_empty()
            && self.delivered.is_empty()
            && self.unconfirmed.is_empty()
    }

    fn memory(&self) -> usize {
        let lanes: usize = self.lanes.iter().map(Frames::memory).sum();
        let early = self.early.len() * (REPLY_MAX + size_of::<Moved>());
        let unconfirmed = self.unconfirmed.iter().flatten().map(Open::memory);
        size_of::<Self>()
            + lanes
            + early
            + unconfirmed.sum::<usize>()
            + self.unconfirmed.capacity() * size_of::<Option<Open>>()
            + self.subscriptions.memory()
            + self.asked.memory()
            + self.delivered.memory()
    }
}
