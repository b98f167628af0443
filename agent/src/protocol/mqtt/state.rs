//! What is known of a connection, and what is open on it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::context::Extractor;
use crate::model::{Connection, ConnectionEnd, Direction, ParserEvent, Role, Side};
use crate::protocol::ending::ends;
use crate::protocol::frames::{Frame, Moved};
use crate::protocol::open::{Ending, Head, Numbers, Told};
use crate::protocol::{Limits, Settings};

use super::wire::{self, Fixed};
use super::{index, told};

/// Of a connection.
#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    extractor: Arc<Extractor>,
    /// The direction in which the client sends, once it is known.
    client: Option<Direction>,
    /// 3 (for 3.1), 4 (for 3.1.1) or 5, once it is known.
    pub(super) version: Option<u8>,
    client_id: Option<Box<str>>,
    numbers: Numbers,
    /// Nothing was missed so far.
    aligned: bool,
    /// Nobody knows what a direction says at present; received, sent.
    blind: [bool; 2],
    messages: VecDeque<Message>,
    /// Acknowledgements that were seen before what they acknowledge.
    early: VecDeque<Ack>,
    asked: VecDeque<Asked>,
    /// What topics are called for short; received, sent.
    aliases: [BTreeMap<u16, Box<str>>; 2],
    /// The exchange whose message the present packet is; received, sent.
    moving: [Option<u64>; 2],
}

/// A message that is open.
#[derive(Debug)]
struct Message {
    exchange: u64,
    from_client: bool,
    /// 0 where it is not acknowledged.
    id: u16,
    qos: u8,
    told: Told,
    /// Its last byte has moved.
    whole: bool,
}

/// That a client's message was taken.
#[derive(Clone, Copy, Debug)]
struct Ack {
    kind: u8,
    id: u16,
    reason: u8,
    moved: Moved,
}

/// Something that is only told if it is refused.
#[derive(Debug)]
struct Asked {
    kind: u8,
    id: u16,
    head: Head,
}

