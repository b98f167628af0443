//! The agent, with the kernel programs inside.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::ebpf::{self, Architecture};
use crate::{command, workspace};

/// How much the compiler optimises the agent. The kernel programs are always optimised: the
/// kernel's verifier refuses what comes out otherwise.
#[derive(Clone, Copy)]
pub enum Profile {
    Dev,
    Release,
}

/// Builds the agent for this host; returns the binary's absolute path.
pub fn agent(profile: Profile) -> Result<PathBuf> {
    agent_for(profile, None)
}

/// Builds the agent for a target, this host without one; returns the binary's absolute path.
pub fn agent_for(profile: Profile, target: Option<&str>) -> Result<PathBuf> {
    let architecture = target.map_or_else(Architecture::here, Architecture::of)?;
    let object = ebpf::build(architecture)?;
    let mut cargo = command::cargo();
    cargo
        .args(["build", "--package", "clew"])
        .env("CLEW_EBPF_OBJECT", &object);
    let mut directory = workspace::target_dir();
    if let Some(target) = target {
        cargo.args(["--target", target]);
        directory.push(target);
        if architecture != Architecture::here()? {
            with_cross_linker(&mut cargo, target)?;
        }
    }
    match profile {
        Profile::Dev => directory.push("debug"),
        Profile::Release => {
            cargo.arg("--release");
            directory.push("release");
        }
    }
    command::run(cargo.current_dir(workspace::root()))?;
    let binary = directory.join("clew");
    println!("built {}", binary.display());
    Ok(binary)
}

/// Names the linker for a target of another architecture, which cargo would not find: Debian's,
/// unless the caller has named one.
fn with_cross_linker(cargo: &mut Command, target: &str) -> Result<()> {
    let variable = format!(
        "CARGO_TARGET_{}_LINKER",
        target.to_uppercase().replace('-', "_")
    );
    if std::env::var_os(&variable).is_some() {
        return Ok(());
    }
    let compiler = format!("{}-gcc", target.replace("-unknown-", "-"));
    ensure!(
        command::find(&compiler).is_some(),
        "{compiler} is missing, which compiles and links for {target}: install it (Debian: \
         gcc-aarch64-linux-gnu, gcc-x86-64-linux-gnu), and run `rustup target add {target}`; or name \
         another in {variable}"
    );
    cargo.env(variable, compiler);
    Ok(())
}
