//! `cargo xtask soak`: a long time of mixed traffic and disturbances, at whose end nothing has leaked
//! and everything is accounted for.
//!
//! The wall clock is set only where that is permitted: a time namespace has its own monotonic clocks, not its
//! own real time, and the host's belongs to everybody on it. In a virtual machine (`cargo xtask vm`) it harms
//! nobody.

mod account;
mod client;
mod clock;
mod collector;
mod confined;
mod disturb;
mod report;
mod sample;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clew_testbed::{Deadline, temp_dir};

use crate::bench::again::{self, PYTHON};
use crate::bench::agent::Agent;
use crate::bench::document;
use crate::bench::machine::Machine;
use crate::command;
use account::{Account, Told};
pub use client::{Options as ClientOptions, client};
use collector::Collector;
use confined::Confined;
use disturb::{OUTAGE, Sequence, Victims};
use report::Results;
use sample::Sample;
use world::World;

/// Looks at the agent in a soak, at most.
const SAMPLES: u32 = 500;

/// Between two looks, at least.
const SAMPLE_PAUSE: Duration = Duration::from_secs(1);

/// The agent brings its counters up to date once a second.
const COUNTED: Duration = Duration::from_millis(2500);

/// They stand still within this time after the last request: an exporter that was disturbed waits before it
/// tries again, and ends of connections that were not told are to be found out.
const SETTLED: Duration = Duration::from_secs(60);

/// What the ring buffer has room for, at the rate that is wanted: less than an agent is stopped for, so that it
/// overflows then, and more than one waits for a processor.
const RING_HOLDS: Duration = Duration::from_millis(500);

/// Bytes of an exchange in the ring, of which both messages are captured; roughly.
const EXCHANGE: f64 = 400.0;

/// The smallest ring.
const RING_MIN: u64 = 256 << 10;

/// What `cargo xtask soak` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// How long the traffic lasts.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// The same in seconds: 90 is whether everything works.
    #[arg(long, conflicts_with_all = ["minutes", "write"], value_parser = clap::value_parser!(u64).range(30..))]
    seconds: Option<u64>,
    /// Exchanges a second, all clients together: a request that is seen at both ends is two.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Sets this host's wall clock a week ahead now and then, and back.
    #[arg(long)]
    step_clock: bool,
    /// MiB that the agent, with its maps in the kernel, may have.
    #[arg(long, default_value_t = 160)]
    memory: u64,
    /// Puts the results into docs/measurements.md.
    #[arg(long)]
    write: bool,
    /// An agent that is built already; without it, sets up and builds one.
    #[arg(long, value_name = "CLEW", env = "CLEW_BIN")]
    agent: Option<PathBuf>,
    /// Passed on to `clew run`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Soaks, prints what came of it and, where asked to, writes it down.
///
/// # Errors
/// When something does not do its part; and, after everything has been printed, when something leaked
/// or was lost silently.
pub fn soak(options: &Options) -> Result<()> {
    let root = nix::unistd::geteuid().is_root();
    let agent = match &options.agent {
        Some(agent) if root && std::env::var_os(PYTHON).is_some() => agent.clone(),
        agent => return Err(again::again(agent.clone())?),
    };
    let stop = command::told_to_end()?;
    let results = run(options, &agent, &stop)?;
    let text = report::markdown(&results);
    println!("\n{text}");
    if options.write {
        document::write("docs/measurements.md", "soak", &text)?;
    }
    let faults = results.faults();
    ensure!(faults.is_empty(), "the soak failed:\n{}", faults.join("\n"));
    Ok(())
}

