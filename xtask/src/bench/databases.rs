//! `cargo xtask bench databases`: what Redis and PostgreSQL pay for being traced, beside the empty
//! programs and beside nothing, with the load generators that come with them.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clew_testbed::{Deadline, Namespace, Postgres, Process, temp_dir};
use tempfile::TempDir;

use super::again;
use super::agent::{self, Agent, Drops};
use super::cell::Variant;
use super::cpu::{self, Family};
use super::document::{self, Table, percent};
use super::floor::Floor;
use super::machine::Machine;
use super::receiver::Receiver;
use super::statistics::Quartiles;
use crate::ebpf;

/// What `cargo xtask bench databases` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// How often each load is measured in each way.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How long each load lasts, in seconds, about.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Puts the results into docs/measurements.md.
    #[arg(long)]
    write: bool,
    /// An agent that is built already; without it, sets up and builds one.
    #[arg(long, value_name = "CLEW", env = "CLEW_BIN")]
    agent: Option<PathBuf>,
}

/// The most that tracing may add to the server's processor time per operation, over empty programs.
const AIM: f64 = 1.10;

/// Connections of each load.
const CONNECTIONS: u64 = 16;

/// Operations by which a load's speed is found out.
const TRIAL: u64 = 20_000;

/// From a load's end until its spans have left the agent, at most.
const EXPORT: Duration = Duration::from_secs(20);

/// For servers to listen.
const START: Duration = Duration::from_secs(20);

/// What is asked of which server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// SET and GET of 64 bytes, one at a time.
    Redis,
    /// The same, 16 at a time.
    RedisPipelined,
    /// A row by its key, one simple query.
    Postgres,
    /// The same by a prepared statement.
    PostgresPrepared,
}

impl Load {
    const ALL: [Self; 4] = [
        Self::Redis,
        Self::RedisPipelined,
        Self::Postgres,
        Self::PostgresPrepared,
    ];
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis, SET and GET",
            Self::RedisPipelined => "Redis, 16 in a pipeline",
            Self::Postgres => "PostgreSQL, pgbench -S",
            Self::PostgresPrepared => "PostgreSQL, pgbench -S -M prepared",
        })
    }
}

/// Measures, prints the results and, where asked to, writes them down.
///
/// # Errors
/// When a server, the agent or the kernel does not do its part; everything has ended by then.
pub fn databases(options: &Options) -> Result<()> {
    let root = nix::unistd::geteuid().is_root();
    let clew = match &options.agent {
        Some(clew) if root => clew,
        agent => return Err(again::again(agent.clone())?),
    };
    let floor = ebpf::floor()?;
    // Before any thread is started, and before anything that is measured.
    cpu::pin_self(cpu::REST)?;
    let bench = Bench {
        clew,
        floor: &floor,
        receiver: Receiver::start()?,
        namespace: Namespace::new()?,
        directory: temp_dir()?,
    };
    let mut measured = Vec::new();
    for load in Load::ALL {
        measured.push((load, bench.measure(load, options)?));
    }
    let text = markdown(options, &measured);
    println!("\n{text}");
    if options.write {
        document::write("docs/measurements.md", "bench databases", &text)?;
    }
    Ok(())
}

/// One load in one variant.
struct Cell {
    operations: u64,
    seconds: f64,
    /// The server's processor time, in seconds.
    server: f64,
    agent: Option<Traced>,
}

/// What came of it, where it was traced.
struct Traced {
    /// The agent's processor time, in seconds.
    time: f64,
    /// Spans that it exported; each operation has two.
    spans: u64,
    drops: Drops,
}

struct Bench<'a> {
    clew: &'a Path,
    floor: &'a Path,
    receiver: Receiver,
    namespace: Namespace,
    directory: TempDir,
}

impl Bench<'_> {
    /// All rounds, of cells in the order of [`Variant::ALL`]. One server serves them all.
    fn measure(&self, load: Load, options: &Options) -> Result<Vec<Vec<Cell>>> {
        let server = Server::start(load, &self.namespace, self.directory.path())?;
        let (_, trial) = server.load(load, TRIAL)?;
        let operations = (TRIAL as f64 * options.seconds / trial) as u64;
        let mut rounds = Vec::new();
        for round in 0..options.rounds as usize {
            let mut cells = Vec::new();
            for place in 0..Variant::ALL.len() {
                // Each variant comes first, second and last equally often.
                let variant = Variant::ALL[(round + place) % Variant::ALL.len()];
                let cell = self.cell(load, &server, variant, operations)?;
                println!(
                    "{load}, round {}, {variant:?}: {:.2} µs an operation, {:.0} a second",
                    round + 1,
                    cell.server_per_operation(),
                    cell.rate(),
                );
                cells.push((variant, cell));
            }
            cells.sort_by_key(|&(variant, _)| variant);
            rounds.push(cells.into_iter().map(|(_, cell)| cell).collect());
        }
        Ok(rounds)
    }

    fn cell(
        &self,
        load: Load,
        server: &Server<'_>,
        variant: Variant,
        operations: u64,
    ) -> Result<Cell> {
        let _floor = match variant {
            Variant::Floor => Some(Floor::attach(self.floor)?),
            Variant::None | Variant::Clew => None,
        };
        let agent = match variant {
            Variant::Clew => Some(Agent::start(
                self.clew,
                &self.receiver.endpoint(),
                &[],
                self.directory.path(),
            )?),
            Variant::None | Variant::Floor => None,
        };
        // Whoever traces has met the server.
        server.load(load, TRIAL / 10)?;
        let before = agent.as_ref().map(Seen::of).transpose()?;
        let own = server.time()?;
        let (operations, seconds) = server.load(load, operations)?;
        let own = (server.time()? - own).as_secs_f64();
        let traced = match (agent, before) {
            (Some(agent), Some(before)) => Some(traced(agent, &before, operations)?),
            _ => None,
        };
        Ok(Cell {
            operations,
            seconds,
            server: own,
            agent: traced,
        })
    }
}

