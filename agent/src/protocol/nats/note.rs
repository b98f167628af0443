//! What may have to be said about how an exchange was understood.

use crate::model::Note;

pub(super) const GAP: Note = "bytes lost";
pub(super) const HEADERS_CUT: Note = "message headers not captured whole";
pub(super) const TOO_MANY_OPEN: Note = "too many requests open";
pub(super) const UNANSWERED: Note = "no answer seen: ends with its delivery";
pub(super) const VALUE_CUT: Note = "value cut";

/// Adds a note once.
pub(super) fn add(notes: &mut Vec<Note>, note: Note) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}
