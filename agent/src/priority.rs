//! How soon the thread that reads the ring gets a processor.
//!
//! It works for some microseconds per exchange, but when it is kept waiting beside busy programs,
//! the ring fills and events are lost. So it comes before ordinary programs; the rest of the agent
//! does not.

use std::io;

use rustix::process::{getpriority_process, setpriority_process};

/// nice(2) value of the reading thread.
const URGENT: i32 = -10;

/// The calling thread's former priority: set again when this is dropped.
pub struct Urgent {
    before: i32,
}

impl Urgent {
    /// Raises the calling thread, and those that it starts meanwhile. Needs `CAP_SYS_NICE`.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn begin() -> io::Result<Self> {
        let before = getpriority_process(None)?;
        if before > URGENT {
            setpriority_process(None, URGENT)?;
        }
        Ok(Self { before })
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        // Lowering is always allowed.
        let _ = setpriority_process(None, self.before);
    }
}
