//! Messages that the client sends, and those that are delivered to it.

use std::borrow::Cow;

use crate::context::NotUnderstood;
use crate::model::{Direction, ParserEvent, Side};
use crate::protocol::frames::{Frame, Moved};

use super::exchange::{Ending, Open, What};
use super::headers::{self, Headers};
use super::line::Message;
use super::waiting::REPLY_MAX;
use super::{Coming, Nats, index, note, subject};

impl Nats {
    /// The client sends a message.
    pub(super) fn publish(
        &mut self,
        frame: &Frame<'_>,
        message: Message<'_>,
        rest: &[u8],
        events: &mut Vec<ParserEvent>,
    ) {
        let lane = self.client.map_or(0, index);
        if self.delivered.has(message.subject) {
            self.confirmable(None);
            self.reply(frame, message, rest, events);
            return;
        }
        // An answer to what was not seen is no message of its own, nor is a further answer.
        let answers = subject::is_inbox(message.subject);
        let is_ack = message.subject.starts_with(subject::ACK);
        if answers || is_ack || subject::is_poll(message.subject) {
            self.confirmable(None);
            return;
        }
        let side = self.side();
        let reply = message
            .reply
            .filter(|reply| reply.len() <= REPLY_MAX && self.subscriptions.take(reply));
        let what = match reply {
            Some(_) => What::Request,
            None => What::Publish,
        };
        let size = message.size - message.headers;
        let mut open = self.open(what, side, message.subject, size);
        let found = self.headers(frame, message, rest, &mut open);
        self.start(&mut open, frame, found.context, events);
        let Some(reply) = reply else {
            self.coming[lane] = Coming::Alone(open);
            return;
        };
        self.confirmable(None);
        let early = self.early.iter().position(|(early, ..)| **early == *reply);
        if let Some((_, end, status)) = early.and_then(|at| self.early.remove(at)) {
            self.finish(open, Ending::whole(end, status), events);
            return;
        }
        self.asked.push(reply, open);
        while let Some(mut open) = self.asked.excess(self.settings.limits.open) {
            open.notes.push(note::TOO_MANY_OPEN);
            self.finish(open, Ending::lost(frame.last), events);
        }
    }

    /// The client answers a message, or says what became of it.
    pub(super) fn reply(
        &mut self,
        frame: &Frame<'_>,
        message: Message<'_>,
        rest: &[u8],
        events: &mut Vec<ParserEvent>,
    ) {
        let lane = self.client.map_or(0, index);
        let mut error = None;
        let is_ack = message.subject.starts_with(subject::ACK);
        if is_ack {
            error = match rest {
                // Still at work.
                [b'+', b'W', b'P', b'I', ..] => return,
                [b'-', b'N', b'A', b'K', ..] => Some(Cow::Borrowed("nak")),
                [b'+', b'T', b'E', b'R', ..] => Some(Cow::Borrowed("term")),
                _ => None,
            };
        }
        let Some(open) = self.delivered.take(message.subject) else {
            return;
        };
        if is_ack && frame.cut {
            self.lost(open, frame.last, events);
            return;
        }
        self.coming[lane] = Coming::Answers(open, error);
    }

    /// The server delivers a message.
    pub(super) fn deliver(
        &mut self,
        frame: &Frame<'_>,
        message: Message<'_>,
        id: &[u8],
        rest: &[u8],
        events: &mut Vec<ParserEvent>,
    ) {
        let lane = self.client.map_or(1, |client| index(client.opposite()));
        let size = message.size - message.headers;
        let mut open = self.open(What::Process, Side::Server, message.subject, size);
        let found = self.headers(frame, message, rest, &mut open);
        let inbox = subject::is_inbox(message.subject);
        if inbox || self.asked.has(message.subject) {
            let unsure = message.headers > 0 && frame.cut;
            self.coming[lane] = match self.asked.take(message.subject) {
                Some(open) if unsure => return self.lost(open, frame.last, events),
                Some(open) => Coming::Answers(open, found.status),
                None if message.subject.len() > REPLY_MAX || unsure => Coming::Nothing,
                None => Coming::Early(message.subject.into(), found.status),
            };
            return;
        }
        open.queue = self.subscriptions.queue(id);
        if self.side() == Side::Client {
            self.start(&mut open, frame, found.context, events);
        }
        self.coming[lane] = match message.reply.filter(|reply| reply.len() <= REPLY_MAX) {
            Some(reply) => Coming::Delivered(open, reply.into()),
            None => Coming::Alone(open),
        };
    }

    /// Reads a message's headers.
    pub(super) fn headers<'a>(
        &self,
        frame: &Frame<'_>,
        message: Message<'_>,
        rest: &'a [u8],
        open: &mut Open,
    ) -> Headers<'a> {
        if message.headers == 0 {
            return Headers::default();
        }
        let length = usize::try_from(message.headers).unwrap_or(usize::MAX);
        let found = headers::read(&rest[..length.min(rest.len())], &self.settings.context);
        if frame.cut || rest.len() < length {
            note::add(&mut open.notes, note::HEADERS_CUT);
        }
        if found.context_invalid {
            note::add(&mut open.notes, NotUnderstood::NOTE);
        }
        open.id = found.id.map(|id| {
            let longest = id.len().min(self.settings.limits.text);
            String::from_utf8_lossy(&id[..longest]).into()
        });
        found
    }

    /// The present message of a direction has ended.
    pub(super) fn frame_ended(&mut self, lane: usize, moved: Moved, events: &mut Vec<ParserEvent>) {
        match std::mem::take(&mut self.coming[lane]) {
            Coming::Nothing => {}
            Coming::Alone(open)
                if self.verbose
                    && open.what == What::Publish
                    && self.confirmed == 0
                    && self.unconfirmed.len() < self.settings.limits.open =>
            {
                self.unconfirmed.push_back(Some(open));
            }
            Coming::Alone(open) => {
                if open.what == What::Publish {
                    self.confirmable(None);
                }
                self.finish(open, Ending::whole(moved, None), events);
            }
            Coming::Answers(open, error) => {
                self.finish(open, Ending::whole(moved, error), events);
            }
            Coming::Early(reply, status) => {
                if self.early.len() >= self.settings.limits.early {
                    self.early.pop_front();
                }
                self.early.push_back((reply, moved, status));
            }
            Coming::Delivered(mut open, reply) => {
                open.moved = moved;
                self.delivered.push(&reply, open);
                while let Some(open) = self.delivered.excess(self.settings.limits.open) {
                    self.unanswered(open, events);
                }
            }
        }
    }

    /// Bytes of a direction were lost, and with them perhaps lines.
    pub(super) fn lane_lost(
        &mut self,
        direction: Direction,
        now: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        match std::mem::take(&mut self.coming[index(direction)]) {
            Coming::Nothing | Coming::Early(..) => {}
            Coming::Alone(open) | Coming::Delivered(open, _) | Coming::Answers(open, _) => {
                self.lost(open, now, events);
            }
        }
        while let Some(open) = self.unconfirmed.pop_front() {
            if let Some(open) = open {
                self.lost(open, now, events);
            }
        }
        // Which lines are confirmed can no longer be told.
        self.verbose = false;
        self.login = None;
        if self.client == Some(direction) {
            self.subscriptions.miss();
            while let Some(open) = self.delivered.pop() {
                self.lost(open, now, events);
            }
        } else {
            self.early.clear();
            while let Some(open) = self.asked.pop() {
                self.lost(open, now, events);
            }
        }
    }
}
