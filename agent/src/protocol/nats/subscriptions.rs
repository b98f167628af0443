//! What a client has subscribed to, as far as it was seen.

use super::subject;

/// Longest name that is remembered.
const NAME_MAX: usize = 512;

#[derive(Debug)]
struct Subscription {
    id: Box<[u8]>,
    subject: Box<[u8]>,
    queue: Option<Box<str>>,
}

/// The subscriptions of a connection.
#[derive(Debug)]
pub(super) struct Subscriptions {
    known: Vec<Subscription>,
    /// There are no others.
    complete: bool,
    most: usize,
}

impl Subscriptions {
    pub(super) const fn new(complete: bool, most: usize) -> Self {
        Self {
            known: Vec::new(),
            complete,
            most,
        }
    }

    /// Some may have been missed.
    pub(super) const fn miss(&mut self) {
        self.complete = false;
    }

    pub(super) fn add(&mut self, id: &[u8], subject: &[u8], queue: Option<&[u8]>) {
        let longest = id.len().max(subject.len());
        let longest = longest.max(queue.map_or(0, <[u8]>::len));
        if self.known.len() >= self.most || longest > NAME_MAX {
            self.complete = false;
            return;
        }
        self.known.push(Subscription {
            id: id.into(),
            subject: subject.into(),
            queue: queue.map(|queue| String::from_utf8_lossy(queue).into()),
        });
    }

    pub(super) fn remove(&mut self, id: &[u8]) {
        self.known.retain(|known| *known.id != *id);
    }

    /// The group of receivers among which a subscription's messages are shared.
    pub(super) fn queue(&self, id: &[u8]) -> Option<Box<str>> {
        let known = self.known.iter().find(|known| *known.id == *id)?;
        known.queue.clone()
    }

    /// Whether messages to a subject come to this client.
    pub(super) fn take(&self, name: &[u8]) -> bool {
        let known = |one: &Subscription| subject::takes(&one.subject, name);
        self.known.iter().any(known) || !self.complete && subject::is_inbox(name)
    }

    /// Bytes of heap memory, with what names usually take: it is asked often.
    pub(super) fn memory(&self) -> usize {
        self.known.capacity() * size_of::<Subscription>() + self.known.len() * 128
    }
}
