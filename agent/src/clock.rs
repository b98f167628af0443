//! Kernel time and wall time.

use std::{collections::VecDeque, time::Duration};

use rustix::time::{ClockId, clock_gettime};

use crate::model::Timestamp;

/// The kernel's `CLOCK_MONOTONIC`, which its programs stamp events with.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(nanos(ClockId::Monotonic))
}

/// A difference between two looks that is not the clock's being slewed (adjtime(3) does half a millisecond
/// in a second), but its having been set, or the host's having slept.
const SET: u64 = 50_000_000;

/// Times at which the clock was set that are remembered.
const SETTINGS_MAX: usize = 16;

/// Two clocks between which more time passes than this are not read at once.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Converts kernel time to wall time.
///
/// What began before the host's clock was set keeps the time that it had then, and its length, as with an
/// SDK, which reads the wall clock where a span begins and a monotonic one for its length.
#[derive(Clone, Debug)]
pub struct WallClock {
    /// When both clocks were read last.
    read: Timestamp,
    /// Unix time of the monotonic clock's zero, nanoseconds.
    zero: u64,
    /// The same before the clock was set, and until when; the newest last.
    before: VecDeque<(Timestamp, u64)>,
}

impl WallClock {
    /// Reads both clocks.
    #[must_use]
    pub fn read() -> Self {
        let (read, wall) = both();
        Self::at(read, wall)
    }

    fn at(read: Timestamp, wall: u64) -> Self {
        Self {
            read,
            zero: wall.saturating_sub(read.0),
            before: VecDeque::new(),
        }
    }

    /// Reads both clocks again. A setting of the clock holds for all that has begun since this was called
    /// last.
    pub fn update(&mut self) {
        let (read, wall) = both();
        if now().since(read) < AT_ONCE.as_nanos() as u64 {
            self.is(read, wall);
        }
    }

    fn is(&mut self, read: Timestamp, wall: u64) {
        let zero = wall.saturating_sub(read.0);
        if zero.abs_diff(self.zero) > SET {
            if self.before.len() == SETTINGS_MAX {
                self.before.pop_front();
            }
            self.before.push_back((self.read, self.zero));
        }
        (self.read, self.zero) = (read, zero);
    }

    /// Nanoseconds since the Unix epoch of the beginning and the end of something.
    #[must_use]
    pub fn unix_nanos(&self, start: Timestamp, end: Timestamp) -> [u64; 2] {
        let held_then = self.before.iter().find(|(until, _)| start < *until);
        let zero = held_then.map_or(self.zero, |(_, zero)| *zero);
        [start, end].map(|time| zero.saturating_add(time.0))
    }
}

/// Monotonic time, and wall time right after it.
fn both() -> (Timestamp, u64) {
    (now(), nanos(ClockId::Realtime))
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const EPOCH: u64 = 1_700_000_000 * SECOND;

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp(seconds * SECOND)
    }

    /// Read each second, and set: at 10 s an hour ahead, at 20 s back again.
    #[test]
    fn spans_keep_the_time_of_their_beginning_and_their_length() {
        let wall =
            |time: u64| EPOCH + time * SECOND + u64::from((10..20).contains(&time)) * 3600 * SECOND;
        let mut clock = WallClock::at(seconds(0), wall(0));
        for time in 1..=30 {
            clock.is(seconds(time), wall(time));
        }
        for (start, length, ahead) in [
            (5, 1, 0),
            // Under way when the clock is set.
            (8, 4, 0),
            (8, 20, 0),
            // From the look before on it is taken for set.
            (9, 1, 3600),
            (15, 10, 3600),
            (18, 0, 3600),
            (19, 2, 0),
            (29, 3, 0),
        ] {
            let began = EPOCH + (start + ahead) * SECOND;
            assert_eq!(
                clock.unix_nanos(seconds(start), seconds(start + length)),
                [began, began + length * SECOND],
                "from {start} s, {length} s long"
            );
        }
    }

    #[test]
    fn a_clock_that_is_slewed_was_not_set() {
        let mut clock = WallClock::at(seconds(0), EPOCH);
        for time in 1..=10_000 {
            clock.is(seconds(time), EPOCH + time * (SECOND + 500_000));
        }
        assert!(clock.before.is_empty());
        let [start, _] = clock.unix_nanos(seconds(10_000), seconds(10_001));
        assert_eq!(start, EPOCH + 10_000 * (SECOND + 500_000));
    }

    #[test]
    fn a_clock_that_is_set_again_and_again() {
        let mut clock = WallClock::at(seconds(0), EPOCH);
        for time in 1..=100 {
            clock.is(seconds(time), EPOCH + 10 * time * SECOND);
        }
        assert_eq!(clock.before.len(), SETTINGS_MAX);
        for start in 90..=99 {
            let [unix, end] = clock.unix_nanos(seconds(start), seconds(start + 1));
            assert_eq!(unix, EPOCH + (10 * (start + 1) - 1) * SECOND);
            assert_eq!(end - unix, SECOND);
        }
    }
}
