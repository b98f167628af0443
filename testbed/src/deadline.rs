//! Waiting for a condition, never longer than agreed.

use std::time::{Duration, Instant};

/// How long a condition is waited for before its failure is final.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// Between two looks at a condition: short against any program's start, long enough to leave
    /// the processor to that program.
    const PAUSE: Duration = Duration::from_millis(5);

    /// A deadline `within` from now.
    #[must_use]
    pub fn after(within: Duration) -> Self {
        Self(Instant::now() + within)
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// Looks at `condition` until it gives a value; `None` once the deadline has passed. It is
    /// looked at once at least.
    pub fn poll<T>(self, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
        loop {
            if let Some(value) = condition() {
                return Some(value);
            }
            if self.passed() {
                return None;
            }
            pause(Self::PAUSE);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the lint is about the agent; other programs' state can only be looked at repeatedly"
)]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