impl Cell {
    fn server_per_operation(&self) -> f64 {
        self.server / self.operations as f64 * 1e6
    }

    fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds
    }
}

/// What an agent has done by a moment.
struct Seen {
    time: Duration,
    spans: u64,
    drops: Drops,
}

impl Seen {
    fn of(agent: &Agent) -> Result<Self> {
        let text = agent.metrics()?;
        let exported = text
            .lines()
            .find_map(|line| line.strip_prefix("clew_spans_exported_total "));
        Ok(Self {
            time: agent.time()?,
            // Prometheus numbers are floating point.
            spans: exported
                .context("no count of spans")?
                .trim()
                .parse::<f64>()? as u64,
            drops: agent.drops()?,
        })
    }
}

/// Waits for the spans of a load.
fn traced(agent: Agent, before: &Seen, operations: u64) -> Result<Traced> {
    let mut last = (0, Instant::now());
    Deadline::after(EXPORT).poll(|| {
        let spans = Seen::of(&agent).map_or(0, |seen| seen.spans);
        if spans != last.0 {
            last = (spans, Instant::now());
        }
        let all = spans >= before.spans + 2 * operations;
        (all || last.1.elapsed() > Duration::from_secs(3)).then_some(())
    });
    let after = Seen::of(&agent)?;
    agent.stop()?;
    Ok(Traced {
        time: (after.time - before.time).as_secs_f64(),
        spans: after.spans - before.spans,
        drops: agent::added(&before.drops, &after.drops),
    })
}

/// A server, alone on its processor.
struct Server<'a> {
    process: Running,
    namespace: &'a Namespace,
    directory: &'a Path,
    address: SocketAddr,
}

enum Running {
    Redis(Process),
    Postgres(Postgres),
}

