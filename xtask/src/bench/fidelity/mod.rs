//! `cargo xtask bench fidelity`: are the parents right?

mod axes;
mod cell;
mod report;
mod world;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum as _;

use super::again::{self, PYTHON};
use super::document;
use super::machine::Machine;
use crate::command;
use axes::{Design, Topology};
use cell::Cell;
use report::Results;
use world::{AgentsOf, Cast, Propagation, World};

/// What `cargo xtask bench fidelity` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// Few requests, few at a time: whether everything works. About two minutes.
    #[arg(long, conflicts_with = "write")]
    quick: bool,
    /// Only services of these designs.
    #[arg(long, value_enum)]
    design: Vec<Design>,
    /// Only these places.
    #[arg(long, value_enum)]
    topology: Vec<Topology>,
    /// How agents send contexts to the next host; may be repeated.
    #[arg(long, value_enum, default_value = "tcp-option")]
    propagate: Vec<Propagation>,
    /// Puts the results into docs/fidelity.md.
    #[arg(long, conflicts_with_all = ["design", "topology"])]
    write: bool,
    /// An agent that is built already; without it, sets up and builds one.
    #[arg(long, value_name = "CLEW", env = "CLEW_BIN")]
    agent: Option<PathBuf>,
    /// Passed on to `clew run`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Measures, prints the results and, where asked to, writes them down.
///
/// # Errors
/// When a service, an agent or the kernel does not do its part; and, after everything has been
/// printed, when a cell misses the aims for precision or false merges.
pub fn fidelity(options: &Options) -> Result<()> {
    let root = nix::unistd::geteuid().is_root();
    let agent = match &options.agent {
        Some(agent) if root && std::env::var_os(PYTHON).is_some() => agent.clone(),
        agent => return Err(again::again(agent.clone())?),
    };
    let stop = command::told_to_end()?;
    let under_test = AgentsOf {
        binary: &agent,
        propagation: &options.propagate,
        more: &options.arguments,
    };
    let results = measure(options, &under_test, &stop)?;
    let text = report::markdown(&results);
    println!("\n{text}");
    if options.write {
        document::write("docs/fidelity.md", "bench fidelity", &text)?;
    }
    let wrong = results.cells.iter().filter(|cell| !cell.is_true()).count();
    ensure!(
        wrong == 0,
        "wrong parents, or requests in one trace, in {wrong} of {} cells",
        results.cells.len()
    );
    Ok(())
}

fn measure(options: &Options, under_test: &AgentsOf<'_>, stop: &AtomicBool) -> Result<Results> {
    let designs = match options.design.as_slice() {
        [] => Design::value_variants(),
        chosen => chosen,
    };
    let topologies = match options.topology.as_slice() {
        [] => Topology::value_variants(),
        chosen => chosen,
    };
    let start = Instant::now();
    let mut results = Results {
        machine: Machine::this(),
        quick: options.quick,
        propagation: options.propagate.clone(),
        impairment: None,
        cells: Vec::new(),
        took: start.elapsed(),
    };
    for &topology in topologies {
        let world = World::start(topology, under_test)?;
        results.impairment = results.impairment.or(world.impairment);
        // The services of the last cell: what they need to be told apart by, and themselves.
        let mut running: Option<(Design, Cast)> = None;
        for axes in topology.cells(designs, options.quick) {
            if stop.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            let fits =
                |running: &(Design, Cast)| running.0 == axes.design && !axes.design.is_sized();
            // Its processes end before the next ones take their ports.
            let kept = running.take().filter(fits);
            let (_, cast) = running.insert(match kept {
                Some(kept) => kept,
                None => (axes.design, world.cast(&axes)?),
            });
            let number = results.cells.len();
            let cell = Cell::measure(&world, cast, topology, axes, number)
                .with_context(|| format!("{}, {}", axes.design, axes.shape))?;
            println!("{}", report::line(&cell, &options.propagate));
            results.cells.push(cell);
        }
    }
    results.took = start.elapsed();
    Ok(results)
}
