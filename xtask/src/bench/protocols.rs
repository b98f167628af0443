//! `cargo xtask bench protocols`: what parsing costs, without a kernel.

use anyhow::{Context as _, Result, ensure};

use super::document;
use super::machine::Machine;
use crate::{command, workspace};

/// What `cargo xtask bench protocols` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// Puts the results into docs/measurements.md.
    #[arg(long)]
    write: bool,
}

/// Runs the measurement, which needs the agent's library and so is one of its examples.
///
/// # Errors
/// When it does not build or fails.
pub fn protocols(options: &Options) -> Result<()> {
    let mut cargo = command::cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "clew"]);
    cargo.args(["--example", "protocol_cost"]);
    let output = cargo.current_dir(workspace::root()).output();
    let output = output.context("starting cargo")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the measurement failed:\n{errors}");
    let table = String::from_utf8(output.stdout).context("a table in UTF-8")?;
    let text = format!("{}.\n\n{table}", Machine::this());
    println!("{text}");
    if options.write {
        document::write("docs/measurements.md", "bench protocols", &text)?;
    }
    Ok(())
}
