//! `cargo xtask test`.

use std::process::Command;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::{command, fuzz, setup, workspace};

/// What `cargo xtask test` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// Turns a missing program, kernel capability or right into a failure; without it, the tests
    /// that need it say so and are skipped.
    #[arg(long)]
    require: bool,
    /// For how long each fuzz target runs [default: 10, or 60 with --require]
    #[arg(long, value_name = "SECONDS")]
    fuzz: Option<u32>,
}

/// Sets up, builds once, then runs the unit tests, the fuzz targets and the end-to-end tests. The
/// first failure ends it.
///
/// # Errors
/// When anything fails.
pub fn test(options: &Options) -> Result<()> {
    setup::setup()?;
    let clew = build::agent(Profile::Release)?;

    let mut unit = cargo_test(options.require);
    command::run(unit.args(["--workspace", "--exclude", "clew-tests"]))?;

    let seconds = options
        .fuzz
        .unwrap_or(if options.require { 60 } else { 10 });
    fuzz::fuzz(seconds)?;

    let mut end_to_end = cargo_test(options.require);
    end_to_end.args(["--package", "clew-tests"]);
    if !nix::unistd::geteuid().is_root() && command::find("sudo").is_some() {
        // Cargo calls the test binaries through this; only they have to be root.
        let architecture = std::env::consts::ARCH.to_uppercase();
        let runner = format!("CARGO_TARGET_{architecture}_UNKNOWN_LINUX_GNU_RUNNER");
        end_to_end.env(runner, "sudo --preserve-env");
    }
    end_to_end.env("CLEW_BIN", clew);
    if options.require {
        // The Collector stays away for a minute under load; ten seconds at a desk.
        end_to_end.env("CLEW_TEST_OUTAGE", "60");
    }
    end_to_end.env("CLEW_TEST_PYTHON", setup::python());
    end_to_end.env("CLEW_TEST_JAVA_AGENT", setup::java_agent());
    command::run(&mut end_to_end)
}

fn cargo_test(require: bool) -> Command {
    let mut cargo = command::cargo();
    cargo.arg("test").current_dir(workspace::root());
    cargo.env("CLEW_TEST_COLLECTOR", setup::collector());
    if require {
        cargo.env("CLEW_REQUIRE", "1");
    }
    cargo
}
