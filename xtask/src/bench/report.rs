//! The results, for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::cell::{AgentCost, Cell, Cost, Soak, Variant};
use super::document::{Table, percent};
use super::machine::Machine;
use super::overhead::Measured;
use super::statistics::Quartiles;

/// Everything that was measured.
pub struct Results {
    /// Where and when.
    pub machine: Machine,
    /// How often.
    pub rounds: usize,
    /// The fixed rate as a share of the capacity.
    pub share: f64,
    /// How long each load lasted.
    pub load: Duration,
    /// Of each load.
    pub connections: usize,
    /// By server.
    pub servers: Vec<Measured>,
    /// The agent's memory under lasting load, at the first server's fixed rate.
    pub soak: Option<Soak>,
}

/// The agent's processor time per exchange that is aimed at, in µs.
const AIM_PER_EXCHANGE: f64 = 10.0;

/// Its resident memory that is aimed at, in MiB.
const AIM_RESIDENT: f64 = 60.0;

/// A share of the server's processor that others may take before it is worth a remark.
const DISTURBED: f64 = 0.05;

/// A cell in one line, as it is measured.
pub fn cell(variant: Variant, cell: &Cell) -> String {
    let name = match variant {
        Variant::None => "without",
        Variant::Floor => "floor",
        Variant::Clew => "Clew",
    };
    let [median, high] = cell.latency.map(micros);
    let (fixed, saturated) = (&cell.fixed, &cell.saturated);
    let strangers = match cell.strangers {
        0 => String::new(),
        number => format!(", {number} kernel programs of others"),
    };
    let mut line = format!(
        "{name:8} {:6.2} µs/request, p50 {median:.0} µs, p99 {high:.0} µs, \
         disturbed {:.1} %{strangers}, other processor {:.0} %; {:.2} µs/request in bunches; \
         at most {:.0} requests/s",
        fixed.server_per_request(),
        fixed.disturbance * 100.0,
        fixed.rest * 100.0,
        cell.bunched.server_per_request(),
        cell.rate,
    );
    if let (Some(fixed), Some(saturated)) = (&fixed.agent, &saturated.agent) {
        // Writing to a string does not fail.
        let _written = write!(
            line,
            "; agent {:.1} µs/exchange, {:.1} at most",
            fixed.per_exchange(),
            saturated.per_exchange()
        );
    }
    line
}

/// The section for docs/measurements.md.
pub fn markdown(results: &Results) -> String {
    let mut text = String::new();
    for part in [
        method(results),
        server_table(results),
        latency_table(results),
        saturation_table(results),
        agent_table(results),
        soak(results),
        caveats(results),
    ] {
        text.push_str(&part);
        text.push('\n');
    }
    text
}

fn method(results: &Results) -> String {
    format!(
        "{}. Median (quartiles) of {} rounds; ratios are taken within each round. {} connections, \
         loads of {} s; the fixed rate is {} of what each server answered at most, traced.\n",
        results.machine,
        results.rounds,
        results.connections,
        results.load.as_secs(),
        results.share,
    )
}

/// One of a cell's loads.
type CostOf = fn(&Cell) -> &Cost;

