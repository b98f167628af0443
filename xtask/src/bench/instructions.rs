//! Instructions that a server executes, its own and the kernel's for it, where the processor's counter can
//! be had: virtual machines often have none.

use std::io;

use anyhow::{Context as _, Result};
use perf_event::events::{Event, Hardware};
use perf_event::{Builder, Counter};

use super::cpu::Family;

/// A counter for each thread of a server; threads and processes that it begins are counted with the one
/// that begins them.
pub struct Instructions(Vec<Counter>);

impl Instructions {
    /// Begins to count.
    ///
    /// # Errors
    /// Where there is no such counter, or it is not permitted (perf_event_open(2)).
    pub fn of(server: &Family) -> io::Result<Self> {
        Self::count(server, &Hardware::INSTRUCTIONS)
    }

    fn count<E: Event + Clone>(server: &Family, event: &E) -> io::Result<Self> {
        let counter = |thread| {
            Builder::new(event.clone())
                .observe_pid(thread)
                .any_cpu()
                .inherit(true)
                .include_kernel()
                .enabled(true)
                .build()
        };
        let counters = server.threads().into_iter().map(counter);
        // A thread may have ended since it was listed.
        let counters = counters.filter(|counter| !is_gone(counter.as_ref().err()));
        Ok(Self(counters.collect::<io::Result<_>>()?))
    }

    /// How many since it began.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn read(&mut self) -> Result<u64> {
        let counts = self.0.iter_mut().map(Counter::read);
        let sum: io::Result<u64> = counts.sum();
        sum.context("reading a counter of instructions")
    }
}

fn is_gone(error: Option<&io::Error>) -> bool {
    error.and_then(io::Error::raw_os_error) == Some(nix::libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use perf_event::events::Software;

    use super::*;

    /// With an event that every machine has, in place of instructions: a thread's processor time in ns.
    #[test]
    fn threads_that_begin_later_are_counted() {
        let own = Family::of(std::process::id()).expect("this process runs");
        let mut counter = match Instructions::count(&own, &Software::TASK_CLOCK) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("skipped: {error}");
                return;
            }
            counter => counter.expect("a counter"),
        };
        let busy = || {
            let begin = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
            let begin = std::time::Duration::from(begin.expect("a clock"));
            loop {
                let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
                let took = std::time::Duration::from(now.expect("a clock")) - begin;
                if took.as_millis() >= 20 {
                    return took;
                }
            }
        };
        let took = std::thread::spawn(busy).join().expect("it ends");
        let counted = counter.read().expect("a count");
        assert!(u128::from(counted) >= took.as_nanos(), "{counted} {took:?}");
    }
}
