//! What the parser may have to say about how it understood an exchange.

use crate::model::Note;

pub(super) const LOST: Note = "bytes lost";
pub(super) const TOO_MANY_OPEN: Note = "too many requests open";
pub(super) const NO_REPLY: Note = "no reply wanted";
pub(super) const QUIET: Note = "reply only if out of the ordinary";
pub(super) const END_INFERRED: Note = "end of reply inferred";