fn server_table(results: &Results) -> String {
    let mut table = Table::new(
        "What the server pays: its own processor time per request, at the fixed rate",
        &[
            "server",
            "offered /s",
            "requests come",
            "without, µs",
            "floor / without",
            "Clew / without",
            "Clew / floor",
            "Clew - floor, µs",
            "aim",
        ],
    );
    for server in &results.servers {
        let paces: [(_, CostOf); 2] = [
            ("evenly", |cell| &cell.fixed),
            ("in bunches", |cell| &cell.bunched),
        ];
        for (pace, cost) in paces {
            let series = |variant| server.series(variant, |cell| cost(cell).server_per_request());
            let [without, floor, clew] = Variant::ALL.map(series);
            let over_floor = Quartiles::of_ratios(&clew, &floor);
            let met = over_floor.is_some_and(|ratio| ratio.median <= server.workload.aim());
            let more = clew.iter().zip(&floor).map(|(clew, floor)| clew - floor);
            table.row(&[
                server.workload.to_string(),
                format!("{:.0}", server.rate),
                pace.to_owned(),
                shown(Quartiles::of(without.iter().copied()), 2),
                shown(Quartiles::of_ratios(&floor, &without), 3),
                shown(Quartiles::of_ratios(&clew, &without), 3),
                shown(over_floor, 3),
                shown(Quartiles::of(more), 2),
                format!("{:.2}: {}", server.workload.aim(), verdict(met)),
            ]);
        }
    }
    table.text
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

fn latency_table(results: &Results) -> String {
    let mut table = Table::new(
        "Latency at the fixed rate, in µs from when a request was due",
        &[
            "server",
            "",
            "without",
            "floor",
            "Clew",
            "Clew / floor",
            "other processor busy, \
           without / Clew",
        ],
    );
    for server in &results.servers {
        for (place, name) in ["p50", "p99"].into_iter().enumerate() {
            let series = |variant| server.series(variant, |cell| micros(cell.latency[place]));
            let busy = |variant| {
                shown(
                    Quartiles::of(server.series(variant, |cell| cell.fixed.rest * 100.0)),
                    0,
                )
            };
            table.row(&[
                server.workload.to_string(),
                name.to_owned(),
                shown(Quartiles::of(series(Variant::None)), 0),
                shown(Quartiles::of(series(Variant::Floor)), 0),
                shown(Quartiles::of(series(Variant::Clew)), 0),
                shown(
                    Quartiles::of_ratios(&series(Variant::Clew), &series(Variant::Floor)),
                    2,
                ),
                format!("{} % / {} %", busy(Variant::None), busy(Variant::Clew)),
            ]);
        }
    }
    table.text
}

fn saturation_table(results: &Results) -> String {
    let mut table = Table::new(
        "At saturation, load, agent and receiver sharing a processor",
        &[
            "server",
            "without, requests/s",
            "floor / without",
            "Clew / without",
            "spans / exchanges",
            "drops",
        ],
    );
    for server in &results.servers {
        let rate = |variant| server.series(variant, |cell| cell.rate);
        let costs = || {
            server
                .rounds
                .iter()
                .map(|cells| &cells[Variant::Clew as usize].saturated)
        };
        table.row(&[
            server.workload.to_string(),
            shown(Quartiles::of(rate(Variant::None)), 0),
            shown(
                Quartiles::of_ratios(&rate(Variant::Floor), &rate(Variant::None)),
                3,
            ),
            shown(
                Quartiles::of_ratios(&rate(Variant::Clew), &rate(Variant::None)),
                3,
            ),
            completeness(costs()),
            drops(costs().filter_map(|cost| cost.agent.as_ref())),
        ]);
    }
    table.text
}

fn agent_table(results: &Results) -> String {
    let mut table = Table::new(
        "What the agent takes, at the fixed rate (both sides of each request are traced)",
        &[
            "server",
            "exchanges /s",
            "µs per exchange",
            "aim",
            "server spans / requests",
            "client spans / requests",
            "drops",
            "memory at start, end, MiB",
        ],
    );
    for server in &results.servers {
        let clew = || {
            server
                .rounds
                .iter()
                .map(|cells| &cells[Variant::Clew as usize])
        };
        let costs = || clew().flat_map(|cell| [&cell.fixed, &cell.bunched]);
        let agents = || costs().filter_map(|cost| cost.agent.as_ref());
        let answered: u64 = costs().map(|cost| cost.answered).sum();
        let share = |spans: u64| format!("{spans} / {answered} = {}", percent(spans, answered));
        let time = Quartiles::of(agents().map(AgentCost::per_exchange));
        let met = time.is_some_and(|time| time.median <= AIM_PER_EXCHANGE);
        let memory = |place: usize| {
            let sizes = clew().filter_map(|cell| Some(mebibytes(cell.resident?[place])));
            shown(Quartiles::of(sizes), 1)
        };
        table.row(&[
            server.workload.to_string(),
            format!("{:.0}", 2.0 * server.rate),
            shown(time, 2),
            format!(
                "{AIM_PER_EXCHANGE:.0}: {}",
                if met { "met" } else { "missed" }
            ),
            share(agents().map(|agent| agent.spans.server).sum()),
            share(agents().map(|agent| agent.spans.client).sum()),
            drops(agents()),
            format!("{}, {}", memory(0), memory(1)),
        ]);
        let unanswered: u64 = server
            .rounds
            .iter()
            .flatten()
            .map(|cell| cell.due - cell.fixed.answered)
            .sum();
        if unanswered > 0 {
            table.note(&format!(
                "{}: {unanswered} requests were not answered in time: the rate was too high.",
                server.workload
            ));
        }
    }
    table.text
}

fn soak(results: &Results) -> String {
    let Some(soak) = &results.soak else {
        return String::new();
    };
    let sizes: Vec<String> = soak
        .resident
        .iter()
        .map(|&(seconds, bytes)| format!("{:.1} ({seconds:.0} s)", mebibytes(bytes)))
        .collect();
    let highest = soak
        .resident
        .iter()
        .map(|&(_, bytes)| bytes)
        .max()
        .unwrap_or_default();
    let met = mebibytes(highest) < AIM_RESIDENT;
    let spans = soak.agent.spans.server + soak.agent.spans.client;
    format!(
        "**Memory of the agent over {} s** at the first server's fixed rate ({} requests answered, \
         spans / exchanges {}, drops: {}). Resident MiB: {}. Aim, below {AIM_RESIDENT:.0}: {}.\n",
        soak.lasting.as_secs(),
        soak.answered,
        percent(spans, 2 * soak.answered),
        drops([&soak.agent]),
        sizes.join(", "),
        verdict(met),
    )
}

/// What makes these figures worth less than they could be.
fn caveats(results: &Results) -> String {
    let cells = || {
        results
            .servers
            .iter()
            .flat_map(|server| server.rounds.iter().flatten())
    };
    let all = cells().count();
    let strangers = cells().filter(|cell| cell.strangers > 0).count();
    let disturbed = cells()
        .filter(|cell| cell.fixed.disturbance > DISTURBED)
        .count();
    let mut text = String::new();
    if strangers > 0 {
        text.push_str(&format!(
            "In {strangers} of {all} measurements kernel programs of others were attached too.\n"
        ));
    }
    if disturbed > 0 {
        text.push_str(&format!(
            "In {disturbed} of {all} measurements others took more than {:.0} % of the server's \
             processor.\n",
            DISTURBED * 100.0
        ));
    }
    text
}

/// Spans of both sides over exchanges that took place.
fn completeness<'a>(costs: impl Iterator<Item = &'a Cost>) -> String {
    let mut spans = 0;
    let mut exchanges = 0;
    for cost in costs {
        exchanges += 2 * cost.answered;
        spans += cost
            .agent
            .as_ref()
            .map_or(0, |agent| agent.spans.server + agent.spans.client);
    }
    percent(spans, exchanges)
}

fn drops<'a>(agents: impl IntoIterator<Item = &'a AgentCost>) -> String {
    let mut sums = std::collections::BTreeMap::<&str, u64>::new();
    for (name, more) in agents.into_iter().flat_map(|agent| &agent.drops) {
        *sums.entry(name).or_default() += more;
    }
    if sums.is_empty() {
        return "none".to_owned();
    }
    let each: Vec<String> = sums
        .iter()
        .map(|(name, sum)| format!("{name} {sum}"))
        .collect();
    each.join(", ")
}

fn micros(seconds: f64) -> f64 {
    seconds * 1e6
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn shown(quartiles: Option<Quartiles>, digits: usize) -> String {
    quartiles.map_or_else(
        || "none".to_owned(),
        |quartiles| format!("{quartiles:.digits$}"),
    )
}
