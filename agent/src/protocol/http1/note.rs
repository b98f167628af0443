//! What a parser may have to say about how it understood an exchange.

use crate::model::Note;

pub(in crate::protocol) const REQUEST_HEAD_CUT: Note = "request head cut";
pub(in crate::protocol) const RESPONSE_HEAD_CUT: Note = "response head cut";
pub(in crate::protocol) const RESPONSE_HEAD_UNSEEN: Note = "response head not captured";
pub(in crate::protocol) const NOT_A_RESPONSE: Note = "response is not HTTP";
pub(in crate::protocol) const VALUE_CUT: Note = "value cut";
pub(in crate::protocol) const FRAMING_UNKNOWN: Note = "contradictory body length";
pub(in crate::protocol) const FRAMING_LOST: Note = "end of response inferred";
pub(in crate::protocol) const REQUEST_UNFINISHED: Note = "response before end of request";
pub(in crate::protocol) const UNASKED: Note = "response without request ignored";
pub(in crate::protocol) const GAP: Note = "bytes lost";
pub(in crate::protocol) const TOO_MANY_OPEN: Note = "too many requests open";
pub(in crate::protocol) const SWITCHED: Note = "connection switched protocols";

/// Adds a note once.
pub(in crate::protocol) fn add(notes: &mut Vec<Note>, note: Note) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}
