//! The results, for people.

use std::fmt;
use std::time::Duration;

use clew_testbed::Impairment;
use clew_tests::Kind;
use clew_tests::score::{Asserted, OfKind, Score};

use super::axes::{Design, Topology};
use super::cell::{self, AIM_PRECISION, AIM_RECALL, Cell};
use super::world::Propagation;
use crate::bench::document::{Table, percent};
use crate::bench::machine::Machine;

/// Everything that was measured.
pub struct Results {
    /// Where and when.
    pub machine: Machine,
    /// Whether it was only a trial.
    pub quick: bool,
    /// What the agents were told.
    pub propagation: Vec<Propagation>,
    /// How links were impaired.
    pub impairment: Option<Impairment>,
    /// In the order in which they were measured.
    pub cells: Vec<Cell>,
    /// How long all of it took.
    pub took: Duration,
}

/// How many of the parents that were not found are shown of a cell.
const SHOWN: usize = 5;

/// A cell in one line, as it is measured; below it, where an aim is missed, the first faults.
pub fn line(cell: &Cell, propagation: &[Propagation]) -> String {
    let axes = &cell.axes;
    let mut line = format!(
        "{}: {}, {}, {} at a time: {}; drops: {}",
        cell.topology,
        axes.design,
        axes.shape,
        axes.at_a_time,
        cell.clew.figures(),
        drops([cell]),
    );
    let faults = &cell.clew.faults;
    let shown: Vec<&String> = if !cell.is_true() {
        let wrong = |fault: &&String| fault.contains("has parent");
        faults.iter().filter(wrong).collect()
    } else if cell.recalls_between(propagation) == Some(false) {
        let unknown = |fault: &&String| fault.starts_with("Server span");
        faults.iter().filter(unknown).take(SHOWN).collect()
    } else if cell.recalls_inside() == Some(false) {
        faults.iter().take(SHOWN).collect()
    } else {
        Vec::new()
    };
    for fault in shown {
        line.push_str(&format!("\n  {fault}"));
    }
    line
}

/// The section for docs/fidelity.md.
pub fn markdown(results: &Results) -> String {
    let mut text = head(results);
    text.push_str(&verdicts(results));
    for topology in Topology::ALL {
        let cells: Vec<&Cell> = results
            .cells
            .iter()
            .filter(|cell| cell.topology == topology)
            .collect();
        if !cells.is_empty() {
            text.push_str(&format!("\n#### {topology}\n\n"));
            text.push_str(&summary(&cells));
            text.push('\n');
            text.push_str(&details(&cells));
        }
    }
    text
}

fn head(results: &Results) -> String {
    let requests: usize = results.cells.iter().map(|cell| cell.axes.requests).sum();
    let exchanges: usize = results.cells.iter().map(|cell| cell.clew.exchanges).sum();
    let modes = results.propagation.iter().map(|mode| match mode {
        Propagation::Off => "off",
        Propagation::TcpOption => "by TCP option",
        Propagation::Header => "by HTTP header",
    });
    let propagation = modes.collect::<Vec<_>>().join(", ");
    let link = results
        .impairment
        .map_or_else(|| "none".to_owned(), |impairment| impairment.to_string());
    format!(
        "{}. {}{} cells, {requests} requests, {exchanges} exchanges counted from both sides, in \
         {} s. Propagation between hosts: {propagation}. Impaired links: {link}.\n\n",
        results.machine,
        if results.quick { "A quick trial. " } else { "" },
        results.cells.len(),
        results.took.as_secs(),
    )
}

/// Whether a cell meets an aim; `None` where it is not aimed at.
type Met<'a> = &'a dyn Fn(&Cell) -> Option<bool>;

