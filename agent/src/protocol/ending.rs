//! What the end of a connection means for what was open on it.

use crate::model::{Direction, EndReason, Note};

/// The connection was let go of while something was open.
pub const FORGOTTEN: Note = "connection forgotten";

/// `ECONNRESET`, `EPIPE` and `ETIMEDOUT` (errno(3)).
const RESET: [u32; 2] = [104, 32];
const TIMED_OUT: u32 = 110;

/// [`error_type`] of what was not answered in time.
pub const TIMEOUT: &str = "timeout";

/// The value of `error.type` of exchanges that are cut short by this end; `None` where the connection
/// goes on unseen, so that nobody knows how they end.
#[must_use]
pub fn error_type(reason: EndReason) -> Option<&'static str> {
    Some(match reason {
        EndReason::PeerClosed | EndReason::LocalClosed | EndReason::Closed => "connection_closed",
        EndReason::Failed(errno) if RESET.contains(&errno) => "connection_reset",
        EndReason::Failed(TIMED_OUT) => TIMEOUT,
        EndReason::Failed(_) => "connection_failed",
        EndReason::ProcessExited => "process_exited",
        EndReason::Forgotten => return None,
    })
}

/// Whether a direction is over with this end.
#[must_use]
pub fn ends(reason: EndReason, direction: Direction) -> bool {
    match reason {
        EndReason::PeerClosed => direction == Direction::Received,
        EndReason::LocalClosed => direction == Direction::Sent,
        _ => true,
    }
}

/// Whether what was sent before this end has arrived.
#[must_use]
pub const fn is_orderly(reason: EndReason) -> bool {
    matches!(
        reason,
        EndReason::PeerClosed | EndReason::LocalClosed | EndReason::Closed
    )
}
