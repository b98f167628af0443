//! Subjects: which of them are made for one answer only, and what others have in common.

use crate::protocol::template::{self, is_id};

/// How clients begin the subjects that they make for answers.
const INBOX: &[u8] = b"_INBOX.";
/// How JetStream is told what became of a message.
pub(super) const ACK: &[u8] = b"$JS.ACK.";
/// A client waits here for JetStream's next messages.
const NEXT: &[u8] = b"$JS.API.CONSUMER.MSG.NEXT.";
/// JetStream's interface: what comes after these tokens names streams, consumers and filters.
const API: &[u8] = b"$JS.API.";
const API_TOKENS: usize = 4;
/// As long are the ids that NATS makes.
const OWN: usize = 22;

/// Whether a subject was made for answers.
pub(super) fn is_inbox(subject: &[u8]) -> bool {
    subject.starts_with(INBOX)
}

/// Whether a request is only for messages, whenever they come.
pub(super) fn is_poll(subject: &[u8]) -> bool {
    subject.starts_with(NEXT)
}

/// Whether a subscription's subject takes in another.
pub(super) fn takes(pattern: &[u8], subject: &[u8]) -> bool {
    let mut tokens = subject.split(|byte| *byte == b'.');
    for part in pattern.split(|byte| *byte == b'.') {
        let token = tokens.next();
        match (part, token) {
            (b">", Some(_)) => return true,
            (b"*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// What many subjects have in common: the same with `*` for tokens that look like ids. `None` where
/// none does.
pub(super) fn template(subject: &str) -> Option<String> {
    if subject.as_bytes().starts_with(API) {
        let end = subject.match_indices('.').nth(API_TOKENS - 1);
        return end.map(|(end, _)| subject[..end].to_owned());
    }
    // NATS's own ids need not have digits in them.
    let is_id = |token: &str| token.len() >= OWN || is_id(token);
    template::template(subject, '.', "*", is_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        for (subject, expected) in [
            ("orders.new", None),
            ("orders.v2.new", None),
            ("orders.4711.paid", Some("orders.*.paid")),
            (
                "users.0af76519-16cd-43dd-8448-eb211c80319c",
                Some("users.*"),
            ),
            ("a.deadbeef01", Some("a.*")),
            ("$JS.API.STREAM.CREATE.GO", Some("$JS.API.STREAM.CREATE")),
            ("$JS.API.INFO", None),
        ] {
            assert_eq!(template(subject).as_deref(), expected, "{subject}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
        ] {
            let found = takes(pattern.as_bytes(), subject.as_bytes());
            assert_eq!(found, expected, "{pattern} {subject}");
        }
    }
}
