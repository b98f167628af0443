//! What happens to the agent and around it, one thing after another, for as long as the soak lasts.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use clew_testbed::Process;
use nix::sys::signal::Signal;

use super::clock::Ahead;
use super::collector::Collector;
use super::confined::Confined;
use super::world::World;

/// One disturbance, and the quiet after it.
const SLOT: Duration = Duration::from_secs(12);

/// How long the collector is away.
pub const OUTAGE: Duration = Duration::from_secs(9);

/// How far ahead the wall clock is set: no soak lasts for so long, so each time that is told shows whether
/// it was.
pub const AHEAD: Duration = Duration::from_secs(7 * 24 * 3600);

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    /// The collector's connections are cut and none are accepted.
    Outage,
    /// A service dies with requests under way, and is started again.
    Death,
    /// The agent gets one hundredth of a processor.
    Starved,
    /// Many connections that never say a word.
    Flood,
    /// The agent gets no processor at all.
    Stopped,
    /// The host's wall clock is set ahead, and back again.
    Clock,
}

impl Disturbance {
    const ALL: [Self; 6] = [
        Self::Outage,
        Self::Death,
        Self::Starved,
        Self::Flood,
        Self::Stopped,
        // The last: it is left out where it is not permitted.
        Self::Clock,
    ];

    const fn lasts(self) -> Duration {
        Duration::from_secs(match self {
            Self::Outage => OUTAGE.as_secs(),
            Self::Death => 1,
            Self::Starved | Self::Flood | Self::Clock => 4,
            Self::Stopped => 6,
        })
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outage => "collector outages",
            Self::Death => "services killed",
            Self::Starved => "agent starved",
            Self::Flood => "floods of connections",
            Self::Stopped => "agent stopped",
            Self::Clock => "clock set ahead and back",
        })
    }
}

/// The sequence of disturbances.
pub struct Sequence {
    all: &'static [Disturbance],
    present: Option<Disturbance>,
    begun: [u64; Disturbance::ALL.len()],
    ahead: Option<Ahead>,
}

/// What is disturbed.
pub struct Victims<'a> {
    pub collector: &'a Collector,
    pub world: &'a mut World,
    pub agent: &'a Process,
    pub confined: &'a Confined,
}

impl Sequence {
    /// From its beginning. `sets_clock`: whether that may happen to this host.
    pub fn new(sets_clock: bool) -> Self {
        const WITHOUT: &[Disturbance] = Disturbance::ALL.split_at(Disturbance::ALL.len() - 1).0;
        Self {
            all: if sets_clock {
                &Disturbance::ALL
            } else {
                WITHOUT
            },
            present: None,
            begun: [0; Disturbance::ALL.len()],
            ahead: None,
        }
    }

    /// Does what is due at a time since the soak's beginning.
    ///
    /// # Errors
    /// When something cannot be done.
    pub fn step(&mut self, time: Duration, victims: &mut Victims<'_>) -> Result<()> {
        let number = time.as_secs() / SLOT.as_secs();
        let into = time.saturating_sub(SLOT * u32::try_from(number)?);
        let place = usize::try_from(number)? % self.all.len();
        let due = self.all[place];
        let wanted = (into < due.lasts()).then_some(due);
        if wanted == self.present {
            return Ok(());
        }
        self.settle(victims)?;
        if let Some(due) = wanted {
            self.present = wanted;
            self.begun[place] += 1;
            self.begin(due, victims)?;
        }
        Ok(())
    }

    /// Ends what is happening.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn settle(&mut self, victims: &mut Victims<'_>) -> Result<()> {
        match self.present.take() {
            Some(Disturbance::Outage) => victims.collector.stay_away(false),
            Some(Disturbance::Death) => victims.world.revive()?,
            Some(Disturbance::Starved) => victims.confined.starve(false)?,
            Some(Disturbance::Stopped) => victims.agent.signal(Signal::SIGCONT)?,
            Some(Disturbance::Clock) => self.ahead = None,
            Some(Disturbance::Flood) | None => {}
        }
        Ok(())
    }

    /// How often each thing has happened.
    pub fn summary(&self) -> String {
        let parts: Vec<String> = self
            .all
            .iter()
            .zip(self.begun)
            .map(|(what, times)| format!("{what}: {times}"))
            .collect();
        parts.join(", ")
    }

    /// Whether nothing is happening.
    pub fn is_quiet(&self) -> bool {
        self.present.is_none()
    }

    /// What is happening.
    pub fn present(&self) -> String {
        self.present
            .map_or("quiet".to_owned(), |what| what.to_string())
    }

    /// How often the clock was set ahead.
    pub fn clock_set(&self) -> u64 {
        self.begun[Disturbance::Clock as usize]
    }

    fn begin(&mut self, what: Disturbance, victims: &mut Victims<'_>) -> Result<()> {
        match what {
            Disturbance::Outage => victims.collector.stay_away(true),
            Disturbance::Death => victims.world.kill(),
            Disturbance::Starved => victims.confined.starve(true)?,
            Disturbance::Flood => victims.world.flood()?,
            Disturbance::Stopped => victims.agent.signal(Signal::SIGSTOP)?,
            Disturbance::Clock => self.ahead = Some(Ahead::by(AHEAD)?),
        }
        Ok(())
    }
}
