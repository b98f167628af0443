//! What is known of a connection: its channels, and what is open on them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::context::Extractor;
use crate::model::{Connection, ConnectionEnd, Direction, ParserEvent, Role, Side};
use crate::protocol::ending::ends;
use crate::protocol::frames::{Frame, Moved};
use crate::protocol::open::{Ending, Numbers};
use crate::protocol::pairs::Pairs;
use crate::protocol::{Limits, Settings};

use super::asking::{Answer, Asked, Consumer};
use super::delivering::Delivery;
use super::messages::Content;
use super::publishing::{Ack, Confirms, Publish};
use super::wire::{self, Method, Sender};
use super::{index, told};

/// Of a connection.
#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) extractor: Arc<Extractor>,
    /// The direction in which the client sends, once it is known.
    pub(super) client: Option<Direction>,
    /// It speaks another version.
    pub(super) other: bool,
    /// Bytes of the client's were lost, or came before the connection was joined.
    pub(super) gapped: bool,
    /// Nobody knows what a direction says at present; received, sent.
    blind: [bool; 2],
    pub(super) numbers: Numbers,
    pub(super) channels: BTreeMap<u16, Channel>,
    pub(super) publishes: VecDeque<Publish>,
    /// Confirms that were seen before what they confirm.
    pub(super) early: VecDeque<Ack>,
    pub(super) deliveries: VecDeque<Delivery>,
    pub(super) consumers: VecDeque<Consumer>,
    pub(super) asked: Pairs<(u16, Method), Asked, Answer>,
    /// The channels whose message is whole when the present frames are; received, sent.
    pub(super) whole: [Option<u16>; 2],
}

/// Of a channel.
#[derive(Debug, Default)]
pub(super) struct Channel {
    pub(super) confirms: Confirms,
    /// The client has acknowledged something.
    pub(super) acknowledges: bool,
    /// Messages on their way; received, sent.
    pub(super) content: [Option<Content>; 2],
    /// The queue that was declared last: what an empty name means.
    pub(super) declared: Box<[u8]>,
}

impl State {
    pub(super) fn new(connection: &Connection, settings: &Settings) -> Self {
        Self {
            limits: settings.limits,
            extractor: Arc::clone(&settings.context),
            client: match connection.role {
                Role::Accepted => Some(Direction::Received),
                Role::Connected => Some(Direction::Sent),
                Role::Unknown => None,
            },
            other: false,
            gapped: !connection.from_start,
            blind: [!connection.from_start; 2],
            numbers: Numbers::default(),
            channels: BTreeMap::new(),
            publishes: VecDeque::new(),
            early: VecDeque::new(),
            deliveries: VecDeque::new(),
            consumers: VecDeque::new(),
            asked: Pairs::new(connection.from_start, settings.limits.early),
            whole: [None; 2],
        }
    }

    /// Whose view this is; any while the client is not known, since nothing is told then.
    pub(super) fn side(&self) -> Side {
        match self.client {
            Some(Direction::Sent) => Side::Client,
            _ => Side::Server,
        }
    }

    /// A channel. More than can be remembered are not followed.
    pub(super) fn channel(&mut self, number: u16) -> Option<&mut Channel> {
        if self.channels.len() >= self.limits.remembered && !self.channels.contains_key(&number) {
            return None;
        }
        let gapped = self.gapped;
        Some(self.channels.entry(number).or_insert_with(|| Channel {
            confirms: if gapped {
                Confirms::Perhaps(0)
            } else {
                Confirms::None
            },
            ..Channel::default()
        }))
    }

    /// A frame, as far as it is wanted.
    pub(super) fn frame(
        &mut self,
        direction: Direction,
        frame: &Frame<'_>,
        events: &mut Vec<ParserEvent>,
    ) {
        if frame.bytes.starts_with(wire::ANY_PROTOCOL) {
            // The client's, or the answer of a server that wants another version (section 4.2.2).
            if frame.bytes == wire::PROTOCOL && self.client.is_none_or(|client| client == direction)
            {
                self.client = Some(direction);
            } else {
                self.other = true;
            }
            return;
        }
        let Some(&[kind, high, low]) = frame.bytes.first_chunk() else {
            return;
        };
        let channel = u16::from_be_bytes([high, low]);
        match kind {
            wire::METHOD => {
                // The payload, without the frame's end.
                let end = frame.bytes.len()
                    - usize::from(!frame.cut && frame.length == frame.bytes.len() as u64);
                let payload = frame.bytes.get(wire::PAYLOAD..end).unwrap_or_default();
                if self
                    .method(direction, channel, payload, frame, events)
                    .is_none()
                {
                    self.lost(direction, frame.last, events);
                }
            }
            wire::HEADER => self.header(direction, channel, frame, events),
            wire::BODY => {
                let length = frame.length.saturating_sub(wire::OVERHEAD as u64);
                self.body(direction, channel, length);
            }
            _ => {}
        }
    }

