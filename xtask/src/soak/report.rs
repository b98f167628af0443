//! Results for people.

use std::collections::BTreeMap;
use std::time::Duration;

use super::account::{Account, Told};
use super::sample::{Sample, fifths};
use crate::bench::document::{Table, percent};
use crate::bench::machine::Machine;

/// What memory may differ by, between the second fifth and the last: this, or a tenth.
const MEMORY_SLACK: f64 = (4 << 20) as f64;

/// Entries of kernel tables that may be of other processes of this host.
const ENTRIES_SLACK: u64 = 200;

/// Connections that may be open at the end: also those that are not traced are known.
const CONNECTIONS_MAX: u64 = 200;

/// What the agent is to do with.
const RESIDENT_MAX: u64 = 60 << 20;

/// What came of a soak.
pub struct Results {
    /// Where and when.
    pub machine: Machine,
    /// How long.
    pub lasting: Duration,
    /// Exchanges a second that were wanted.
    pub rate: f64,
    /// How often it was disturbed.
    pub disturbances: String,
    /// How often the clock was set ahead.
    pub clock_set: u64,
    /// Bytes that the agent might have.
    pub limit: u64,
    /// Bytes that it had at most.
    pub peak: u64,
    /// Requests and spans.
    pub account: Account,
    /// The agent's counters at the end.
    pub told: Told,
    /// What it held, from the beginning to the end.
    pub samples: Vec<Sample>,
    /// Entries of its tables in the kernel, before and after.
    pub entries: [BTreeMap<String, u64>; 2],
}

impl Results {
    /// What is not as it should be.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.account.faults();
        for (name, value) in held() {
            let Some((second, last)) = fifths(&self.samples, value) else {
                faults.push(format!("{name}: too few samples"));
                continue;
            };
            let slack = if name == MEMORY {
                MEMORY_SLACK.max(second / 10.0)
            } else {
                0.0
            };
            if last > second + slack {
                faults.push(format!("{name}: from {second} to {last}"));
            }
        }
        let [before, after] = &self.entries;
        for (name, entries) in after {
            let allowed = before.get(name).unwrap_or(&0) + ENTRIES_SLACK;
            if *entries > allowed {
                faults.push(format!(
                    "{name}: {entries} entries at the end, {allowed} are allowed"
                ));
            }
        }
        let mut check = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        let open = self.told.count("clew_open_exchanges");
        check(open == 0, format!("{open} exchanges are open at the end"));
        let open = self.told.count("clew_open_connections");
        check(
            open <= CONNECTIONS_MAX,
            format!("{open} connections are open at the end"),
        );
        let most = self.samples.iter().map(|sample| sample.resident).max();
        let most = most.unwrap_or_default();
        check(
            most <= RESIDENT_MAX,
            format!("{} MiB were resident", most >> 20),
        );
        let full = self.told.drops.get("export queue_full");
        check(
            full.is_some_and(|drops| *drops > 0),
            "the export queue was never full".to_owned(),
        );
        check(
            (self.clock_set > 0) == (self.account.ahead > 0),
            format!(
                "the clock was set ahead {} times, and {} spans are from then",
                self.clock_set, self.account.ahead
            ),
        );
        faults
    }
}

const MEMORY: &str = "anonymous memory, bytes";

type Value = fn(&Sample) -> u64;

fn held() -> [(&'static str, Value); 5] {
    [
        (MEMORY, |sample| sample.memory),
        ("descriptors", |sample| sample.descriptors),
        ("threads", |sample| sample.threads),
        ("kernel maps", |sample| sample.maps),
        ("kernel programs", |sample| sample.programs),
    ]
}

/// All of it, in Markdown.
pub fn markdown(results: &Results) -> String {
    let account = &results.account;
    let mut requests = Table::new(
        "Requests and spans",
        &[
            "traffic",
            "answered",
            "not answered",
            "spans expected",
            "come",
            "share",
        ],
    );
    for row in &account.rows {
        let expected = match row.most == row.least {
            true => row.least.to_string(),
            false => format!("{} to {}", row.least, row.most),
        };
        requests.row(&[
            row.name.to_owned(),
            row.asked.answered.to_string(),
            row.asked.unanswered.to_string(),
            expected,
            row.come.to_string(),
            percent(row.come.min(row.least), row.least),
        ]);
    }
    requests.note(&format!(
        "Made by the agent: {} spans; come: {} (and {} again), of which {} from while the clock was ahead; lost when made: {}; missing of the \
         answered: {}; losses counted before spans were made: {}.",
        account.made,
        account.come,
        account.again,
        account.ahead,
        account.lost_spans,
        account.missing(),
        account.lost_before,
    ));
    let lost: Vec<String> = results
        .told
        .drops
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    requests.note(&format!("Counted losses: {}.", lost.join(", ")));

    let mut resources = Table::new(
        "What the agent holds",
        &["", "second fifth", "last fifth", "least", "most"],
    );
    for (name, value) in held() {
        let Some((second, last)) = fifths(&results.samples, value) else {
            continue;
        };
        let all = || results.samples.iter().map(value);
        resources.row(&[
            name.to_owned(),
            second.to_string(),
            last.to_string(),
            all().min().unwrap_or_default().to_string(),
            all().max().unwrap_or_default().to_string(),
        ]);
    }
    let resident = |sample: Option<&Sample>| {
        let bytes = sample.map_or(0, |sample| sample.resident);
        format!("{:.1}", bytes as f64 / f64::from(1 << 20))
    };
    let since = |time| results.samples.iter().find(|sample| sample.time >= time);
    let mut memory = Table::new(
        "Resident memory, MiB",
        &["after a minute", "half way", "at the end", "most"],
    );
    memory.row(&[
        resident(since(Duration::from_secs(60).min(results.lasting / 4))),
        resident(since(results.lasting / 2)),
        resident(results.samples.last()),
        resident(results.samples.iter().max_by_key(|sample| sample.resident)),
    ]);
    let [before, after] = &results.entries;
    let tables: Vec<String> = after
        .iter()
        .map(|(name, entries)| format!("{name} {} to {entries}", before.get(name).unwrap_or(&0)))
        .collect();
    resources.note(&format!(
        "Medians of {} samples. Entries in kernel tables before and after: {}. Open at the end: {} \
         exchanges, {} connections; connections whose end was found out: {}. Memory with the kernel's maps: {} MiB at most, {} allowed.",
        results.samples.len(),
        tables.join(", "),
        results.told.count("clew_open_exchanges"),
        results.told.count("clew_open_connections"),
        results.told.count("clew_connections_found_ended_total"),
        results.peak >> 20,
        results.limit >> 20,
    ));
    format!(
        "{}\n\n{} s at {} exchanges a second. {}.\n\n{}\n{}\n{}",
        results.machine,
        results.lasting.as_secs(),
        results.rate,
        results.disturbances,
        requests.text,
        memory.text,
        resources.text
    )
}
