//! What became of an attempt, and how long to wait before the next one.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

/// What became of an export request (OTLP specification, "OTLP/gRPC Response" and "OTLP/HTTP
/// Response").
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The receiver took it, but for `rejected` spans, for the reason in `message`.
    Accepted { rejected: u64, message: String },
    /// It may take it later, not before `after` where it said so.
    Retry {
        after: Option<Duration>,
        reason: String,
    },
    /// It will never take it.
    Refused { reason: String },
}

/// First wait. Short, since most failures are a receiver that restarts.
const FIRST: Duration = Duration::from_millis(250);
/// Longest wait of our own, so that a receiver that has come back is noticed soon.
const LONGEST: Duration = Duration::from_secs(4);
/// Longest wait that a receiver may impose.
const LONGEST_IMPOSED: Duration = Duration::from_secs(120);

/// Exponential backoff with jitter.
pub(super) struct Backoff {
    next: Duration,
    random: RandomState,
    steps: u64,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self {
            next: FIRST,
            random: RandomState::new(),
            steps: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// How long to wait now: what the receiver asked for, else 75 to 125 % of the present step, so
    /// that many agents do not return at once.
    pub(super) fn wait(&mut self, imposed: Option<Duration>) -> Duration {
        if let Some(imposed) = imposed {
            return imposed.min(LONGEST_IMPOSED);
        }
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        self.steps = self.steps.wrapping_add(1);
        // A seeded hash of a counter is random enough to spread agents.
        let percent = 75 + self.random.hash_one(self.steps) % 51;
        step * u32::try_from(percent).unwrap_or(100) / 100
    }
}

/// `Retry-After`: seconds or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (value, want) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(
                retry_after(value, now),
                want.map(Duration::from_secs),
                "{value}"
            );
        }
    }

    #[test]
    fn backoff_grows_to_its_limit_and_obeys() {
        let mut backoff = Backoff::new();
        let mut last = Duration::ZERO;
        for step in [250, 500, 1000, 2000, 4000, 4000] {
            last = backoff.wait(None);
            let step = Duration::from_millis(step);
            assert!(last >= step * 3 / 4 && last <= step * 5 / 4, "{last:?}");
        }
        assert!(last <= Duration::from_secs(5));
        assert_eq!(backoff.wait(Some(Duration::from_secs(9))).as_secs(), 9);
        assert_eq!(backoff.wait(Some(Duration::MAX)), LONGEST_IMPOSED);
        backoff.reset();
        assert!(backoff.wait(None) < Duration::from_millis(400));
    }
}
