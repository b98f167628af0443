//! From chunks to frames: the walk over one direction's stream that most protocols share.
//!
//! A protocol says how long the frame is that begins with some bytes, and how much of it it wants to
//! see; [`Frames`] collects that much, steps over the rest (also where nobody saw it), and says when
//! the frame has ended. Where the next frame begins among bytes that nobody saw, the place is lost,
//! until a chunk begins with something that the protocol knows again.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::model::{Chunk, Task, Timestamp};

/// The longest piece that a program reads by itself, before the rest of a message, in bytes.
pub const PIECE_MAX: u64 = 16;

/// As many pieces are kept: programs that read the shortest take a head of five bytes one by one.
pub const PIECES_MAX: usize = 8;

/// Whether a chunk may be such a piece.
#[must_use]
pub const fn is_piece(chunk: &Chunk<'_>) -> bool {
    chunk.length <= PIECE_MAX && chunk.data.len() as u64 == chunk.length
}

/// When bytes moved, and who moved them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub task: Task,
}

impl Moved {
    /// That of a chunk.
    #[must_use]
    pub const fn of(chunk: &Chunk<'_>) -> Self {
        Self {
            time: chunk.time,
            task: chunk.task,
        }
    }
}

/// What a protocol says of the bytes at the place where a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// They are too few to tell.
    More,
    /// They begin a frame.
    Frame {
        /// How many of its bytes are wanted; at most `length`. They may still be to come.
        wanted: usize,
        /// Its whole length in bytes, not 0.
        length: u64,
    },
    /// They begin none: this is not the protocol, or not the place.
    Nonsense,
}

/// What [`Frames::next`] finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A frame has begun, and what is wanted of it is here.
    Frame(Frame<'a>),
    /// The frame before has ended: its last byte moved so.
    Ended(Moved),
    /// Bytes were lost, or made no sense: what belonged to the frames among them is not known. Frames
    /// are found again at a chunk that begins with one.
    Lost,
}

/// A frame, as far as it is wanted.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Offset of its first byte in the stream.
    pub position: u64,
    /// Its first bytes: as many as were wanted, or fewer where [`Self::cut`].
    pub bytes: &'a [u8],
    /// Its whole length in bytes.
    pub length: u64,
    /// Fewer bytes were captured than were wanted.
    pub cut: bool,
    /// When its first byte moved.
    pub first: Moved,
    /// When the last byte of `bytes` moved.
    pub last: Moved,
}

/// One direction of a connection.
#[derive(Debug)]
pub struct Frames {
    /// Captured bytes; those before `at` are done with.
    held: Vec<u8>,
    at: usize,
    /// Stream offset of `held[at]`.
    position: u64,
    /// How many bytes at the front of `held` came before the present chunk, and with what the first and
    /// the last of them.
    older: usize,
    before: Moved,
    earlier: Moved,
    now: Moved,
    /// Bytes behind `held` that were not captured.
    hidden: u64,
    /// Bytes of the present frame that are still to be passed over.
    skip: u64,
    /// The present frame's end has not been told.
    in_frame: bool,
    lost: bool,
    /// That it is lost has not been told.
    untold: bool,
    /// Where it is lost: the pieces in `held`, by where they begin there, and when they moved.
    pieces: VecDeque<(usize, Moved)>,
    /// Most bytes that are collected for one frame.
    limit: usize,
}

impl Frames {
    /// A stream whose first byte is still to come (`from_start`), or that is joined somewhere. At most
    /// `limit` bytes are collected for one frame.
    #[must_use]
    pub const fn new(from_start: bool, limit: usize) -> Self {
        Self {
            held: Vec::new(),
            at: 0,
            position: 0,
            older: 0,
            before: Moved {
                time: Timestamp(0),
                task: Task::thread(0, 0),
            },
            earlier: Moved {
                time: Timestamp(0),
                task: Task::thread(0, 0),
            },
            now: Moved {
                time: Timestamp(0),
                task: Task::thread(0, 0),
            },
            hidden: 0,
            skip: 0,
            in_frame: false,
            lost: !from_start,
            untold: false,
            pieces: VecDeque::new(),
            limit,
        }
    }

