//! The npm modules of clients for Node.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::fetched::{by_list, report, services};
use crate::{command, workspace};

/// Which versions, of what `package.json` asks for and of what that needs.
const LOCK: &str = "package-lock.json";

/// Where they are left.
pub fn directory() -> PathBuf {
    workspace::target_dir().join("npm")
}

/// Fetches them, unless they are there.
pub fn ensure() {
    report("npm modules", modules());
}

fn modules() -> Result<bool> {
    by_list(&services().join(LOCK), &directory(), LOCK, || {
        // Elsewhere than the copy that says that all is there.
        let copy = directory().join("list");
        std::fs::create_dir_all(&copy)?;
        for list in ["package.json", LOCK] {
            std::fs::copy(services().join(list), copy.join(list))
                .with_context(|| format!("copying {list}"))?;
        }
        command::run(
            Command::new("npm")
                // What this Node cannot run is an error here, not in some test.
                .args(["ci", "--engine-strict", "--no-fund", "--no-audit"])
                .current_dir(&copy),
        )?;
        let modules = copy.join("node_modules");
        std::fs::rename(&modules, directory().join("node_modules")).context("moving the modules")
    })
}
