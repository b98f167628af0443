//! What an exchange costs on its way through the agent, step by step: time and allocations.
//!
//! ```text
//! cargo xtask bench micro             all; or: cargo bench -p clew
//! cargo xtask bench micro http1       those with this in their name
//! ```
//!
//! Needs neither kernel nor root: what is played is a recorded connection (curl and nginx, thirteen
//! exchanges in turn), which goes on and on. **An iteration is one exchange**, and a sample is whole
//! recordings, so times and counts of allocations are those of the average exchange. (The exporter's are
//! a batch's.)
//!
//! For comparisons, before and after a change; `cargo xtask bench overhead` says what all of it comes
//! to on a host. Times of a machine that does other things vary by a tenth and more, counts do not.

mod export;
mod http1;
mod ingest;
mod recorded;
mod stitch;

use divan::AllocProfiler;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}
