//! What a load costs a server and the agent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clew_testbed::Deadline;

use super::agent::{self, Agent, Drops};
use super::asked::Asked;
use super::cell::{Demand, Variant};
use super::cpu;
use super::load::Outcome;
use super::otlp::Spans;
use super::receiver::Receiver;
use super::saturate::Saturation;
use super::workload::{Server, Workload};

/// From a request to its span's arrival at most; the agent promises 2 s.
const EXPORT: Duration = Duration::from_secs(3);

/// From a load's last answer until all its spans have come, at most.
const EXPORT_ALL: Duration = Duration::from_secs(20);

/// Between two looks at the counters of an agent that exports nothing.
const COUNTED: Duration = Duration::from_millis(500);

/// What a load cost, and what came of it.
#[derive(Clone, Debug)]
pub struct Cost {
    /// How its requests came.
    pub demand: Demand,
    /// Requests that were due: at saturation, those that were answered.
    pub due: u64,
    /// Requests answered.
    pub answered: u64,
    /// For how long was asked.
    pub seconds: f64,
    /// Latency in seconds, but at saturation: what 50, 99 and 99.9 % did not exceed.
    pub latency: Option<[f64; 3]>,
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

    /// Requests answered a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds
    }
}

/// What a load cost the agent.
#[derive(Clone, Debug)]
pub struct AgentCost {
    /// Its processor time in seconds.
    pub time: f64,
    /// Exchanges that it found: each request is one at either side.
    pub exchanges: u64,
    /// Spans received of them; none where nothing is exported.
    pub spans: Spans,
    /// What it said that it lost.
    pub drops: Drops,
}

impl AgentCost {
    /// Its processor time per exchange that it found, in µs.
    pub fn per_exchange(&self) -> f64 {
        self.time / self.exchanges as f64 * 1e6
    }
}

/// What came of a load, as its generator says.
#[derive(Default)]
pub struct Came {
    /// Requests that were due.
    pub due: u64,
    /// Requests answered.
    pub answered: u64,
    /// For how long was asked.
    pub seconds: f64,
    /// As [`Cost::latency`].
    pub latency: Option<[f64; 3]>,
}

impl Came {
    /// Of a load at a fixed rate.
    pub fn of(outcome: &Outcome, lasting: Duration) -> Self {
        let [median, p99, p999] = [0.5, 0.99, 0.999].map(|share| outcome.latency(share));
        let latency = median.zip(p99).zip(p999);
        Self {
            due: outcome.due,
            answered: outcome.answered,
            seconds: lasting.as_secs_f64(),
            latency: latency.map(|((median, p99), p999)| [median, p99, p999]),
        }
    }
}

impl From<Saturation> for Came {
    fn from(came: Saturation) -> Self {
        Self {
            due: came.answered,
            answered: came.answered,
            seconds: came.seconds,
            latency: None,
        }
    }
}

/// A server in a variant, ready for loads.
pub struct Meter<'a> {
    /// Where spans come.
    pub receiver: &'a Receiver,
    /// How many loads there were, of all servers.
    pub loads: &'a AtomicU64,
    /// What is asked.
    pub workload: Workload,
    /// Who is asked.
    pub server: &'a Server,
    /// With what.
    pub variant: Variant,
    /// Who traces, if anybody does.
    pub agent: Option<&'a Agent>,
}

/// The counters of an agent.
struct Seen {
    drops: Drops,
    unsampled: u64,
}

impl Seen {
    fn of(agent: &Agent) -> Result<Self> {
        let text = agent.metrics()?;
        let read = || {
            Some(Self {
                drops: agent::drops(&text)?,
                unsampled: agent::counter(&text, "clew_spans_unsampled_total")?,
            })
        };
        read().with_context(|| format!("counters are missing in:\n{text}"))
    }
}

impl Meter<'_> {
    /// Runs a load, for a path that no other has.
    ///
    /// # Errors
    /// Its own, and when a clock or counter cannot be read, or the server answers nothing.
    pub fn cost(&self, demand: Demand, load: impl FnOnce(&str) -> Result<Came>) -> Result<Cost> {
        let number = self.loads.fetch_add(1, Ordering::Relaxed);
        // The last character ends the number: load 1 is no part of load 10.
        let path = format!("{}load-{number}-", self.workload.path());
        self.receiver.expect(match self.workload.asked() {
            Asked::Http => &path,
            // As `db.system.name` says. Keys and literals do not leave the agent.
            Asked::Redis => "redis",
            Asked::Postgres | Asked::PostgresPrepared => "postgresql",
        });
        let before = self
            .agent
            .map(|agent| Ok::<_, anyhow::Error>((Seen::of(agent)?, agent.time()?)));
        let before = before.transpose()?;

        let start = Instant::now();
        let (busy, rest) = (cpu::busy(cpu::SERVER)?, cpu::busy(cpu::REST)?);
        let own = self.server.time()?;
        let came = load(&path)?;
        let lasted = start.elapsed().as_secs_f64();
        let own = (self.server.time()? - own).as_secs_f64();
        let busy = (cpu::busy(cpu::SERVER)? - busy).as_secs_f64();
        let rest = (cpu::busy(cpu::REST)? - rest).as_secs_f64();
        ensure!(came.answered > 0, "the server answered nothing");

        let agent = match (self.agent, before) {
            (Some(agent), Some((before, time))) => {
                let (exchanges, spans) = match self.variant {
                    Variant::Unexported(_) => {
                        let wanted = before.unsampled + 2 * came.answered;
                        let found = Self::all_counted(agent, wanted)? - before.unsampled;
                        (found, Spans::default())
                    }
                    _ => {
                        let spans = self.all_exported(came.answered);
                        (spans.server + spans.client, spans)
                    }
                };
                Some(AgentCost {
                    time: agent.time()?.saturating_sub(time).as_secs_f64(),
                    exchanges,
                    spans,
                    drops: agent::added(&before.drops, &Seen::of(agent)?.drops),
                })
            }
            _ => None,
        };
        Ok(Cost {
            demand,
            due: came.due,
            answered: came.answered,
            seconds: came.seconds,
            latency: came.latency,
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

    /// Waits until an agent that keeps nothing has counted so many spans, or counts no more.
    fn all_counted(agent: &Agent, wanted: u64) -> Result<u64> {
        let mut counted = Seen::of(agent)?.unsampled;
        let mut changed = Instant::now();
        while counted < wanted && changed.elapsed() < EXPORT {
            // Not more often: an answer takes the agent time.
            let later = Deadline::after(COUNTED);
            let _passed = later.poll(|| later.passed().then_some(()));
            let now = Seen::of(agent)?.unsampled;
            if now != counted {
                (counted, changed) = (now, Instant::now());
            }
        }
        Ok(counted)
    }
}
