//! `cargo xtask bench harm`: does sending contexts along harm anybody?

mod counters;
mod mode;
mod report;
mod scene;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clew_testbed::{Deadline, temp_dir};
use tempfile::TempDir;

use super::agent::{Agent, Drops};
use super::machine::Machine;
use super::receiver::Receiver;
use super::{cpu, document, floor};
use crate::build::{self, Profile};
use crate::{command, setup};
use mode::Mode;
use report::Results;
use scene::{Outcome, Scene, Traffic, still};

/// The agent brings its counters up to date once a second.
const COUNTED: Duration = Duration::from_millis(1100);

/// They stand still within this time after the last load.
const SETTLED: Duration = Duration::from_secs(10);

/// Before the loads that are measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// From the end of a kernel program's owner until the program has gone, at most.
const FREED: Duration = Duration::from_secs(3);

/// What `cargo xtask bench harm` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// How often each load is repeated in each way.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// One short round: whether everything works. About a minute.
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "write"])]
    quick: bool,
    /// Puts the results into docs/harm.md.
    #[arg(long)]
    write: bool,
    /// An agent that is built already; without it, sets up and builds one.
    #[arg(long, value_name = "CLEW", env = "CLEW_BIN")]
    agent: Option<PathBuf>,
}

/// Measures, prints the results and, where asked to, writes them down.
///
/// # Errors
/// When a server, the agent or the kernel does not do its part; and, after everything has been
/// printed, when more requests failed or more connections were reset in a mode than without an agent.
pub fn harm(options: &Options) -> Result<()> {
    let agent = match &options.agent {
        Some(agent) => agent.clone(),
        None => {
            setup::setup()?;
            build::agent(Profile::Release)?
        }
    };
    if !nix::unistd::geteuid().is_root() {
        let mut again = command::as_root(std::env::current_exe()?)?;
        again.args(std::env::args_os().skip(1));
        return Err(again.env("CLEW_BIN", agent).exec()).context("starting sudo");
    }
    let stop = command::told_to_end()?;
    // Before any thread is started, and before anything that is measured.
    cpu::pin_self(cpu::REST)?;

    let results = measure(options, &agent, &stop)?;
    let text = report::markdown(&results);
    println!("\n{text}");
    if options.write {
        document::write("docs/harm.md", "bench harm", &text)?;
    }
    let harmful = results.harmful();
    ensure!(
        harmful.is_empty(),
        "more failed requests or resets than without an agent: {}",
        report::names(&harmful)
    );
    Ok(())
}

fn measure(options: &Options, agent: &Path, stop: &AtomicBool) -> Result<Results> {
    let (rounds, seconds) = match options.quick {
        true => (1, 1),
        false => (options.rounds as usize, options.seconds),
    };
    let load = Duration::from_secs(seconds);
    let bench = Bench {
        agent,
        load,
        scene: Scene::start()?,
        receiver: Receiver::start()?,
        directory: temp_dir()?,
    };
    let start = Instant::now();
    let mut results = Results {
        machine: Machine::this(),
        quick: options.quick,
        load,
        rounds: Vec::new(),
        took: start.elapsed(),
    };
    for round in 0..rounds {
        let mut cells = Vec::new();
        for place in 0..Mode::ALL.len() {
            // Over as many rounds as there are modes each comes at each place.
            let mode = Mode::ALL[(round + place) % Mode::ALL.len()];
            let cell = bench.cell(mode).with_context(|| mode.to_string())?;
            println!("round {}: {}", round + 1, report::line(&cell));
            if stop.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            cells.push(cell);
        }
        cells.sort_by_key(|cell| cell.mode);
        results.rounds.push(cells);
    }
    results.took = start.elapsed();
    Ok(results)
}

/// What all measurements have in common. The same servers serve all of them, so that what differs
/// between two cells of a round is the agent.
struct Bench<'a> {
    agent: &'a Path,
    load: Duration,
    scene: Scene,
    receiver: Receiver,
    directory: TempDir,
}

/// All loads in one mode.
pub struct Cell {
    mode: Mode,
    /// In the order of [`Traffic::ALL`], as what was sent along.
    outcomes: Vec<Outcome>,
    sent: Vec<Sent>,
    drops: Drops,
    /// Why this kernel's self-test says that headers are not safe.
    flaw: Option<String>,
    /// Whether kernel programs of others were attached to hooks like the agent's, before or after.
    disturbed: bool,
}

/// What the agent says that it sent along.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sent {
    /// Requests that left with a context in a TCP option.
    options: u64,
    /// Requests that got a header.
    headers: u64,
}

impl Bench<'_> {
    fn cell(&self, mode: Mode) -> Result<Cell> {
        let alone = is_alone();
        let agent = mode.arguments().map(|arguments| {
            // The scope is also where contexts are sent along.
            let scope = ["--include-cgroup", self.scene.cgroup()];
            Agent::start(
                self.agent,
                &self.receiver.endpoint(),
                &[arguments, &scope].concat(),
                self.directory.path(),
            )
        });
        let agent = agent.transpose()?;
        let mut cell = Cell {
            mode,
            outcomes: Vec::new(),
            sent: Vec::new(),
            drops: Drops::new(),
            flaw: None,
            disturbed: false,
        };
        // An agent that has just started takes in what is there, on the client's processor.
        self.scene.load(Traffic::Server, WARM_UP)?;
        let mut before = match &agent {
            Some(agent) => still(COUNTED, SETTLED, || Sent::of(agent))?,
            None => Sent::default(),
        };
        for traffic in Traffic::ALL {
            let outcome = self.scene.load(traffic, self.load);
            cell.outcomes
                .push(outcome.with_context(|| traffic.to_string())?);
            let after = agent.as_ref().map_or(Ok(before), |agent| {
                still(COUNTED, SETTLED, || Sent::of(agent))
            })?;
            cell.sent.push(Sent {
                options: after.options - before.options,
                headers: after.headers - before.headers,
            });
            before = after;
        }
        before.fits(mode)?;
        if let Some(agent) = agent {
            cell.drops = agent.drops()?;
            cell.flaw = agent.output().lines().find_map(|line| {
                let (_, flaw) = line.split_once("headers are forced although ")?;
                Some(flaw.to_owned())
            });
            agent.stop()?;
        }
        cell.disturbed = !alone || !is_alone();
        Ok(cell)
    }
}

/// Whether no agent of others traces this host; one of ours has ended by now. Two agents with TCP
/// options are in each other's way: only one can write its own.
fn is_alone() -> bool {
    // The kernel takes its time to free what an agent leaves.
    let freed = Deadline::after(FREED).poll(|| (floor::strangers() == 0).then_some(()));
    freed.is_some()
}

impl Sent {
    fn of(agent: &Agent) -> Result<Self> {
        let metrics = agent.metrics()?;
        let count = |name: &str| {
            let value = metrics
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
            value.with_context(|| format!("no {name} in:\n{metrics}"))
        };
        Ok(Self {
            options: count("clew_tcp_options_sent_total")?,
            headers: count("clew_headers_inserted_total")?,
        })
    }

    /// A way that is not gone cannot do harm.
    fn fits(self, mode: Mode) -> Result<()> {
        for (what, sent, wanted) in [
            ("TCP options", self.options, mode.has_options()),
            ("headers", self.headers, mode.has_headers()),
        ] {
            ensure!((sent > 0) == wanted, "{sent} {what} were sent");
        }
        Ok(())
    }
}

impl Cell {
    /// Requests answered.
    fn requests(&self) -> u64 {
        self.outcomes.iter().map(|of| of.report.requests).sum()
    }
}
