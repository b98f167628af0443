//! Python packages, in an environment of the build's own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{command, workspace};

/// Pinned there, because tests assert what these servers do (virtme-ng: for `cargo xtask vm`).
const REQUIREMENTS: &str = include_str!("../../../tests/services/requirements.txt");

/// The environment's interpreter.
pub fn interpreter() -> PathBuf {
    directory().join("bin/python3")
}

/// Where its programs are.
pub fn tools() -> PathBuf {
    directory().join("bin")
}

/// Whether the system's interpreter has a module.
pub fn can_import(module: &str) -> bool {
    command::output(Command::new("python3").args(["-c", &format!("import {module}")])).is_some()
}

/// Makes the environment, or makes it anew where its packages differ from [`REQUIREMENTS`].
pub fn ensure() -> Result<()> {
    let list = directory().join("requirements.txt");
    // Written last: an environment that was not finished has none.
    if fs::read_to_string(&list).is_ok_and(|text| text == REQUIREMENTS) && interpreter().exists() {
        println!("Python packages: present");
        return Ok(());
    }
    command::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(directory()),
    )?;
    let mut pip = Command::new(interpreter());
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    let packages = REQUIREMENTS.lines().filter(|line| !line.starts_with('#'));
    command::run(pip.args(packages))?;
    fs::write(&list, REQUIREMENTS).with_context(|| format!("writing {}", list.display()))
}

fn directory() -> PathBuf {
    workspace::target_dir().join("test-venv")
}
