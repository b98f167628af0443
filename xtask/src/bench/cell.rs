//! One measurement: a server under load, in one variant.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clew_testbed::{Deadline, temp_dir};
use tempfile::TempDir;

use super::agent::{self, Agent, Drops};
use super::cpu;
use super::floor::{self, Floor};
use super::load::{Load, Pace};
use super::otlp::Spans;
use super::receiver::Receiver;
use super::workload::{Server, Workload};
use super::wrk;

/// Before each measured load: connections are made, threads started, the agent has met everybody.
const WARM_UP: Duration = Duration::from_millis(500);

/// From a request to its span's arrival at most; the agent promises 2 s.
const EXPORT: Duration = Duration::from_secs(3);

/// From a load's last answer until all its spans have come, at most.
const EXPORT_ALL: Duration = Duration::from_secs(20);

/// From one bunch of requests to the next. The agent has caught up by then; a bunch of this much
/// is far from filling its ring buffer.
const BUNCHES: Duration = Duration::from_millis(50);

/// From the end of a kernel program's owner until the program has gone, at most.
const FREED: Duration = Duration::from_secs(3);

/// Between two looks at the agent's memory.
const LOOK: Duration = Duration::from_secs(5);

/// What a server is measured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// Nothing.
    None,
    /// Empty programs on the agent's hooks.
    Floor,
    /// The agent, tracing the whole host.
    Clew,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Floor, Self::Clew];
}

/// What a load cost, and what came of it.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Requests answered.
    pub answered: u64,
    /// The server's own processor time, in seconds.
    pub server: f64,
    /// Of the server's processor, what others took meanwhile, as a share of it: disturbance.
    pub disturbance: f64,
    /// How busy the other processor was: load, agent and receiver.
    pub rest: f64,
    /// What the agent did meanwhile, and until it had exported all of it.
    pub agent: Option<AgentCost>,
}

impl Cost {
    /// The server's processor time per request, in µs.
    pub fn server_per_request(&self) -> f64 {
        self.server / self.answered as f64 * 1e6
    }
}

/// What a load cost the agent.
#[derive(Clone, Debug)]
pub struct AgentCost {
    /// Its processor time in seconds.
    pub time: f64,
    /// Spans received of the load's requests. Both sides of each are traced.
    pub spans: Spans,
    /// What it said that it lost.
    pub drops: Drops,
}

impl AgentCost {
    /// Its processor time per exported exchange, in µs.
    pub fn per_exchange(&self) -> f64 {
        self.time / (self.spans.server + self.spans.client) as f64 * 1e6
    }
}

