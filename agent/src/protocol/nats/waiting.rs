//! Messages that wait for an answer, by the subject to which it goes.

use std::collections::VecDeque;

use super::exchange::Open;

/// Longest subject for answers that is remembered.
pub(super) const REPLY_MAX: usize = 512;
/// Most bytes that the messages of one direction hold while they wait.
const HELD_MAX: usize = 128 * 1024;

/// Messages of one direction that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    open: VecDeque<(Box<[u8]>, Open)>,
    held: usize,
}

impl Waiting {
    /// Adds one.
    pub(super) fn push(&mut self, reply: &[u8], open: Open) {
        self.held += reply.len() + open.memory();
        self.open.push_back((reply.into(), open));
    }

    /// Takes out the oldest that waits for an answer to this subject.
    pub(super) fn take(&mut self, reply: &[u8]) -> Option<Open> {
        let at = self.open.iter().position(|(other, _)| **other == *reply)?;
        self.remove(at)
    }

    /// Whether one waits for an answer to this subject.
    pub(super) fn has(&self, reply: &[u8]) -> bool {
        self.open.iter().any(|(other, _)| **other == *reply)
    }

    /// Takes out the newest message to a subject.
    pub(super) fn take_to(&mut self, subject: &str) -> Option<Open> {
        let at = self
            .open
            .iter()
            .rposition(|(_, open)| *open.subject == *subject)?;
        self.remove(at)
    }

    /// Takes out the oldest, if there are more than so many.
    pub(super) fn excess(&mut self, most: usize) -> Option<Open> {
        let many = self.open.len() > most || self.held > HELD_MAX;
        many.then(|| self.remove(0))?
    }

    /// Takes out the oldest.
    pub(super) fn pop(&mut self) -> Option<Open> {
        self.remove(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        self.held + self.open.capacity() * size_of::<(Box<[u8]>, Open)>()
    }

    fn remove(&mut self, at: usize) -> Option<Open> {
        let (reply, open) = self.open.remove(at)?;
        self.held = self.held.saturating_sub(reply.len() + open.memory());
        Some(open)
    }
}
