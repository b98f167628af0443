//! The tables of the results.

use super::cell::{Demand, Variant};
use super::cost::{AgentCost, Cost};
use super::document::{Table, percent};
use super::floor;
use super::overhead::{Measured, main_variants};
use super::report::Results;
use super::statistics::Interval;

/// The agent's processor time per exchange that is aimed at, in µs.
const AIM_PER_EXCHANGE: f64 = 5.0;

/// The most that tracing may add to the 99th percentile at half load.
const AIM_P99: f64 = 1.03;

/// What servers pay at fixed rates.
pub fn server(results: &Results) -> String {
    let mut table = Table::new(
        "What the server pays: its own processor time per request, at fixed rates",
        &[
            "server",
            "load",
            "offered /s",
            "without, µs",
            "floor / without",
            "Clew / without",
            "Clew / floor",
            "Clew - floor, µs",
            "aim",
        ],
    );
    for server in &results.servers {
        for demand in paced(server) {
            let [without, floor, clew] = times(results, server, demand);
            let more = clew.iter().zip(&floor).map(|(clew, floor)| clew - floor);
            let offered = server.costs(Variant::None, demand).next();
            table.row(&[
                server.workload.to_string(),
                demand.to_string(),
                offered.map_or_else(String::new, |cost| {
                    format!("{:.0}", cost.due as f64 / cost.seconds)
                }),
                shown(Interval::of(without.iter().copied()), 2),
                shown(Interval::of_ratios(&floor, &without), 3),
                shown(Interval::of_ratios(&clew, &without), 3),
                shown(Interval::of_ratios(&clew, &floor), 3),
                shown(Interval::of(more), 2),
                server_aim(server, &[without, floor, clew]),
            ]);
        }
    }
    for server in &results.servers {
        let costs = server.rounds.iter().flatten().flat_map(|cell| &cell.costs);
        let late: u64 = costs
            .map(|cost| cost.due.saturating_sub(cost.answered))
            .sum();
        if late > 0 {
            table.note(&format!(
                "{}: {late} requests were not answered in time: the rate was too high.",
                server.workload
            ));
        }
    }
    table.text
}

/// The demands with a fixed rate.
fn paced(server: &Measured) -> impl Iterator<Item = Demand> {
    let demands = server.demands().into_iter();
    demands.filter(|&demand| demand != Demand::Saturated)
}

/// The server's time per request without, with the floor, with Clew.
fn times(results: &Results, server: &Measured, demand: Demand) -> [Vec<f64>; 3] {
    main_variants(results.backends.best)
        .map(|variant| server.series(variant, demand, Cost::server_per_request))
}

fn server_aim(server: &Measured, [without, floor, clew]: &[Vec<f64>; 3]) -> String {
    let aim = server.workload.aim();
    let (base, name) = match aim.over_floor {
        true => (floor, "floor"),
        false => (without, "without"),
    };
    let ratio = Interval::of_ratios(clew, base);
    ratio.map_or_else(String::new, |ratio| {
        format!("{:.2} × {name}: {}", aim.most, ratio.verdict(aim.most))
    })
}

/// How long requests take at fixed rates.
pub fn latency(results: &Results) -> String {
    let mut table = Table::new(
        "Latency at fixed rates, in µs from when a request was due",
        &[
            "server",
            "load",
            "",
            "without",
            "floor",
            "Clew",
            "Clew / without",
            "Clew / floor",
            "aim",
        ],
    );
    for server in &results.servers {
        // In bunches requests wait for those before them, by intention.
        let evenly = paced(server).filter(|demand| matches!(demand, Demand::Even(_)));
        for demand in evenly {
            for (place, name) in ["p50", "p99", "p99.9"].into_iter().enumerate() {
                let [without, floor, clew] = main_variants(results.backends.best).map(|variant| {
                    let costs = server.costs(variant, demand);
                    let latencies = costs.filter_map(|cost| Some(micros(cost.latency?[place])));
                    latencies.collect::<Vec<f64>>()
                });
                let ratio = Interval::of_ratios(&clew, &without);
                let aim = ratio.filter(|_| name == "p99" && demand == Demand::HALF);
                table.row(&[
                    server.workload.to_string(),
                    demand.to_string(),
                    name.to_owned(),
                    shown(Interval::of(without.iter().copied()), 0),
                    shown(Interval::of(floor.iter().copied()), 0),
                    shown(Interval::of(clew.iter().copied()), 0),
                    shown(ratio, 2),
                    shown(Interval::of_ratios(&clew, &floor), 2),
                    aim.map_or_else(String::new, |ratio| {
                        format!("{AIM_P99:.2} × without: {}", ratio.verdict(AIM_P99))
                    }),
                ]);
            }
        }
    }
    table.text
}

