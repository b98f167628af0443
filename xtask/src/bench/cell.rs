//! One measurement: a server under load, in one variant.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clew_testbed::{Deadline, temp_dir};
use clew_tests::Backend;
use tempfile::TempDir;

use super::agent::Agent;
use super::cost::{AgentCost, Came, Cost, Meter};
use super::floor::{self, Floor};
use super::instructions::Instructions;
use super::load::{Load, Pace};
use super::receiver::Receiver;
use super::saturate::{Saturating, TRIAL};
use super::workload::{Server, Workload};

/// Before each measured load: connections are made, threads started, the agent has met everybody.
const WARM_UP: Duration = Duration::from_millis(500);

/// From one bunch of requests to the next. The agent has caught up by then; a bunch of this much
/// is far from filling its ring buffer.
const BUNCHES: Duration = Duration::from_millis(50);

/// From the end of a kernel program's owner until the program has gone, at most.
const FREED: Duration = Duration::from_secs(3);

/// Between two looks at the agent's memory.
const LOOK: Duration = Duration::from_secs(5);

/// What a server is measured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Nothing.
    None,
    /// Empty programs on a backend's hooks.
    Floor(Backend),
    /// The agent, tracing the whole host and exporting everything.
    Clew(Backend),
    /// The same, but told to keep no trace (`--sampler parentbased_always_off`): what it sees is
    /// captured, read and brought into context, and dropped before spans are made of it.
    Unexported(Backend),
}

impl Variant {
    /// Empty programs on the hooks of this.
    pub const fn floor(&self) -> Option<Self> {
        match *self {
            Self::None | Self::Floor(_) => None,
            Self::Clew(backend) | Self::Unexported(backend) => Some(Self::Floor(backend)),
        }
    }

    /// Its place in tables: by backend, the floor first.
    pub const fn place(&self) -> (u8, u8) {
        match *self {
            Self::None => (0, 0),
            Self::Floor(backend) => (1 + backend as u8, 0),
            Self::Unexported(backend) => (1 + backend as u8, 1),
            Self::Clew(backend) => (1 + backend as u8, 2),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("nothing"),
            Self::Floor(backend) => write!(f, "empty programs on {}", floor::title(*backend)),
            Self::Clew(backend) => write!(f, "Clew on {}", floor::title(*backend)),
            Self::Unexported(backend) => {
                write!(f, "Clew on {}, without export", floor::title(*backend))
            }
        }
    }
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// At a fixed rate, in percent of what the server answers at most while it is traced, one after the
    /// other.
    Even(u8),
    /// At such a rate with many at a time. A server that serves one after the other does not pay for
    /// falling asleep and waking up, so what tracing adds weighs most.
    Bunched(u8),
    /// As fast as they are answered.
    Saturated,
}

impl Demand {
    /// Half of what is answered at most, evenly: what aims are about.
    pub const HALF: Self = Self::Even(50);

    /// The pace of a fixed rate.
    fn pace(self, capacity: f64) -> Option<Pace> {
        let rate = |share: u8| capacity * f64::from(share) / 100.0;
        match self {
            Self::Even(share) => Some(Pace::even(rate(share))),
            Self::Bunched(share) => Some(Pace::bunched(rate(share), BUNCHES)),
            Self::Saturated => None,
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Even(share) => write!(f, "{share} %, evenly"),
            Self::Bunched(share) => write!(f, "{share} %, in bunches"),
            Self::Saturated => f.write_str("saturation"),
        }
    }
}

/// One measurement of a variant.
#[derive(Clone, Debug)]
pub struct Cell {
    /// With what.
    pub variant: Variant,
    /// By demand.
    pub costs: Vec<Cost>,
    /// The server's instructions per request at [`Demand::HALF`], where they are counted.
    pub instructions: Option<f64>,
    /// The agent's resident memory in bytes: at its start, after all loads.
    pub resident: Option<[u64; 2]>,
    /// Kernel programs of others on hooks like these.
    pub strangers: usize,
}

/// The agent's memory over time.
#[derive(Clone, Debug)]
pub struct Soak {
    /// For how long the load lasted.
    pub lasting: Duration,
    /// Requests answered.
    pub answered: u64,
    /// Seconds since the load's start, and resident bytes then.
    pub resident: Vec<(f64, u64)>,
    /// What came of the requests.
    pub agent: AgentCost,
}

/// What all measurements have in common.
pub struct Bench {
    agent: PathBuf,
    floor: PathBuf,
    receiver: Receiver,
    directory: TempDir,
    loads: AtomicU64,
    /// Of every load.
    pub connections: usize,
    /// How long each lasts.
    pub load: Duration,
    /// Whether instructions are counted.
    pub counts: bool,
}

impl Bench {
    /// Starts the receiver; an agent is started by each measurement that needs one.
    ///
    /// # Errors
    /// When the receiver cannot be started.
    pub fn new(agent: PathBuf, floor: PathBuf, connections: usize, load: Duration) -> Result<Self> {
        Ok(Self {
            agent,
            floor,
            receiver: Receiver::start()?,
            directory: temp_dir()?,
            loads: AtomicU64::new(0),
            connections,
            load,
            counts: false,
        })
    }

    /// What a server answers at most while it is traced, in requests a second.
    ///
    /// While it is traced, because load, agent and receiver share a processor: at half of what a
    /// fast server answers without Clew, that processor is the limit, and not what is measured.
    ///
    /// # Errors
    /// When anything does not work.
    pub fn capacity(&self, workload: Workload, server: &Server, backend: Backend) -> Result<f64> {
        let saturate = || {
            self.saturating(TRIAL)
                .run(workload, server, workload.path())
        };
        // Warm: code is compiled, files are cached.
        saturate()?;
        let agent = self.start_agent(Variant::Clew(backend))?;
        let saturation = saturate()?;
        agent.context("an agent was asked for")?.stop()?;
        Ok(saturation.rate())
    }

