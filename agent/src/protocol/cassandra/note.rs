//! What is worth knowing about how an exchange was understood.

use crate::model::Note;

/// The statement was prepared where nobody saw it.
pub const STATEMENT_UNSEEN: Note = "statement prepared before tracing";
/// Only the beginning of the request is known.
pub const REQUEST_CUT: Note = "request cut at capture cap";
/// Of a compressed message only the head can be read.
pub const COMPRESSED: Note = "body compressed";
/// The number of rows was not seen.
pub const ROWS_UNSEEN: Note = "part of result not seen";
/// Bytes were lost in which the answer, or other requests, may have been.
pub const BYTES_LOST: Note = "bytes lost";
/// Too many requests waited for an answer.
pub const TOO_MANY_OPEN: Note = "too many open requests";