/// What was aimed at, and whether it was reached.
fn verdicts(results: &Results) -> String {
    let recall = format!("Recall at least {:.0} %", AIM_RECALL * 100.0);
    let propagation = results.propagation.as_slice();
    let aims: [(String, Met<'_>); 5] = [
        ("Precision at least 99.9 %".to_owned(), &|cell| {
            Some(cell::precision(cell.clew.asserted()) >= AIM_PRECISION)
        }),
        ("No false merges".to_owned(), &|cell| {
            Some(cell.clew.false_merges == 0)
        }),
        (
            format!(
                "{recall} inside a process that serves by threads, processes or a visible pool"
            ),
            &Cell::recalls_inside,
        ),
        (
            format!("{recall} between processes whose agents see both ends or pass contexts on"),
            &|cell| cell.recalls_between(propagation),
        ),
        ("One span for each exchange and side".to_owned(), &|cell| {
            Some(cell.clew.found == cell.clew.exchanges && cell.clew.surplus == 0)
        }),
    ];
    let verdicts = aims.iter().map(|(aim, met)| {
        let aimed: Vec<&Cell> = results.cells.iter().filter(|c| met(c).is_some()).collect();
        let missed: Vec<&Cell> = aimed
            .iter()
            .copied()
            .filter(|c| met(c) == Some(false))
            .collect();
        match missed.len() {
            0 => format!("- {aim}: met in all {} cells.\n", aimed.len()),
            number => format!(
                "- {aim}: **missed** in {number} of {} cells: {}.\n",
                aimed.len(),
                named(&missed)
            ),
        }
    });
    verdicts.collect()
}

/// Cells by design and shape, each once.
fn named(cells: &[&Cell]) -> String {
    let mut names: Vec<String> = cells
        .iter()
        .map(|cell| format!("{}: {}", cell.axes.design, cell.axes.shape))
        .collect();
    names.sort();
    names.dedup();
    names.join("; ")
}

/// Sums over the cells of each design.
fn summary(cells: &[&Cell]) -> String {
    let mut table = Table::new(
        "Sums by design",
        &[
            "services",
            "spans / exchanges",
            "precision",
            "recall in the process (worst cell)",
            "recall between processes",
            "false merges",
            "exact traces",
            "drops",
            "thread id: precision, recall, false merges",
            "FIFO: precision, recall, false merges",
        ],
    );
    let mut designs: Vec<Design> = cells.iter().map(|cell| cell.axes.design).collect();
    designs.dedup();
    for design in designs {
        let of_design: Vec<&Cell> = cells
            .iter()
            .copied()
            .filter(|cell| cell.axes.design == design)
            .collect();
        let sum = Sum::of(of_design.iter().map(|cell| &cell.clew));
        let worst = of_design
            .iter()
            .map(|cell| cell::of_kind(&cell.clew, Kind::Client))
            .min_by(|one, other| share(*one).total_cmp(&share(*other)))
            .unwrap_or_default();
        table.row(&[
            design.to_string(),
            percent(sum.found() as u64, sum.exchanges() as u64),
            precision(sum.asserted()),
            format!("{} ({})", recall(sum.client), recall(worst)),
            recall(sum.server),
            sum.false_merges.to_string(),
            percent(sum.exact as u64, sum.requests as u64),
            drops(of_design.iter().copied()),
            baseline(&Sum::of(of_design.iter().map(|cell| &cell.thread_id))),
            baseline(&Sum::of(of_design.iter().map(|cell| &cell.fifo))),
        ]);
    }
    table.text
}

fn details(cells: &[&Cell]) -> String {
    let mut table = Table::new(
        "Cell by cell",
        &[
            "services",
            "shape",
            "at a time",
            "requests",
            "client, server spans / exchanges",
            "precision",
            "recall in the process",
            "recall between processes",
            "false merges",
            "exact traces",
            "drops",
            "thread id: precision, recall, false merges",
            "FIFO: precision, recall, false merges",
        ],
    );
    for cell in cells {
        let sum = Sum::of([&cell.clew]);
        let complete = |kind: OfKind| percent(kind.found as u64, kind.exchanges as u64);
        table.row(&[
            cell.axes.design.to_string(),
            cell.axes.shape.to_string(),
            cell.axes.at_a_time.to_string(),
            cell.axes.requests.to_string(),
            format!("{}, {}", complete(sum.client), complete(sum.server)),
            precision(sum.asserted()),
            recall(sum.client),
            recall(sum.server),
            sum.false_merges.to_string(),
            format!("{} / {}", sum.exact, sum.requests),
            drops([*cell]),
            baseline(&Sum::of([&cell.thread_id])),
            baseline(&Sum::of([&cell.fifo])),
        ]);
    }
    table.text
}

/// Figures of several scores added up.
#[derive(Default)]
struct Sum {
    client: OfKind,
    server: OfKind,
    false_merges: usize,
    exact: usize,
    requests: usize,
}

impl Sum {
    fn of<'a>(scores: impl IntoIterator<Item = &'a Score>) -> Self {
        let mut sum = Self::default();
        for score in scores {
            for (kind, total) in [
                (Kind::Client, &mut sum.client),
                (Kind::Server, &mut sum.server),
            ] {
                let of_kind = cell::of_kind(score, kind);
                total.exchanges += of_kind.exchanges;
                total.found += of_kind.found;
                total.true_parents += of_kind.true_parents;
                total.asserted.all += of_kind.asserted.all;
                total.asserted.right += of_kind.asserted.right;
                total.asserted.dangling += of_kind.asserted.dangling;
            }
            sum.false_merges += score.false_merges;
            sum.exact += score.exact_traces;
            sum.requests += score.requests;
        }
        sum
    }

    const fn found(&self) -> usize {
        self.client.found + self.server.found
    }

    const fn exchanges(&self) -> usize {
        self.client.exchanges + self.server.exchanges
    }

    const fn asserted(&self) -> Asserted {
        Asserted {
            all: self.client.asserted.all + self.server.asserted.all,
            right: self.client.asserted.right + self.server.asserted.right,
            dangling: self.client.asserted.dangling + self.server.asserted.dangling,
        }
    }
}

/// A baseline chooses parents inside processes only: those between are Clew's in both.
fn baseline(sum: &Sum) -> String {
    format!(
        "{}, {}, {}",
        precision(sum.client.asserted),
        recall(sum.client),
        sum.false_merges
    )
}

fn precision(asserted: Asserted) -> String {
    match asserted.all - asserted.dangling {
        0 => "none asserted".to_owned(),
        judged => percent(asserted.right as u64, judged as u64),
    }
}

fn recall(kind: OfKind) -> String {
    match kind.true_parents {
        0 => "none to find".to_owned(),
        all => percent(kind.asserted.right as u64, all as u64),
    }
}

fn share(kind: OfKind) -> f64 {
    kind.asserted.right as f64 / kind.true_parents.max(1) as f64
}

fn drops<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> String {
    let mut sums = crate::bench::agent::Drops::new();
    for (reason, count) in cells.into_iter().flat_map(|cell| &cell.drops) {
        *sums.entry(reason.clone()).or_default() += count;
    }
    if sums.is_empty() {
        return "none".to_owned();
    }
    let each = sums.iter().map(|(reason, sum)| format!("{reason} {sum}"));
    each.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneHost => "One host, one agent",
            Self::Hosts => "Six hosts, six agents",
            Self::ImpairedHosts => "Six hosts, six agents, impaired links",
        })
    }
}
