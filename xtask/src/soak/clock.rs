//! The host's wall clock, set ahead for a while.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

/// The clock is ahead for as long as this lives.
pub struct Ahead(Duration);

impl Ahead {
    /// Sets it ahead.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn by(time: Duration) -> Result<Self> {
        set(|now| now + TimeSpec::from_duration(time)).context("setting the host's clock")?;
        Ok(Self(time))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let back = set(|now| now - TimeSpec::from_duration(self.0));
        if let Err(error) = back {
            eprintln!("the host's clock is {} s ahead: {error}", self.0.as_secs());
        }
    }
}

fn set(change: impl Fn(TimeSpec) -> TimeSpec) -> nix::Result<()> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME)?;
    clock_settime(ClockId::CLOCK_REALTIME, change(now))
}
