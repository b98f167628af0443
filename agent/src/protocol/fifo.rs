//! Requests that are answered in their order, where nothing in an answer says what it answers.
//!
//! Such answers can only be counted, so one that was missed would give every later one to the wrong
//! request. After a loss, and on a connection that is joined late, nothing is told, therefore, until
//! the sides are known to have come to rest between a request and the one before it:
//!
//! - where the client has always waited for all answers before it sent more (or has done so
//!   [`PROOF`] times in a row), the next request that follows an answer;
//! - else a request after a silence of [`SILENCE`] nanoseconds.

use std::collections::VecDeque;
use std::mem::size_of;

use crate::model::{Chunk, Timestamp};

/// So often must all requests have been answered before the next came.
const PROOF: u8 = 4;
/// Long enough for a server to answer everything, in nanoseconds.
const SILENCE: u64 = 20_000_000;

/// Requests in order, and answers that were seen before theirs.
#[derive(Debug)]
pub struct Fifo<Q, A> {
    open: VecDeque<Q>,
    early: VecDeque<A>,
    max_early: usize,
    /// Requests that were let go; their answers are still to come, before those of `open`.
    abandoned: usize,
    aligned: bool,
    turns: u8,
    /// Requests and answers since the last turn, if they could all be counted.
    balance: Option<[u32; 2]>,
    /// The last chunk was one of answers, or there was none yet.
    answered_last: bool,
    last: Timestamp,
}

impl<Q, A> Fifo<Q, A> {
    /// For a connection that is seen from its start, or is joined at this time.
    #[must_use]
    pub const fn new(from_start: bool, time: Timestamp, max_early: usize) -> Self {
        Self {
            open: VecDeque::new(),
            early: VecDeque::new(),
            max_early,
            abandoned: 0,
            aligned: from_start,
            turns: if from_start { PROOF } else { 0 },
            balance: if from_start { Some([0; 2]) } else { None },
            answered_last: true,
            last: time,
        }
    }

    /// A chunk of requests has come, before what is in it. `rests`: no answer has begun and not ended.
    pub fn requests(&mut self, chunk: &Chunk<'_>, rests: bool) {
        if self.answered_last {
            match self.balance {
                Some([0, 0]) | None => {}
                Some([asked, answered]) if asked == answered => {
                    self.turns = self.turns.saturating_add(1);
                }
                Some(_) => self.turns = 0,
            }
            self.balance = Some([0; 2]);
        }
        let silent = chunk.time.since(self.last) >= SILENCE;
        let turn = self.answered_last && self.turns >= PROOF;
        if !self.aligned && rests && chunk.gap == 0 && (turn || silent) {
            self.aligned = true;
        }
        self.answered_last = false;
        self.last = chunk.time;
    }

    /// A chunk of answers has come.
    pub fn answers(&mut self, chunk: &Chunk<'_>) {
        self.answered_last = true;
        self.last = chunk.time;
    }

    /// Whether what answers the next request will be known.
    #[must_use]
    pub const fn is_aligned(&self) -> bool {
        self.aligned
    }

    /// Whether the client is known to wait for all answers before it sends more.
    #[must_use]
    pub const fn takes_turns(&self) -> bool {
        self.turns >= PROOF
    }

    /// Whether a chunk of requests would be the client's turn: the last was one of answers.
    #[must_use]
    pub const fn is_turn(&self) -> bool {
        self.answered_last
    }

    /// A request; with its answer, if that was seen before.
    pub fn ask(&mut self, request: Q) -> Option<(Q, A)> {
        self.count(0);
        if !self.aligned {
            return None;
        }
        match self.early.pop_front() {
            Some(answer) => Some((request, answer)),
            None => {
                self.open.push_back(request);
                None
            }
        }
    }

    /// A request that nobody is told of, for want of alignment.
    pub fn pass(&mut self) {
        self.count(0);
    }

    /// An answer: with its request, if that is known.
    pub fn answer(&mut self, answer: A) -> Option<(Q, A)> {
        self.count(1);
        if self.abandoned > 0 {
            self.abandoned -= 1;
            return None;
        }
        if let Some(request) = self.open.pop_front() {
            return Some((request, answer));
        }
        if self.aligned && self.early.len() < self.max_early {
            self.early.push_back(answer);
        } else if self.aligned {
            self.misalign();
        }
        None
    }

