//! Debian packages.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::command;

/// Whether this system has apt.
pub fn is_available() -> bool {
    command::find("apt-get").is_some() && command::find("dpkg-query").is_some()
}

/// Whether a package is installed.
pub fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status}", package]);
    command::output(&mut query).is_some_and(|status| status == "installed")
}

/// Whether apt knows a package. Without lists, on a machine just made, it knows none: see
/// [`refresh`].
pub fn is_known(package: &str) -> bool {
    let policy = command::output(Command::new("apt-cache").args(["policy", package]));
    policy.is_some_and(|text| text.contains("Candidate:") && !text.contains("Candidate: (none)"))
}

/// Fetches the package lists.
///
/// # Errors
/// When a source cannot be read.
pub fn refresh() -> Result<()> {
    command::run(apt_get()?.arg("update"))
}

/// Installs packages without starting the services that they bring: those would take port 80 and
/// the like, and tests start their own.
///
/// # Errors
/// When apt fails; what was installed by then stays.
pub fn install(packages: &[&str]) -> Result<()> {
    let install = || {
        command::run(
            apt_get()?
                .args(["install", "-y", "--no-install-recommends"])
                .args(packages),
        )
    };
    let quiet = NoServices::begin()?;
    // Lists that are older than the mirror name files that it no longer has.
    let installed = install().or_else(|_stale| refresh().and_then(|()| install()));
    quiet.end()?;
    installed
}

fn apt_get() -> Result<Command> {
    // `env`, because sudo may not pass the environment on.
    let mut command = command::as_root("env")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]);
    // Another apt at work is waited for.
    command.args(["-o", "DPkg::Lock::Timeout=600"]);
    Ok(command)
}

/// While it exists, Debian's maintainer scripts start no service (invoke-rc.d asks this file; 101
/// forbids).
struct NoServices {
    before: Option<Vec<u8>>,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

const FORBID: &[u8] = b"#!/bin/sh\nexit 101\n";

impl NoServices {
    fn begin() -> Result<Self> {
        let before = match fs::read(POLICY) {
            // Ours, of a run that was killed.
            Ok(script) if script == FORBID => None,
            Ok(script) => Some(script),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("reading {POLICY}")),
        };
        // One that is already there usually forbids too (containers' images), but not always.
        place(FORBID)?;
        Ok(Self { before })
    }

    /// Puts things back. Not a destructor, because failing at it must be reported.
    fn end(self) -> Result<()> {
        match self.before {
            Some(script) => place(&script),
            None => command::as_root("rm")?
                .args(["-f", POLICY])
                .status()
                .with_context(|| format!("removing {POLICY}"))
                .map(drop),
        }
    }
}

/// Writes an executable [`POLICY`].
fn place(script: &[u8]) -> Result<()> {
    let mut install = command::as_root("install")?;
    install
        .args(["-m", "755", "/dev/stdin", POLICY])
        .stdin(Stdio::piped());
    let mut child = install.spawn().context("starting install")?;
    child
        .stdin
        .take()
        .context("a pipe to install")?
        .write_all(script)?;
    let status = child.wait()?;
    if !status.success() || !Path::new(POLICY).is_file() {
        bail!("writing {POLICY}: {status}");
    }
    Ok(())
}