/// What the agent takes at fixed rates.
pub fn agent(results: &Results) -> String {
    let mut table = Table::new(
        "What the agent takes, at fixed rates (both sides of each request are traced)",
        &[
            "server",
            "load",
            "exchanges /s",
            "µs per exchange",
            "aim",
            "server spans / requests",
            "client spans / requests",
            "drops",
            "other processor busy, without / Clew",
            "memory at start, at end, MiB",
        ],
    );
    let clew = Variant::Clew(results.backends.best);
    for server in &results.servers {
        for demand in paced(server) {
            let costs = || server.costs(clew, demand);
            let agents = || costs().filter_map(|cost| cost.agent.as_ref());
            let answered: u64 = costs().map(|cost| cost.answered).sum();
            let rate = Interval::of(costs().map(|cost| 2.0 * cost.rate()));
            let time = Interval::of(agents().map(AgentCost::per_exchange));
            let busy = |variant| {
                let busy = server.series(variant, demand, |cost| cost.rest * 100.0);
                Interval::of(busy).map_or_else(String::new, |busy| format!("{:.0} %", busy.median))
            };
            let memory = |place: usize| {
                let cells = server.cells(clew);
                let sizes = cells.filter_map(|cell| Some(mebibytes(cell.resident?[place])));
                shown(Interval::of(sizes), 1)
            };
            table.row(&[
                server.workload.to_string(),
                demand.to_string(),
                rate.map_or_else(String::new, |rate| format!("{:.0}", rate.median)),
                shown(time, 2),
                agent_aim(time),
                percent(agents().map(|agent| agent.spans.server).sum(), answered),
                percent(agents().map(|agent| agent.spans.client).sum(), answered),
                drops(agents()),
                format!("{} / {}", busy(Variant::None), busy(clew)),
                match demand {
                    // It is the same for all.
                    Demand::HALF => format!("{}, {}", memory(0), memory(1)),
                    _ => String::new(),
                },
            ]);
        }
    }
    table.text
}

fn agent_aim(time: Option<Interval>) -> String {
    time.map_or_else(String::new, |time| {
        format!("{AIM_PER_EXCHANGE:.0}: {}", time.verdict(AIM_PER_EXCHANGE))
    })
}

/// What is left of what servers can answer.
pub fn saturation(results: &Results) -> String {
    let mut table = Table::new(
        "At saturation, load, agent and receiver sharing a processor",
        &[
            "server",
            "without, requests/s",
            "floor / without",
            "Clew / without",
            "the server's own µs per request, without",
            "floor / without",
            "Clew / without",
            "Clew / floor",
            "aim",
            "agent, µs per exchange",
            "spans / exchanges",
            "drops",
        ],
    );
    for server in &results.servers {
        let [rate, floor_rate, clew_rate] = main_variants(results.backends.best)
            .map(|variant| server.series(variant, Demand::Saturated, Cost::rate));
        let [without, floor, clew] = times(results, server, Demand::Saturated);
        let traced = Variant::Clew(results.backends.best);
        let costs = || server.costs(traced, Demand::Saturated);
        let agents = || costs().filter_map(|cost| cost.agent.as_ref());
        let answered: u64 = costs().map(|cost| cost.answered).sum();
        table.row(&[
            server.workload.to_string(),
            shown(Interval::of(rate.iter().copied()), 0),
            shown(Interval::of_ratios(&floor_rate, &rate), 3),
            shown(Interval::of_ratios(&clew_rate, &rate), 3),
            shown(Interval::of(without.iter().copied()), 2),
            shown(Interval::of_ratios(&floor, &without), 3),
            shown(Interval::of_ratios(&clew, &without), 3),
            shown(Interval::of_ratios(&clew, &floor), 3),
            // Where there is a fixed rate, the aim is about that: here the agent slows the load down.
            match paced(server).next() {
                Some(_) => String::new(),
                None => server_aim(server, &[without, floor, clew]),
            },
            shown(Interval::of(agents().map(AgentCost::per_exchange)), 2),
            percent(agents().map(|agent| agent.exchanges).sum(), 2 * answered),
            drops(agents()),
        ]);
    }
    table.text
}