impl<'a> Server<'a> {
    fn start(load: Load, namespace: &'a Namespace, directory: &'a Path) -> Result<Self> {
        // Nobody else is in the namespace.
        let port = match load {
            Load::Redis => 7001,
            Load::RedisPipelined => 7002,
            Load::Postgres => 7003,
            Load::PostgresPrepared => 7004,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = match load {
            Load::Redis | Load::RedisPipelined => {
                let mut command = cpu::pinned(cpu::SERVER, "redis-server");
                command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
                command.args(["--save", "", "--dir"]).arg(directory);
                let mut redis = Process::start("redis", command, Some(namespace), directory)?;
                redis.wait_listening(address, START)?;
                Running::Redis(redis)
            }
            Load::Postgres | Load::PostgresPrepared => {
                let postgres = Postgres::start(namespace, address, "")?;
                // Processes that it begins from now on stay there too.
                for pid in Family::of(postgres.pid())?.pids() {
                    cpu::pin(pid, cpu::SERVER)?;
                }
                Running::Postgres(postgres)
            }
        };
        let server = Self {
            process,
            namespace,
            directory,
            address,
        };
        if let Running::Postgres(_) = server.process {
            let mut fill = server.pgbench()?;
            fill.args(["--initialize", "--quiet"]);
            server.run(fill)?;
        }
        Ok(server)
    }

    /// Its processor time, with that of the processes it has waited for.
    fn time(&self) -> Result<Duration> {
        let pid = match &self.process {
            Running::Redis(process) => process.pid(),
            Running::Postgres(postgres) => postgres.pid(),
        };
        // One process per connection, whose title has the client's address and port: they have ended
        // once there is none.
        // Others come and go: what cannot be read is read again.
        let read = || {
            let family = Family::of(pid).ok()?;
            let done = !family.has("127.0.0.1(");
            done.then(|| Some(family.time().ok()? + cpu::waited_for(pid).ok()?))?
        };
        Deadline::after(START)
            .poll(read)
            .context("the server has ended, or its connections do not")
    }

    /// Carries out about so many operations; how many it were, and how long it took, in seconds.
    fn load(&self, load: Load, operations: u64) -> Result<(u64, f64)> {
        let each = operations.div_ceil(CONNECTIONS * 2) * 2;
        let (command, operations) = match load {
            Load::Redis => (self.redis_benchmark(each, 1), each * CONNECTIONS),
            Load::RedisPipelined => (self.redis_benchmark(each, 16), each * CONNECTIONS),
            Load::Postgres | Load::PostgresPrepared => {
                let mut command = self.pgbench()?;
                command.args(["--select-only", "--no-vacuum"]);
                command.args(["--client", &CONNECTIONS.to_string()]);
                command.args(["--transactions", &each.to_string()]);
                if load == Load::PostgresPrepared {
                    command.args(["--protocol", "prepared"]);
                }
                (command, each * CONNECTIONS)
            }
        };
        let start = Instant::now();
        self.run(command)?;
        Ok((operations, start.elapsed().as_secs_f64()))
    }

    fn redis_benchmark(&self, each: u64, pipeline: u32) -> Command {
        let mut command = cpu::pinned(cpu::REST, "redis-benchmark");
        command.args([
            "-p",
            &self.address.port().to_string(),
            "-q",
            "-t",
            "set,get",
        ]);
        // So many of each kind.
        let requests = each * CONNECTIONS / 2;
        command.args(["-c", &CONNECTIONS.to_string(), "-n", &requests.to_string()]);
        command.args(["-d", "64", "-P", &pipeline.to_string()]);
        command
    }

    fn pgbench(&self) -> Result<Command> {
        let program = Postgres::program("pgbench")?;
        let mut command = cpu::pinned(cpu::REST, program.to_str().context("a path in UTF-8")?);
        command.args([
            "--host",
            "127.0.0.1",
            "--port",
            &self.address.port().to_string(),
        ]);
        command.args(["--username", Postgres::NAME]);
        command.env("PGDATABASE", Postgres::NAME);
        Ok(command)
    }

    fn run(&self, command: Command) -> Result<()> {
        let shown = format!("{command:?}");
        let mut process = Process::start("load", command, Some(self.namespace), self.directory)?;
        let status = process.wait(Duration::from_secs(300))?;
        ensure!(status.success(), "{shown}: {status}\n{}", process.output());
        Ok(())
    }
}

fn markdown(options: &Options, measured: &[(Load, Vec<Vec<Cell>>)]) -> String {
    let mut table = Table::new(
        "What Redis and PostgreSQL pay, at saturation",
        &[
            "load",
            "without, operations/s",
            "without, µs",
            "floor / without",
            "Clew / without",
            "Clew / floor",
            "aim",
            "agent, µs per exchange",
            "spans / exchanges",
            "drops",
        ],
    );
    for (load, rounds) in measured {
        let series = |variant: Variant, figure: fn(&Cell) -> f64| -> Vec<f64> {
            let cells = rounds.iter().map(|cells| &cells[variant as usize]);
            cells.map(figure).collect()
        };
        let [without, floor, clew] =
            Variant::ALL.map(|variant| series(variant, Cell::server_per_operation));
        let over_floor = Quartiles::of_ratios(&clew, &floor);
        let met = over_floor.is_some_and(|ratio| ratio.median <= AIM);
        let traced = || {
            let cells = rounds.iter().map(|cells| &cells[Variant::Clew as usize]);
            cells.filter_map(|cell| Some((cell.operations, cell.agent.as_ref()?)))
        };
        let exchanges: u64 = traced().map(|(operations, _)| 2 * operations).sum();
        let spans: u64 = traced().map(|(_, agent)| agent.spans).sum();
        let mut drops = Drops::new();
        for (name, more) in traced().flat_map(|(_, agent)| &agent.drops) {
            *drops.entry(name.clone()).or_default() += more;
        }
        let drops: Vec<String> = drops
            .into_iter()
            .map(|(name, sum)| format!("{name} {sum}"))
            .collect();
        let shown = |quartiles: Option<Quartiles>, digits: usize| {
            quartiles.map_or_else(String::new, |quartiles| format!("{quartiles:.digits$}"))
        };
        table.row(&[
            load.to_string(),
            shown(Quartiles::of(series(Variant::None, Cell::rate)), 0),
            shown(Quartiles::of(without.iter().copied()), 2),
            shown(Quartiles::of_ratios(&floor, &without), 3),
            shown(Quartiles::of_ratios(&clew, &without), 3),
            shown(over_floor, 3),
            format!("{AIM:.2}: {}", if met { "met" } else { "missed" }),
            shown(
                Quartiles::of(traced().map(|(_, agent)| agent.time / agent.spans as f64 * 1e6)),
                2,
            ),
            percent(spans, exchanges),
            if drops.is_empty() {
                "none".to_owned()
            } else {
                drops.join(", ")
            },
        ]);
    }
    format!(
        "{}. Median (quartiles) of {} rounds; ratios are taken within each round. {CONNECTIONS} \
         connections, loads of {} s, about.\n\n{}",
        Machine::this(),
        options.rounds,
        options.seconds,
        table.text,
    )
}
