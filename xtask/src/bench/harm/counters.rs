//! What the kernel counts about TCP in a network namespace.

use std::fs;
use std::ops::{AddAssign, Sub};

use anyhow::{Context as _, Result};

/// Since the namespace's beginning, or between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that were refused or reset while they were made (`AttemptFails`).
    pub attempts: u64,
    /// Connections that ended at once, from either end (`EstabResets`): each end counts.
    pub ended: u64,
    /// Segments with RST that were sent (`OutRsts`).
    pub sent: u64,
    /// Segments that were sent again (`RetransSegs`).
    pub again: u64,
}

impl Counters {
    /// Of the namespace in which a process is.
    ///
    /// # Errors
    /// When it has ended.
    pub fn of(pid: u32) -> Result<Self> {
        let text = read(pid)?;
        Self::parse(&text).with_context(|| format!("no TCP counters in:\n{text}"))
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self {
            attempts: value(text, "AttemptFails")?,
            ended: value(text, "EstabResets")?,
            sent: value(text, "OutRsts")?,
            again: value(text, "RetransSegs")?,
        })
    }

    /// All that tells of a reset. One reset counts up to three times: who sends it, and both ends.
    pub const fn resets(&self) -> u64 {
        self.attempts + self.ended + self.sent
    }
}

/// Ends of connections that are open, in the namespace in which a process is (`CurrEstab`).
///
/// # Errors
/// When it has ended.
pub fn open_ends(pid: u32) -> Result<u64> {
    let text = read(pid)?;
    value(&text, "CurrEstab").with_context(|| format!("no TCP counters in:\n{text}"))
}

fn read(pid: u32) -> Result<String> {
    let file = format!("/proc/{pid}/net/snmp");
    fs::read_to_string(&file).with_context(|| format!("reading {file}"))
}

/// RFC 4022's counters are in two lines: their names, their values.
fn value(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split(' ').position(|of| of == name)?;
    values.split(' ').nth(place)?.parse().ok()
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            attempts: self.attempts.saturating_sub(before.attempts),
            ended: self.ended.saturating_sub(before.ended),
            sent: self.sent.saturating_sub(before.sent),
            again: self.again.saturating_sub(before.again),
        }
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, more: Self) {
        self.attempts += more.attempts;
        self.ended += more.ended;
        self.sent += more.sent;
        self.again += more.again;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_value_is_which() {
        let text = "Ip: Forwarding DefaultTTL\nIp: 1 64\n\
                    Tcp: RtoAlgorithm MaxConn AttemptFails EstabResets CurrEstab RetransSegs OutRsts InErrs\n\
                    Tcp: 1 -1 2 3 6 4 5 0\nUdp: InDatagrams\nUdp: 9\n";
        let counters = Counters {
            attempts: 2,
            ended: 3,
            sent: 5,
            again: 4,
        };
        assert_eq!(Counters::parse(text), Some(counters));
        assert_eq!(value(text, "CurrEstab"), Some(6));
        assert_eq!(counters.resets(), 10);
        assert_eq!(Counters::parse("Tcp: AttemptFails\nTcp: 1\n"), None);
        assert_eq!(Counters::parse(""), None);
    }

    #[test]
    fn between_two_readings() {
        let [before, after] = [(1, 2), (1, 5)].map(|(attempts, sent)| Counters {
            attempts,
            sent,
            ..Counters::default()
        });
        let mut sum = after - before;
        assert_eq!(sum.resets(), 3);
        sum += after;
        assert_eq!(sum.resets(), 9);
    }
}
