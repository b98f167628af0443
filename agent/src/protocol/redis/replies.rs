//! The direction that carries replies.

use crate::model::{Chunk, ParserEvent};
use crate::protocol::frames::{Frame, Framing, Moved, Step};

use super::command::Kind as CommandKind;
use super::core::{Core, Name};
use super::element::{self, Kind, NoElement, Place};
use super::{Redis, likeness, note};

/// Most that is looked at of a line.
const LINE_SHOWN: usize = 64;
/// As long as the longest word that says what was pushed, `punsubscribe`, with the line's end.
const WORD_MAX: usize = 14;
/// The longest prefix of an error.
const PREFIX_MAX: usize = 32;

/// A reply.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) shape: Shape,
    /// It is an error: its prefix, if it has one.
    pub(super) error: Option<Option<Box<str>>>,
    pub(super) end: Moved,
    /// Where it ended was not seen.
    pub(super) inferred: bool,
}

impl Reply {
    pub(super) const fn new(shape: Shape, end: Moved) -> Self {
        Self {
            shape,
            error: None,
            end,
            inferred: false,
        }
    }
}

/// What is to be known of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Value,
    Null,
    /// A command has been queued in a transaction.
    Queued,
}

/// What the first word of an array says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Other,
    /// A message of a channel.
    Message,
    /// A channel has been subscribed to, or no longer is, by the command of this name.
    Confirmation(&'static str),
}

/// What was seen of the present reply.
#[derive(Debug)]
pub(super) struct Seen {
    top: Kind,
    shape: Shape,
    /// The prefix of the error that it is, or that is the first in it.
    error: Option<Option<Box<str>>>,
    /// The error is one of its elements.
    inner: bool,
    /// Elements so far.
    count: u32,
    word: Word,
    /// How many channels remain, as confirmations say.
    channels: Option<u64>,
    /// Where the present element leads.
    place: Place,
}

impl Seen {
    pub(super) const fn new() -> Self {
        Self {
            top: Kind::Line,
            shape: Shape::Value,
            error: None,
            inner: false,
            count: 0,
            word: Word::Other,
            channels: None,
            place: Place::Inside,
        }
    }
}

impl Redis {
    pub(super) fn reply_chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let first = !self.core.fifo.is_turn();
        self.core.fifo.answers(chunk);
        if let Some(reply) = &mut self.core.inferred {
            reply.end = Moved::of(chunk);
            return;
        }
        let (length, aligned) = (chunk.length, self.core.fifo.is_aligned());
        let begins = first && chunk.gap == 0 && element::element(chunk.data).is_ok();
        if self.frames[1].is_lost() && aligned && !begins {
            // The reply to what was asked is not here, or does not begin here.
            self.core.lose_replies(events);
        }
        let proven = self.core.fifo.takes_turns();
        self.frames[1].chunk(chunk, |data| match aligned {
            true => begins,
            // The next turn brings the place back, if one can be relied on.
            false => !proven && likeness::is_reply(data, length),
        });
        loop {
            let cap = match self.core.nesting.is_at_rest() {
                true => PREFIX_MAX,
                false if self.core.seen.count == 1 => WORD_MAX,
                false => 0,
            };
            match self.frames[1].next(|bytes| framing(bytes, cap)) {
                None => break,
                Some(Step::Lost) if self.core.infers(Moved::of(chunk)) => {}
                Some(Step::Lost) => self.core.lose_replies(events),
                Some(Step::Frame(frame)) => {
                    if !self.core.element(&frame) {
                        self.frames[1].give_up();
                        self.core.lose_replies(events);
                    }
                }
                Some(Step::Ended(moved)) => {
                    if self.core.seen.place == Place::Over {
                        self.core.reply(moved, events);
                        if self.core.over {
                            break;
                        }
                    }
                }
            }
        }
    }
}

fn framing(bytes: &[u8], cap: usize) -> Framing {
    match element::element(bytes) {
        Err(NoElement::More) => Framing::More,
        Err(NoElement::Nonsense) => Framing::Nonsense,
        Ok(element) => Framing::Frame {
            wanted: match element.kind {
                Kind::Line | Kind::Error => element.head.min(LINE_SHOWN),
                Kind::Bulk if cap == PREFIX_MAX => element.head,
                Kind::Bulk | Kind::BulkError => element.head + cap,
                _ => element.head,
            },
            length: element.length,
        },
    }
}

/// An error's prefix: the word in capitals before the first space.
fn prefix(text: &[u8]) -> Option<Box<str>> {
    let word = text.split(|byte| byte.is_ascii_whitespace()).next()?;
    let known = word.first().is_some_and(u8::is_ascii_uppercase)
        && word.len() <= PREFIX_MAX
        && word
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    known.then(|| String::from_utf8_lossy(word).into())
}

fn word(text: &[u8]) -> Word {
    match text {
        b"message" | b"pmessage" | b"smessage" => Word::Message,
        b"subscribe" => Word::Confirmation("SUBSCRIBE"),
        b"psubscribe" => Word::Confirmation("PSUBSCRIBE"),
        b"ssubscribe" => Word::Confirmation("SSUBSCRIBE"),
        b"unsubscribe" => Word::Confirmation("UNSUBSCRIBE"),
        b"punsubscribe" => Word::Confirmation("PUNSUBSCRIBE"),
        b"sunsubscribe" => Word::Confirmation("SUNSUBSCRIBE"),
        _ => Word::Other,
    }
}

impl Core {
    fn lose_replies(&mut self, events: &mut Vec<ParserEvent>) {
        self.nesting.forget();
        self.lose(note::LOST, events);
    }