    fn saturating(&self, commands: u64) -> Saturating<'_> {
        Saturating {
            connections: self.connections,
            lasting: self.load,
            commands,
            directory: self.directory.path(),
        }
    }

    /// Measures a server in a variant, with each of the demands.
    ///
    /// # Errors
    /// When anything in it does not work.
    pub fn cell(
        &self,
        variant: Variant,
        workload: Workload,
        server: &Server,
        capacity: f64,
        demands: &[Demand],
    ) -> Result<Cell> {
        // The kernel takes its time to free what the last cell left.
        let gone = Deadline::after(FREED).poll(|| (floor::strangers() == 0).then_some(0));
        let strangers = gone.unwrap_or_else(floor::strangers);
        // Hooks are removed when these are dropped: before the next cell.
        let _floor = match variant {
            Variant::Floor(backend) => Some(Floor::attach(&self.floor, backend)?),
            Variant::None | Variant::Clew(_) | Variant::Unexported(_) => None,
        };
        let agent = self.start_agent(variant)?;
        let resident = || agent.as_ref().map(Agent::resident).transpose();
        let at_start = resident()?;
        let meter = self.meter(variant, workload, server, agent.as_ref());

        // Whoever traces has met everybody, connections are made, threads started.
        let mut costs = vec![];
        let mut instructions = None;
        let paced = demands
            .iter()
            .filter_map(|&demand| Some((demand, demand.pace(capacity)?)));
        let paced: Vec<(Demand, Pace)> = paced.collect();
        if let Some(&(demand, pace)) = paced.first() {
            let connect = || Load::connect(server.address, workload.asked(), self.connections);
            let mut load = server.enter(connect)?;
            let mut run = |demand, pace, lasting| {
                let run = |path: &str| Ok(Came::of(&load.run(path, pace, lasting)?, lasting));
                meter.cost(demand, run)
            };
            run(demand, pace, WARM_UP)?;
            for (demand, pace) in paced {
                costs.push(run(demand, pace, self.load)?);
            }
            // Not while time is measured: switching counters takes time, with each wake-up.
            if self.counts
                && demands.contains(&Demand::HALF)
                && let Some(pace) = Demand::HALF.pace(capacity)
            {
                let mut counter = Instructions::of(&server.family()?)?;
                let cost = run(Demand::HALF, pace, self.load)?;
                instructions = Some(counter.read()? as f64 / cost.answered as f64);
            }
        }
        if demands.contains(&Demand::Saturated) {
            let saturate = |commands| {
                // The generators bring connections of their own.
                server.settle()?;
                meter.cost(Demand::Saturated, |path| {
                    let came = self.saturating(commands).run(workload, server, path)?;
                    server.settle()?;
                    Ok(came.into())
                })
            };
            if costs.is_empty() {
                saturate(TRIAL)?;
            }
            costs.push(saturate((capacity * self.load.as_secs_f64()) as u64)?);
        }
        let at_end = resident()?;
        if let Some(agent) = agent {
            agent.stop()?;
        }
        Ok(Cell {
            variant,
            costs,
            instructions,
            resident: at_start.zip(at_end).map(<[u64; 2]>::from),
            strangers,
        })
    }

    /// Watches the agent's memory while a server answers at a fixed rate.
    ///
    /// # Errors
    /// When anything in it does not work.
    pub fn soak(
        &self,
        workload: Workload,
        server: &Server,
        (backend, rate): (Backend, f64),
        lasting: Duration,
        stop: &AtomicBool,
    ) -> Result<Soak> {
        let variant = Variant::Clew(backend);
        let agent = self.start_agent(variant)?;
        let agent = agent.context("an agent was asked for")?;
        let mut resident = vec![(0.0, agent.resident()?)];
        let connect = || Load::connect(server.address, workload.asked(), self.connections);
        let mut load = server.enter(connect)?;
        let meter = self.meter(variant, workload, server, Some(&agent));
        let start = Instant::now();
        let cost = meter.cost(Demand::HALF, |path| {
            let mut all = Came::default();
            while start.elapsed() < lasting {
                let lasting = LOOK.min(lasting);
                let came = load.run(path, Pace::even(rate), lasting)?;
                all.due += came.due;
                all.answered += came.answered;
                resident.push((start.elapsed().as_secs_f64(), agent.resident()?));
                ensure!(!stop.load(Ordering::Relaxed), "interrupted");
            }
            Ok(all)
        })?;
        agent.stop()?;
        Ok(Soak {
            lasting,
            answered: cost.answered,
            resident,
            agent: cost.agent.context("the agent was measured")?,
        })
    }

    fn meter<'a>(
        &'a self,
        variant: Variant,
        workload: Workload,
        server: &'a Server,
        agent: Option<&'a Agent>,
    ) -> Meter<'a> {
        Meter {
            receiver: &self.receiver,
            loads: &self.loads,
            workload,
            server,
            variant,
            agent,
        }
    }

    /// The agent of a variant, if that has one.
    fn start_agent(&self, variant: Variant) -> Result<Option<Agent>> {
        const UNEXPORTED: [&str; 2] = ["--sampler", "parentbased_always_off"];
        let (backend, more) = match variant {
            Variant::None | Variant::Floor(_) => return Ok(None),
            Variant::Clew(backend) => (backend, &[][..]),
            Variant::Unexported(backend) => (backend, &UNEXPORTED[..]),
        };
        let arguments = [&["--backend", backend.name()], more].concat();
        let endpoint = self.receiver.endpoint();
        Agent::start(&self.agent, &endpoint, &arguments, self.directory.path()).map(Some)
    }
}
