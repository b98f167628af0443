//! The results, for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::cell::{Cell, Soak};
use super::cost::Cost;
use super::document::percent;
use super::machine::Machine;
use super::overhead::{Backends, Measured};
use super::statistics::{self, Verdict};
use super::tables;

/// Everything that was measured.
pub struct Results {
    /// Where and when.
    pub machine: Machine,
    /// How often.
    pub rounds: usize,
    /// How long each load lasted.
    pub load: Duration,
    /// Of each load.
    pub connections: usize,
    /// How long all of it took.
    pub took: Duration,
    /// What this kernel lets be measured.
    pub backends: Backends,
    /// Why instructions are not counted, if they are not.
    pub no_counter: Option<String>,
    /// By server.
    pub servers: Vec<Measured>,
    /// The agent's memory under lasting load, at half of the first server's capacity.
    pub soak: Soak,
}

/// The agent's resident memory that is aimed at, in MiB.
const AIM_RESIDENT: f64 = 60.0;

/// A share of the server's processor that others may take before it is worth a remark.
const DISTURBED: f64 = 0.05;

/// A cell, as it is measured, a line for each load.
pub fn cell(cell: &Cell) -> String {
    let strangers = match cell.strangers {
        0 => String::new(),
        number => format!(", beside {number} kernel programs of others"),
    };
    let mut text = format!("{}{strangers}", cell.variant);
    for cost in &cell.costs {
        let Cost {
            demand,
            disturbance,
            rest,
            ..
        } = cost;
        // Writing to a string does not fail.
        let _written = write!(
            text,
            "\n    {demand}: {:.0}/s, {:.2} µs/request",
            cost.rate(),
            cost.server_per_request()
        );
        if let Some(latency) = cost.latency {
            let [median, p99, p999] = latency.map(tables::micros);
            let _written = write!(text, ", p50 {median:.0} p99 {p99:.0} p99.9 {p999:.0} µs");
        }
        let _written = write!(
            text,
            ", disturbed {:.1} %, other processor {:.0} %",
            disturbance * 100.0,
            rest * 100.0
        );
        if let Some(agent) = &cost.agent {
            let found = percent(agent.exchanges, 2 * cost.answered);
            let per_exchange = agent.per_exchange();
            let _written = write!(text, "; agent {per_exchange:.2} µs/exchange, {found}");
        }
    }
    text
}

/// The section for docs/measurements.md.
pub fn markdown(results: &Results) -> String {
    let mut text = String::new();
    for part in [
        method(results),
        tables::server(results),
        tables::latency(results),
        tables::agent(results),
        tables::saturation(results),
        tables::ways(results),
        tables::instructions(results),
        soak(results),
        caveats(results),
    ] {
        if !part.is_empty() {
            text.push_str(&part);
            text.push('\n');
        }
    }
    text
}

fn method(results: &Results) -> String {
    let interval = match statistics::rank(results.rounds) {
        Some((1, confidence)) => format!("the whole sample, {:.1} %", confidence * 100.0),
        Some((rank, confidence)) => format!(
            "without the {} least and most, {:.1} %",
            rank - 1,
            confidence * 100.0
        ),
        None => "the whole sample, too few rounds for 95 %".to_owned(),
    };
    format!(
        "{}. Median of {} rounds (interval of the median: {interval}); ratios are taken within each \
         round. {} connections, loads of {} s, {:.0} min in all.\n",
        results.machine,
        results.rounds,
        results.connections,
        results.load.as_secs(),
        results.took.as_secs_f64() / 60.0,
    )
}

fn soak(results: &Results) -> String {
    let soak = &results.soak;
    let sizes: Vec<String> = soak
        .resident
        .iter()
        .map(|&(seconds, bytes)| format!("{:.1} ({seconds:.0} s)", tables::mebibytes(bytes)))
        .collect();
    let highest = soak.resident.iter().map(|&(_, bytes)| bytes).max();
    let verdict = match tables::mebibytes(highest.unwrap_or_default()) < AIM_RESIDENT {
        true => Verdict::Met,
        false => Verdict::Missed,
    };
    format!(
        "**Memory of the agent over {} s** at half of what the first server can answer ({} requests \
         answered, spans / exchanges {}, drops: {}). Resident MiB: {}. Aim, below \
         {AIM_RESIDENT:.0}: {verdict}.\n",
        soak.lasting.as_secs(),
        soak.answered,
        percent(soak.agent.exchanges, 2 * soak.answered),
        tables::drops([&soak.agent]),
        sizes.join(", "),
    )
}

/// What makes these figures worth less than they could be.
fn caveats(results: &Results) -> String {
    let cells = || {
        let rounds = results.servers.iter().flat_map(|server| &server.rounds);
        rounds.flatten()
    };
    let strangers = cells().filter(|cell| cell.strangers > 0).count();
    let loads = cells().map(|cell| cell.costs.len()).sum::<usize>();
    let costs = cells().flat_map(|cell| &cell.costs);
    let disturbed = costs.filter(|cost| cost.disturbance > DISTURBED).count();
    let mut text = String::new();
    if let Some(reason) = &results.no_counter {
        text.push_str(&format!(
            "No counter of instructions on this machine: {reason}.\n"
        ));
    }
    if strangers > 0 {
        text.push_str(&format!(
            "In {strangers} of {} measurements kernel programs of others were attached too.\n",
            cells().count()
        ));
    }
    if disturbed > 0 {
        text.push_str(&format!(
            "During {disturbed} of {loads} loads others took more than {:.0} % of the server's \
             processor.\n",
            DISTURBED * 100.0
        ));
    }
    text
}
