//! Messages: how they are sent and confirmed, delivered and acknowledged.

use std::sync::Arc;

use crate::model::{Direction, Note, ParserEvent, Side};
use crate::protocol::cursor::Cursor;
use crate::protocol::frames::{Frame, Moved};
use crate::protocol::open::{Ending, Head, Told};

use super::index;
use super::state::{Confirms, State};
use super::told::{self, Source};
use super::wire::{self, Method, Properties};

/// A message that is sent.
#[derive(Debug)]
pub(super) struct Publish {
    exchange: u64,
    pub(super) channel: u16,
    /// Its number, by which it is confirmed.
    tag: Option<u64>,
    /// It may be confirmed, but nobody knows by which number.
    unsure: bool,
    /// Exchange and routing key, where it may be returned.
    route: Option<Box<[u8]>>,
    pub(super) told: Told,
    /// Its last byte has moved.
    pub(super) sent: Option<Moved>,
}

impl Publish {
    pub(super) fn memory(&self) -> usize {
        self.told.memory() + self.route.as_ref().map_or(0, |route| route.len())
    }
}

/// A message that was delivered, or asked for.
#[derive(Debug)]
pub(super) struct Delivery {
    exchange: u64,
    pub(super) channel: u16,
    tag: u64,
    /// It ends with its last byte.
    pub(super) alone: bool,
    pub(super) told: Told,
    /// Its last byte has moved.
    pub(super) whole: bool,
}

/// A confirm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    pub(super) channel: u16,
    tag: u64,
    /// So are all before it.
    multiple: bool,
    error: Option<&'static str>,
    moved: Moved,
}

impl Ack {
    fn is_of(&self, channel: u16, tag: u64) -> bool {
        // 0 means all (basic.ack, "multiple").
        self.channel == channel
            && (tag == self.tag || self.multiple && (tag < self.tag || self.tag == 0))
    }
}

/// What `basic.get-ok` says.
#[derive(Debug)]
pub(super) struct Got {
    tag: u64,
    exchange: Box<[u8]>,
    key: Box<[u8]>,
}

/// A message on its way.
#[derive(Debug)]
pub(super) enum Content {
    /// Its method was seen; its header is to come.
    Publish {
        position: u64,
        first: Moved,
        publish: Box<Publish>,
    },
    /// So it was.
    Deliver {
        position: u64,
        first: Moved,
        delivery: Box<Delivery>,
    },
    /// So it was; what asked for it, from which queue.
    Got(Head, Box<[u8]>, Got),
    /// Nothing is told of it.
    Nothing,
    /// Its body is to come: so many bytes.
    Body(Of, u64),
}

/// What a body belongs to.
#[derive(Debug)]
pub(super) enum Of {
    Publish(u64),
    Delivery(u64),
    Nothing,
}

impl Content {
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Publish { publish, .. } => size_of::<Publish>() + publish.memory(),
            Self::Deliver { delivery, .. } => size_of::<Delivery>() + delivery.told.memory(),
            Self::Got(_, queue, got) => queue.len() + got.exchange.len() + got.key.len(),
            _ => 0,
        }
    }
}

impl State {
    /// A method of class "basic" that is about messages: whether enough of it was captured. `None` for
    /// others.
    pub(super) fn message(
        &mut self,
        from_client: bool,
        channel: u16,
        method: Method,
        arguments: &[u8],
        frame: &Frame<'_>,
        events: &mut Vec<ParserEvent>,
    ) -> Option<bool> {
        let mut cursor = Cursor::new(arguments);
        let done = match (method.method, from_client) {
            (40, true) => self.publish(channel, cursor, frame),
            (50, false) => self.returned(channel, cursor),
            (60, false) => self.deliver(channel, cursor, frame),
            (71, false) => got(&mut cursor).map(|got| {
                let content = self.got(channel, got, frame.last);
                self.set(false, channel, content);
            }),
            (80 | 120, false) => {
                confirm(channel, method, cursor, frame.last).map(|ack| self.confirmed(ack, events))
            }
            (80 | 90 | 120, true) => self.settle(channel, method, cursor, frame.last, events),
            _ => return None,
        };
        Some(done.is_some())
    }

