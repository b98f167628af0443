//! The Go modules that the programs under trace need: OpenTelemetry's, and those of servers and clients.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::fetched::{entries, report, services};
use crate::command;

/// Fetches what is missing.
pub fn ensure() {
    report("Go modules", modules());
}

fn modules() -> Result<bool> {
    let mut fetched = false;
    for module in with_dependencies()? {
        // It succeeds without a network where everything is there.
        if command::output(&mut packages(&module, &[("GOPROXY", "off")])).is_none() {
            command::run(&mut packages(&module, &[]))?;
            fetched = true;
        }
    }
    Ok(fetched)
}

/// Only what a build needs; `go mod download` fetches what the tests of dependencies need, too.
fn packages(module: &Path, proxy: &[(&str, &str)]) -> Command {
    let mut go = Command::new("go");
    go.args(["list", "-deps", "-f", "{{if .Error}}{{.Error}}{{end}}", "."])
        .current_dir(module)
        // The tests build it with the Go that is installed.
        .env("GOTOOLCHAIN", "local")
        .envs(proxy.iter().copied());
    go
}

fn with_dependencies() -> Result<Vec<PathBuf>> {
    let mut folders = entries(&services())?;
    folders.extend(entries(&services().join("protocols"))?);
    folders.retain(|folder| folder.join("go.sum").is_file());
    Ok(folders)
}
