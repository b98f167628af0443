//! `cargo xtask bench overhead`: the plan of the measurement.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum as _;
use clew_testbed::temp_dir;
use clew_tests::Backend;

use super::cell::{Bench, Cell, Demand, Soak, Variant};
use super::cost::Cost;
use super::cpu::{self, Family};
use super::document;
use super::floor::{self, Floor};
use super::instructions::Instructions;
use super::machine::Machine;
use super::report::{self, Results};
use super::workload::{Server, Workload};
use crate::build::{self, Profile};
use crate::{command, ebpf, setup};

/// What `cargo xtask bench overhead` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// How often each server is measured in each way. Below 6 nothing is decided: not even the whole
    /// sample holds the median with 95 % confidence.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How long the agent's memory is watched under load at the end, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400))]
    soak: u64,
    /// Two short rounds: whether everything works, not what it costs.
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "soak", "write"])]
    quick: bool,
    /// Only these servers.
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<Workload>,
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
    backends: Backends,
    bench: Bench,
    no_counter: Option<String>,
}

/// What this kernel lets be measured.
pub struct Backends {
    /// The one that the agent takes here: all servers are measured with it.
    pub best: Backend,
    /// Others that can be had.
    pub others: Vec<Backend>,
    /// Those that cannot, and why.
    pub refused: Vec<(Backend, String)>,
}

impl Backends {
    fn of_this_kernel(floor: &Path) -> Result<Self> {
        let mut had = Vec::new();
        let mut refused = Vec::new();
        for backend in Backend::ALL {
            match Floor::refusal(floor, backend) {
                None => had.push(backend),
                Some(reason) => refused.push((backend, reason)),
            }
        }
        for (backend, reason) in &refused {
            println!("no {}: {reason}", floor::title(*backend));
        }
        ensure!(!had.is_empty(), "no floor can be attached");
        Ok(Self {
            best: had.remove(0),
            others: had,
            refused,
        })
    }
}

/// What a server is measured with in each round, and how it is asked then.
fn variants(workload: Workload, backends: &Backends) -> Vec<(Variant, Vec<Demand>)> {
    use Demand::{Bunched, Even, Saturated};
    let demands = match workload {
        Workload::NginxSmall => vec![Demand::HALF, Even(70), Even(90), Bunched(50), Saturated],
        Workload::RedisPipelined => vec![Saturated],
        _ => vec![Demand::HALF, Bunched(50), Saturated],
    };
    let main = main_variants(backends.best);
    let mut all: Vec<_> = main.map(|variant| (variant, demands.clone())).into();
    if workload == Workload::NginxSmall {
        let others = backends.others.iter();
        let others = others.flat_map(|&other| [Variant::Floor(other), Variant::Clew(other)]);
        let unexported = [Variant::Unexported(backends.best)];
        all.extend(
            others
                .chain(unexported)
                .map(|variant| (variant, vec![Demand::HALF])),
        );
    }
    all
}

/// What every server is measured with: nothing, the floor, Clew.
pub fn main_variants(backend: Backend) -> [Variant; 3] {
    [
        Variant::None,
        Variant::Floor(backend),
        Variant::Clew(backend),
    ]
}

impl Plan {
    fn of(options: &Options, agent: PathBuf, floor: PathBuf) -> Result<Self> {
        let (rounds, load, soak) = match options.quick {
            true => (2, 1, 5),
            false => (options.rounds, options.seconds, options.soak),
        };
        let workloads = match options.servers.as_slice() {
            [] => Workload::value_variants(),
            chosen => chosen,
        };
        let backends = Backends::of_this_kernel(&floor)?;
        let (connections, load) = (options.connections.into(), Duration::from_secs(load));
        let mut bench = Bench::new(agent, floor, connections, load)?;
        let own = Family::of(std::process::id())?;
        let no_counter = Instructions::of(&own).err();
        bench.counts = no_counter.is_none();
        Ok(Self {
            rounds: rounds as usize,
            soak: Duration::from_secs(soak),
            workloads: workloads.to_vec(),
            backends,
            bench,
            no_counter: no_counter.map(|error| error.to_string()),
        })
    }