    fn set(&mut self, from_client: bool, channel: u16, content: Content) {
        let Some(client) = self.client else { return };
        let direction = if from_client {
            client
        } else {
            client.opposite()
        };
        if let Some(state) = self.channel(channel) {
            state.content[index(direction)] = Some(content);
        }
    }

    fn publish(&mut self, channel: u16, mut cursor: Cursor<'_>, frame: &Frame<'_>) -> Option<()> {
        cursor.u16()?;
        let (exchange, key) = (cursor.bytes8()?, cursor.bytes8()?);
        let mandatory = cursor.u8()? & 1 != 0;
        let told = told::publish(self.side(), exchange, key);
        let Some(state) = self.channel(channel) else {
            return Some(());
        };
        let (tag, unsure) = state.confirms.count(frame.first.time);
        let publish = Box::new(Publish {
            exchange: 0,
            channel,
            tag,
            unsure,
            route: mandatory.then(|| route(exchange, key)),
            told,
            sent: None,
        });
        let content = Content::Publish {
            position: frame.position,
            first: frame.first,
            publish,
        };
        self.set(true, channel, content);
        Some(())
    }

    fn returned(&mut self, channel: u16, mut cursor: Cursor<'_>) -> Option<()> {
        let code = cursor.u16()?;
        cursor.bytes8()?;
        let route = route(cursor.bytes8()?, cursor.bytes8()?);
        let mut publishes = self.publishes.iter_mut();
        let found = publishes.find(|publish| {
            publish.channel == channel
                && publish.told.error.is_none()
                && publish.route.as_ref() == Some(&route)
        });
        if let Some(publish) = found {
            publish.told.fail(code.to_string());
        }
        self.set(false, channel, Content::Nothing);
        Some(())
    }

    fn deliver(&mut self, channel: u16, mut cursor: Cursor<'_>, frame: &Frame<'_>) -> Option<()> {
        let consumer = cursor.bytes8()?;
        let tag = cursor.u64()?;
        cursor.u8()?;
        let (exchange, key) = (cursor.bytes8()?, cursor.bytes8()?);
        if self.side() == Side::Server {
            self.set(false, channel, Content::Nothing);
            return Some(());
        }
        let mut known = self.consumers.iter();
        let known = known.find(|known| known.channel == channel && *known.tag == *consumer);
        let source = Source {
            queue: known.map_or(&[], |known| &known.queue),
            exchange,
            key,
            tag,
        };
        let mut told = source.process();
        let alone = match known.map(|known| known.no_ack) {
            Some(no_ack) => no_ack,
            None => {
                told.note(told::CONSUMER_UNKNOWN);
                // Another name would be its, had it been seen to become one.
                told.lost = true;
                let alone = !self.channel(channel)?.acknowledges;
                if alone {
                    told.note(told::ACK_UNKNOWN);
                }
                alone
            }
        };
        let delivery = Box::new(Delivery {
            exchange: 0,
            channel,
            tag,
            alone,
            told,
            whole: false,
        });
        let content = Content::Deliver {
            position: frame.position,
            first: frame.first,
            delivery,
        };
        self.set(false, channel, content);
        Some(())
    }

    /// The broker has confirmed messages, or refused them.
    fn confirmed(&mut self, ack: Ack, events: &mut Vec<ParserEvent>) {
        let Some(state) = self.channel(ack.channel) else {
            return;
        };
        state.confirms.seen(ack.tag, ack.moved.time);
        if let Confirms::Next(next) = state.confirms
            && ack.tag >= next
        {
            if self.early.len() >= self.limits.early {
                self.early.pop_front();
            }
            self.early.push_back(ack);
        }
        if let Some(error) = ack.error {
            for publish in &mut self.publishes {
                if publish
                    .tag
                    .is_some_and(|tag| ack.is_of(publish.channel, tag))
                {
                    publish.told.fail(error);
                }
            }
        }
        self.end_publishes(
            |publish| {
                publish
                    .tag
                    .is_some_and(|tag| ack.is_of(publish.channel, tag))
            },
            Ending::Complete(ack.moved),
            events,
        );
    }