    /// The oldest open request, if the next answer is its.
    pub fn oldest(&mut self) -> Option<&mut Q> {
        self.open.front_mut().filter(|_| self.abandoned == 0)
    }

    /// Takes out the oldest open request, whose answer is still to come.
    pub fn abandon(&mut self) -> Option<Q> {
        let request = self.open.pop_front()?;
        self.abandoned += 1;
        Some(request)
    }

    /// Takes out the oldest open request, which needs no answer any more.
    pub fn pass_over(&mut self) -> Option<Q> {
        self.count(1);
        self.open.pop_front()
    }

    /// Takes out the oldest open request.
    pub fn pop(&mut self) -> Option<Q> {
        self.open.pop_front()
    }

    /// Which answer belongs to which request is not known any more, until that is proved anew. What is
    /// open is the caller's to [`Self::pop`].
    pub fn misalign(&mut self) {
        self.aligned = false;
        self.early.clear();
        self.abandoned = 0;
        self.balance = None;
    }

    /// How many requests are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no request is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Bytes of heap memory, without what requests and answers hold themselves.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Q>() + self.early.capacity() * size_of::<A>()
    }

    fn count(&mut self, which: usize) {
        if let Some(balance) = &mut self.balance {
            balance[which] = balance[which].saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConnectionId, Direction, Task};

    fn chunk(time: u64) -> Chunk<'static> {
        Chunk {
            connection: ConnectionId(1),
            direction: Direction::Sent,
            position: 0,
            gap: 0,
            length: 1,
            data: b"x",
            time: Timestamp(time),
            task: Task::default(),
        }
    }

    #[test]
    fn order() {
        let mut fifo = Fifo::new(true, Timestamp(0), 1);
        assert_eq!(fifo.ask("a"), None);
        assert_eq!(fifo.ask("b"), None);
        assert_eq!(fifo.answer("A"), Some(("a", "A")));
        assert_eq!(fifo.abandon(), Some("b"));
        assert_eq!(fifo.answer("B"), None);
        assert_eq!(fifo.answer("C"), None);
        assert_eq!(fifo.ask("c"), Some(("c", "C")));
        // One too many before anybody asked.
        fifo.answer("D");
        assert!(fifo.is_aligned());
        fifo.answer("E");
        assert!(!fifo.is_aligned());
    }

    #[test]
    fn a_client_that_waits_is_believed_at_its_next_turn() {
        let mut fifo: Fifo<char, char> = Fifo::new(true, Timestamp(0), 1);
        fifo.misalign();
        fifo.requests(&chunk(1), true);
        assert!(fifo.is_aligned(), "its first turn");
        fifo.ask('a');
        fifo.misalign();
        fifo.requests(&chunk(2), true);
        assert!(!fifo.is_aligned(), "no turn");
        fifo.answers(&chunk(3));
        fifo.requests(&chunk(4), false);
        assert!(!fifo.is_aligned(), "an answer is still coming");
        fifo.answers(&chunk(5));
        fifo.requests(&chunk(6), true);
        assert!(fifo.is_aligned());
    }

    #[test]
    fn a_client_that_does_not_wait_must_be_silent() {
        let mut fifo = Fifo::new(true, Timestamp(0), 1);
        fifo.requests(&chunk(1), true);
        fifo.ask('a');
        fifo.ask('b');
        fifo.answers(&chunk(2));
        fifo.answer('A');
        fifo.requests(&chunk(3), true);
        fifo.misalign();
        fifo.answers(&chunk(4));
        fifo.requests(&chunk(5), true);
        assert!(!fifo.is_aligned());
        fifo.requests(&chunk(5 + SILENCE), true);
        assert!(fifo.is_aligned());
    }

    #[test]
    fn joined_late_it_must_be_proved() {
        let mut fifo = Fifo::new(false, Timestamp(0), 1);
        for turn in 0..=PROOF {
            assert!(!fifo.is_aligned(), "{turn}");
            fifo.requests(&chunk(1), true);
            if turn < PROOF {
                fifo.ask('a');
                fifo.answers(&chunk(1));
                fifo.answer('A');
            }
        }
        assert!(fifo.is_aligned());
    }
}