    /// Takes a chunk. Its frames come from [`Self::next`], until that gives `None`; then the next
    /// chunk may be taken. `is_frame`: whether bytes begin a frame, asked where the place is lost.
    pub fn chunk(&mut self, chunk: &Chunk<'_>, is_frame: impl FnOnce(&[u8]) -> bool) {
        let data = self.begin(chunk);
        if self.lost {
            if !is_frame(data) {
                return;
            }
            self.lost = false;
        }
        self.take(chunk, data);
    }

    /// The same; but where the place is lost, a frame may also begin in one of the short chunks before,
    /// as it does for a program that reads heads by themselves, or byte by byte. `is_frame` is told how
    /// many bytes there are, captured or not, and answers by the bytes alone.
    pub fn chunk_or_pieces(&mut self, chunk: &Chunk<'_>, is_frame: impl FnMut(&[u8], u64) -> bool) {
        let data = self.begin(chunk);
        if self.lost {
            let Some(from) = self.find(chunk, data, is_frame) else {
                return self.keep(chunk, data);
            };
            self.held.drain(..from);
            self.older = self.held.len();
            let piece = self.pieces.iter().find(|(begin, _)| *begin == from);
            self.before = piece.map_or(self.now, |(_, moved)| *moved);
            self.position = chunk.position.wrapping_sub(self.older as u64);
            self.pieces.clear();
            self.lost = false;
        }
        self.take(chunk, data);
    }

