//! The results, for people.

use std::time::Duration;

use super::counters::Counters;
use super::mode::Mode;
use super::scene::{Outcome, Traffic};
use super::{Cell, Sent};
use crate::bench::agent::Drops;
use crate::bench::document::{Table, percent};
use crate::bench::machine::Machine;
use crate::bench::statistics::Quartiles;

/// Everything that was measured.
pub struct Results {
    /// Where and when.
    pub machine: Machine,
    /// Whether it was only a trial.
    pub quick: bool,
    /// How long each load lasted.
    pub load: Duration,
    /// By round, then by mode in the order of [`Mode::ALL`].
    pub rounds: Vec<Vec<Cell>>,
    /// How long all of it took.
    pub took: Duration,
}

/// What went wrong in a mode, all rounds and loads together.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    requests: u64,
    socket_errors: u64,
    refused: u64,
    counters: Counters,
}

impl Failures {
    const fn failed(&self) -> u64 {
        self.socket_errors + self.refused
    }

    /// Whether there is more of something, relative to the requests, than in another mode: the same
    /// load answers more requests where it is faster.
    fn exceed(&self, other: &Self) -> bool {
        let more = |own: u64, others: u64| {
            let [own, others] = [(own, other.requests), (others, self.requests)]
                .map(|(count, requests)| u128::from(count) * u128::from(requests));
            own > others
        };
        more(self.failed(), other.failed()) || more(self.counters.resets(), other.counters.resets())
    }

    fn add(&mut self, outcome: &Outcome) {
        self.requests += outcome.report.requests;
        self.socket_errors += outcome.report.socket_errors;
        self.refused += outcome.report.refused;
        self.counters += outcome.counters;
    }
}

impl Results {
    /// Modes in which more requests failed, or more connections were reset, than without an agent.
    pub fn harmful(&self) -> Vec<Mode> {
        let without = self.failures(Mode::None);
        let worse = |mode: &Mode| self.failures(*mode).exceed(&without);
        Mode::ALL.into_iter().filter(worse).collect()
    }

    fn of(&self, mode: Mode) -> impl Iterator<Item = &Cell> {
        self.rounds.iter().map(move |cells| &cells[mode as usize])
    }

    fn failures(&self, mode: Mode) -> Failures {
        let mut sum = Failures::default();
        for outcome in self.of(mode).flat_map(|cell| &cell.outcomes) {
            sum.add(outcome);
        }
        sum
    }

    /// A figure of a load in a mode, round by round; `NaN` where wrk did not say.
    fn series(&self, mode: Mode, traffic: Traffic, figure: impl Fn(&Outcome) -> f64) -> Vec<f64> {
        self.of(mode)
            .map(|cell| figure(&cell.outcomes[traffic as usize]))
            .collect()
    }

    /// Of all requests of a load, its proxy's too, those that took something along.
    fn share(&self, mode: Mode, traffic: Traffic, along: impl Fn(&Sent) -> u64) -> String {
        let place = traffic as usize;
        let requests: u64 = self
            .of(mode)
            .map(|cell| cell.outcomes[place].report.requests)
            .sum();
        let sent = self.of(mode).map(|cell| along(&cell.sent[place])).sum();
        percent(sent, requests * traffic.exchanges())
    }
}

/// Modes in one line.
pub fn names(modes: &[Mode]) -> String {
    let names: Vec<String> = modes.iter().map(Mode::to_string).collect();
    names.join("; ")
}

/// A cell in one line, as it is measured.
pub fn line(cell: &Cell) -> String {
    let mut sum = Failures::default();
    let mut loads = Vec::new();
    let each = Traffic::ALL.iter().zip(&cell.outcomes).zip(&cell.sent);
    for ((traffic, outcome), sent) in each {
        sum.add(outcome);
        let (rate, p99) = (outcome.report.rate(), micros(outcome));
        let along = match cell.mode {
            Mode::None | Mode::Off => String::new(),
            _ => format!(", {} options, {} headers", sent.options, sent.headers),
        };
        loads.push(format!(
            "{traffic} {rate:.0} requests/s, p99 {p99:.0} µs{along}"
        ));
    }
    format!(
        "{}: {}; {} failed, {} resets, {} retransmissions in {}{}",
        cell.mode,
        loads.join("; "),
        sum.failed(),
        sum.counters.resets(),
        sum.counters.again,
        sum.requests,
        match cell.disturbed {
            true => "; kernel programs of others",
            false => "",
        }
    )
}

