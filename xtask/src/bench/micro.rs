//! `cargo xtask bench micro`: the agent's steps one by one, without a kernel.

use anyhow::Result;

use super::machine::Machine;
use crate::{command, workspace};

/// What `cargo xtask bench micro` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// Only those with one of these in their name (`http1`, `stitch::server`); after `--`, options of
    /// divan (`--sample-count 1000`).
    arguments: Vec<String>,
}

/// Runs the agent's benches.
///
/// # Errors
/// When they do not build or fail.
pub fn micro(options: &Options) -> Result<()> {
    println!("{}.\n", Machine::this());
    let mut cargo = command::cargo();
    cargo.args(["bench", "--quiet", "--package", "clew", "--bench", "micro"]);
    cargo.arg("--").args(&options.arguments);
    command::run(cargo.current_dir(workspace::root()))
}
