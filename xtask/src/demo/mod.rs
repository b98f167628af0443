//! `cargo xtask demo`: a payment through four services, each on a host of its own, traced.

mod shop;

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clew_testbed::{Deadline, Network, Process, temp_dir};
use nix::sys::signal::Signal;

use crate::build::{self, Profile};
use crate::{command, setup};
use shop::Shop;

const PAYMENTS: u32 = 3;

/// For the agent to load its programs.
const AGENT_START: Duration = Duration::from_secs(20);

/// What the agent logs once it sees traffic.
const AGENT_STARTED: &str = "clew is tracing";

/// From a payment's answer to its trace on the terminal, at most.
const TRACE_SHOWN: Duration = Duration::from_secs(2);

/// For the agent to leave after it was asked to.
const AGENT_END: Duration = Duration::from_secs(5);

/// What `cargo xtask demo` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// An agent that is built already; without it, sets up and builds one.
    #[arg(long, value_name = "CLEW")]
    agent: Option<PathBuf>,
}

/// Traces a few payments, and leaves nothing behind.
///
/// # Errors
/// When the agent cannot be built, a service does not start, or either fails; everything has
/// ended by then.
pub fn demo(options: &Options) -> Result<()> {
    let clew = match &options.agent {
        Some(clew) => clew.clone(),
        None => {
            setup::setup()?;
            build::agent(Profile::Release)?
        }
    };
    if !nix::unistd::geteuid().is_root() {
        let mut again = command::as_root(std::env::current_exe()?)?;
        return Err(again.args(["demo", "--agent"]).arg(&clew).exec()).context("starting sudo");
    }

    let stop = command::told_to_end()?;

    // Dropped from the last to the first: agent, services, hosts, network, files.
    let directory = temp_dir()?;
    let mut network = Network::new()?;
    let shop = Shop::open(&mut network, directory.path(), &stop)?;
    let log = directory.path().join("clew.log");
    let traced = trace(&clew, &shop, &log, &stop);
    if traced.is_err() {
        eprint!("{}", fs::read_to_string(&log).unwrap_or_default());
    }
    traced
}

/// Runs the agent while payments are made. The services run already: connections and processes
/// older than the agent are no special case.
fn trace(clew: &Path, shop: &Shop, log: &Path, stop: &AtomicBool) -> Result<()> {
    let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let mut command = Command::new(clew);
    command
        .args(["run", "--output", "console", "--include-port", shop::PORTS])
        .stderr(file);
    let mut agent = Process::start_with_own_output("clew", command, None)?;

    wait(AGENT_START, stop, || {
        agent.has_ended() || fs::read_to_string(log).is_ok_and(|text| text.contains(AGENT_STARTED))
    })?;
    for number in 1..=PAYMENTS {
        ensure!(!agent.has_ended(), "the agent ended");
        println!("payment {number}: {}", shop.pay()?);
        wait(TRACE_SHOWN, stop, || agent.has_ended())?;
    }
    agent.signal(Signal::SIGTERM)?;
    let status = agent.wait(AGENT_END)?;
    ensure!(status.success(), "the agent failed: {status}");
    Ok(())
}

/// Waits until the condition holds or the time is over, whichever is first.
///
/// # Errors
/// When the user wants to stop.
fn wait(within: Duration, stop: &AtomicBool, mut done: impl FnMut() -> bool) -> Result<()> {
    Deadline::after(within).poll(|| (stop.load(Ordering::Relaxed) || done()).then_some(()));
    if stop.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}
