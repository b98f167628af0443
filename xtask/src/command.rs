//! Other programs, called by name.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

/// Announces the command, runs it with this process's outputs, and fails where it does.
pub fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("starting {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    Ok(())
}

/// What a command that succeeds prints; `None` where it fails, or is not there.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where a program is. The administrator's directories count although a plain user's PATH may
/// lack them.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    directories
        .into_iter()
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// A command that runs as root: itself where this is root, through sudo otherwise.
pub fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    let program = program.as_ref();
    if nix::unistd::geteuid().is_root() {
        return Ok(Command::new(program));
    }
    if find("sudo").is_none() {
        bail!(
            "{} has to run as root, and there is no sudo: repeat this as root",
            program.to_string_lossy()
        );
    }
    let mut command = Command::new("sudo");
    command.arg("--preserve-env").arg(program);
    Ok(command)
}

/// The cargo that runs this.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Set when this process is told to end: by Ctrl-C, by its supervisor, or with its terminal.
///
/// # Errors
/// When the signals cannot be handled.
pub fn told_to_end() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signal_hook::flag::register(signal as i32, Arc::clone(&stop))
            .with_context(|| format!("handling {signal}"))?;
    }
    Ok(stop)
}
