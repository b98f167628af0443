//! One direction of a connection: finds heads and walks over bodies.

use std::borrow::Cow;

use memchr::memchr_iter;

use crate::model::Timestamp;
use crate::protocol::{Likeness, Wants};

use super::body::{Chunked, Decoded, Framing};
use super::likeness::{self, Kind, Place};

/// The bytes of a chunk that are still to be looked at: captured ones, then only counted ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'c> {
    visible: &'c [u8],
    hidden: u64,
    position: u64,
}

impl<'c> Bytes<'c> {
    pub(super) fn new(data: &'c [u8], length: u64, position: u64) -> Self {
        let shown = usize::try_from(length).map_or(data.len(), |length| data.len().min(length));
        Self {
            visible: &data[..shown],
            hidden: length - shown as u64,
            position,
        }
    }

    /// Offset of the first.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Those that were captured.
    pub(super) fn captured(&self) -> &'c [u8] {
        self.visible
    }

    /// How many are left, captured or not.
    pub(super) fn left(&self) -> u64 {
        self.visible.len() as u64 + self.hidden
    }

    /// The next byte, if it was captured.
    pub(super) fn peek(&self) -> Option<u8> {
        self.visible.first().copied()
    }

    /// Steps over `count` bytes, or as many as there are; returns how many.
    pub(super) fn skip(&mut self, count: u64) -> u64 {
        let count = count.min(self.left());
        let shown =
            usize::try_from(count).map_or(self.visible.len(), |n| n.min(self.visible.len()));
        self.visible = &self.visible[shown..];
        self.hidden -= count - shown as u64;
        self.position = self.position.wrapping_add(count);
        count
    }

    fn skip_all(&mut self) -> u64 {
        self.skip(u64::MAX)
    }
}

/// Where a direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a message, or in its head.
    Head {
        before: Before,
    },
    /// In a body with so many bytes left.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// In a message whose end cannot be found by its framing.
    Unframed {
        chunked: bool,
    },
    /// Anywhere: waiting for a chunk that begins with a head.
    Seeking,
    /// No more HTTP/1.
    Opaque,
}

/// What came before the bytes that look like a head, to return to if they are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// The end of a message, or the beginning of the stream.
    Boundary,
    Seeking,
    Unframed {
        chunked: bool,
    },
}

/// What a direction's next bytes are.
#[derive(Debug)]
pub(super) enum Step<'c> {
    /// The chunk is used up, or the rest of it is nothing.
    Starved,
    /// A message begins.
    Head(RawHead<'c>),
    /// Where a head was due there is something else, or nothing that was captured.
    NotHead { captured: bool },
    /// So many bytes of body; `over`: they were its last ones.
    Body { payload: u64, over: bool },
    /// Bytes of a message whose framing is lost; `over`: they look like its end.
    Unframed { over: bool },
    /// A body's framing is lost here.
    FramingLost { payload: u64 },
}

/// The bytes of a head, as far as they were captured.
#[derive(Debug)]
pub(super) struct RawHead<'c> {
    pub(super) bytes: Cow<'c, [u8]>,
    /// It goes on beyond them.
    pub(super) cut: bool,
    /// Offset of its first byte.
    pub(super) position: u64,
    /// Time of its first byte.
    pub(super) start: Timestamp,
    /// It was found in the middle of a message whose framing had been lost.
    pub(super) after_unframed: bool,
}

#[derive(Debug)]
pub(super) struct Lane {
    state: State,
    /// The bytes of a head that began in an earlier chunk.
    collected: Vec<u8>,
    /// How many of them were searched for the head's end.
    searched: usize,
    /// Offset and time of the head's first byte.
    begin: (u64, Timestamp),
    /// End of the last chunk.
    position: u64,
}

impl Lane {
    /// A lane whose first byte is still to come, or (`joined_late`) one that is older.
    pub(super) fn new(joined_late: bool) -> Self {
        let before = match joined_late {
            true => Before::Seeking,
            false => Before::Boundary,
        };
        Self {
            state: State::Head { before },
            collected: Vec::new(),
            searched: 0,
            begin: (0, Timestamp(0)),
            position: 0,
        }
    }

    /// Notes where the chunk ends, and looks for a head at its beginning if one is sought.
    pub(super) fn begin_chunk(&mut self, bytes: &Bytes<'_>, kind: Kind) {
        self.position = bytes.position.wrapping_add(bytes.left());
        let before = match self.state {
            State::Seeking => Before::Seeking,
            State::Unframed { chunked } => Before::Unframed { chunked },
            _ => return,
        };
        let start = likeness::without_newlines(bytes.visible);
        if !start.is_empty() && likeness::of_kind(kind, start, Place::Anywhere) != Likeness::No {
            self.state = State::Head { before };
        }
    }

