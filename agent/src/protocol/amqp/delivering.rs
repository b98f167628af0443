//! Messages that are delivered or asked for, and how they are acknowledged.

use crate::model::{Note, ParserEvent, Side};
use crate::protocol::cursor::Cursor;
use crate::protocol::frames::{Frame, Moved};
use crate::protocol::open::{Ending, Told};

use super::messages::Content;
use super::publishing::Ack;
use super::state::State;
use super::told::{self, Source};
use super::wire::Method;

/// A message that was delivered, or asked for.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) exchange: u64,
    pub(super) channel: u16,
    pub(super) tag: u64,
    /// It ends with its last byte.
    pub(super) alone: bool,
    pub(super) told: Told,
    /// Its last byte has moved.
    pub(super) whole: bool,
}

/// What `basic.get-ok` says.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) tag: u64,
    pub(super) exchange: Box<[u8]>,
    pub(super) key: Box<[u8]>,
}

impl State {
    pub(super) fn deliver(
        &mut self,
        channel: u16,
        mut cursor: Cursor<'_>,
        frame: &Frame<'_>,
    ) -> Option<()> {
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

    /// The client has acknowledged messages, or rejected them.
    pub(super) fn settle(
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
}

pub(super) fn got(cursor: &mut Cursor<'_>) -> Option<Got> {
    let tag = cursor.u64()?;
    cursor.u8()?;
    Some(Got {
        tag,
        exchange: cursor.bytes8()?.into(),
        key: cursor.bytes8()?.into(),
    })
}

const fn rejection(requeue: bool) -> Note {
    if requeue {
        told::REQUEUED
    } else {
        told::REJECTED
    }
}
