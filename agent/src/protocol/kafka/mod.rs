//! Kafka's wire protocol (<https://kafka.apache.org/protocol>), seen from either end.
//!
//! Both directions are messages that begin with their size; an answer carries the correlation id of its
//! request, whose key and version say how both are laid out ([`api`]).
//!
//! # What becomes a span
//!
//! - **Produce**: `send TOPIC`, of kind producer at the client and server at the broker. The offset is
//!   that of the first message. Where no answer is asked for (`acks=0`), it ends when it is sent.
//! - **Fetch**: `poll TOPIC`, only if messages came or it failed. A broker keeps such a request until
//!   there are messages, so the span begins when the answer's first byte moves: what the client waited
//!   before is not its time. Copying between brokers gives none.
//! - **Groups, metadata, administration**: by the request's name. `JoinGroup` and `SyncGroup` have their
//!   true times, with a note that others were waited for.
//! - **Heartbeats, negotiation of versions, telemetry, what brokers say to each other**: none. Login
//!   only if it fails.
//!
//! A span has a topic where all its messages have the same, and a partition and an offset likewise.
//! Clients that name topics by id (since Fetch 13 and Produce 13) are understood from answers about
//! metadata, on whichever connection ([`topics`]).
//!
//! # What is assumed where the bytes do not tell
//!
//! - **Answers come in the order of requests**, as the protocol promises: a request that was passed over
//!   was answered among bytes that were not seen.
//! - **Messages are counted by the heads of their batches**, of which there is one for each partition in
//!   a request to send. If not all heads were captured, there is no count. A fetched batch may begin
//!   before the offset that was asked for; its messages are all counted.
//! - **Contexts in messages** (`traceparent` and the others) are read in what was captured of batches
//!   that are not compressed. If all messages of a request to send have the same, it is the parent;
//!   otherwise, and for what is fetched, they are links.

mod answers;
mod api;
mod batch;
mod calls;
mod errors;
mod exchange;
mod likeness;
mod messages;
mod note;
mod reader;
mod records;
mod requests;
#[cfg(test)]
mod tests;
mod topics;

use std::sync::Arc;

use crate::model::{
    Chunk, Connection, ConnectionEnd, Direction, Outcome, ParserEvent, Protocol, RemoteContext,
    Role, Side, Started,
};

use super::ending;
use super::frames::{Frame, Frames, Framing, Moved, Step};
use super::pairs::Pairs;
use super::{Entry, Likeness, Parser, Settings, Wants};
use batch::Batch;
use exchange::{Answer, Asked, Ending};
use likeness::{Client, SIZE};
use reader::Reader;

pub use topics::Topics;

/// Kafka among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Kafka,
    likeness: likeness::likeness,
    make: |connection, settings| Box::new(Kafka::new(connection, settings)),
};

/// Most bytes that are kept of an answer whose request is still to come.
const EARLY_MAX: usize = 4096;

/// The parser of one connection.
struct Kafka {
    settings: Settings,
    /// The direction that carries requests, once it is known.
    requests: Option<Direction>,
    /// Received, sent.
    lanes: [Frames; 2],
    /// Whether the next message of a lane has to prove that it is one.
    strict: [bool; 2],
    pairs: Pairs<i32, Asked, Answer>,
    /// The request that is being sent, if nothing answers it.
    unanswered: Option<Asked>,
    /// The answer that is coming.
    answer: Option<Answer>,
    /// The client's name for itself.
    client: Option<Arc<str>>,
    next: u64,
    /// How the answers' direction ended, and when.
    ended: Option<ConnectionEnd>,
    held: usize,
}

impl Kafka {
    fn new(connection: &Connection, settings: &Settings) -> Self {
        let limit = settings.limits.message;
        Self {
            settings: settings.clone(),
            requests: match connection.role {
                Role::Accepted => Some(Direction::Received),
                Role::Connected => Some(Direction::Sent),
                Role::Unknown => None,
            },
            lanes: [(); 2].map(|()| Frames::new(connection.from_start, limit)),
            strict: [!connection.from_start; 2],
            pairs: Pairs::new(connection.from_start, settings.limits.early),
            unanswered: None,
            answer: None,
            client: None,
            next: 0,
            ended: None,
            held: 0,
        }
    }

    fn side(&self) -> Side {
        match self.requests {
            Some(Direction::Sent) => Side::Client,
            _ => Side::Server,
        }
    }

