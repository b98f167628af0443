//! The receiver of a soak: it knows which spans have come, and can stay away.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use memchr::memmem;

use super::disturb::AHEAD;
use super::world::KINDS;
use crate::bench::otlp;
use crate::bench::receiver::Endpoint;

/// What has come.
#[derive(Clone, Debug, Default)]
pub struct Come {
    /// Spans of each kind of traffic, in the order of [`KINDS`].
    pub kinds: [u64; KINDS.len()],
    /// Spans of none.
    pub others: u64,
    /// Spans that came again: a request that was taken before the connection was cut.
    pub again: u64,
    /// Spans from while the wall clock was ahead.
    pub ahead: u64,
    /// Spans of neither that time nor the right one, or that end before they begin or last for too long.
    pub astray: u64,
}

impl Come {
    /// All different spans.
    pub fn all(&self) -> u64 {
        self.kinds.iter().sum::<u64>() + self.others
    }
}

/// The longest that a span may last, and that it may be older than the collector: a client waits for half of
/// that.
const LONG: Duration = Duration::from_secs(60);

/// How a span's times agree with the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    Right,
    /// It was ahead.
    Ahead,
    /// They do not.
    Astray,
}

/// `begun` and `now`: when the soak began, and the time at most, as if the clock had never been set.
fn judge([start, end]: [u64; 2], begun: Duration, now: Duration) -> Time {
    let [start, end] = [start, end].map(Duration::from_nanos);
    if end < start || end - start > LONG {
        return Time::Astray;
    }
    let fits = |ahead| begun + ahead <= start + LONG && start <= now + ahead;
    if fits(Duration::ZERO) {
        Time::Right
    } else if fits(AHEAD) {
        Time::Ahead
    } else {
        Time::Astray
    }
}

#[derive(Default)]
struct Known {
    ids: HashSet<u64>,
    come: Come,
}

/// A receiver that counts each span once.
pub struct Collector {
    endpoint: Endpoint,
    known: Arc<Mutex<Known>>,
}

impl Collector {
    /// Starts to receive.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start() -> Result<Self> {
        let known = Arc::<Mutex<Known>>::default();
        let (begun, since) = (
            SystemTime::now().duration_since(UNIX_EPOCH)?,
            Instant::now(),
        );
        let finders = KINDS.map(|kind| memmem::Finder::new(kind.marker));
        let endpoint = Endpoint::start({
            let known = Arc::clone(&known);
            move |content| {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                // A second for what the wall clock is slewed by.
                let now = begun + since.elapsed() + Duration::from_secs(1);
                for span in otlp::each(content) {
                    let Some(id) = otlp::id(span) else {
                        continue;
                    };
                    if !known.ids.insert(id) {
                        known.come.again += 1;
                        continue;
                    }
                    match otlp::times(span).map_or(Time::Astray, |times| judge(times, begun, now)) {
                        Time::Right => {}
                        Time::Ahead => known.come.ahead += 1,
                        Time::Astray => known.come.astray += 1,
                    }
                    match finders
                        .iter()
                        .position(|finder| finder.find(span).is_some())
                    {
                        Some(kind) => known.come.kinds[kind] += 1,
                        None => known.come.others += 1,
                    }
                }
            }
        })?;
        Ok(Self { endpoint, known })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.endpoint.url()
    }

    /// Goes away, with all connections cut, or comes back.
    pub fn stay_away(&self, away: bool) {
        self.endpoint.stay_away(away);
    }

    /// What has come so far.
    pub fn come(&self) -> Come {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.come.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_spans() {
        let second = 1_000_000_000;
        let ahead = AHEAD.as_nanos() as u64;
        let (begun, now) = (Duration::from_secs(10_000), Duration::from_secs(10_100));
        let judged = |start: u64, end: u64| judge([start, end], begun, now);
        assert_eq!(judged(10_050 * second, 10_051 * second), Time::Right);
        assert_eq!(judged(9_990 * second, 10_001 * second), Time::Right);
        assert_eq!(
            judged(10_050 * second + ahead, 10_050 * second + ahead),
            Time::Ahead
        );
        for (start, end) in [
            (10_050 * second, 10_049 * second),
            (10_050 * second, 10_050 * second + ahead),
            (10_200 * second, 10_201 * second),
            (10_200 * second + ahead, 10_201 * second + ahead),
            (10_050 * second + ahead / 2, 10_051 * second + ahead / 2),
            (9_000 * second, 9_001 * second),
        ] {
            assert_eq!(judged(start, end), Time::Astray, "{start} {end}");
        }
    }
}
