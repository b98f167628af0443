//! What is worth knowing about how an exchange was understood.

use crate::model::Note;

/// The place in the result was lost: its end is that of the last byte before what came next.
pub const END_INFERRED: Note = "end of result inferred";
/// Bytes were lost in which the answer, or other requests, may have been.
pub const BYTES_LOST: Note = "bytes lost";
/// Too many requests waited for an answer.
pub const TOO_MANY_OPEN: Note = "too many open requests";