    /// Tells from a chunk which direction carries requests.
    fn find_side(&mut self, chunk: &Chunk<'_>) -> Option<Direction> {
        let length = usize::try_from(chunk.length).unwrap_or(usize::MAX);
        let of_request = likeness::is_body(chunk.data, length)
            || likeness::size(chunk.data).is_some_and(|size| {
                likeness::head(&chunk.data[SIZE..], size, Client::Named) == Likeness::Yes
            });
        if of_request {
            self.requests = Some(chunk.direction);
        } else {
            // Whatever this was, the place is lost.
            self.lanes[index(chunk.direction)].give_up();
            self.strict[index(chunk.direction)] = true;
        }
        self.requests
    }

    fn request_bytes(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let lane = index(chunk.direction);
        let mut frames = std::mem::replace(&mut self.lanes[lane], Frames::new(false, 0));
        frames.chunk(chunk, |data| self.is_request(data) == Likeness::Yes);
        let limit = self.settings.limits.message;
        loop {
            let strict = self.strict[lane];
            let step = frames.next(|bytes| {
                let verdict = match strict {
                    true => self.is_request(bytes),
                    false => Likeness::Yes,
                };
                framing(bytes, verdict, limit)
            });
            match step {
                None => break,
                Some(Step::Frame(frame)) => {
                    self.strict[lane] = false;
                    self.request(&frame, events);
                }
                Some(Step::Ended(moved)) => {
                    if let Some(asked) = self.unanswered.take() {
                        // Without an answer, nothing else says where it went.
                        let ending = match asked.has_topic() {
                            true => Ending::answered(moved, 0),
                            false => Ending::lost(moved),
                        };
                        self.finish(asked, None, ending, events);
                    }
                }
                Some(Step::Lost) => {
                    self.strict[lane] = true;
                    self.pairs.misalign();
                    if let Some(mut asked) = self.unanswered.take() {
                        note::add(&mut asked.notes, note::GAP);
                        let ending = Ending::lost(Moved::of(chunk));
                        self.finish(asked, None, ending, events);
                    }
                }
            }
        }
        self.lanes[lane] = frames;
    }

    fn answer_bytes(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let lane = index(chunk.direction);
        let mut frames = std::mem::replace(&mut self.lanes[lane], Frames::new(false, 0));
        frames.chunk(chunk, |data| {
            self.is_answer(data) == Likeness::Yes && may_end(data, chunk.length)
        });
        let limit = self.settings.limits.message;
        loop {
            let strict = self.strict[lane];
            let step = frames.next(|bytes| {
                let verdict = match strict {
                    true => self.is_answer(bytes),
                    false => Likeness::Yes,
                };
                framing(bytes, verdict, limit)
            });
            match step {
                None => break,
                Some(Step::Frame(frame)) => {
                    self.strict[lane] = false;
                    self.answer = begun(&frame);
                }
                Some(Step::Ended(moved)) => {
                    if let Some(mut answer) = self.answer.take() {
                        answer.end = moved;
                        self.answered(answer, events);
                    }
                }
                Some(Step::Lost) => {
                    self.strict[lane] = true;
                    if let Some(answer) = self.answer.take() {
                        self.answer_lost(&answer, events);
                    }
                }
            }
        }
        self.lanes[lane] = frames;
    }

    /// Whether bytes begin a request. Some readers take the size alone: the next bytes are asked then.
    fn is_request(&mut self, bytes: &[u8]) -> Likeness {
        let client = self.client.as_ref();
        let client = client.map_or(Client::Named, |client| Client::Is(client.as_bytes()));
        match likeness::size(bytes) {
            None => Likeness::No,
            Some(_) if bytes.len() == SIZE => Likeness::Yes,
            Some(size) => likeness::head(&bytes[SIZE..], size, client),
        }
    }

    /// Whether bytes begin an answer that is waited for. Small numbers stand everywhere in answers, so
    /// where the place is lost that is not enough; see [`may_end`].
    fn is_answer(&mut self, bytes: &[u8]) -> Likeness {
        match (likeness::size(bytes), Reader::new(bytes).answer_id()) {
            (None, _) => Likeness::No,
            (Some(_), None) if bytes.len() == SIZE => Likeness::Yes,
            (Some(_), None) => Likeness::Perhaps,
            (Some(_), Some(id)) if self.pairs.find(&id).is_some() => Likeness::Yes,
            (Some(_), Some(_)) => Likeness::No,
        }
    }

