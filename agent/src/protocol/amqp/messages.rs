//! Messages on their way, either way: a method, a header, a body.

use std::sync::Arc;

use crate::model::{Direction, ParserEvent, Side};
use crate::protocol::cursor::Cursor;
use crate::protocol::frames::{Frame, Moved};
use crate::protocol::open::{Ending, Head};

use super::delivering::{Delivery, Got, got};
use super::index;
use super::publishing::{Publish, confirm};
use super::state::State;
use super::told::{self, Source};
use super::wire::{self, Method, Properties};

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

    pub(super) fn set(&mut self, from_client: bool, channel: u16, content: Content) {
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
