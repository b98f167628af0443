//! The npm modules of clients for Node.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::fetched::{by_list, report, services};
use crate::{command, workspace};

/// Where they are left.
pub fn directory() -> PathBuf {
    workspace::target_dir().join("npm")
}

/// Fetches them, unless they are there.
pub fn ensure() {
    report("npm modules", modules());
}

fn modules() -> Result<bool> {
    let list = services().join("package.json");
    by_list(&list, &directory(), "package.json", || {
        // Elsewhere than the copy that says that all is there.
        let copy = directory().join("list");
        std::fs::create_dir_all(&copy)?;
        std::fs::copy(&list, copy.join("package.json")).context("copying the list")?;
        command::run(
            Command::new("npm")
                .args(["install", "--no-package-lock", "--no-fund", "--no-audit"])
                .current_dir(&copy),
        )?;
        let modules = copy.join("node_modules");
        std::fs::rename(&modules, directory().join("node_modules")).context("moving the modules")
    })
}
