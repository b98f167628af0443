//! `cargo xtask bench`: measurements. What they found is in docs/measurements.md.

mod agent;
mod cell;
mod cpu;
mod floor;
mod load;
mod machine;
mod otlp;
mod overhead;
mod receiver;
mod report;
mod statistics;
mod workload;
mod wrk;

use anyhow::Result;
use clap::Subcommand;

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// What servers pay for being traced, and what the agent takes: without Clew, with empty
    /// programs on the same hooks, and with Clew, in turn. Needs two processors and root.
    Overhead(overhead::Options),
}

/// Measures.
///
/// # Errors
/// When something that is measured does not work.
pub fn bench(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Overhead(options) => overhead::overhead(options),
    }
}
