//! Messages that are sent, and how they are confirmed.

use crate::model::{ParserEvent, Timestamp};
use crate::protocol::cursor::Cursor;
use crate::protocol::frames::{Frame, Moved};
use crate::protocol::open::{Ending, Told};

use super::messages::Content;
use super::state::State;
use super::told;
use super::wire::Method;

/// A message that is sent.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) exchange: u64,
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

/// A confirm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    pub(super) channel: u16,
    pub(super) tag: u64,
    /// So are all before it.
    pub(super) multiple: bool,
    pub(super) error: Option<&'static str>,
    pub(super) moved: Moved,
}

impl Ack {
    pub(super) fn is_of(&self, channel: u16, tag: u64) -> bool {
        // 0 means all (basic.ack, "multiple").
        self.channel == channel
            && (tag == self.tag || self.multiple && (tag < self.tag || self.tag == 0))
    }
}

/// Whether a channel has publisher confirms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Confirms {
    #[default]
    None,
    /// Yes, and the next message has this number.
    Next(u64),
    /// Yes, but nobody knows the messages' numbers: the highest that was confirmed, and when the last confirm
    /// came, if no message has come since.
    Uncounted(u64, Option<Timestamp>),
    /// Perhaps: that may be among what was lost. So many messages were not confirmed since then.
    Perhaps(u8),
}

impl Confirms {
    /// So many messages without a confirm, and the channel has none.
    const ENOUGH: u8 = 8;
    /// So long a silence after a confirm, in nanoseconds, and all messages before it are confirmed. RabbitMQ
    /// writes those to disk that are to last, some together, which takes a few hundred milliseconds
    /// (<https://www.rabbitmq.com/docs/confirms#when-publishes-are-confirmed>).
    const SILENCE: u64 = 1_000_000_000;

    /// A message: its number, if it has one, and whether a confirm may come that cannot be told from others.
    pub(super) fn count(&mut self, now: Timestamp) -> (Option<u64>, bool) {
        if let Self::Uncounted(highest, Some(last)) = *self
            && now.since(last) >= Self::SILENCE
        {
            *self = Self::Next(highest.saturating_add(1));
        }
        match self {
            Self::None => (None, false),
            Self::Next(next) => {
                let number = *next;
                *next = number.saturating_add(1);
                (Some(number), false)
            }
            Self::Uncounted(_, last) => {
                *last = None;
                (None, true)
            }
            Self::Perhaps(seen) => {
                *seen += 1;
                if *seen > Self::ENOUGH {
                    *self = Self::None;
                    return (None, false);
                }
                (None, true)
            }
        }
    }

    /// A confirm was seen, of the message with this number (0 where it says no more than "all") and perhaps
    /// others before it.
    pub(super) fn seen(&mut self, tag: u64, now: Timestamp) {
        let highest = match *self {
            Self::Next(_) => return,
            Self::Uncounted(highest, _) => highest.max(tag),
            Self::None | Self::Perhaps(_) => tag,
        };
        *self = Self::Uncounted(highest, (tag > 0).then_some(now));
    }

    /// Bytes were lost, the client's or the broker's.
    pub(super) fn lose(&mut self, by_client: bool) {
        *self = match *self {
            Self::Uncounted(..) => Self::Uncounted(0, None),
            Self::Next(_) if by_client => Self::Uncounted(0, None),
            Self::None | Self::Perhaps(_) if by_client => Self::Perhaps(0),
            known => known,
        };
    }
}

impl State {
    pub(super) fn publish(
        &mut self,
        channel: u16,
        mut cursor: Cursor<'_>,
        frame: &Frame<'_>,
    ) -> Option<()> {
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

    pub(super) fn returned(&mut self, channel: u16, mut cursor: Cursor<'_>) -> Option<()> {
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

    /// The broker has confirmed messages, or refused them.
    pub(super) fn confirmed(&mut self, ack: Ack, events: &mut Vec<ParserEvent>) {
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

    pub(super) fn sent(&mut self, exchange: u64, moved: Moved, events: &mut Vec<ParserEvent>) {
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
}

fn route(exchange: &[u8], key: &[u8]) -> Box<[u8]> {
    // Neither is longer than its length in one byte says.
    [&[exchange.len().to_le_bytes()[0]], exchange, key]
        .concat()
        .into()
}

pub(super) fn confirm(
    channel: u16,
    method: Method,
    mut cursor: Cursor<'_>,
    moved: Moved,
) -> Option<Ack> {
    let (tag, bits) = (cursor.u64()?, cursor.u8()?);
    Some(Ack {
        channel,
        tag,
        multiple: bits & 1 != 0,
        error: (method.method != 80).then_some("nack"),
        moved,
    })
}