    /// The client has acknowledged messages, or rejected them.
    fn settle(
        &mut self,
        channel: u16,
        method: Method,
        mut cursor: Cursor<'_>,
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) -> Option<()> {
        let (tag, bits) = (cursor.u64()?, cursor.u8()?);
        let (multiple, note) = match method.method {
            80 => (bits & 1 != 0, None),
            90 => (false, Some(rejection(bits & 1 != 0))),
            _ => (bits & 1 != 0, Some(rejection(bits & 2 != 0))),
        };
        if let Some(state) = self.channel(channel) {
            state.acknowledges = true;
        }
        let ack = Ack {
            channel,
            tag,
            multiple,
            error: None,
            moved,
        };
        if let Some(note) = note {
            for delivery in &mut self.deliveries {
                if ack.is_of(delivery.channel, delivery.tag) {
                    delivery.told.note(note);
                }
            }
        }
        self.end_deliveries(
            |delivery| ack.is_of(delivery.channel, delivery.tag),
            Ending::Complete(moved),
            events,
        );
        Some(())
    }

    /// A message's header frame.
    pub(super) fn header(
        &mut self,
        direction: Direction,
        channel: u16,
        frame: &Frame<'_>,
        events: &mut Vec<ParserEvent>,
    ) {
        let side = self.side();
        let Some(state) = self.channels.get_mut(&channel) else {
            return;
        };
        let Some(content) = state.content[index(direction)].take() else {
            return;
        };
        let extractor = Arc::clone(&self.extractor);
        let payload = frame.bytes.get(wire::PAYLOAD..).unwrap_or_default();
        let Some(properties) = Properties::read(payload, extractor.custom_headers()) else {
            self.lost(direction, frame.last, events);
            return;
        };
        let head = |position, first: Moved| Head {
            position,
            start: first.time,
            task: frame.last.task,
        };
        let carrier = &properties.context;
        let of = match content {
            Content::Publish {
                position,
                first,
                publish,
            } => {
                let mut publish = *publish;
                told::properties(&mut publish.told, &properties);
                let context = publish.told.context(&extractor, carrier);
                let head = head(position, first);
                publish.exchange = self.numbers.start(side, &head, context, events);
                let exchange = publish.exchange;
                self.publishes.push_back(publish);
                self.bound(frame.last, events);
                Of::Publish(exchange)
            }
            Content::Deliver {
                position,
                first,
                delivery,
            } => {
                let mut delivery = *delivery;
                told::properties(&mut delivery.told, &properties);
                let context = delivery.told.context(&extractor, carrier);
                // It is the broker that began it.
                let head = head(position, first);
                delivery.exchange = self.numbers.start(Side::Server, &head, context, events);
                let exchange = delivery.exchange;
                self.deliveries.push_back(delivery);
                self.bound(frame.last, events);
                Of::Delivery(exchange)
            }
            Content::Got(head, queue, got) => {
                let source = Source {
                    queue: &queue,
                    exchange: &got.exchange,
                    key: &got.key,
                    tag: got.tag,
                };
                let mut told = source.receive();
                told::properties(&mut told, &properties);
                if let Some(context) = told.context(&extractor, carrier) {
                    told.link(&context);
                }
                let exchange = self.numbers.start(side, &head, None, events);
                self.deliveries.push_back(Delivery {
                    exchange,
                    channel,
                    tag: got.tag,
                    alone: true,
                    told,
                    whole: false,
                });
                self.bound(frame.last, events);
                Of::Delivery(exchange)
            }
            Content::Nothing => Of::Nothing,
            // A header within a body: there is no such thing.
            Content::Body(..) => return self.lost(direction, frame.last, events),
        };
        if properties.size == 0 {
            self.whole[index(direction)] = Some(channel);
        }
        if let Some(state) = self.channels.get_mut(&channel) {
            state.content[index(direction)] = Some(Content::Body(of, properties.size));
        }
    }

    /// So many bytes of a body.
    pub(super) fn body(&mut self, direction: Direction, channel: u16, length: u64) {
        let Some(state) = self.channels.get_mut(&channel) else {
            return;
        };
        if let Some(Content::Body(_, rest)) = &mut state.content[index(direction)] {
            *rest = rest.saturating_sub(length);
            if *rest == 0 {
                self.whole[index(direction)] = Some(channel);
            }
        }
    }

