//! Clew's project commands: `cargo xtask …`.

#![forbid(unsafe_code)]

mod bench;
mod build;
mod command;
mod demo;
mod ebpf;
mod fuzz;
mod run;
mod setup;
mod soak;
mod test;
mod vm;
mod workspace;

use anyhow::Result;
use clap::Parser;

/// Sets Clew up, builds it, runs it, shows it and tests it.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", about, max_term_width = 100)]
enum Task {
    /// Installs what building and testing need; does nothing where it is there already.
    Setup,
    /// Builds target/release/clew, one file with the kernel programs inside.
    Build {
        /// Builds the agent without optimisation, to target/debug/clew.
        #[arg(long)]
        debug: bool,
        /// Builds it for another kind of host, to target/TARGET: aarch64-unknown-linux-gnu or
        /// x86_64-unknown-linux-gnu
        #[arg(long)]
        target: Option<String>,
    },
    /// Sets up, builds, and traces this host as root, with spans printed as they end.
    Run {
        /// Passed on to `clew run`.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Traces a payment through four services and shows which one is slow.
    Demo(demo::Options),
    /// Measures what tracing costs.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// An hour of mixed traffic, outages, deaths and shortages: does the agent leak, or lose silently?
    Soak(soak::Options),
    /// The traffic of a soak, which starts this by itself.
    #[command(hide = true)]
    SoakClient(soak::ClientOptions),
    /// Sets up, builds, and runs every test.
    Test(test::Options),
    /// Runs a command with this host's files on another kernel, in a virtual machine.
    Vm(vm::Options),
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Setup => setup::setup(),
        Task::Build { debug, target } => {
            let profile = if debug {
                build::Profile::Dev
            } else {
                build::Profile::Release
            };
            build::agent_for(profile, target.as_deref()).map(drop)
        }
        Task::Run { args } => run::run(&args),
        Task::Demo(options) => demo::demo(&options),
        Task::Bench(bench) => bench::bench(&bench),
        Task::Soak(options) => soak::soak(&options),
        Task::SoakClient(options) => soak::client(&options),
        Task::Test(options) => test::test(&options),
        Task::Vm(options) => vm::vm(&options),
    }
}
