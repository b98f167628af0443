//! The direction that carries commands.

use std::hash::{DefaultHasher, Hash, Hasher};

use memchr::memchr;

use crate::model::{Chunk, ParserEvent};
use crate::protocol::QueryText;
use crate::protocol::frames::{Frame, Framing, Step};

use super::command::{Kind, Line};
use super::core::{Core, Request};
use super::{Memcached, likeness};

impl Memcached {
    pub(super) fn request_chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        if let Some(answer) = self.core.inferred.take() {
            self.core.answered(answer, events);
        }
        let lost = self.frames[1].is_lost();
        if lost && !self.core.fifo.is_empty() {
            // Their answers have passed unseen, or may have.
            self.core.lose(events);
        }
        let rests = lost || self.core.answer.is_none() && self.frames[1].is_at_boundary();
        self.core.fifo.requests(chunk, rests);
        self.frames[0].chunk(chunk, likeness::is_command);
        loop {
            match self.frames[0].next(framing) {
                None => break,
                Some(Step::Lost) => {
                    self.core.lose_coming(events);
                    self.core.lose(events);
                }
                Some(Step::Frame(frame)) => self.core.begin(&frame, events),
                Some(Step::Ended(moved)) => {
                    if let Some(mut request) = self.core.coming.take() {
                        request.last = moved;
                        self.core.ask(request, events);
                        if self.core.over {
                            break;
                        }
                    }
                }
            }
        }
        if self.frames[0].is_lost() {
            self.core.fifo.misalign();
        }
    }
}

fn framing(bytes: &[u8]) -> Framing {
    let Some(end) = memchr(b'\n', bytes) else {
        return Framing::More;
    };
    let line = &bytes[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // What is no command is a line all the same: the server says so.
    let value = match Line::parse(line) {
        Some(line) => line.value,
        None if line.iter().any(u8::is_ascii_control) => return Framing::Nonsense,
        None => None,
    };
    let head = end + 1;
    Framing::Frame {
        wanted: head,
        length: head as u64 + value.map_or(0, |value| value + 2),
    }
}

/// A hash of an opaque token.
pub(super) fn opaque(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Core {
    /// A command begins.
    fn begin(&mut self, frame: &Frame<'_>, events: &mut Vec<ParserEvent>) {
        let line = frame.bytes.trim_ascii_end();
        let Some(line) = Line::parse(line) else {
            // Its answer, an error, is nobody's.
            self.lose(events);
            return;
        };
        let mut request = Request {
            command: line.command,
            exchange: None,
            position: frame.position,
            first: frame.first,
            last: frame.last,
            overlapping: !self.fifo.is_empty(),
            keys: u32::try_from(line.keys().count()).unwrap_or(u32::MAX),
            text: (self.query_text == QueryText::Full).then(|| self.text(&line)),
            noreply: line.is_noreply(),
            quiet: false,
            opaque: None,
        };
        for flag in line.flags() {
            match flag {
                b"q" => request.quiet = true,
                [b'O', rest @ ..] => request.opaque = Some(opaque(rest)),
                _ => {}
            }
        }
        if !matches!(line.command.kind, Kind::Quiet | Kind::Quit) {
            self.start(&mut request, events);
        }
        self.coming = Some(request);
    }

    /// A command with its keys.
    fn text(&self, line: &Line<'_>) -> String {
        let mut text = line.command.name.to_owned();
        for key in line.keys() {
            let left = self.limits.text.saturating_sub(text.len() + 1);
            if left == 0 {
                break;
            }
            text.push(' ');
            for byte in key[..key.len().min(left)].escape_ascii() {
                text.push(char::from(byte));
            }
        }
        text
    }
}
