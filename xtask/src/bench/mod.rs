//! `cargo xtask bench`: measurements. What they found is in docs/measurements.md,
//! docs/fidelity.md and docs/harm.md.

pub mod again;
pub mod agent;
pub mod asked;
mod cell;
mod cost;
mod cpu;
pub mod document;
mod fidelity;
mod floor;
mod harm;
mod hosts;
mod instructions;
mod load;
pub mod machine;
mod micro;
pub mod otlp;
mod overhead;
mod protocols;
pub mod receiver;
mod report;
mod saturate;
mod start;
pub mod statistics;
mod tables;
mod verifier;
mod workload;
mod wrk;

use anyhow::Result;
use clap::Subcommand;

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// What servers and databases pay for being traced, and what the agent takes: without Clew, with
    /// empty programs on the same hooks, and with Clew, in turn. About a quarter of an hour. Needs two
    /// processors and root.
    Overhead(overhead::Options),
    /// Whether the parents are right: real services whose truth is known, at one to many requests at
    /// a time, on one host and on several, beside what simple ways would give. Needs root.
    Fidelity(fidelity::Options),
    /// Whether traces hold together between this machine and one with another kernel: a chain of five
    /// services in four languages over both, an agent on each. Needs root.
    Hosts(hosts::Options),
    /// Whether sending contexts along harms anybody: throughput, latency, failed requests and resets,
    /// in each way and without Clew, in turn. Needs two processors and root.
    Harm(harm::Options),
    /// What it costs to parse an exchange of each protocol, from recordings of real connections.
    Protocols(protocols::Options),
    /// How long the agent takes to come to tracing, and its memory then, also on a host with many
    /// processes and connections. Needs root.
    Start(start::Options),
    /// What works on Debian's kernels and on this host's, and what the kernel programs cost each one's
    /// verifier. Needs root.
    Verifier(verifier::Options),
    /// What an exchange costs on its way through the agent, step by step, from a recorded connection:
    /// time and allocations.
    Micro(micro::Options),
}

/// Measures.
///
/// # Errors
/// When something that is measured does not work.
pub fn bench(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Overhead(options) => overhead::overhead(options),
        Bench::Fidelity(options) => fidelity::fidelity(options),
        Bench::Hosts(options) => hosts::hosts(options),
        Bench::Harm(options) => harm::harm(options),
        Bench::Protocols(options) => protocols::protocols(options),
        Bench::Start(options) => start::start(options),
        Bench::Verifier(options) => verifier::verifier(options),
        Bench::Micro(options) => micro::micro(options),
    }
}
