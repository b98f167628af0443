//! The agent, with the kernel programs inside.

use std::path::PathBuf;

use anyhow::Result;

use crate::{command, ebpf, workspace};

/// How much the compiler optimises the agent. The kernel programs are always optimised: the
/// kernel's verifier refuses what comes out otherwise.
#[derive(Clone, Copy)]
pub enum Profile {
    Dev,
    Release,
}

/// Builds the agent; returns the binary's absolute path.
pub fn agent(profile: Profile) -> Result<PathBuf> {
    let object = ebpf::build()?;
    let mut cargo = command::cargo();
    cargo
        .args(["build", "--package", "clew"])
        .env("CLEW_EBPF_OBJECT", &object);
    let directory = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    command::run(cargo.current_dir(workspace::root()))?;
    let binary = workspace::target_dir().join(directory).join("clew");
    println!("built {}", binary.display());
    Ok(binary)
}
