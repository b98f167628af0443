//! Waiting for a condition, never longer than agreed.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// `CLEW_TEST_SLOWNESS`: how many times slower the machine is than a computer is (an emulated one, say); 1
/// where it is not set.
#[must_use]
pub fn slowness() -> u32 {
    static SLOWNESS: OnceLock<u32> = OnceLock::new();
    *SLOWNESS.get_or_init(|| {
        let given = std::env::var("CLEW_TEST_SLOWNESS").ok();
        given
            .and_then(|text| text.parse().ok())
            .unwrap_or(1)
            .clamp(1, 100)
    })
}

/// How long a condition is waited for before its failure is final.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// Between two looks at a condition: short against any program's start, long enough to leave
    /// the processor to that program.
    const PAUSE: Duration = Duration::from_millis(5);

    /// A deadline `within` from now; later on a machine that is slower than a computer is.
    #[must_use]
    pub fn after(within: Duration) -> Self {
        Self(Instant::now() + within * slowness())
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
