//! A bench that runs real services needs root, an agent and the tests' Python: where one is missing, it
//! gets them and begins again.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::{command, setup};

/// Where the services' Python is: the tests' harness reads it.
pub const PYTHON: &str = "CLEW_TEST_PYTHON";

/// Sets up what is missing, and becomes this program again: as root, and told where things are.
///
/// # Errors
/// What it gives is the error of the attempt, which does not return where it succeeds; else what could
/// not be set up.
pub fn again(agent: Option<PathBuf>) -> Result<anyhow::Error> {
    let agent = match agent {
        Some(agent) => agent,
        None => {
            setup::setup()?;
            build::agent(Profile::Release)?
        }
    };
    let mut again = command::as_root(std::env::current_exe()?)?;
    again.args(std::env::args_os().skip(1));
    again.env("CLEW_BIN", agent);
    if std::env::var_os(PYTHON).is_none() {
        again.env(PYTHON, setup::python());
    }
    Ok(anyhow::Error::new(again.exec()).context("starting this program again, as root"))
}
