//! The OpenTelemetry Collector that receives the tests' spans, built from its Go modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::Result;

use crate::{command, workspace};

/// Where the collector is left.
pub fn binary() -> PathBuf {
    workspace::target_dir().join("clew-test-collector")
}

/// Builds it, unless it is there and newer than its sources. Where it cannot be built, says so.
pub fn ensure() {
    let sources = workspace::root().join("tests/collector");
    if !sources.is_dir() {
        return;
    }
    let built = fs::metadata(binary()).and_then(|file| file.modified()).ok();
    if built.is_some_and(|built| newest(&sources).is_ok_and(|source| source < built)) {
        println!("OpenTelemetry Collector: present");
        return;
    }
    let mut go = Command::new("go");
    go.args(["build", "-o"])
        .arg(binary())
        .arg(".")
        .current_dir(&sources);
    // Not the end of the set-up: everything but the tests that need it works without.
    if let Err(error) = command::run(&mut go) {
        println!(
            "OpenTelemetry Collector: not built, its tests will be skipped or fail: {error:#}"
        );
        println!("(it needs the Go that tests/collector/go.mod names, or network to fetch it)");
    }
}

/// When the youngest file of a flat directory was changed.
fn newest(directory: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(directory)? {
        newest = newest.max(entry?.metadata()?.modified()?);
    }
    Ok(newest)
}
