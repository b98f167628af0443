//! Requests that a client makes, and their answers.

use crate::model::ParserEvent;
use crate::protocol::cursor::Cursor;
use crate::protocol::frames::{Frame, Moved};
use crate::protocol::open::{Ending, Head, Told};
use crate::protocol::pairs::Answered;

use super::delivering::Got;
use super::messages::Content;
use super::publishing::Confirms;
use super::state::State;
use super::told;
use super::wire::{self, Method};

/// A request whose answer is waited for.
#[derive(Debug)]
pub(super) struct Asked {
    channel: u16,
    method: Method,
    pub(super) head: Head,
    /// `None` where nothing was told of it so far.
    exchange: Option<u64>,
    told: Told,
    /// The queue that it names, or means.
    pub(super) queue: Box<[u8]>,
    /// Of `basic.consume`: no acknowledgements.
    no_ack: bool,
}

/// What answers it.
#[derive(Debug)]
pub(super) struct Answer {
    moved: Moved,
    /// What the broker named, where the client left that to it.
    name: Box<[u8]>,
    /// There was no message.
    empty: bool,
}

/// Somebody to whom messages are delivered.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) channel: u16,
    pub(super) tag: Box<[u8]>,
    pub(super) queue: Box<[u8]>,
    pub(super) no_ack: bool,
}

impl Consumer {
    pub(super) fn memory(&self) -> usize {
        self.tag.len() + self.queue.len()
    }
}

const CONSUME: Method = Method::new(wire::BASIC, 20);
const GET: Method = Method::new(wire::BASIC, 70);
const GET_OK: Method = Method::new(wire::BASIC, 71);
const GET_EMPTY: Method = Method::new(wire::BASIC, 72);
const DECLARE: Method = Method::new(50, 10);
const DECLARE_OK: Method = Method::new(50, 11);
const CONSUME_OK: Method = Method::new(wire::BASIC, 21);

impl State {
    /// A client's method. `None`: too little of it was captured.
    pub(super) fn ask(
        &mut self,
        channel: u16,
        method: Method,
        arguments: &[u8],
        frame: &Frame<'_>,
        events: &mut Vec<ParserEvent>,
    ) -> Option<()> {
        let Some(request) = method.request() else {
            return Some(());
        };
        let found = request.arguments(Cursor::new(arguments))?;
        if method == Method::new(wire::CHANNEL, 10) {
            self.open(channel, frame.last, events);
        }
        if channel != 0 {
            let state = self.channel(channel)?;
            if method.class == wire::CONFIRM && !matches!(state.confirms, Confirms::Next(_)) {
                state.confirms = Confirms::Next(1);
            }
        }
        let mut queue: Box<[u8]> = found.first.into();
        if let Some(state) = self.channels.get_mut(&channel) {
            if method == DECLARE {
                state.declared = queue.clone();
            } else if queue.is_empty() && matches!(method, CONSUME | GET) {
                queue = state.declared.clone();
            }
        }
        let mut asked = Asked {
            channel,
            method,
            head: Head {
                position: frame.position,
                start: frame.first.time,
                task: frame.last.task,
            },
            exchange: None,
            told: told::request(request.name, found.first),
            queue,
            no_ack: method == CONSUME && found.bits & 2 != 0,
        };
        if method == CONSUME && !found.second.is_empty() {
            self.consume(&asked, found.second);
        }
        if request.shown {
            asked.exchange = Some(self.numbers.start(self.side(), &asked.head, None, events));
        }
        if !found.answered {
            finish(asked, Ending::Complete(frame.last), events);
            return Some(());
        }
        let key = (channel, method.answer());
        if self.gapped {
            // It would get this one's answer.
            while let Some(before) = self.asked.take(&key) {
                finish(before, Ending::Lost(frame.last, told::GAP), events);
            }
        }
        if let Some((asked, answer)) = self.asked.ask(key, asked) {
            self.answered(asked, &answer, events);
        } else if self.asked.len() > self.limits.open
            && let Some(oldest) = self.asked.pop()
        {
            finish(oldest, Ending::Lost(frame.last, told::TOO_MANY), events);
        }
        Some(())
    }

    /// A broker's method.
    pub(super) fn answer(
        &mut self,
        channel: u16,
        method: Method,
        arguments: &[u8],
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) -> Option<()> {
        let name = match method {
            DECLARE_OK | CONSUME_OK => Cursor::new(arguments).bytes8()?,
            _ => &[],
        };
        let empty = method == GET_EMPTY;
        let key = (channel, if empty { GET_OK } else { method });
        let is_answer =
            method.method % 2 == 1 || empty || method == Method::new(wire::CONNECTION, 30);
        if !is_answer {
            return Some(());
        }
        let answer = Answer {
            moved,
            name: name.into(),
            empty,
        };
        if let Answered::Meets(asked, answer) = self.asked.answer(key, answer) {
            self.answered(asked, &answer, events);
        }
        Some(())
    }

