//! Servers that refuse to run as root.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::unistd::User;
use tempfile::TempDir;

/// A user without rights of its own: whom Debian's `nobody` and most systems' is.
const NOBODY: &str = "nobody";

/// A directory that such a server can call its own, removed when dropped.
///
/// # Errors
/// Without root, or a user `nobody`.
pub fn unprivileged_dir() -> Result<TempDir> {
    given(crate::temp_dir()?)
}

/// The same in memory, for servers that wait for the disk at each step of their installation.
///
/// # Errors
/// When the directory cannot be created, or there is no such user.
pub fn unprivileged_dir_in_memory() -> Result<TempDir> {
    const MEMORY: &str = "/dev/shm";
    let mut builder = tempfile::Builder::new();
    let directory = builder.prefix("clewt-").tempdir_in(MEMORY);
    given(directory.context("creating a directory in memory")?)
}

fn given(directory: TempDir) -> Result<TempDir> {
    let Some(nobody) = User::from_name(NOBODY)? else {
        bail!("there is no user {NOBODY}");
    };
    let path = directory.path();
    chown(path, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw()))
        .with_context(|| format!("giving {} to {NOBODY}", path.display()))?;
    Ok(directory)
}

/// The command for a program that runs as that user, in its directory.
#[must_use]
pub fn unprivileged(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", NOBODY, "--regid", "nogroup", "--clear-groups"])
        .arg("--")
        .arg(program)
        .current_dir(directory)
        .env("HOME", directory);
    command
}

/// A program in the folders where packages of several versions put theirs, the last one by name;
/// `folders` has one `*` for the version.
///
/// # Errors
/// Where none is installed.
pub fn versioned(folders: (&str, &str), program: &str) -> Result<std::path::PathBuf> {
    let (before, after) = folders;
    let versions = fs::read_dir(before).into_iter().flatten().flatten();
    let mut found: Vec<_> = versions
        .map(|version| version.path().join(after).join(program))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found
        .pop()
        .with_context(|| format!("{program} is not installed in {before}/*/{after}"))
}