fn run(options: &Options, agent: &Path, stop: &AtomicBool) -> Result<Results> {
    let lasting = Duration::from_secs(options.seconds.unwrap_or(options.minutes * 60));
    let directory = temp_dir()?;
    let confined = Confined::to(options.memory << 20)?;
    let collector = Collector::start()?;
    let mut world = World::start()?;
    let cgroup = world.cgroup().to_owned();
    // Full after a third of an outage.
    let queue = (options.rate * OUTAGE.as_secs_f64() / 3.0) as u64;
    let file = directory.path().join("clew.yaml");
    fs::write(&file, format!("batch:\n  max_queue_size: {queue}\n"))?;
    let file = file.to_str().context("a path in UTF-8")?;
    let ring = (options.rate * RING_HOLDS.as_secs_f64() * EXCHANGE) as u64;
    let ring = ring.max(RING_MIN).next_power_of_two().to_string();
    // The scope is also where contexts are sent along.
    let mut arguments = vec![
        "--include-cgroup",
        &cgroup,
        "--ring-size",
        &ring,
        "--config",
        file,
    ];
    arguments.extend(options.arguments.iter().map(String::as_str));
    let command = confined.program(&Command::new(agent));
    let agent = Agent::start_by(command, &collector.url(), &arguments, directory.path())?;
    let pid = agent.process().pid();

    let entries_before = sample::entries(pid)?;
    let mut samples = Vec::new();
    let mut sequence = Sequence::new(options.step_clock);
    let mut quiet = true;
    world.ask(options.rate)?;
    let start = Instant::now();
    let pause = (lasting / SAMPLES).max(SAMPLE_PAUSE);
    while start.elapsed() < lasting {
        let until = start + pause * (u32::try_from(samples.len())? + 1);
        let due = until
            .saturating_duration_since(Instant::now())
            .min(SAMPLE_PAUSE);
        Deadline::after(due).poll(|| stop.load(Ordering::Relaxed).then_some(()));
        if stop.load(Ordering::Relaxed) {
            // A stopped agent cannot leave.
            settle(&mut sequence, &collector, &mut world, &agent, &confined)?;
            bail!("interrupted");
        }
        world.check()?;
        let mut victims = Victims {
            collector: &collector,
            world: &mut world,
            agent: agent.process(),
            confined: &confined,
        };
        sequence.step(start.elapsed(), &mut victims)?;
        if Instant::now() >= until {
            samples.push(Sample::of(pid, start.elapsed())?);
        }
        if quiet != sequence.is_quiet() {
            quiet = sequence.is_quiet();
            println!("{:>5} s: {}", start.elapsed().as_secs(), sequence.present());
        }
    }
    settle(&mut sequence, &collector, &mut world, &agent, &confined)?;
    let asked = world.fall_silent()?;
    let told = still(&agent)?;
    let come = collector.come();
    let entries = sample::entries(pid)?;
    let results = Results {
        machine: Machine::this(),
        lasting,
        rate: options.rate,
        disturbances: sequence.summary(),
        clock_set: sequence.clock_set(),
        limit: options.memory << 20,
        peak: confined.peak()?,
        account: Account::new(&asked, &come, &told),
        told,
        samples,
        entries: [entries_before, entries],
    };
    agent.stop()?;
    Ok(results)
}

fn settle(
    sequence: &mut Sequence,
    collector: &Collector,
    world: &mut World,
    agent: &Agent,
    confined: &Confined,
) -> Result<()> {
    sequence.settle(&mut Victims {
        collector,
        world,
        agent: agent.process(),
        confined,
    })
}

/// What the agent says once it has nothing left to do.
fn still(agent: &Agent) -> Result<Told> {
    let mut last = (Told::by(agent)?, Instant::now());
    let found = Deadline::after(SETTLED).poll(|| match Told::by(agent) {
        Err(error) => Some(Err(error)),
        Ok(now) if now != last.0 => {
            last = (now, Instant::now());
            None
        }
        Ok(now) => {
            let busy = ["clew_queued_spans", "clew_open_exchanges"];
            let idle = busy.iter().all(|count| now.count(count) == 0);
            (idle && last.1.elapsed() >= COUNTED).then_some(Ok(now))
        }
    });
    // What stays open is said by whoever looks at the numbers.
    found.unwrap_or(Ok(last.0))
}