    /// The broker has a message for a `basic.get`.
    pub(super) fn got(&mut self, channel: u16, got: Got, moved: Moved) -> Content {
        let answer = Answer {
            moved,
            name: Box::default(),
            empty: true,
        };
        match self.asked.answer((channel, GET_OK), answer) {
            Answered::Meets(asked, _) => Content::Got(asked.head, asked.queue, got),
            _ => Content::Nothing,
        }
    }

    fn answered(&mut self, asked: Asked, answer: &Answer, events: &mut Vec<ParserEvent>) {
        if answer.empty {
            return;
        }
        match asked.method {
            CONSUME => self.consume(&asked, &answer.name),
            DECLARE if asked.queue.is_empty() => {
                if let Some(state) = self.channels.get_mut(&asked.channel) {
                    state.declared.clone_from(&answer.name);
                }
            }
            _ => {}
        }
        finish(asked, Ending::Complete(answer.moved), events);
    }

    fn consume(&mut self, asked: &Asked, tag: &[u8]) {
        let is = |known: &Consumer| known.channel == asked.channel && *known.tag == *tag;
        self.consumers.retain(|known| !is(known));
        if self.consumers.len() >= self.limits.remembered {
            self.consumers.pop_front();
        }
        self.consumers.push_back(Consumer {
            channel: asked.channel,
            tag: tag.into(),
            queue: asked.queue.clone(),
            no_ack: asked.no_ack,
        });
    }

    /// A channel is opened, perhaps not for the first time.
    fn open(&mut self, channel: u16, now: Moved, events: &mut Vec<ParserEvent>) {
        let ending = Ending::Lost(now, told::GAP);
        self.end_publishes(|publish| publish.channel == channel, ending, events);
        self.end_deliveries(|delivery| delivery.channel == channel, ending, events);
        self.consumers.retain(|known| known.channel != channel);
        self.early.retain(|ack| ack.channel != channel);
        self.channels.remove(&channel);
        if let Some(state) = self.channel(channel) {
            state.confirms = Confirms::None;
        }
    }

    /// `channel.close`, or `connection.close` (without a channel).
    pub(super) fn closed(
        &mut self,
        channel: Option<u16>,
        arguments: &[u8],
        moved: Moved,
        events: &mut Vec<ParserEvent>,
    ) -> Option<()> {
        const SUCCESS: u16 = 200;
        let code = Cursor::new(arguments).u16()?;
        let is = |other: u16| channel.is_none_or(|channel| channel == other);
        let ending = if code == SUCCESS {
            let error = match channel {
                Some(_) => "channel_closed",
                None => "connection_closed",
            };
            Ending::Aborted { error, moved }
        } else {
            let code = code.to_string();
            let publishes = self
                .publishes
                .iter_mut()
                .map(|open| (open.channel, &mut open.told));
            let deliveries = self
                .deliveries
                .iter_mut()
                .map(|open| (open.channel, &mut open.told));
            let asked = self
                .asked
                .iter_mut()
                .map(|open| (open.channel, &mut open.told));
            for (other, told) in publishes.chain(deliveries).chain(asked) {
                if is(other) {
                    told.fail(code.clone());
                }
            }
            Ending::Complete(moved)
        };
        let answered = self.unanswered(false, ending);
        self.end_asked(|asked| is(asked.channel), answered, true, events);
        self.end_publishes(|publish| is(publish.channel), answered, events);
        let settled = self.unanswered(true, ending);
        self.end_deliveries(|delivery| is(delivery.channel), settled, events);
        for (&number, state) in &mut self.channels {
            if is(number) {
                state.content = [None, None];
            }
        }
        Some(())
    }

    /// Ends requests. `show`: also those that are not told where they succeed.
    pub(super) fn end_asked(
        &mut self,
        is: impl Fn(&Asked) -> bool,
        ending: Ending,
        show: bool,
        events: &mut Vec<ParserEvent>,
    ) {
        let mut kept = Vec::new();
        while let Some(asked) = self.asked.pop() {
            if is(&asked) {
                self.end_one(asked, ending, show, events);
            } else {
                kept.push(asked);
            }
        }
        for asked in kept {
            let key = (asked.channel, asked.method.answer());
            // Nothing can meet it: its answer would have met it before.
            self.asked.ask(key, asked);
        }
    }

    fn end_one(
        &mut self,
        mut asked: Asked,
        ending: Ending,
        show: bool,
        events: &mut Vec<ParserEvent>,
    ) {
        // Nobody knows whether one that was lost failed.
        let show = show && !matches!(ending, Ending::Lost(..));
        if show && asked.exchange.is_none() {
            asked.exchange = Some(self.numbers.start(self.side(), &asked.head, None, events));
        }
        finish(asked, ending, events);
    }
}

fn finish(asked: Asked, ending: Ending, events: &mut Vec<ParserEvent>) {
    if let Some(exchange) = asked.exchange {
        asked.told.finish(exchange, ending, events);
    }
}
