//! What the server sends.

use crate::model::{Chunk, ParserEvent};
use crate::protocol::frames::{Frame, Frames, Framing, Moved, Step};
use crate::protocol::sql::Dialect;

use super::Postgres;
use super::exchanges::Answer;
use super::messages::{self, HEAD, text};

impl Postgres {
    pub(super) fn back_chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let (data, length, now) = (chunk.data, chunk.length, Moved::of(chunk));
        if chunk.gap > 0 {
            self.back_ready = false;
            // Its end may have been in the gap.
            self.logging_in &= !self.exchanges.is_asked();
        }
        let was_lost = self.back.is_lost();
        if was_lost && chunk.gap > 0 {
            self.exchanges.blur(now, events);
        }
        let resumes = std::mem::take(&mut self.back_ready);
        self.back
            .chunk(chunk, |bytes| resumes || messages::is_back(bytes, length));
        match (was_lost, self.back.is_lost()) {
            (true, false) if chunk.gap == 0 => self.exchanges.see_again(),
            (true, true) => self.exchanges.pass_by(),
            _ => {}
        }
        loop {
            let speaks = self.back_speaks || !self.logging_in;
            let mut back = std::mem::replace(&mut self.back, Frames::new(true, 0));
            let step = back.next(|bytes| match bytes.first() {
                Some(b'S' | b'N' | b'G') if !speaks => Framing::Frame {
                    wanted: 1,
                    length: 1,
                },
                _ => messages::back(bytes),
            });
            let over = step.is_none();
            match step {
                Some(Step::Frame(frame)) if !speaks && frame.bytes == b"N" => {}
                Some(Step::Frame(frame)) if !speaks && frame.length == 1 => self.stop(),
                Some(Step::Frame(frame)) => self.reply(&frame),
                Some(Step::Ended(moved)) => self.reply_over(moved, events),
                Some(Step::Lost) => {
                    self.pending = None;
                    self.exchanges.blur(now, events);
                }
                None => {}
            }
            if self.nothing {
                return;
            }
            self.back = back;
            if over {
                break;
            }
        }
        self.back_moved = Some(now);
        self.exchanges.quiet = false;
        if self.back.is_lost() && data.len() as u64 == length {
            self.end_of_result(data, now, events);
        }
    }

    /// Where the place is lost: what a chunk ends with, if that is the end of a result.
    fn end_of_result(&mut self, data: &[u8], now: Moved, events: &mut Vec<ParserEvent>) {
        let (messages, ready) = messages::before_ready(data);
        // Servers send an error at once, and then that they are ready.
        let error = messages::last_error(messages);
        if !ready && error.is_none() {
            return;
        }
        self.back_ready = true;
        if self.logging_in {
            if ready {
                self.logging_in = false;
                self.exchanges.login = None;
            }
            return;
        }
        if let Some(fields) = error {
            let error = Answer::Error(state(fields));
            self.exchanges.answer(error, now, events);
        } else if let Some(tag) = messages::last_tag(messages) {
            let complete = Answer::Complete(rows(tag));
            self.exchanges.answer(complete, now, events);
        }
        if ready {
            self.exchanges.answer(Answer::Ready, now, events);
        }
    }

    /// A message of the server's. What it answers counts when its last byte has come.
    fn reply(&mut self, frame: &Frame<'_>) {
        self.back_speaks = true;
        let Some(body) = frame.bytes.get(HEAD..) else {
            return;
        };
        self.pending = match frame.bytes[0] {
            b'D' => Some(Answer::Rows(1)),
            b'T' => Some(Answer::Rows(0)),
            b'C' => Some(Answer::Complete(rows(text(body).0))),
            b'I' | b's' | b'V' => Some(Answer::Complete(None)),
            b'E' => Some(Answer::Error(state(body))),
            b'G' => Some(Answer::CopyIn),
            b'H' => Some(Answer::Rows(0)),
            b'd' => Some(Answer::Rows(1)),
            b'W' => Some(Answer::Stream),
            b'Z' => Some(Answer::Ready),
            b'S' => {
                let (name, rest) = text(body);
                if name == b"standard_conforming_strings" {
                    let backslashes = text(rest).0 == b"off";
                    self.statements.session.dialect = Dialect::Postgres { backslashes };
                }
                None
            }
            _ => None,
        };
    }

    fn reply_over(&mut self, moved: Moved, events: &mut Vec<ParserEvent>) {
        let Some(answer) = self.pending.take() else {
            return;
        };
        if self.logging_in {
            match answer {
                Answer::Ready => {
                    self.logging_in = false;
                    self.exchanges.login = None;
                }
                Answer::Error(code) => {
                    if let Some((begin, task)) = self.exchanges.login.take() {
                        let name = match &self.statements.session.namespace {
                            Some(namespace) => format!("connect {namespace}"),
                            None => "connect".to_owned(),
                        };
                        let told = self.statements.session.without_text(&name, None);
                        self.exchanges
                            .failed(begin, task, Some(told), code, moved, events);
                    }
                }
                _ => {}
            }
            return;
        }
        let stream = matches!(answer, Answer::Stream);
        self.exchanges.answer(answer, moved, events);
        if stream {
            self.stop();
        }
    }
}

/// How many rows a command says that it has returned.
fn rows(tag: &[u8]) -> Option<u64> {
    let tag = std::str::from_utf8(tag).ok()?;
    match tag.split_once(' ')? {
        ("SELECT" | "FETCH", count) => count.parse().ok(),
        _ => None,
    }
}

/// The SQLSTATE in the fields of an error.
fn state(mut fields: &[u8]) -> Box<str> {
    while let [kind, rest @ ..] = fields {
        let (value, rest) = text(rest);
        if *kind == b'C' && value.len() == 5 && value.iter().all(u8::is_ascii_alphanumeric) {
            return String::from_utf8_lossy(value).into();
        }
        fields = rest;
    }
    "_OTHER".into()
}
