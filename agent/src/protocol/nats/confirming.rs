//! Confirmations, and what the server says went wrong.

use std::borrow::Cow;

use crate::model::ParserEvent;
use crate::protocol::frames::{Frame, Moved};

use super::Nats;
use super::exchange::{Ending, Open, What};

impl Nats {
    /// A line of the client that a server confirms if it was asked to.
    pub(super) fn confirmable(&mut self, open: Option<Open>) {
        if !self.verbose {
            return;
        }
        if self.confirmed > 0 {
            self.confirmed -= 1;
        } else if self.unconfirmed.len() < self.settings.limits.open {
            self.unconfirmed.push_back(open);
        } else {
            // Nobody confirms anything.
            self.verbose = false;
        }
    }

    /// The server confirms a line, or says that it was wrong.
    pub(super) fn confirmed(
        &mut self,
        end: Moved,
        error: Option<Cow<'static, str>>,
        events: &mut Vec<ParserEvent>,
    ) {
        match self.unconfirmed.pop_front() {
            Some(Some(open)) => self.finish(open, Ending::whole(end, error), events),
            Some(None) => {}
            None if self.verbose => self.confirmed += 1,
            None => {}
        }
    }

    pub(super) fn login(&self, frame: &Frame<'_>) -> Open {
        let mut open = self.open(What::Connect, self.side(), b"", 0);
        // Only needed if it fails: when, and from where on.
        open.moved = frame.first;
        open.size = frame.position;
        open
    }

    /// What the server says went wrong.
    pub(super) fn error(&mut self, text: &[u8], frame: &Frame<'_>, events: &mut Vec<ParserEvent>) {
        let says = |part: &[u8]| memchr::memmem::find(text, part).is_some();
        if let Some(mut login) = self.login.take() {
            let code = match () {
                () if says(b"Authorization") => "authorization_violation",
                () if says(b"Authentication") => "authentication_failed",
                () => return,
            };
            let (position, first) = (std::mem::take(&mut login.size), login.moved);
            self.start_at(&mut login, position, first, frame.last, None, events);
            let ending = Ending::whole(frame.last, Some(Cow::Borrowed(code)));
            self.finish(login, ending, events);
            return;
        }
        let is_permission = says(b"Permissions Violation for Publish to");
        // In place of a confirmation.
        let code = match is_permission {
            true => "permissions_violation",
            false => "_OTHER",
        };
        self.confirmed(frame.last, Some(Cow::Borrowed(code)), events);
        if !is_permission {
            return;
        }
        let subject = text.split(|byte| *byte == b'"').nth(1).unwrap_or_default();
        let subject = String::from_utf8_lossy(subject);
        if let Some(open) = self.asked.take_to(&subject) {
            let error = Some(Cow::Borrowed("permissions_violation"));
            self.finish(open, Ending::whole(frame.last, error), events);
        }
    }
}