    /// A chunk comes: what is captured of it.
    fn begin<'a>(&mut self, chunk: &Chunk<'a>) -> &'a [u8] {
        self.before = self.first();
        self.held.drain(..self.at);
        self.at = 0;
        self.older = self.held.len();
        self.earlier = self.now;
        self.now = Moved::of(chunk);
        if chunk.gap > 0 {
            if self.held.is_empty() && self.skip >= chunk.gap {
                self.skip -= chunk.gap;
            } else {
                self.lose();
            }
        }
        &chunk.data[..chunk.data.len().min(clamp(chunk.length))]
    }

    /// Where in `held`, or behind it, a frame begins that reaches into the chunk. The longest possible has
    /// the most that proves it.
    fn find(
        &mut self,
        chunk: &Chunk<'_>,
        data: &[u8],
        mut is_frame: impl FnMut(&[u8], u64) -> bool,
    ) -> Option<usize> {
        let end = self.held.len();
        if end == 0 {
            return is_frame(data, chunk.length).then_some(end);
        }
        self.held.extend_from_slice(data);
        let mut begins = self.pieces.iter().map(|(begin, _)| *begin).chain([end]);
        let found = begins.find(|&begin| {
            let length = chunk.length.saturating_add((end - begin) as u64);
            is_frame(&self.held[begin..], length)
        });
        self.held.truncate(end);
        found
    }

    /// The place stays lost: a chunk may be a piece of what follows.
    fn keep(&mut self, chunk: &Chunk<'_>, data: &[u8]) {
        if !is_piece(chunk) {
            self.held.clear();
            self.pieces.clear();
            return;
        }
        if self.pieces.len() >= PIECES_MAX {
            self.pieces.pop_front();
            let from = self.pieces.front().map_or(self.held.len(), |piece| piece.0);
            self.held.drain(..from);
            self.pieces.iter_mut().for_each(|piece| piece.0 -= from);
        }
        self.pieces.push_back((self.held.len(), self.now));
        self.held.extend_from_slice(data);
    }

    fn take(&mut self, chunk: &Chunk<'_>, data: &[u8]) {
        if self.held.is_empty() {
            self.position = chunk.position;
        }
        self.hidden = chunk.length.saturating_sub(data.len() as u64);
        // What is only passed over is not copied.
        let passed = if self.held.is_empty() {
            data.len().min(clamp(self.skip))
        } else {
            0
        };
        self.skip -= passed as u64;
        self.position = self.position.wrapping_add(passed as u64);
        self.held.extend_from_slice(&data[passed..]);
    }

    /// The next step through the bytes at hand. `framing` is asked of the bytes where a frame begins.
    pub fn next(&mut self, framing: impl FnOnce(&[u8]) -> Framing) -> Option<Step<'_>> {
        if self.untold {
            self.untold = false;
            return Some(Step::Lost);
        }
        if self.lost {
            return None;
        }
        self.pass();
        if self.in_frame {
            if self.skip > 0 {
                return None;
            }
            self.in_frame = false;
            return Some(Step::Ended(self.now));
        }
        let rest = &self.held[self.at..];
        if rest.is_empty() && self.hidden == 0 {
            self.tidy();
            return None;
        }
        match framing(rest) {
            Framing::Frame { wanted, length } if length > 0 => {
                let wanted = wanted.min(clamp(length));
                let shown = rest.len().min(wanted);
                if shown < wanted && self.hidden == 0 && shown < self.limit {
                    return None;
                }
                Some(Step::Frame(self.frame(shown, wanted, length)))
            }
            Framing::More if self.hidden == 0 && rest.len() < self.limit => None,
            _ => {
                self.lose();
                self.untold = false;
                Some(Step::Lost)
            }
        }
    }

    /// Whether all that has moved are whole frames.
    #[must_use]
    pub const fn is_at_boundary(&self) -> bool {
        !self.lost && !self.in_frame && self.at == self.held.len() && self.hidden == 0
    }

    /// Whether the place of the next frame is unknown.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether the place is unknown, but the last chunk may be a piece of what begins a frame.
    #[must_use]
    pub fn has_pieces(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Offset up to which nothing is wanted, if that is at least `least` bytes ahead.
    #[must_use]
    pub const fn skips_until(&self, least: u64) -> Option<u64> {
        if self.skip >= least && self.skip > 0 {
            Some(self.position.wrapping_add(self.skip))
        } else {
            None
        }
    }

    /// What was understood of this direction no longer holds; see [`Step::Lost`], which will not be
    /// told.
    pub fn give_up(&mut self) {
        self.lose();
        self.untold = false;
    }

    /// Bytes of heap memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.held.capacity() + self.pieces.capacity() * size_of::<(usize, Moved)>()
    }

    /// With what the first byte that is held came.
    const fn first(&self) -> Moved {
        if self.at < self.older {
            self.before
        } else {
            self.now
        }
    }

    fn frame(&mut self, shown: usize, wanted: usize, length: u64) -> Frame<'_> {
        let first = self.first();
        let last = if self.at + shown <= self.older {
            self.earlier
        } else {
            self.now
        };
        let (from, position) = (self.at, self.position);
        self.advance(shown);
        self.skip = length - shown as u64;
        self.in_frame = true;
        Frame {
            position,
            bytes: &self.held[from..from + shown],
            length,
            cut: shown < wanted,
            first,
            last,
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        self.position = self.position.wrapping_add(bytes as u64);
    }

    /// Passes over what is left of the present frame, as far as it is here.
    fn pass(&mut self) {
        let seen = clamp(self.skip).min(self.held.len() - self.at);
        self.advance(seen);
        self.skip -= seen as u64;
        if self.at == self.held.len() {
            let unseen = self.skip.min(self.hidden);
            self.position = self.position.wrapping_add(unseen);
            self.skip -= unseen;
            self.hidden -= unseen;
        }
    }

    fn lose(&mut self) {
        self.held.clear();
        self.pieces.clear();
        self.at = 0;
        self.older = 0;
        self.hidden = 0;
        self.skip = 0;
        self.in_frame = false;
        self.untold = !self.lost;
        self.lost = true;
    }

    /// Lets go of memory that one long frame took.
    fn tidy(&mut self) {
        const KEPT: usize = 4096;
        self.held.clear();
        self.at = 0;
        self.older = 0;
        if self.held.capacity() > KEPT {
            self.held = Vec::new();
        }
    }
}

/// A length as far as memory reaches.
fn clamp(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