    /// A message is whole.
    pub(super) fn message_ended(
        &mut self,
        direction: Direction,
        channel: u16,
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        let Some(state) = self.channels.get_mut(&channel) else {
            return;
        };
        let Some(Content::Body(of, _)) = state.content[index(direction)].take() else {
            return;
        };
        match of {
            Of::Publish(exchange) => self.sent(exchange, moved, events),
            Of::Delivery(exchange) => {
                let mut deliveries = self.deliveries.iter_mut();
                if let Some(delivery) = deliveries.find(|open| open.exchange == exchange) {
                    delivery.whole = true;
                }
                self.end_deliveries(
                    |open| open.exchange == exchange && open.alone,
                    Ending::Complete(moved),
                    events,
                );
            }
            Of::Nothing => {}
        }
    }

    fn sent(&mut self, exchange: u64, moved: Moved, events: &mut Vec<ParserEvent>) {
        let mut publishes = self.publishes.iter_mut();
        let Some(publish) = publishes.find(|open| open.exchange == exchange) else {
            return;
        };
        publish.sent = Some(moved);
        let ending = match (publish.tag, publish.unsure) {
            (Some(tag), _) => {
                let channel = publish.channel;
                let found = self.early.iter().position(|ack| ack.is_of(channel, tag));
                let Some(ack) = found.map(|at| self.early[at]) else {
                    return;
                };
                if let Some(error) = ack.error {
                    publish.told.fail(error);
                }
                if ack.tag == tag {
                    self.early
                        .retain(|other| other.channel != channel || other.tag != tag);
                }
                Ending::Complete(Moved {
                    time: ack.moved.time.max(moved.time),
                    ..ack.moved
                })
            }
            (None, true) => Ending::Lost(moved, told::CONFIRM_UNKNOWN),
            (None, false) => Ending::Complete(moved),
        };
        self.end_publishes(|open| open.exchange == exchange, ending, events);
    }

    /// Ends messages that are sent.
    pub(super) fn end_publishes(
        &mut self,
        is: impl Fn(&Publish) -> bool,
        ending: Ending,
        events: &mut Vec<ParserEvent>,
    ) {
        let mut at = 0;
        while let Some(publish) = self.publishes.get(at) {
            if !is(publish) {
                at += 1;
            } else if let Some(publish) = self.publishes.remove(at) {
                publish.told.finish(publish.exchange, ending, events);
            }
        }
    }

    /// Ends messages that were delivered.
    pub(super) fn end_deliveries(
        &mut self,
        is: impl Fn(&Delivery) -> bool,
        ending: Ending,
        events: &mut Vec<ParserEvent>,
    ) {
        let mut at = 0;
        while let Some(delivery) = self.deliveries.get(at) {
            if !is(delivery) {
                at += 1;
            } else if let Some(delivery) = self.deliveries.remove(at) {
                delivery.told.finish(delivery.exchange, ending, events);
            }
        }
    }

    /// Ends the oldest where there are too many.
    fn bound(&mut self, now: Moved, events: &mut Vec<ParserEvent>) {
        let ending = Ending::Lost(now, told::TOO_MANY);
        if self.publishes.len() > self.limits.open
            && let Some(publish) = self.publishes.pop_front()
        {
            publish.told.finish(publish.exchange, ending, events);
        }
        if self.deliveries.len() > self.limits.open
            && let Some(delivery) = self.deliveries.pop_front()
        {
            delivery.told.finish(delivery.exchange, ending, events);
        }
    }
}

fn route(exchange: &[u8], key: &[u8]) -> Box<[u8]> {
    // Neither is longer than its length in one byte says.
    [&[exchange.len().to_le_bytes()[0]], exchange, key]
        .concat()
        .into()
}

fn got(cursor: &mut Cursor<'_>) -> Option<Got> {
    let tag = cursor.u64()?;
    cursor.u8()?;
    Some(Got {
        tag,
        exchange: cursor.bytes8()?.into(),
        key: cursor.bytes8()?.into(),
    })
}

fn confirm(channel: u16, method: Method, mut cursor: Cursor<'_>, moved: Moved) -> Option<Ack> {
    let (tag, bits) = (cursor.u64()?, cursor.u8()?);
    Some(Ack {
        channel,
        tag,
        multiple: bits & 1 != 0,
        error: (method.method != 80).then_some("nack"),
        moved,
    })
}

const fn rejection(requeue: bool) -> Note {
    if requeue {
        told::REQUEUED
    } else {
        told::REJECTED
    }
}