    /// Takes the next bytes of a chunk. `limit` is the longest head that is collected.
    pub(super) fn step<'c>(
        &mut self,
        bytes: &mut Bytes<'c>,
        time: Timestamp,
        kind: Kind,
        limit: usize,
    ) -> Step<'c> {
        if bytes.left() == 0 {
            return Step::Starved;
        }
        match &mut self.state {
            State::Head { .. } => self.head(bytes, time, kind, limit),
            State::Length(left) => {
                let payload = bytes.skip(*left);
                *left -= payload;
                let over = *left == 0;
                if over {
                    self.at_boundary();
                }
                Step::Body { payload, over }
            }
            State::Chunked(chunked) => {
                let (payload, decoded) = chunked.decode(bytes);
                match decoded {
                    Decoded::Starved => Step::Body {
                        payload,
                        over: false,
                    },
                    Decoded::Over => {
                        self.at_boundary();
                        Step::Body {
                            payload,
                            over: true,
                        }
                    }
                    Decoded::Lost => {
                        self.state = State::Unframed { chunked: true };
                        Step::FramingLost { payload }
                    }
                }
            }
            State::UntilClose => Step::Body {
                payload: bytes.skip_all(),
                over: false,
            },
            State::Unframed { chunked } => {
                let over = *chunked && bytes.hidden == 0 && ends_chunked(bytes.visible);
                bytes.skip_all();
                if over {
                    self.at_boundary();
                }
                Step::Unframed { over }
            }
            State::Seeking | State::Opaque => {
                bytes.skip_all();
                Step::Starved
            }
        }
    }

    fn head<'c>(
        &mut self,
        bytes: &mut Bytes<'c>,
        time: Timestamp,
        kind: Kind,
        limit: usize,
    ) -> Step<'c> {
        if self.collected.is_empty() {
            let newlines = bytes.visible.len() - likeness::without_newlines(bytes.visible).len();
            bytes.skip(newlines as u64);
            self.begin = (bytes.position, time);
            self.searched = 0;
            if bytes.visible.is_empty() {
                return match bytes.skip_all() {
                    0 => Step::Starved,
                    _ => self.not_head(false),
                };
            }
        }
        let kept = self.collected.len();
        let place = self.place();
        let room = limit.saturating_sub(kept).min(bytes.visible.len());
        let view = if kept == 0 {
            &bytes.visible[..room]
        } else {
            self.collected.extend_from_slice(&bytes.visible[..room]);
            &self.collected
        };
        let is_head = likeness::of_kind(kind, view, place);
        if is_head == Likeness::No {
            let step = self.not_head(true);
            if kept == 0 || matches!(step, Step::NotHead { .. }) {
                return step;
            }
            // What began in an earlier chunk was no head; this chunk may begin one.
            self.begin_chunk(bytes, kind);
            return self.step(bytes, time, kind, limit);
        }
        let end = end_of_head(view, self.searched);
        self.searched = view.len();
        let captured = end.unwrap_or(view.len()) - kept;
        let cut = end.is_none() && (bytes.hidden > 0 || view.len() >= limit);
        if end.is_none() && !cut {
            if kept == 0 {
                self.collected = view.to_vec();
            }
            bytes.skip_all();
            return Step::Starved;
        }
        if is_head != Likeness::Yes {
            bytes.skip_all();
            return self.not_head(true);
        }
        let head = if kept == 0 {
            Cow::Borrowed(&bytes.visible[..captured])
        } else {
            let mut collected = std::mem::take(&mut self.collected);
            collected.truncate(kept + captured);
            Cow::Owned(collected)
        };
        bytes.skip(captured as u64);
        self.head_found(head, cut)
    }

    fn head_found<'c>(&mut self, bytes: Cow<'c, [u8]>, cut: bool) -> Step<'c> {
        let after_unframed = matches!(
            self.state,
            State::Head {
                before: Before::Unframed { .. }
            }
        );
        let (position, start) = self.begin;
        self.at_boundary();
        Step::Head(RawHead {
            bytes,
            cut,
            position,
            start,
            after_unframed,
        })
    }

    /// Gives up on a head: back to where the lane was.
    fn not_head<'c>(&mut self, captured: bool) -> Step<'c> {
        self.collected = Vec::new();
        match self.state {
            State::Head {
                before: Before::Unframed { chunked },
            } => {
                self.state = State::Unframed { chunked };
                Step::Unframed { over: false }
            }
            State::Head {
                before: Before::Seeking,
            } => {
                self.state = State::Seeking;
                Step::Starved
            }
            _ => {
                self.state = State::Seeking;
                Step::NotHead { captured }
            }
        }
    }

    /// The direction ends here: the beginning of a head that will never be complete, if its first
    /// line is.
    pub(super) fn take_unfinished(&mut self, kind: Kind) -> Option<RawHead<'static>> {
        let collected = std::mem::take(&mut self.collected);
        let State::Head { .. } = self.state else {
            return None;
        };
        if likeness::of_kind(kind, &collected, self.place()) != Likeness::Yes
            || !collected.contains(&b'\n')
        {
            return None;
        }
        match self.head_found(Cow::Owned(collected), true) {
            Step::Head(head) => Some(head),
            _ => None,
        }
    }

    /// Puts aside bytes that are too few to tell what they are; false if there is no room.
    pub(super) fn collect(&mut self, bytes: &Bytes<'_>, time: Timestamp, limit: usize) -> bool {
        let data = if self.collected.is_empty() {
            likeness::without_newlines(bytes.visible)
        } else {
            bytes.visible
        };
        let full = self.collected.len() + data.len() > limit;
        if bytes.hidden > 0 || full || self.state == State::Opaque {
            return false;
        }
        if self.collected.is_empty() {
            let newlines = (bytes.visible.len() - data.len()) as u64;
            self.begin = (bytes.position.wrapping_add(newlines), time);
            self.searched = 0;
        }
        self.collected.extend_from_slice(data);
        if self.state == State::Seeking {
            self.state = State::Head {
                before: Before::Seeking,
            };
        }
        true
    }

    /// What the bytes put aside are, with those of a new chunk: requests, responses.
    pub(super) fn likeness(&self, data: &[u8]) -> [Likeness; 2] {
        let joined = match self.collected.as_slice() {
            [] => Cow::Borrowed(likeness::without_newlines(data)),
            before => Cow::Owned([before, data].concat()),
        };
        [Kind::Requests, Kind::Responses].map(|kind| likeness::of_kind(kind, &joined, self.place()))
    }

    fn place(&self) -> Place {
        match self.state {
            State::Head {
                before: Before::Boundary,
            } => Place::Expected,
            _ => Place::Anywhere,
        }
    }

    /// Goes on after a head.
    pub(super) fn frame(&mut self, framing: Framing) {
        self.state = match framing {
            Framing::Empty => return self.at_boundary(),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::START),
            Framing::UntilClose => State::UntilClose,
            Framing::Unknown => State::Unframed { chunked: false },
        };
    }

    /// A message ended here.
    pub(super) fn at_boundary(&mut self) {
        self.state = State::Head {
            before: Before::Boundary,
        };
    }

    /// Gives up the place in the stream.
    pub(super) fn seek(&mut self) {
        self.collected = Vec::new();
        if self.state != State::Opaque {
            self.state = State::Seeking;
        }
    }

    /// The message whose framing was lost has ended by other means.
    pub(super) fn leave_unframed(&mut self) {
        self.state = match self.state {
            State::Unframed { .. } => State::Seeking,
            State::Head {
                before: Before::Unframed { .. },
            } => State::Head {
                before: Before::Seeking,
            },
            state => state,
        };
    }

    /// No more HTTP/1 comes this way.
    pub(super) fn close(&mut self) {
        self.collected = Vec::new();
        self.state = State::Opaque;
    }

    /// Jumps over bytes that nobody saw. `Some(payload)` if all of them lie in a body, or if it
    /// does not matter where they lie; `None` if something else may have been among them.
    pub(super) fn jump(&mut self, gap: u64) -> Option<Jump> {
        match &mut self.state {
            State::Length(left) if gap <= *left => {
                *left -= gap;
                let over = *left == 0;
                if over {
                    self.at_boundary();
                }
                Some(Jump { payload: gap, over })
            }
            State::Chunked(chunked) => chunked.jump(gap).then_some(Jump {
                payload: gap,
                over: false,
            }),
            State::UntilClose => Some(Jump {
                payload: gap,
                over: false,
            }),
            State::Opaque => Some(Jump {
                payload: 0,
                over: false,
            }),
            _ => None,
        }
    }

    /// Whether the present message ends only where its sender closes.
    pub(super) fn is_until_close(&self) -> bool {
        self.state == State::UntilClose
    }

    /// Whether the present message's end cannot be found by its framing.
    pub(super) fn is_unframed(&self) -> bool {
        matches!(
            self.state,
            State::Unframed { .. }
                | State::Head {
                    before: Before::Unframed { .. }
                }
        )
    }

    /// What the lane wants, where bodies of at least `threshold` bytes are worth skipping.
    pub(super) fn wants(&self, threshold: u64) -> Wants {
        match self.state {
            State::Length(left) | State::Chunked(Chunked::Data(left)) if left >= threshold => {
                Wants::SkipUntil(self.position.saturating_add(left))
            }
            State::Opaque => Wants::Nothing,
            _ => Wants::Bytes,
        }
    }

    /// Whether the next byte begins a message.
    pub(super) fn is_at_boundary(&self) -> bool {
        let before = Before::Boundary;
        self.state == State::Head { before } && self.collected.is_empty()
    }

    pub(super) fn memory(&self) -> usize {
        self.collected.capacity()
    }
}

/// A harmless gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    /// Bytes of body in it.
    pub(super) payload: u64,
    /// The body ended in it.
    pub(super) over: bool,
}

/// Offset after the empty line that ends a head. `from`: where an earlier search stopped.
fn end_of_head(head: &[u8], from: usize) -> Option<usize> {
    // The line before may have ended in bytes searched already.
    let from = from.saturating_sub(2);
    memchr_iter(b'\n', &head[from..]).find_map(|at| match &head[from + at + 1..] {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

/// Whether bytes look like the end of a chunked body without trailers.
fn ends_chunked(bytes: &[u8]) -> bool {
    bytes == b"0\r\n\r\n" || bytes.ends_with(b"\r\n0\r\n\r\n")
}