/// Servers that are measured with more than nothing, the floor and Clew: with other backends, and
/// without export.
pub fn ways(results: &Results) -> String {
    let best = results.backends.best;
    let demand = Demand::HALF;
    let mut text = String::new();
    for server in &results.servers {
        let cells = server.rounds.first().into_iter().flatten();
        let mut variants: Vec<Variant> = cells.map(|cell| cell.variant).collect();
        if variants.len() == main_variants(best).len() {
            continue;
        }
        variants.sort_by_key(Variant::place);
        let mut table = Table::new(
            &format!("Ways to be traced: {}, {demand}", server.workload),
            &[
                "",
                "the server's own µs per request",
                "over without",
                "over its floor",
                "p99 over without",
                "agent, µs per exchange",
                "exchanges found",
                "drops",
            ],
        );
        let p99 = |cost: &Cost| cost.latency.map_or(f64::NAN, |[_, p99, _]| p99);
        let without = server.series(Variant::None, demand, Cost::server_per_request);
        let without_p99 = server.series(Variant::None, demand, p99);
        for variant in variants {
            let time = server.series(variant, demand, Cost::server_per_request);
            let over_floor = variant.floor().and_then(|floor| {
                let floor = server.series(floor, demand, Cost::server_per_request);
                Interval::of_ratios(&time, &floor)
            });
            let over_without = |values: &[f64], without: &[f64]| match variant {
                Variant::None => String::new(),
                _ => shown(Interval::of_ratios(values, without), 3),
            };
            let costs = || server.costs(variant, demand);
            let agents = || costs().filter_map(|cost| cost.agent.as_ref());
            let asked: u64 = costs().map(|cost| 2 * cost.answered).sum();
            let traced = agents().next().is_some();
            table.row(&[
                variant.to_string(),
                shown(Interval::of(time.iter().copied()), 2),
                over_without(&time, &without),
                shown(over_floor, 3),
                over_without(&server.series(variant, demand, p99), &without_p99),
                shown(Interval::of(agents().map(AgentCost::per_exchange)), 2),
                match traced {
                    true => percent(agents().map(|agent| agent.exchanges).sum(), asked),
                    false => String::new(),
                },
                match traced {
                    true => drops(agents()),
                    false => String::new(),
                },
            ]);
        }
        for (backend, reason) in &results.backends.refused {
            let title = floor::title(*backend);
            table.note(&format!("Not on {title}: {reason}."));
        }
        text.push_str(&table.text);
    }
    text
}

/// Instructions, where they are counted.
pub fn instructions(results: &Results) -> String {
    if results.no_counter.is_some() {
        return String::new();
    }
    let mut table = Table::new(
        &format!("The server's instructions per request, {}", Demand::HALF),
        &[
            "server",
            "without",
            "floor / without",
            "Clew / without",
            "Clew / floor",
        ],
    );
    for server in &results.servers {
        let counts = |variant| -> Vec<f64> {
            let cells = server.cells(variant);
            cells.filter_map(|cell| cell.instructions).collect()
        };
        let [without, floor, clew] = main_variants(results.backends.best).map(counts);
        if without.is_empty() {
            continue;
        }
        table.row(&[
            server.workload.to_string(),
            shown(Interval::of(without.iter().copied()), 0),
            shown(Interval::of_ratios(&floor, &without), 3),
            shown(Interval::of_ratios(&clew, &without), 3),
            shown(Interval::of_ratios(&clew, &floor), 3),
        ]);
    }
    table.text
}

/// What agents lost together.
pub fn drops<'a>(agents: impl IntoIterator<Item = &'a AgentCost>) -> String {
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

/// Seconds in µs.
pub fn micros(seconds: f64) -> f64 {
    seconds * 1e6
}

/// Bytes in MiB.
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn shown(interval: Option<Interval>, digits: usize) -> String {
    interval.map_or_else(String::new, |interval| format!("{interval:.digits$}"))
}
