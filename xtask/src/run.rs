//! `cargo xtask run`.

use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::build::{self, Profile};
use crate::{command, setup};

/// Sets up, builds, and becomes `clew run`: signals then reach the agent itself.
pub fn run(args: &[String]) -> Result<()> {
    setup::setup()?;
    let clew = build::agent(Profile::Release)?;
    let mut command = command::as_root(&clew)?;
    command.args(["run", "--output", "console"]).args(args);
    Err(command.exec()).with_context(|| format!("starting {}", clew.display()))
}
