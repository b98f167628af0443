//! Kernel time and wall time.

use rustix::time::{ClockId, clock_gettime};

use crate::model::Timestamp;

/// The kernel's `CLOCK_MONOTONIC`, which its programs stamp events with.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(nanos(ClockId::Monotonic))
}

/// Converts kernel time to wall time.
///
/// The difference is taken anew every second or so: spans that end after the host's clock was set
/// get the new time, spans that were sent keep the old.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// Unix time of the monotonic clock's zero, nanoseconds.
    zero: u64,
}

impl WallClock {
    /// Reads both clocks.
    #[must_use]
    pub fn read() -> Self {
        let before = nanos(ClockId::Monotonic);
        let wall = nanos(ClockId::Realtime);
        let after = nanos(ClockId::Monotonic);
        let middle = before + (after - before) / 2;
        Self {
            zero: wall.saturating_sub(middle),
        }
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_nanos(self, time: Timestamp) -> u64 {
        self.zero.saturating_add(time.0)
    }
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}