    /// `None`: too little of it was captured.
    fn method(
        &mut self,
        direction: Direction,
        channel: u16,
        payload: &[u8],
        frame: &Frame<'_>,
        events: &mut Vec<ParserEvent>,
    ) -> Option<()> {
        let method = Method::read(payload)?;
        let sender = method.sender()?;
        let from_client = match (self.client, sender) {
            (Some(client), _) => client == direction,
            (None, Sender::Only(side)) => {
                let by_client = side == Side::Client;
                let client = if by_client {
                    direction
                } else {
                    direction.opposite()
                };
                self.client = Some(client);
                by_client
            }
            (None, Sender::Both) => return Some(()),
        };
        if sender
            == Sender::Only(if from_client {
                Side::Server
            } else {
                Side::Client
            })
        {
            // It cannot be: this is no stream of the protocol's.
            return None;
        }
        let arguments = &payload[4..];
        if method.class == wire::BASIC
            && let Some(done) = self.message(from_client, channel, method, arguments, frame, events)
        {
            return done.then_some(());
        }
        match (method.class, method.method) {
            (wire::CONNECTION, 50) => self.closed(None, arguments, frame.last, events),
            (wire::CHANNEL, 40) => self.closed(Some(channel), arguments, frame.last, events),
            _ if from_client => self.ask(channel, method, arguments, frame, events),
            _ => self.answer(channel, method, arguments, frame.last, events),
        }
    }

    /// The present frame of a direction has ended.
    pub(super) fn frame_ended(
        &mut self,
        direction: Direction,
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        if let Some(channel) = self.whole[index(direction)].take() {
            self.message_ended(direction, channel, moved, events);
        }
    }

    /// Bytes of a direction were lost.
    pub(super) fn lost(&mut self, direction: Direction, now: Moved, events: &mut Vec<ParserEvent>) {
        let at = index(direction);
        self.blind[at] = true;
        self.whole[at] = None;
        for channel in self.channels.values_mut() {
            channel.content[at] = None;
        }
        self.asked.misalign();
        let by_client = self.client == Some(direction);
        self.gapped |= by_client;
        for channel in self.channels.values_mut() {
            channel.confirms.lose(by_client);
        }
        self.missed(direction, now, events);
    }

    /// A direction is understood again.
    pub(super) fn found(
        &mut self,
        direction: Direction,
        now: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        self.blind[index(direction)] = false;
        self.missed(direction, now, events);
    }

    /// How what waits for the client (or the broker) to say something ends, if that never comes.
    pub(super) fn unanswered(&self, by_client: bool, ending: Ending) -> Ending {
        let by = match by_client {
            true => self.client,
            false => self.client.map(Direction::opposite),
        };
        ending.seen(by.is_none_or(|by| self.blind[index(by)]), told::GAP)
    }

    /// What a direction said may have been missed: what ends with it has perhaps ended. So it is when
    /// bytes are lost, and again when the place is found.
    fn missed(&mut self, direction: Direction, now: Moved, events: &mut Vec<ParserEvent>) {
        let ending = Ending::Lost(now, told::GAP);
        if self.client == Some(direction) {
            self.early.clear();
            // What was on its way; the others still can be confirmed.
            self.end_publishes(|publish| publish.sent.is_none(), ending, events);
            self.end_deliveries(|delivery| !delivery.alone, ending, events);
        } else {
            self.end_asked(|_| true, ending, false, events);
            self.end_publishes(|_| true, ending, events);
            self.end_deliveries(|delivery| !delivery.whole, ending, events);
        }
    }

    /// The connection, or a direction of it, has ended.
    pub(super) fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let Some(client) = self.client else { return };
        let ending = Ending::of(end);
        let (settled, answered) = (
            self.unanswered(true, ending),
            self.unanswered(false, ending),
        );
        let (asks, answers) = (
            ends(end.reason, client),
            ends(end.reason, client.opposite()),
        );
        if answers {
            self.end_asked(|_| true, answered, true, events);
            self.early.clear();
        }
        self.end_publishes(
            |publish| answers || publish.sent.is_none() && asks,
            answered,
            events,
        );
        self.end_deliveries(
            |delivery| asks || !delivery.whole && answers,
            settled,
            events,
        );
    }

    /// Whether nothing is open.
    pub(super) fn is_idle(&self) -> bool {
        let moving = |channel: &Channel| channel.content.iter().any(Option::is_some);
        self.publishes.is_empty()
            && self.deliveries.is_empty()
            && self.asked.is_empty()
            && !self.channels.values().any(moving)
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        /// Of a tree's node, about.
        const NODE: usize = 16;
        /// Of what a request names, and what is told of it, at most about.
        const ASKED: usize = 1024;
        let channels = self.channels.values();
        let publishes = self.publishes.iter();
        let deliveries = self.deliveries.iter();
        channels
            .map(|channel| size_of::<Channel>() + NODE + channel.memory())
            .sum::<usize>()
            + self.publishes.capacity() * size_of::<Publish>()
            + publishes.map(Publish::memory).sum::<usize>()
            + self.early.capacity() * size_of::<Ack>()
            + self.deliveries.capacity() * size_of::<Delivery>()
            + deliveries
                .map(|delivery| delivery.told.memory())
                .sum::<usize>()
            + self.consumers.capacity() * size_of::<Consumer>()
            + self.consumers.iter().map(Consumer::memory).sum::<usize>()
            + self.asked.memory()
            + self.asked.len() * ASKED
    }
}

impl Channel {
    fn memory(&self) -> usize {
        let content = self.content.iter().flatten();
        self.declared.len() + content.map(Content::memory).sum::<usize>()
    }
}
