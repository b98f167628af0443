//! What may have to be said about how an exchange was understood.

use crate::model::Note;

pub(super) const VERSION_UNKNOWN: Note = "version of request not known";
pub(super) const REQUEST_CUT: Note = "request not captured whole";
pub(super) const RESPONSE_CUT: Note = "response not captured whole";
pub(super) const RESPONSE_STRANGE: Note = "response not understood";
pub(super) const RESPONSE_UNSEEN: Note = "response not captured";
pub(super) const TOPIC_UNKNOWN: Note = "topic id whose name was not seen";
pub(super) const COUNT_UNKNOWN: Note = "messages not counted: batches not captured whole";
pub(super) const COMPRESSED: Note = "headers of compressed messages not read";
pub(super) const CONTEXTS_LEFT: Note = "not all message headers read";
pub(super) const UNANSWERED: Note = "no answer asked for";
pub(super) const WAITED: Note = "waited for the members of the group";
pub(super) const TOO_MANY_OPEN: Note = "too many requests open";
pub(super) const GAP: Note = "bytes lost";
pub(super) const VALUE_CUT: Note = "value cut";

/// Adds a note once.
pub(super) fn add(notes: &mut Vec<Note>, note: Note) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}
