//! The direction that carries answers.

use memchr::memchr;

use crate::model::{Chunk, ParserEvent};
use crate::protocol::frames::{Frame, Framing, Moved, Step};

use super::command::{Kind, number, words};
use super::core::{Answer, Code, Core};
use super::requests::opaque;
use super::{Memcached, likeness};

/// Length of the line that ends values. After a long value it is seldom captured.
const END: u64 = 5;

/// What a line is.
enum Line {
    /// A value, and the length of what follows it; more lines follow.
    Value(u64),
    /// The only value of an answer.
    Only(u64),
    /// One of several lines.
    Item,
    /// The last line.
    Last(Code),
}

impl Memcached {
    pub(super) fn answer_chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let first = !self.core.fifo.is_turn();
        self.core.fifo.answers(chunk);
        if let Some(answer) = &mut self.core.inferred {
            answer.end = Moved::of(chunk);
            return;
        }
        let aligned = self.core.fifo.is_aligned();
        let begins = first && chunk.gap == 0 && likeness::is_answer(chunk.data);
        if self.frames[1].is_lost() && aligned && !begins {
            // The answer to what was asked is not here, or does not begin here.
            self.core.lose_answers(events);
        }
        let proven = self.core.fifo.takes_turns();
        self.frames[1].chunk(chunk, |data| match aligned {
            true => begins,
            // The next turn brings the place back, if one can be relied on.
            false => !proven && likeness::is_answer(data),
        });
        loop {
            let last = self.core.awaits_last_value();
            match self.frames[1].next(|bytes| framing(bytes, last)) {
                None => break,
                Some(Step::Lost) if self.core.infers(Moved::of(chunk)) => {}
                Some(Step::Lost) => self.core.lose_answers(events),
                Some(Step::Frame(frame)) => self.core.line(&frame),
                Some(Step::Ended(moved)) => self.core.line_ended(moved, events),
            }
        }
    }
}

/// `last`: of the keys that were asked for, no more than one is left, so an end follows its value.
fn framing(bytes: &[u8], last: bool) -> Framing {
    let Some(end) = memchr(b'\n', bytes) else {
        return Framing::More;
    };
    let head = end + 1;
    let Some(text) = bytes[..head].strip_suffix(b"\r\n") else {
        return Framing::Nonsense;
    };
    let value = match line(text) {
        None => return Framing::Nonsense,
        Some(Line::Value(value)) if last => value + 2 + END,
        Some(Line::Value(value) | Line::Only(value)) => value + 2,
        Some(Line::Item | Line::Last(_)) => 0,
    };
    Framing::Frame {
        wanted: head,
        length: head as u64 + value,
    }
}

fn line(text: &[u8]) -> Option<Line> {
    let mut args = words(text);
    let last = |code| Some(Line::Last(code));
    match args.next()? {
        b"VALUE" | b"CONFIG" => Some(Line::Value(number(args.nth(2)?)?)),
        b"VA" => Some(Line::Only(number(args.next()?)?)),
        b"STAT" | b"ITEM" => Some(Line::Item),
        b"END" | b"STORED" | b"DELETED" | b"TOUCHED" | b"OK" | b"RESET" | b"VERSION" | b"ME" => {
            last(Code::Done)
        }
        b"HD" => last(Code::Header),
        b"MN" => last(Code::Barrier),
        b"NOT_STORED" => last(Code::Outcome("NOT_STORED")),
        b"EXISTS" => last(Code::Outcome("EXISTS")),
        b"NOT_FOUND" => last(Code::Outcome("NOT_FOUND")),
        b"EN" => last(Code::Outcome("EN")),
        b"NS" => last(Code::Outcome("NS")),
        b"EX" => last(Code::Outcome("EX")),
        b"NF" => last(Code::Outcome("NF")),
        b"BUSY" => last(Code::Failed("BUSY")),
        b"BADCLASS" => last(Code::Failed("BADCLASS")),
        b"ERROR" => last(Code::Failed("ERROR")),
        b"CLIENT_ERROR" => last(Code::Failed("CLIENT_ERROR")),
        b"SERVER_ERROR" => last(Code::Failed("SERVER_ERROR")),
        count if count.iter().all(u8::is_ascii_digit) && count.len() <= 20 => last(Code::Done),
        _ => None,
    }
}

/// Whether a line begins an answer.
pub(super) fn is_line(text: &[u8]) -> bool {
    line(text).is_some()
}

impl Core {
    fn lose_answers(&mut self, events: &mut Vec<ParserEvent>) {
        self.answer = None;
        self.lose(events);
    }

    /// The rest of an answer is not seen, as happens in long ones. Where the client waits for it before
    /// it asks again, that is no loss: the last bytes before it does are its end.
    fn infers(&mut self, now: Moved) -> bool {
        let quiet = self.fifo.oldest().is_none_or(|oldest| oldest.quiet);
        if quiet || self.fifo.len() != 1 || !self.fifo.takes_turns() {
            return false;
        }
        self.inferred = self.answer.take().map(|answer| Answer {
            inferred: true,
            end: now,
            ..answer
        });
        self.inferred.is_some()
    }

    fn awaits_last_value(&mut self) -> bool {
        let values = self.answer.as_ref().map_or(0, |answer| answer.values);
        self.fifo.oldest().is_some_and(|oldest| {
            matches!(oldest.command.kind, Kind::Get | Kind::GetAndTouch)
                && values.checked_add(1) == Some(oldest.keys)
        })
    }

    /// A line has begun.
    fn line(&mut self, frame: &Frame<'_>) {
        let last = self.awaits_last_value();
        let text = frame.bytes.trim_ascii_end();
        let answer = self.answer.get_or_insert_default();
        match line(text) {
            Some(Line::Value(_)) => answer.values = answer.values.saturating_add(1),
            Some(Line::Only(_)) => answer.values = 1,
            Some(Line::Last(code)) => answer.code = code,
            Some(Line::Item) | None => {}
        }
        answer.ends = match line(text) {
            Some(Line::Value(_)) => last,
            Some(Line::Only(_) | Line::Last(_)) => true,
            Some(Line::Item) | None => false,
        };
        let meta = matches!(
            text.get(..3),
            Some(b"VA " | b"HD " | b"EN " | b"NS " | b"EX " | b"NF ")
        );
        if meta {
            answer.opaque = words(text)
                .find_map(|flag| flag.strip_prefix(b"O"))
                .map(opaque);
        }
    }

    fn line_ended(&mut self, end: Moved, events: &mut Vec<ParserEvent>) {
        if let Some(mut answer) = self.answer.take_if(|answer| answer.ends) {
            answer.end = end;
            self.answered(answer, events);
        }
    }
}