/// One measurement of a variant.
#[derive(Clone, Debug)]
pub struct Cell {
    /// At the fixed rate.
    pub fixed: Cost,
    /// Requests that were due in this time.
    pub due: u64,
    /// Latency at the fixed rate in seconds: median, 99th percentile.
    pub latency: [f64; 2],
    /// At the same rate with requests in bunches. A server that serves one after the other does
    /// not pay for falling asleep and waking up, so what tracing adds weighs most.
    pub bunched: Cost,
    /// At saturation.
    pub saturated: Cost,
    /// Requests a second at saturation.
    pub rate: f64,
    /// The agent's resident memory in bytes: at its start, after both loads.
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
        })
    }

    /// What a server answers at most while it is traced, in requests a second.
    ///
    /// While it is traced, because load, agent and receiver share a processor: at half of what a
    /// fast server answers without Clew, that processor is the limit, and not what is measured.
    ///
    /// # Errors
    /// When anything does not work.
    pub fn capacity(&self, workload: Workload, server: &Server) -> Result<f64> {
        let saturate =
            || wrk::saturate(server.address, workload.path(), self.connections, self.load);
        // Warm: code is compiled, files are cached.
        saturate()?;
        let agent = self.start_agent()?;
        let saturation = saturate()?;
        agent.stop()?;
        Ok(saturation.rate())
    }

    /// Measures a server in a variant.
    ///
    /// # Errors
    /// When anything in it does not work.
    pub fn cell(
        &self,
        variant: Variant,
        workload: Workload,
        server: &Server,
        rate: f64,
    ) -> Result<Cell> {
        // The kernel takes its time to free what the last cell left.
        let gone = Deadline::after(FREED).poll(|| (floor::strangers() == 0).then_some(0));
        let strangers = gone.unwrap_or_else(floor::strangers);
        // Hooks are removed when these are dropped: before the next cell.
        let _floor = match variant {
            Variant::Floor => Some(Floor::attach(&self.floor)?),
            Variant::None | Variant::Clew => None,
        };
        let agent = match variant {
            Variant::Clew => Some(self.start_agent()?),
            Variant::None | Variant::Floor => None,
        };
        let resident = |agent: Option<&Agent>| agent.map(Agent::resident).transpose();
        let at_start = resident(agent.as_ref())?;

        let mut load = Load::connect(server.address, self.connections)?;
        let mut run = |pace, lasting| {
            let mut outcome = None;
            let cost = self.cost(workload, server, agent.as_ref(), |path| {
                let came = load.run(path, pace, lasting)?;
                let answered = came.answered;
                outcome = Some(came);
                Ok(answered)
            })?;
            anyhow::Ok((cost, outcome.context("the load did not run")?))
        };
        run(Pace::even(rate), WARM_UP)?;
        let (fixed, outcome) = run(Pace::even(rate), self.load)?;
        let (bunched, _) = run(Pace::bunched(rate, BUNCHES), self.load)?;
        let latency = |share| outcome.latency(share).context("no request was answered");
        // wrk brings connections of its own.
        drop(load);

        let mut reached = 0.0;
        let saturated = self.cost(workload, server, agent.as_ref(), |path| {
            let came = wrk::saturate(server.address, path, self.connections, self.load)?;
            reached = came.rate();
            Ok(came.requests)
        })?;
        let at_end = resident(agent.as_ref())?;
        if let Some(agent) = agent {
            agent.stop()?;
        }
        Ok(Cell {
            fixed,
            due: outcome.due,
            latency: [latency(0.5)?, latency(0.99)?],
            bunched,
            saturated,
            rate: reached,
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
        rate: f64,
        lasting: Duration,
        stop: &AtomicBool,
    ) -> Result<Soak> {
        let agent = self.start_agent()?;
        let mut resident = vec![(0.0, agent.resident()?)];
        let mut load = Load::connect(server.address, self.connections)?;
        let start = Instant::now();
        let cost = self.cost(workload, server, Some(&agent), |path| {
            let mut answered = 0;
            while start.elapsed() < lasting {
                answered += load
                    .run(path, Pace::even(rate), LOOK.min(lasting))?
                    .answered;
                resident.push((start.elapsed().as_secs_f64(), agent.resident()?));
                ensure!(!stop.load(Ordering::Relaxed), "interrupted");
            }
            Ok(answered)
        })?;
        agent.stop()?;
        Ok(Soak {
            lasting,
            answered: cost.answered,
            resident,
            agent: cost.agent.context("the agent was measured")?,
        })
    }

    fn start_agent(&self) -> Result<Agent> {
        Agent::start(
            &self.agent,
            &self.receiver.endpoint(),
            &[],
            self.directory.path(),
        )
    }

    /// A path that no other load requests, so that spans tell which load they belong to.
    fn path(&self, workload: Workload) -> String {
        let number = self.loads.fetch_add(1, Ordering::Relaxed);
        // The last character ends the number: load 1 is no part of load 10.
        format!("{}load-{number}-", workload.path())
    }

    /// Runs a load, which returns how many requests were answered.
    fn cost(
        &self,
        workload: Workload,
        server: &Server,
        agent: Option<&Agent>,
        load: impl FnOnce(&str) -> Result<u64>,
    ) -> Result<Cost> {
        let path = self.path(workload);
        self.receiver.expect(&path);
        let before = agent.map(|agent| Ok::<_, anyhow::Error>((agent.drops()?, agent.time()?)));
        let before = before.transpose()?;

        let start = Instant::now();
        let (busy, rest) = (cpu::busy(cpu::SERVER)?, cpu::busy(cpu::REST)?);
        let family = server.family()?;
        let own = family.time()?;
        let answered = load(&path)?;
        let lasted = start.elapsed().as_secs_f64();
        let own = (family.time()? - own).as_secs_f64();
        let busy = (cpu::busy(cpu::SERVER)? - busy).as_secs_f64();
        let rest = (cpu::busy(cpu::REST)? - rest).as_secs_f64();
        if answered == 0 {
            bail!("the server answered nothing");
        }

        let agent = match (agent, before) {
            (Some(agent), Some((drops, time))) => {
                let spans = self.all_exported(answered);
                Some(AgentCost {
                    time: agent.time()?.saturating_sub(time).as_secs_f64(),
                    spans,
                    drops: agent::added(&drops, &agent.drops()?),
                })
            }
            _ => None,
        };
        Ok(Cost {
            answered,
            server: own,
            // Both are counted at different moments and with different precision.
            disturbance: ((busy - own) / lasted).max(0.0),
            rest: rest / lasted,
            agent,
        })
    }

    /// Waits for the spans of both sides of all requests, until no more come.
    fn all_exported(&self, answered: u64) -> Spans {
        let mut seen = (self.receiver.spans(), Instant::now());
        let mut settled = || {
            let spans = self.receiver.spans();
            if spans != seen.0 {
                seen = (spans, Instant::now());
            }
            let complete = spans.server >= answered && spans.client >= answered;
            (complete || seen.1.elapsed() > EXPORT).then_some(spans)
        };
        let settled = Deadline::after(EXPORT_ALL).poll(&mut settled);
        settled.unwrap_or_else(|| self.receiver.spans())
    }
}
