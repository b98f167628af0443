//! Requests that wait for their answer, and answers that wait for their request.
//!
//! The events of loopback traffic are not always in the order of cause and effect: where one thread
//! sends and another receives, an answer may be seen before its request. It waits, then; but only as
//! long as every request is known, or the next request would be given the answer to one that nobody
//! saw.

use std::collections::VecDeque;
use std::mem::size_of;

/// What belongs together by a key: a stream or correlation id, or `()` where answers come in the order
/// of the requests.
#[derive(Debug)]
pub struct Pairs<K, Q, A> {
    open: VecDeque<(K, Q)>,
    early: VecDeque<(K, A)>,
    /// Every request since the last loss is known.
    aligned: bool,
    max_early: usize,
}

/// What becomes of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered<Q, A> {
    /// It belongs to this request.
    Meets(Q, A),
    /// Its request is still to come.
    Waits,
    /// Nobody saw what it answers.
    Unasked,
}

impl<K: PartialEq, Q, A> Pairs<K, Q, A> {
    /// Nothing waits. `aligned`: no request can have been missed so far.
    #[must_use]
    pub const fn new(aligned: bool, max_early: usize) -> Self {
        Self {
            open: VecDeque::new(),
            early: VecDeque::new(),
            aligned,
            max_early,
        }
    }

    /// A request: what answers it, if that has come already; else it waits.
    pub fn ask(&mut self, key: K, request: Q) -> Option<(Q, A)> {
        if let Some(at) = self.early.iter().position(|(early, _)| *early == key) {
            let (_, answer) = self.early.remove(at)?;
            return Some((request, answer));
        }
        self.open.push_back((key, request));
        None
    }

    /// An answer: with the oldest request of its key.
    pub fn answer(&mut self, key: K, answer: A) -> Answered<Q, A> {
        let at = self.open.iter().position(|(open, _)| *open == key);
        match at.and_then(|at| self.open.remove(at)) {
            Some((_, request)) => Answered::Meets(request, answer),
            None if self.aligned && self.early.len() < self.max_early => {
                self.early.push_back((key, answer));
                Answered::Waits
            }
            None => Answered::Unasked,
        }
    }

    /// The oldest open request of a key.
    pub fn find(&mut self, key: &K) -> Option<&mut Q> {
        let mut open = self.open.iter_mut();
        open.find(|(open, _)| open == key)
            .map(|(_, request)| request)
    }

    /// The open request that came last.
    pub fn newest(&mut self) -> Option<&mut Q> {
        self.open.back_mut().map(|(_, request)| request)
    }

    /// The oldest open request.
    pub fn oldest(&mut self) -> Option<&mut Q> {
        self.open.front_mut().map(|(_, request)| request)
    }

    /// Takes out the oldest open request of a key.
    pub fn take(&mut self, key: &K) -> Option<Q> {
        let at = self.open.iter().position(|(open, _)| open == key)?;
        self.open.remove(at).map(|(_, request)| request)
    }

    /// All open requests, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Q> + '_ {
        self.open.iter().map(|(_, request)| request)
    }

    /// See [`Self::iter`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Q> + '_ {
        self.open.iter_mut().map(|(_, request)| request)
    }

    /// Takes out the oldest open request.
    pub fn pop(&mut self) -> Option<Q> {
        self.open.pop_front().map(|(_, request)| request)
    }

    /// Bytes were lost among which requests may have been. All that are open come out, oldest first:
    /// their answers can no longer be told from those of others. (Where the key is unique that is not
    /// so; then [`Self::misalign`] is enough.)
    pub fn lose(&mut self) -> impl Iterator<Item = Q> + '_ {
        self.misalign();
        self.open.drain(..).map(|(_, request)| request)
    }

    /// Requests may have been missed: an answer that meets none answers one of those.
    pub fn misalign(&mut self) {
        self.aligned = false;
        self.early.clear();
    }

    /// Every request is known from here on.
    pub const fn align(&mut self) {
        self.aligned = true;
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
        self.open.capacity() * size_of::<(K, Q)>() + self.early.capacity() * size_of::<(K, A)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_keys() {
        let mut pairs = Pairs::new(true, 1);
        assert_eq!(pairs.ask(1, "a"), None);
        assert_eq!(pairs.ask(2, "b"), None);
        assert_eq!(pairs.answer(2, "B"), Answered::Meets("b", "B"));
        assert_eq!(pairs.answer(2, "C"), Answered::Waits);
        assert_eq!(pairs.answer(3, "D"), Answered::Unasked);
        assert_eq!(pairs.ask(2, "c"), Some(("c", "C")));
        assert_eq!(pairs.lose().collect::<Vec<_>>(), ["a"]);
        assert_eq!(pairs.answer(1, "A"), Answered::Unasked);
        assert!(pairs.is_empty());
    }
}
