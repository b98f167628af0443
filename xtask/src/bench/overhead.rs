//! `cargo xtask bench overhead`: the plan of the measurement.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use clew_testbed::temp_dir;

use super::cell::{Bench, Cell, Soak, Variant};
use super::cpu;
use super::document;
use super::machine::Machine;
use super::report::{self, Results};
use super::workload::{Server, Workload};
use crate::build::{self, Profile};
use crate::{command, ebpf, setup};

/// What `cargo xtask bench overhead` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// How often each server is measured in each way.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How long the agent's memory is watched under load at the end, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86400))]
    soak: u64,
    /// Two short rounds: whether everything works, not what it costs.
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "soak", "write"])]
    quick: bool,
    /// Only these servers.
    #[arg(long, value_enum)]
    workload: Vec<Workload>,
    /// The fixed rate as a share of what the server answers at most while it is traced.
    #[arg(long, default_value_t = 0.5)]
    share: f64,
    /// Connections of each load.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=512))]
    connections: u16,
    /// Puts the results into docs/measurements.md.
    #[arg(long)]
    write: bool,
    /// An agent that is built already; without it, sets up and builds one.
    #[arg(long, value_name = "CLEW", requires = "floor", env = "CLEW_BIN")]
    agent: Option<PathBuf>,
    /// The object with the empty programs, built already.
    #[arg(
        long,
        value_name = "OBJECT",
        requires = "agent",
        env = "CLEW_FLOOR_OBJECT"
    )]
    floor: Option<PathBuf>,
}

/// Measures, prints the results and, where asked to, writes them down.
///
/// # Errors
/// When a server, the agent or the kernel does not do its part; everything has ended by then.
pub fn overhead(options: &Options) -> Result<()> {
    let (clew, floor) = match (&options.agent, &options.floor) {
        (Some(agent), Some(floor)) => (agent.clone(), floor.clone()),
        _ => {
            setup::setup()?;
            let clew = build::agent(Profile::Release)?;
            (clew, ebpf::floor()?)
        }
    };
    if !nix::unistd::geteuid().is_root() {
        let mut again = command::as_root(std::env::current_exe()?)?;
        again
            .args(std::env::args_os().skip(1))
            .arg("--agent")
            .arg(&clew);
        return Err(again.arg("--floor").arg(&floor).exec()).context("starting sudo");
    }
    let stop = command::told_to_end()?;
    // Before any thread is started, and before anything that is measured.
    cpu::pin_self(cpu::REST)?;

    let results = Plan::of(options, clew, floor)?.carry_out(&stop)?;
    let text = report::markdown(&results);
    println!("\n{text}");
    if options.write {
        document::write("docs/measurements.md", "bench overhead", &text)?;
    }
    Ok(())
}

struct Plan {
    rounds: usize,
    soak: Duration,
    workloads: Vec<Workload>,
    share: f64,
    bench: Bench,
}

impl Plan {
    fn of(options: &Options, agent: PathBuf, floor: PathBuf) -> Result<Self> {
        let (rounds, load, soak) = match options.quick {
            true => (2, 1, 5),
            false => (options.rounds, options.seconds, options.soak),
        };
        let workloads = match options.workload.as_slice() {
            [] => Workload::value_variants(),
            chosen => chosen,
        };
        Ok(Self {
            rounds: rounds as usize,
            soak: Duration::from_secs(soak),
            workloads: workloads.to_vec(),
            share: options.share,
            bench: Bench::new(
                agent,
                floor,
                options.connections.into(),
                Duration::from_secs(load),
            )?,
        })
    }

    fn carry_out(&self, stop: &AtomicBool) -> Result<Results> {
        let mut results = Results {
            machine: Machine::this(),
            rounds: self.rounds,
            share: self.share,
            load: self.bench.load,
            connections: self.bench.connections,
            servers: vec![],
            soak: None,
        };
        for &workload in &self.workloads {
            results.servers.push(self.measure(workload, stop)?);
        }
        let busiest = results.servers.first().context("no server was chosen")?;
        results.soak = Some(self.soak(busiest, stop)?);
        Ok(results)
    }

    /// One server, all rounds. The same process serves all of them, so that what differs between
    /// two cells of a round is the variant.
    fn measure(&self, workload: Workload, stop: &AtomicBool) -> Result<Measured> {
        let directory = temp_dir()?;
        let server = Server::start(workload, directory.path())?;
        let capacity = self.bench.capacity(workload, &server)?;
        let rate = capacity * self.share;
        println!("{workload}: {capacity:.0} requests/s at most when traced, {rate:.0} offered");
        let mut measured = Measured {
            workload,
            rate,
            rounds: vec![],
        };
        for round in 0..self.rounds {
            let mut cells = vec![];
            for place in 0..Variant::ALL.len() {
                // Each variant comes first, second and last equally often.
                let variant = Variant::ALL[(round + place) % Variant::ALL.len()];
                let cell = self.bench.cell(variant, workload, &server, rate)?;
                println!("  round {}: {}", round + 1, report::cell(variant, &cell));
                if stop.load(Ordering::Relaxed) {
                    bail!("interrupted");
                }
                cells.push((variant, cell));
            }
            cells.sort_by_key(|&(variant, _)| variant);
            let cells: Vec<Cell> = cells.into_iter().map(|(_, cell)| cell).collect();
            measured.rounds.push(cells);
        }
        Ok(measured)
    }

    fn soak(&self, measured: &Measured, stop: &AtomicBool) -> Result<Soak> {
        let directory = temp_dir()?;
        let server = Server::start(measured.workload, directory.path())?;
        self.bench
            .soak(measured.workload, &server, measured.rate, self.soak, stop)
    }
}

/// What was measured of one server.
pub struct Measured {
    /// Which.
    pub workload: Workload,
    /// The fixed rate in requests a second.
    pub rate: f64,
    /// By round, then by variant in the order of [`Variant::ALL`].
    pub rounds: Vec<Vec<Cell>>,
}

impl Measured {
    /// A figure of a variant, round by round.
    pub fn series(&self, variant: Variant, figure: impl Fn(&Cell) -> f64) -> Vec<f64> {
        self.rounds
            .iter()
            .map(|cells| figure(&cells[variant as usize]))
            .collect()
    }
}
