//! `cargo xtask bench protocols`: what parsing costs, without a kernel.

use anyhow::Result;

use crate::{command, workspace};

/// Runs the measurement, which needs the agent's library and so is one of its examples.
///
/// # Errors
/// When it does not build or fails.
pub fn protocols() -> Result<()> {
    let mut cargo = command::cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "clew"]);
    cargo.args(["--example", "protocol_cost"]);
    command::run(cargo.current_dir(workspace::root()))
}