    fn setting(&self, version: i16) -> messages::Setting<'_> {
        messages::Setting {
            version,
            topics: &self.settings.topics,
            extractor: &self.settings.context,
        }
    }

    fn start(
        &mut self,
        asked: &mut Asked,
        first: Moved,
        by: Moved,
        context: Option<RemoteContext>,
        events: &mut Vec<ParserEvent>,
    ) {
        asked.exchange = Some(self.next);
        events.push(ParserEvent::Started(Started {
            exchange: self.next,
            side: self.side(),
            position: asked.position,
            start: first.time,
            task: by.task,
            context,
            overlapping: true,
            telemetry: false,
            carried: None,
        }));
        self.next += 1;
    }

    fn finish(
        &self,
        mut asked: Asked,
        batch: Option<&Batch>,
        ending: Ending,
        events: &mut Vec<ParserEvent>,
    ) {
        let Some(exchange) = asked.exchange else {
            return;
        };
        let own = asked.batch.take();
        let batch = batch.or(own.as_deref());
        let longest = self.settings.limits.text;
        let mut finished = exchange::finished(exchange, asked, batch, ending, longest);
        if self.side() == Side::Server {
            finished.kind = None;
        }
        events.push(ParserEvent::Finished(finished));
    }

    /// Takes out the oldest open request.
    fn pop(&mut self) -> Option<Asked> {
        let asked = self.pairs.pop()?;
        self.held = self.held.saturating_sub(asked.memory());
        Some(asked)
    }

    /// The connection ended before the answer.
    fn cut_short(&self, mut asked: Asked, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let mut ending = Ending::lost(Moved {
            time: end.time,
            ..Moved::default()
        });
        match ending::error_type(end.reason) {
            Some(error) => {
                ending.outcome = Outcome::Aborted;
                ending.error = Some(error);
            }
            None => note::add(&mut asked.notes, ending::FORGOTTEN),
        }
        self.finish(asked, None, ending, events);
    }
}

/// The frame that bytes begin.
fn framing(bytes: &[u8], verdict: Likeness, limit: usize) -> Framing {
    match (likeness::size(bytes), verdict) {
        (None, _) if bytes.len() < SIZE => Framing::More,
        (None, _) | (_, Likeness::No) => Framing::Nonsense,
        (_, Likeness::Perhaps) => Framing::More,
        // The size alone proves nothing.
        (Some(_), Likeness::Yes) if bytes.len() == SIZE => Framing::More,
        (Some(size), Likeness::Yes) => Framing::Frame {
            wanted: (size + SIZE).min(limit),
            length: (size + SIZE) as u64,
        },
    }
}

/// Whether what begins in a chunk of this length also ends with it, or is so large that it is read in
/// parts of some size; the rest of something else is hardly either. Some readers take the size alone.
fn may_end(data: &[u8], length: u64) -> bool {
    /// Parts in which a large answer is read are taken to be larger than this.
    const PART: u64 = 1024;
    data.len() == SIZE
        || length >= PART
        || likeness::size(data).is_some_and(|size| size as u64 + SIZE as u64 == length)
}

/// An answer that has begun, if its correlation id was captured.
fn begun(frame: &Frame<'_>) -> Option<Answer> {
    let correlation = Reader::new(frame.bytes).answer_id()?;
    Some(Answer {
        correlation,
        bytes: frame.bytes[2 * SIZE..].to_vec(),
        cut: frame.cut || (frame.bytes.len() as u64) < frame.length,
        first: frame.first,
        end: frame.last,
    })
}

impl Reader<'_> {
    /// The correlation id of an answer, whose size comes first.
    fn answer_id(mut self) -> Option<i32> {
        self.int32()?;
        self.int32()
    }
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Received => 0,
        Direction::Sent => 1,
    }
}

impl Parser for Kafka {
    fn protocol(&self) -> Protocol {
        Protocol::Kafka
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let requests = match self.requests {
            Some(requests) => requests,
            None => match self.find_side(chunk) {
                Some(requests) => requests,
                None => return,
            },
        };
        if chunk.direction == requests {
            self.request_bytes(chunk, events);
        } else {
            self.answer_bytes(chunk, events);
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let requests = self.requests.unwrap_or(Direction::Received);
        if ending::ends(end.reason, requests)
            && let Some(asked) = self.unanswered.take()
        {
            self.cut_short(asked, end, events);
        }
        if ending::ends(end.reason, requests.opposite()) {
            self.ended.get_or_insert(*end);
            self.answer = None;
            while let Some(asked) = self.pop() {
                self.cut_short(asked, end, events);
            }
        }
    }

    fn wants(&self, direction: Direction) -> Wants {
        match self.lanes[index(direction)].skips_until(self.settings.limits.skip) {
            Some(offset) => Wants::SkipUntil(offset),
            None => Wants::Bytes,
        }
    }

    fn is_between_requests(&self, direction: Direction) -> bool {
        self.requests == Some(direction)
            && self.lanes.iter().all(Frames::is_at_boundary)
            && self.pairs.is_empty()
    }

    fn memory(&self) -> usize {
        let lanes: usize = self.lanes.iter().map(Frames::memory).sum();
        let answer = self.answer.as_ref().map_or(0, |one| one.bytes.capacity());
        size_of::<Self>() + lanes + answer + self.pairs.memory() + self.held
    }
}