impl Asked {
    const fn name(&self) -> &'static str {
        match self.kind {
            wire::CONNECT => "connect",
            wire::SUBSCRIBE => "subscribe",
            _ => "unsubscribe",
        }
    }
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
            version: None,
            client_id: None,
            numbers: Numbers::default(),
            aligned: connection.from_start,
            blind: [!connection.from_start; 2],
            messages: VecDeque::new(),
            early: VecDeque::new(),
            asked: VecDeque::new(),
            aliases: [BTreeMap::new(), BTreeMap::new()],
            moving: [None; 2],
        }
    }

    fn side(&self) -> Side {
        match self.client {
            Some(Direction::Sent) => Side::Client,
            _ => Side::Server,
        }
    }

    /// A packet, as far as it is wanted.
    pub(super) fn packet(
        &mut self,
        direction: Direction,
        frame: &Frame<'_>,
        events: &mut Vec<ParserEvent>,
    ) {
        let Ok(fixed) = Fixed::read(frame.bytes) else {
            return;
        };
        if let Some(sender) = fixed.sender() {
            let client = match sender {
                Side::Client => direction,
                Side::Server => direction.opposite(),
            };
            if *self.client.get_or_insert(client) != client {
                return self.lost(direction, frame.last, events);
            }
        }
        let Some(client) = self.client else { return };
        let from_client = client == direction;
        let bytes = &frame.bytes[fixed.header..];
        let understood = match fixed.kind {
            wire::PUBLISH => self.publish(from_client, direction, fixed, bytes, frame, events),
            wire::CONNECT | wire::SUBSCRIBE | wire::UNSUBSCRIBE => {
                self.ask(fixed.kind, bytes, frame, events)
            }
            wire::CONNACK => self.connected(bytes, frame.last, events),
            wire::SUBACK | wire::UNSUBACK => self.subscribed(fixed.kind, bytes, frame.last, events),
            wire::PUBACK | wire::PUBREC | wire::PUBCOMP => {
                wire::acknowledgement(fixed, bytes).map(|(id, reason)| {
                    let ack = Ack {
                        kind: fixed.kind,
                        id,
                        reason,
                        moved: frame.last,
                    };
                    self.acknowledged(!from_client, ack, events);
                })
            }
            wire::DISCONNECT => {
                if let Some(&reason) = bytes.first().filter(|reason| **reason >= wire::ERROR)
                    && !from_client
                {
                    self.disconnected(reason, frame.last, events);
                }
                Some(())
            }
            _ => Some(()),
        };
        if understood.is_none() {
            self.lost(direction, frame.last, events);
        }
    }

    /// `None`, here and below: too little of the packet was captured.
    fn publish(
        &mut self,
        from_client: bool,
        direction: Direction,
        fixed: Fixed,
        bytes: &[u8],
        frame: &Frame<'_>,
        events: &mut Vec<ParserEvent>,
    ) -> Option<()> {
        let publish = wire::publish(fixed, bytes, self.version)?;
        if publish.is_v5 {
            self.version = Some(wire::V5);
        }
        let topic = self.topic(direction, publish.topic, publish.properties.alias);
        let side = self.side();
        if !from_client && side == Side::Server {
            return Some(());
        }
        if publish.id != 0 {
            let mut open = self.messages.iter_mut();
            let open = open.find(|open| open.from_client == from_client && open.id == publish.id);
            if let Some(open) = open {
                if fixed.is_again() {
                    open.told.note(told::AGAIN);
                    return Some(());
                }
                // That it was acknowledged has been missed.
                let exchange = open.exchange;
                let ending = Ending::Lost(frame.last, told::GAP);
                self.end_messages(|open| open.exchange == exchange, ending, events);
            }
        }
        let mut told = told::message(
            from_client.then_some(side),
            &topic,
            &publish,
            self.client_id.as_deref(),
        );
        if fixed.is_again() {
            told.note(told::AGAIN);
        }
        let carrier = publish.properties.carrier(self.extractor.custom_headers());
        let context = told.context(&self.extractor, &carrier);
        let head = head(frame);
        let side = if from_client { side } else { Side::Server };
        let exchange = self.numbers.start(side, &head, context, events);
        self.messages.push_back(Message {
            exchange,
            from_client,
            id: publish.id,
            qos: fixed.qos(),
            told,
            whole: false,
        });
        self.moving[index(direction)] = Some(exchange);
        if self.messages.len() > self.limits.open
            && let Some(oldest) = self.messages.pop_front()
        {
            let ending = Ending::Lost(frame.last, told::TOO_MANY);
            oldest.told.finish(oldest.exchange, ending, events);
        }
        Some(())
    }

    /// The topic of a message (section 3.3.2.3.4); empty if it is not known.
    fn topic(&mut self, direction: Direction, topic: &[u8], alias: Option<u16>) -> Box<str> {
        let aliases = &mut self.aliases[index(direction)];
        let topic = told::name(topic, self.limits.text);
        match alias {
            Some(alias) if topic.is_empty() => aliases.get(&alias).cloned().unwrap_or_default(),
            Some(alias) => {
                if aliases.len() < self.limits.remembered || aliases.contains_key(&alias) {
                    aliases.insert(alias, topic.clone());
                }
                topic
            }
            None => topic,
        }
    }

    /// The present packet of a direction has ended.
    pub(super) fn packet_ended(
        &mut self,
        direction: Direction,
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        let Some(exchange) = self.moving[index(direction)].take() else {
            return;
        };
        let mut open = self.messages.iter_mut();
        let Some(open) = open.find(|open| open.exchange == exchange) else {
            return;
        };
        open.whole = true;
        if open.qos == 0 {
            self.end_messages(
                |open| open.exchange == exchange,
                Ending::Complete(moved),
                events,
            );
        } else if open.from_client {
            let id = open.id;
            // One that meets nothing belongs to an earlier message, and is not kept again.
            while let Some(at) = self.early.iter().position(|ack| ack.id == id)
                && let Some(mut ack) = self.early.remove(at)
            {
                ack.moved.time = ack.moved.time.max(moved.time);
                self.meets(true, ack, events);
            }
        }
    }

    /// A message of the client's, or one that was delivered to it, is acknowledged.
    fn acknowledged(&mut self, from_client: bool, ack: Ack, events: &mut Vec<ParserEvent>) {
        if self.meets(from_client, ack, events)
            || !from_client
            || !self.aligned
            || self.side() == Side::Server
        {
            return;
        }
        if self.early.len() >= self.limits.early {
            self.early.pop_front();
        }
        self.early.push_back(ack);
    }

    /// Whether what is acknowledged is open.
    fn meets(&mut self, from_client: bool, ack: Ack, events: &mut Vec<ParserEvent>) -> bool {
        let refused =
            self.version != Some(4) && self.version != Some(3) && ack.reason >= wire::ERROR;
        let mut open = self.messages.iter_mut();
        let open = open.find(|open| open.from_client == from_client && open.id == ack.id);
        let Some(open) = open else {
            return false;
        };
        let is_last = match (ack.kind, open.qos) {
            (wire::PUBACK, 1) | (wire::PUBCOMP, 2) => true,
            // The client has the message, or the broker does not want it.
            (wire::PUBREC, 2) => !from_client || refused,
            _ => false,
        };
        if !is_last {
            return true;
        }
        if refused {
            open.told.fail(ack.reason.to_string());
        }
        let exchange = open.exchange;
        self.end_messages(
            |open| open.exchange == exchange,
            Ending::Complete(ack.moved),
            events,
        );
        true
    }

    fn ask(
        &mut self,
        kind: u8,
        bytes: &[u8],
        frame: &Frame<'_>,
        events: &mut Vec<ParserEvent>,
    ) -> Option<()> {
        let id = if kind == wire::CONNECT {
            let (version, client) = wire::connect(bytes)?;
            self.version = Some(version);
            if !client.is_empty() {
                self.client_id = Some(told::name(client, self.limits.text));
            }
            0
        } else {
            wire::id(bytes)?
        };
        if self.asked.len() >= self.limits.open {
            self.asked.pop_front();
        }
        let ending = Ending::Lost(frame.last, told::GAP);
        self.end_asked(|asked| asked.id == id, None, ending, false, events);
        self.asked.push_back(Asked {
            kind,
            id,
            head: head(frame),
        });
        Some(())
    }

    fn connected(
        &mut self,
        bytes: &[u8],
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) -> Option<()> {
        let code = *bytes.get(1)?;
        // Return codes of MQTT 3 are errors from 1 on, reasons of MQTT 5 from 0x80.
        let refused = code >= 1;
        let ending = Ending::Complete(moved);
        let error = refused.then_some(code);
        self.end_asked(
            |asked| asked.kind == wire::CONNECT,
            error,
            ending,
            refused,
            events,
        );
        Some(())
    }

    fn subscribed(
        &mut self,
        kind: u8,
        bytes: &[u8],
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) -> Option<()> {
        let id = wire::id(bytes)?;
        let error = wire::refusal(kind, bytes, self.version);
        let ending = Ending::Complete(moved);
        let is = |asked: &Asked| asked.id == id && asked.kind + 1 == kind;
        self.end_asked(is, error, ending, error.is_some(), events);
        Some(())
    }

    /// The broker closes the connection for a reason.
    fn disconnected(&mut self, reason: u8, moved: Moved, events: &mut Vec<ParserEvent>) {
        for message in &mut self.messages {
            message.told.fail(reason.to_string());
        }
        let ending = Ending::Complete(moved);
        self.end_asked(|_| true, Some(reason), ending, true, events);
        self.end_messages(|_| true, ending, events);
    }

    /// Bytes of a direction were lost.
    pub(super) fn lost(&mut self, direction: Direction, now: Moved, events: &mut Vec<ParserEvent>) {
        self.aligned = false;
        self.blind[index(direction)] = true;
        self.moving[index(direction)] = None;
        self.aliases[index(direction)].clear();
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

    /// What a direction said may have been missed: what ends with it has perhaps ended. So it is when
    /// bytes are lost, and again when the place is found.
    fn missed(&mut self, direction: Direction, now: Moved, events: &mut Vec<ParserEvent>) {
        let ending = Ending::Lost(now, told::GAP);
        let from_client = self.client == Some(direction);
        self.early.clear();
        if !from_client {
            self.end_asked(|_| true, None, ending, false, events);
        }
        // Messages of this direction that are on their way, and those of the other whose
        // acknowledgements may be among it.
        self.end_messages(
            |open| open.from_client != from_client || !open.whole,
            ending,
            events,
        );
    }

    /// The connection, or a direction of it, has ended.
    pub(super) fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let Some(client) = self.client else { return };
        let ending = Ending::of(end);
        let asks = ends(end.reason, client);
        let answers = ends(end.reason, client.opposite());
        let [settled, answered] =
            [client, client.opposite()].map(|by| ending.seen(self.blind[index(by)], told::GAP));
        if answers {
            let show = matches!(answered, Ending::Aborted { .. });
            self.end_asked(|_| true, None, answered, show, events);
            self.early.clear();
        }
        self.end_messages(
            |open| open.from_client && (answers || asks && !open.whole),
            answered,
            events,
        );
        self.end_messages(
            |open| !open.from_client && (asks || answers && !open.whole),
            settled,
            events,
        );
    }

    /// Ends what is only told if it fails (`show`).
    fn end_asked(
        &mut self,
        is: impl Fn(&Asked) -> bool,
        error: Option<u8>,
        ending: Ending,
        show: bool,
        events: &mut Vec<ParserEvent>,
    ) {
        let mut at = 0;
        while let Some(asked) = self.asked.get(at) {
            if !is(asked) {
                at += 1;
                continue;
            }
            let asked = self.asked.remove(at);
            let Some(asked) = asked.filter(|_| show) else {
                continue;
            };
            let mut told = told::refused(asked.name(), self.client_id.as_deref());
            if let Some(error) = error {
                told.fail(error.to_string());
            }
            let exchange = self.numbers.start(self.side(), &asked.head, None, events);
            told.finish(exchange, ending, events);
        }
    }

    fn end_messages(
        &mut self,
        is: impl Fn(&Message) -> bool,
        ending: Ending,
        events: &mut Vec<ParserEvent>,
    ) {
        let mut at = 0;
        while let Some(message) = self.messages.get(at) {
            if !is(message) {
                at += 1;
            } else if let Some(message) = self.messages.remove(at) {
                message.told.finish(message.exchange, ending, events);
            }
        }
    }

    /// Whether nothing is open.
    pub(super) fn is_idle(&self) -> bool {
        self.messages.is_empty() && self.asked.is_empty()
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        /// Of an entry of a tree, about, without its text.
        const ENTRY: usize = 40;
        let aliases = self.aliases.iter().flat_map(BTreeMap::values);
        let messages = self.messages.iter();
        aliases.map(|topic| topic.len() + ENTRY).sum::<usize>()
            + self.messages.capacity() * size_of::<Message>()
            + messages.map(|message| message.told.memory()).sum::<usize>()
            + self.early.capacity() * size_of::<Ack>()
            + self.asked.capacity() * size_of::<Asked>()
            + self.client_id.as_ref().map_or(0, |id| id.len())
    }
}

fn head(frame: &Frame<'_>) -> Head {
    Head {
        position: frame.position,
        start: frame.first.time,
        task: frame.last.task,
    }
}