    fn carry_out(self, stop: &AtomicBool) -> Result<Results> {
        let start = Instant::now();
        let mut servers = vec![];
        for &workload in &self.workloads {
            servers.push(self.measure(workload, stop)?);
        }
        let soak = self.soak(servers.first().context("no server was chosen")?, stop)?;
        Ok(Results {
            machine: Machine::this(),
            rounds: self.rounds,
            load: self.bench.load,
            connections: self.bench.connections,
            took: start.elapsed(),
            backends: self.backends,
            no_counter: self.no_counter,
            servers,
            soak,
        })
    }

    /// One server, all rounds. The same process serves all of them, so that what differs between
    /// two cells of a round is the variant.
    fn measure(&self, workload: Workload, stop: &AtomicBool) -> Result<Measured> {
        let directory = temp_dir()?;
        let server = Server::start(workload, directory.path())?;
        let capacity = self.bench.capacity(workload, &server, self.backends.best)?;
        println!("{workload}: {capacity:.0} requests/s at most when traced");
        let variants = variants(workload, &self.backends);
        let mut measured = Measured {
            workload,
            capacity,
            rounds: vec![],
        };
        for round in 0..self.rounds {
            let mut cells = vec![];
            for place in 0..variants.len() {
                // Each variant comes first, second and last equally often.
                let (variant, demands) = &variants[(round + place) % variants.len()];
                let cell = self
                    .bench
                    .cell(*variant, workload, &server, capacity, demands)?;
                println!("  round {}: {}", round + 1, report::cell(&cell));
                if stop.load(Ordering::Relaxed) {
                    bail!("interrupted");
                }
                cells.push(cell);
            }
            measured.rounds.push(cells);
        }
        Ok(measured)
    }

    fn soak(&self, measured: &Measured, stop: &AtomicBool) -> Result<Soak> {
        let directory = temp_dir()?;
        let server = Server::start(measured.workload, directory.path())?;
        let traced = (self.backends.best, measured.capacity / 2.0);
        self.bench
            .soak(measured.workload, &server, traced, self.soak, stop)
    }
}

/// What was measured of one server.
pub struct Measured {
    /// Which.
    pub workload: Workload,
    /// What it answered at most when traced, in requests a second.
    pub capacity: f64,
    /// By round; each has every variant once.
    pub rounds: Vec<Vec<Cell>>,
}

impl Measured {
    /// The cells of a variant, round by round.
    pub fn cells(&self, variant: Variant) -> impl Iterator<Item = &Cell> {
        let rounds = self.rounds.iter().flatten();
        rounds.filter(move |cell| cell.variant == variant)
    }

    /// What a demand cost in a variant, round by round; nothing, where that was not measured.
    pub fn costs(&self, variant: Variant, demand: Demand) -> impl Iterator<Item = &Cost> {
        let costs = self.cells(variant).flat_map(|cell| &cell.costs);
        costs.filter(move |cost| cost.demand == demand)
    }

    /// How the server was asked.
    pub fn demands(&self) -> Vec<Demand> {
        let costs = self
            .cells(Variant::None)
            .take(1)
            .flat_map(|cell| &cell.costs);
        costs.map(|cost| cost.demand).collect()
    }

    /// A figure of a variant, round by round.
    pub fn series(
        &self,
        variant: Variant,
        demand: Demand,
        figure: impl Fn(&Cost) -> f64,
    ) -> Vec<f64> {
        self.costs(variant, demand).map(figure).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_measured_without_with_the_floor_and_with_clew() {
        let backends = Backends {
            best: Backend::Socket,
            others: vec![Backend::Syscall],
            refused: vec![(Backend::Fentry, "no".to_owned())],
        };
        for &workload in Workload::value_variants() {
            let all = variants(workload, &backends);
            for variant in main_variants(Backend::Socket) {
                let demands = all.iter().find(|(one, _)| *one == variant);
                let (_, demands) = demands.expect("every server is measured in it");
                assert!(demands.contains(&Demand::Saturated));
            }
            let more = usize::from(workload == Workload::NginxSmall) * 3;
            assert_eq!(all.len(), 3 + more, "{workload}");
        }
    }
}