/// The section for docs/harm.md.
pub fn markdown(results: &Results) -> String {
    let cells = || results.rounds.iter().flatten();
    let requests: u64 = cells().map(Cell::requests).sum();
    let flaw = cells().find_map(|cell| cell.flaw.as_deref());
    let mut text = format!(
        "{}. {}Median (quartiles) of {} rounds; ratios are taken within each round. Loads of {} s; \
         {requests} requests in all, in {} s.\n\n",
        results.machine,
        if results.quick { "A quick trial. " } else { "" },
        results.rounds.len(),
        results.load.as_secs(),
        results.took.as_secs(),
    );
    text.push_str(&match flaw {
        Some(flaw) => format!(
            "- This kernel fails the self-test for headers ({flaw}): they are off by default, and \
             were forced here.\n"
        ),
        None => "- This kernel passes the self-test for headers.\n".to_owned(),
    });
    let harmful = results.harmful();
    let verdict = match harmful.as_slice() {
        [] => "met".to_owned(),
        modes => format!("**missed**: {}", names(modes)),
    };
    text.push_str(&format!(
        "- No more failed requests and resets than without an agent: {verdict}.\n"
    ));
    let disturbed = cells().filter(|cell| cell.disturbed).count();
    if disturbed > 0 {
        text.push_str(&format!(
            "- In {disturbed} of {} measurements kernel programs of others were attached too: another \
             agent takes time, and may write its options in the place of these.\n",
            cells().count()
        ));
    }
    text.push('\n');
    text.push_str(&failures(results));
    text.push('\n');
    text.push_str(&speed(results));
    text
}

fn failures(results: &Results) -> String {
    let mut table = Table::new(
        "What failed, over all loads and rounds",
        &[
            "mode",
            "requests",
            "socket errors",
            "4xx, 5xx",
            "connections not made",
            "connections reset",
            "RST sent",
            "sent again",
            "drops",
        ],
    );
    for mode in Mode::ALL {
        let sum = results.failures(mode);
        table.row(&[
            mode.to_string(),
            sum.requests.to_string(),
            sum.socket_errors.to_string(),
            sum.refused.to_string(),
            sum.counters.attempts.to_string(),
            sum.counters.ended.to_string(),
            sum.counters.sent.to_string(),
            sum.counters.again.to_string(),
            drops(results.of(mode).map(|cell| &cell.drops)),
        ]);
    }
    table.note(
        "Socket errors and statuses are wrk's; connections and segments are counted by the kernel, \
         in the network namespace of servers and load. Segments that were sent again are shown, and \
         decide nothing.",
    );
    table.text
}

fn speed(results: &Results) -> String {
    let mut table = Table::new(
        "As fast as the server answers",
        &[
            "load",
            "mode",
            "requests/s",
            "/ no agent",
            "/ nothing sent along",
            "p99, µs",
            "/ no agent",
            "/ nothing sent along",
            "with option",
            "with header",
        ],
    );
    for traffic in Traffic::ALL {
        for mode in Mode::ALL {
            let figures = |figure: fn(&Outcome) -> f64, digits: usize| {
                let series = |mode| results.series(mode, traffic, figure);
                let own = series(mode);
                let over = |base| match mode > base {
                    true => shown(Quartiles::of_ratios(&own, &series(base)), 2),
                    false => String::new(),
                };
                let (without, off) = (over(Mode::None), over(Mode::Off));
                [
                    shown(Quartiles::of(own.iter().copied()), digits),
                    without,
                    off,
                ]
            };
            let [rate, rate_without, rate_off] = figures(|outcome| outcome.report.rate(), 0);
            let [p99, p99_without, p99_off] = figures(micros, 0);
            table.row(&[
                traffic.to_string(),
                mode.to_string(),
                rate,
                rate_without,
                rate_off,
                p99,
                p99_without,
                p99_off,
                results.share(mode, traffic, |sent| sent.options),
                results.share(mode, traffic, |sent| sent.headers),
            ]);
        }
    }
    table.text
}

/// The 99th percentile in µs.
fn micros(outcome: &Outcome) -> f64 {
    outcome.report.p99.map_or(f64::NAN, |seconds| seconds * 1e6)
}

fn drops<'a>(of: impl Iterator<Item = &'a Drops>) -> String {
    let mut sums = Drops::new();
    for (name, more) in of.flatten().filter(|(_, more)| **more > 0) {
        *sums.entry(name.clone()).or_default() += more;
    }
    let each: Vec<String> = sums
        .iter()
        .map(|(name, sum)| format!("{name} {sum}"))
        .collect();
    match each.as_slice() {
        [] => "none".to_owned(),
        each => each.join(", "),
    }
}

fn shown(quartiles: Option<Quartiles>, digits: usize) -> String {
    quartiles.map_or_else(
        || "none".to_owned(),
        |quartiles| format!("{quartiles:.digits$}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: (u64, u64, u64), without: (u64, u64, u64), expected: bool) {
        let [own, without] = [own, without].map(|(requests, refused, resets)| Failures {
            requests,
            refused,
            counters: Counters {
                ended: resets,
                ..Counters::default()
            },
            ..Failures::default()
        });
        assert_eq!(own.exceed(&without), expected, "{own:?}, {without:?}");
    }

    #[test]
    fn more_than_without() {
        check((1000, 0, 0), (3000, 0, 0), false);
        check((1000, 1, 0), (3000, 0, 0), true);
        check((1000, 0, 1), (3000, 0, 0), true);
        // Per request.
        check((1000, 1, 0), (3000, 3, 0), false);
        check((1000, 2, 0), (3000, 3, 0), true);
        check((1000, 0, 0), (3000, 3, 3), false);
    }
}
