//! The compiler and linker for the kernel programs.

use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::apt;
use crate::command;
use crate::ebpf::{self, Toolchain};

/// Debian's compiler, with `core` for BPF prebuilt; no build-std, no nightly.
const DEBIAN_PACKAGES: [&str; 3] = [
    "rustc-web",
    "libstd-rust-web-dev",
    "libstd-rust-web-dev-bpf",
];

/// Sees to a ready toolchain: the one that is ready, else Debian's where there are its packages,
/// else nightly where rustup can add `rust-src` to it.
pub fn ensure() -> Result<()> {
    if let Some(toolchain) = Toolchain::ready()? {
        println!("eBPF toolchain: {toolchain:?}, present");
        return Ok(());
    }
    let chosen = match Toolchain::forced()? {
        Some(Toolchain::Debian) => debian().map(|()| Toolchain::Debian),
        Some(Toolchain::Nightly) => nightly().map(|()| Toolchain::Nightly),
        None => debian().map(|()| Toolchain::Debian).or_else(|error| {
            println!("eBPF toolchain: not Debian's ({error:#}); trying nightly");
            nightly().map(|()| Toolchain::Nightly)
        }),
    };
    println!(
        "eBPF toolchain: {:?}, installed",
        chosen.context("no toolchain for eBPF")?
    );
    Ok(())
}

fn nightly() -> Result<()> {
    if Toolchain::Nightly.llvm().is_none() {
        ensure!(command::find("rustup").is_some(), "there is no rustup");
        let nightly = ebpf::nightly();
        let has_nightly =
            command::output(Command::new("rustup").args(["run", &nightly, "rustc", "-V"]));
        let mut rustup = Command::new("rustup");
        if has_nightly.is_some() {
            // Adding to it, not updating it: it is its owner's.
            rustup.args(["component", "add", "rust-src", "--toolchain", &nightly]);
        } else {
            rustup.args(["toolchain", "install", &nightly, "--profile", "minimal"]);
            rustup.args(["--component", "rust-src"]);
        }
        command::run(&mut rustup)?;
    }
    let llvm = Toolchain::Nightly
        .llvm()
        .context("rustup's nightly still lacks rust-src")?;
    linker(llvm)
}

fn debian() -> Result<()> {
    if Toolchain::Debian.llvm().is_none() {
        ensure!(apt::is_available(), "this is no Debian: {REMEDY}");
        if !DEBIAN_PACKAGES.into_iter().all(apt::is_known) {
            apt::refresh()?;
        }
        if !DEBIAN_PACKAGES.into_iter().all(apt::is_known) {
            bail!(
                "this Debian has no {}: {REMEDY}",
                DEBIAN_PACKAGES.join(", ")
            );
        }
        apt::install(&DEBIAN_PACKAGES)?;
    }
    linker(
        Toolchain::Debian
            .llvm()
            .context("rustc-web still lacks `core` for BPF")?,
    )
}

const REMEDY: &str = "install rustup, `rustup toolchain install nightly --component rust-src`, \
                      and the development files of that compiler's LLVM (rustc +nightly -vV)";

fn linker(llvm: u32) -> Result<()> {
    if ebpf::llvm_prefix(llvm).is_none() && apt::is_available() {
        let package = format!("llvm-{llvm}-dev");
        if !apt::is_known(&package) {
            apt::refresh()?;
        }
        ensure!(apt::is_known(&package), "apt has no {package}");
        apt::install(&[package.as_str()])?;
    }
    ebpf::install_bpf_linker(llvm)
}
