//! What the parser may have to say about how it understood an exchange.

use crate::model::Note;

pub(super) const LOST: Note = "bytes lost";
pub(super) const TOO_MANY_OPEN: Note = "too many requests open";
pub(super) const WAITED: Note = "waited for data";
pub(super) const QUEUED: Note = "queued in a transaction";
pub(super) const NOT_EXECUTED: Note = "transaction not executed";
pub(super) const NO_REPLY: Note = "no reply wanted";
pub(super) const END_INFERRED: Note = "end of reply inferred";
