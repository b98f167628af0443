//! Whether everything is accounted for: each request as a span or a counted loss.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::collector::Come;
use super::world::{Asked, KINDS};
use crate::bench::agent::{Agent, Drops};

/// Losses that are counted in spans, after they were made.
const OF_SPANS: [&str; 4] = [
    "export queue_full",
    "export refused",
    "export partial_success",
    "export shutdown",
];

/// What the agent says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Drops by place and reason.
    pub drops: Drops,
    counts: BTreeMap<&'static str, u64>,
}

/// The counters that are compared.
const COUNTS: [&str; 8] = [
    "clew_exchanges_started_total",
    "clew_exchanges_finished_total",
    "clew_open_exchanges",
    "clew_open_connections",
    "clew_connections_found_ended_total",
    "clew_spans_total",
    "clew_spans_exported_total",
    "clew_queued_spans",
];

impl Told {
    /// Asks the agent.
    ///
    /// # Errors
    /// When it does not answer, or a counter is missing.
    pub fn by(agent: &Agent) -> Result<Self> {
        let text = agent.metrics()?;
        let drops = crate::bench::agent::drops(&text).context("no drop counters")?;
        let count = |name: &'static str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let value = line.and_then(|value| value.trim().parse::<u64>().ok());
            Ok((
                name,
                value.with_context(|| format!("no {name} in:\n{text}"))?,
            ))
        };
        Ok(Self {
            drops,
            counts: COUNTS.into_iter().map(count).collect::<Result<_>>()?,
        })
    }

    /// A counter of [`COUNTS`].
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Spans that were made and then lost.
    fn lost_spans(&self) -> u64 {
        OF_SPANS
            .iter()
            .filter_map(|reason| self.drops.get(*reason))
            .sum()
    }

    /// Events, chunks, connections and exchanges that were lost before they became spans.
    fn lost_before(&self) -> u64 {
        let after = |reason: &str| OF_SPANS.contains(&reason);
        self.drops
            .iter()
            .filter(|(reason, _)| !after(reason))
            .map(|(_, lost)| lost)
            .sum()
    }
}

/// A row of the account: what was asked for, and what has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The kind of traffic.
    pub name: &'static str,
    /// What the client says.
    pub asked: Asked,
    /// At least, if nothing is lost.
    pub least: u64,
    /// At most.
    pub most: u64,
    /// Spans that have come.
    pub come: u64,
}

/// The whole account.
#[derive(Clone, Debug)]
pub struct Account {
    /// By kind of traffic.
    pub rows: Vec<Row>,
    /// Spans that the agent made.
    pub made: u64,
    /// Different spans that have come.
    pub come: u64,
    /// Spans that came more than once.
    pub again: u64,
    /// Of those that have come, from while the wall clock was ahead, and of times that it never had.
    pub ahead: u64,
    pub astray: u64,
    /// Spans that the agent counts as lost.
    pub lost_spans: u64,
    /// What else it counts as lost.
    pub lost_before: u64,
}

impl Account {
    /// Puts together what clients, collector and agent say.
    pub fn new(asked: &[Asked], come: &Come, told: &Told) -> Self {
        let row = |((kind, &asked), &come): ((super::world::Kind, &Asked), &u64)| Row {
            name: kind.name,
            asked,
            least: asked.answered * kind.spans,
            most: (asked.answered + asked.unanswered) * kind.spans,
            come,
        };
        Self {
            rows: KINDS
                .into_iter()
                .zip(asked)
                .zip(&come.kinds)
                .map(row)
                .collect(),
            made: told.count("clew_spans_total"),
            come: come.all(),
            again: come.again,
            ahead: come.ahead,
            astray: come.astray,
            lost_spans: told.lost_spans(),
            lost_before: told.lost_before(),
        }
    }

    /// Spans that are missing, of all that were answered.
    pub fn missing(&self) -> u64 {
        self.rows
            .iter()
            .map(|row| row.least.saturating_sub(row.come))
            .sum()
    }

    /// What does not add up.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        for row in &self.rows {
            check(
                row.come <= row.most,
                format!("{}: {} spans, of {} at most", row.name, row.come, row.most),
            );
            check(
                row.asked.answered > 0,
                format!("{}: no request was answered", row.name),
            );
        }
        // A span may have been taken although the agent did not hear of that, and then be lost.
        check(
            self.made >= self.come && self.made <= self.come + self.lost_spans,
            format!(
                "the agent made {} spans; {} have come and {} are counted as lost",
                self.made, self.come, self.lost_spans
            ),
        );
        check(
            self.astray == 0,
            format!("{} spans have times that there never were", self.astray),
        );
        // One lost chunk hides one exchange at most, of which each side is an exchange.
        let counted = self.lost_spans + self.lost_before;
        check(
            self.missing() <= counted,
            format!(
                "{} spans are missing, and {counted} losses are counted",
                self.missing()
            ),
        );
        faults
    }
}
