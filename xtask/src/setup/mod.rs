//! `cargo xtask setup`: looks before it installs, so that a second run changes nothing, needs no
//! network and takes about a second.

mod apt;
mod collector;
mod fetched;
mod go;
mod maven;
mod npm;
mod packages;
mod python;
mod toolchain;

use anyhow::Result;

pub use collector::binary as collector;
pub use maven::{directory as maven, java_agent};
pub use npm::directory as npm;
pub use python::{interpreter as python, tools as python_tools};

/// Installs whatever is missing.
///
/// # Errors
/// When the eBPF toolchain cannot be had, or an installation fails.
pub fn setup() -> Result<()> {
    toolchain::ensure()?;
    packages::ensure()?;
    python::ensure()?;
    collector::ensure();
    go::ensure();
    maven::ensure();
    npm::ensure();
    println!("setup: complete");
    Ok(())
}

/// Installs what virtual machines need, without a word where it is there; kernels are fetched when
/// they are used.
///
/// # Errors
/// When an installation fails.
pub fn machines() -> Result<()> {
    let is_there = python_tools().join("vng").is_file() && packages::has_machines();
    if is_there {
        return Ok(());
    }
    packages::ensure()?;
    python::ensure()
}
