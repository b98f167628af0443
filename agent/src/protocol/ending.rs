//! What the end of a connection says of exchanges that it cuts short.

use crate::model::{Direction, EndReason, Note};

/// The connection was let go while something was open.
pub const FORGOTTEN: Note = "connection forgotten";

/// `ECONNRESET`, `EPIPE` and `ETIMEDOUT` (errno(3)).
const RESET: [u32; 2] = [104, 32];
const TIMED_OUT: u32 = 110;

/// The `error.type` of what was open; `None` where nothing is known of how it went on.
#[must_use]
pub fn error_type(reason: EndReason) -> Option<&'static str> {
    match reason {
        EndReason::PeerClosed | EndReason::LocalClosed | EndReason::Closed => {
            Some("connection_closed")
        }
        EndReason::Failed(errno) if RESET.contains(&errno) => Some("connection_reset"),
        EndReason::Failed(TIMED_OUT) => Some("timeout"),
        EndReason::Failed(_) => Some("connection_failed"),
        EndReason::ProcessExited => Some("process_exited"),
        EndReason::Forgotten => None,
    }
}

/// Whether nothing more comes in a direction.
#[must_use]
pub fn ends(reason: EndReason, direction: Direction) -> bool {
    match reason {
        EndReason::PeerClosed => direction == Direction::Received,
        EndReason::LocalClosed => direction == Direction::Sent,
        _ => true,
    }
}
