//! What the client sends.

use crate::model::{Chunk, ParserEvent};
use crate::protocol::frames::{Frame, Moved, Step};

use super::exchanges::Begin;
use super::messages::{self, HEAD, text};
use super::{Postgres, note};
use crate::protocol::sql::Found;

impl Postgres {
    pub(super) fn front_chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let length = chunk.length;
        self.front
            .chunk(chunk, |bytes| messages::is_front(bytes, length));
        self.exchanges.blind = self.back.is_lost() && !self.back_ready;
        loop {
            let starting = self.starting;
            let limit = self.settings.limits.message;
            // Taken out, so that the rest can be used beside the frame.
            let mut front = std::mem::replace(&mut self.front, super::Frames::new(true, 0));
            let step = front.next(|bytes| match starting {
                true => messages::startup(bytes, limit),
                false => messages::front(bytes, limit),
            });
            let over = step.is_none();
            match step {
                Some(Step::Frame(frame)) if starting => self.startup(&frame),
                Some(Step::Frame(frame)) => self.message(&frame, events),
                Some(Step::Ended(_)) | None => {}
                Some(Step::Lost) => {
                    self.starting = false;
                    self.logging_in = false;
                    self.statements.forget_unnamed();
                    self.exchanges
                        .lose(note::BYTES_LOST, Some(Moved::of(chunk)), events);
                }
            }
            if self.nothing {
                return;
            }
            self.front = front;
            if over {
                return;
            }
        }
    }

    /// "StartupMessage", and what comes in its place before it.
    fn startup(&mut self, frame: &Frame<'_>) {
        let code = frame.bytes.get(4..).and_then(messages::number);
        if code.is_none_or(|code| code >> 16 != 3) {
            return;
        }
        self.starting = false;
        let mut rest = frame.bytes.get(8..).unwrap_or_default();
        let mut user = None;
        while !rest.is_empty() {
            let (name, after) = text(rest);
            let (value, after) = text(after);
            rest = after;
            let value = || Some(String::from_utf8_lossy(value).into_owned());
            match name {
                b"database" => self.statements.session.namespace = value(),
                b"user" => user = value(),
                _ => {}
            }
        }
        if self.statements.session.namespace.is_none() {
            // What the server takes then.
            self.statements.session.namespace = user;
        }
        if frame.cut {
            return;
        }
        self.exchanges.login = Some((
            Begin {
                position: frame.position,
                first: frame.first,
            },
            frame.last.task,
        ));
    }

    fn message(&mut self, frame: &Frame<'_>, events: &mut Vec<ParserEvent>) {
        let Some(body) = frame.bytes.get(HEAD..) else {
            return;
        };
        let begin = Begin {
            position: frame.position,
            first: frame.first,
        };
        let task = frame.last.task;
        if self.back.is_lost() && frame.bytes[0] != b'p' {
            self.logging_in = false;
            self.exchanges.login = None;
        }
        // Where the server's answer has been lost sight of, it ended before this; but data are part of
        // a request.
        if self.back.is_lost() && !matches!(frame.bytes[0], b'd' | b'c' | b'f' | b'S' | b'H' | b'p')
        {
            self.exchanges.infer(self.back_moved, events);
        }
        let cut = (frame.bytes.len() as u64) < frame.length;
        match frame.bytes[0] {
            b'Q' => {
                let session = &self.statements.session;
                let (told, found) = session.describe(text(body).0, cut, &self.settings);
                self.exchanges.ask(begin, task, told, found, true, events);
            }
            b'F' => {
                let told = self.statements.session.without_text("FUNCTION CALL", None);
                self.exchanges
                    .ask(begin, task, told, Found::default(), true, events);
            }
            b'P' => {
                let (name, rest) = text(body);
                let session = &self.statements.session;
                let (told, found) = session.describe(text(rest).0, cut, &self.settings);
                self.statements.prepare(name, &told);
                let unit = self.exchanges.unit(begin, task);
                unit.told = Some(told);
                unit.found = found;
            }
            b'B' => {
                let (portal, rest) = text(body);
                self.statements.bind(portal, text(rest).0);
                let told = self.statements.portal(portal);
                self.exchanges.unit(begin, task).told = Some(told);
            }
            b'D' => {
                self.exchanges.unit(begin, task);
            }
            b'E' => {
                let told = self.statements.portal(text(body).0);
                let unit = self.exchanges.unit(begin, task).clone();
                self.exchanges
                    .ask(unit.begin, task, told, unit.found, false, events);
            }
            b'C' if body.first() == Some(&b'S') => self.statements.close(text(&body[1..]).0),
            b'S' => self.exchanges.sync(events),
            b'H' => self.exchanges.pause(),
            _ => {}
        }
    }
}
