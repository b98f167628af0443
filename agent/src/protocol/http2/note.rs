//! What a parser may have to say besides what HTTP/1's does.

use crate::model::Note;

pub(super) const HEAD_UNKNOWN: Note = "header fields of an unknown table";
pub(super) const MESSAGES_UNSEEN: Note = "messages not counted";
pub(super) const STATUS_UNSEEN: Note = "gRPC status not captured";