    /// The rest of a reply is not seen, as happens in long ones. Where the client waits for it before
    /// it asks again, that is no loss: the last bytes before it does are its end.
    fn infers(&mut self, now: Moved) -> bool {
        let alone = self.fifo.len() == 1 && self.fifo.takes_turns();
        let begun = !self.nesting.is_at_rest() && matches!(self.seen.top, Kind::Array(_));
        let kind = self.fifo.oldest().map(|oldest| oldest.kind());
        // Of `EXEC` it is not known whether it failed.
        if !alone || !begun || matches!(kind, None | Some(CommandKind::Exec)) {
            return false;
        }
        self.nesting.forget();
        self.inferred = Some(Reply {
            inferred: true,
            ..Reply::new(Shape::Value, now)
        });
        true
    }

    /// An element has begun. Returns whether the way goes on.
    fn element(&mut self, frame: &Frame<'_>) -> bool {
        // What is cut was understood as far as its length goes, or there would be no frame.
        let Ok(element) = element::element(frame.bytes).or_else(|_| long_line(frame)) else {
            return false;
        };
        let top = self.nesting.is_at_rest();
        let seen = &mut self.seen;
        if top {
            *seen = Seen {
                top: element.kind,
                shape: match element.kind {
                    Kind::Null => Shape::Null,
                    Kind::Line if frame.bytes == b"+QUEUED\r\n" => Shape::Queued,
                    _ => Shape::Value,
                },
                ..Seen::new()
            };
        }
        let text = match element.kind {
            Kind::Bulk | Kind::BulkError => {
                let text = frame.bytes.get(element.head..).unwrap_or_default();
                text.strip_suffix(b"\r\n").unwrap_or(text)
            }
            _ => frame.bytes.get(1..).unwrap_or_default(),
        };
        match element.kind {
            Kind::Error | Kind::BulkError if seen.error.is_none() => {
                seen.error = Some(prefix(text));
                seen.inner = !top;
            }
            Kind::Bulk | Kind::Line if seen.count == 1 => {
                seen.word = word(text.strip_suffix(b"\r\n").unwrap_or(text));
            }
            Kind::Line if seen.count == 3 && frame.bytes.starts_with(b":") => {
                seen.channels = element::number(text.strip_suffix(b"\r\n").unwrap_or(text));
            }
            _ => {}
        }
        seen.count = seen.count.saturating_add(1);
        seen.place = self.nesting.pass(element.kind);
        seen.place != Place::Lost
    }

    /// A reply is whole.
    fn reply(&mut self, end: Moved, events: &mut Vec<ParserEvent>) {
        let pushed = matches!(self.seen.top, Kind::Push(_));
        let listed = matches!(self.seen.top, Kind::Array(3 | 4));
        let of_channels = pushed || listed && self.hears_channels();
        match self.seen.word {
            Word::Message if of_channels => return,
            Word::Confirmation(name) if of_channels => return self.confirm(name, end, events),
            _ if pushed => return,
            _ => {}
        }
        // Errors within other replies are their own matter.
        let oldest = self.fifo.oldest();
        let executes = oldest.is_some_and(|oldest| oldest.kind() == CommandKind::Exec);
        let error = match self.seen.inner && !executes {
            true => None,
            false => self.seen.error.take(),
        };
        let reply = Reply {
            shape: self.seen.shape,
            error,
            end,
            inferred: false,
        };
        self.answer(reply, events);
    }

    /// Whether arrays may be about channels (in RESP2 they look like any other).
    fn hears_channels(&mut self) -> bool {
        let certain = self.seen.channels.is_some();
        match self.fifo.oldest() {
            _ if self.channels.any() => true,
            Some(oldest) => oldest.kind() == CommandKind::Subscription,
            // Nothing is open that it could answer.
            None => certain || !self.fifo.is_aligned(),
        }
    }

    fn confirm(&mut self, name: &'static str, end: Moved, events: &mut Vec<ParserEvent>) {
        let left = self.channels.count(name, self.seen.channels.unwrap_or(0));
        let Some(oldest) = self.fifo.oldest() else {
            if self.fifo.is_aligned() && self.early_confirmations < 1 << 16 {
                self.early_confirmations += 1;
            }
            return;
        };
        if !matches!(oldest.name, Name::Known(command) if command.name == name) {
            return;
        }
        oldest.last = end;
        oldest.confirmations = oldest.confirmations.saturating_sub(1);
        // Without channels it means all that there are.
        if oldest.confirmations == 0 && (oldest.words > 1 || left == 0) {
            self.answer(Reply::new(Shape::Value, end), events);
        }
    }
}

/// How many channels, patterns and shard channels are subscribed to.
#[derive(Debug)]
pub(super) struct Channels([u64; 3]);

impl Channels {
    pub(super) const fn none() -> Self {
        Self([0; 3])
    }

    fn any(&self) -> bool {
        self.0 != [0; 3]
    }

    /// Takes a confirmation's number, which is that of channels and patterns together, but of shard
    /// channels alone. Returns how many are left of its own kind.
    fn count(&mut self, name: &str, total: u64) -> u64 {
        let [channels, patterns, shards] = &mut self.0;
        let (own, others) = match name.as_bytes().first() {
            Some(b'P') => (patterns, *channels),
            Some(b'S') if name != "SUBSCRIBE" => (shards, 0),
            _ => (channels, *patterns),
        };
        *own = total.saturating_sub(others);
        *own
    }
}

/// A line of which only the beginning is shown.
fn long_line(frame: &Frame<'_>) -> Result<element::Element, NoElement> {
    let kind = match frame.bytes.first() {
        Some(b'-') => Kind::Error,
        Some(_) if frame.bytes.len() >= LINE_SHOWN => Kind::Line,
        _ => return Err(NoElement::Nonsense),
    };
    Ok(element::Element {
        kind,
        head: frame.bytes.len(),
        length: frame.length,
    })
}
