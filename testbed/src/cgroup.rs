//! Control groups.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::Deadline;

/// As for network namespaces: what a killed owner left behind is known as such.
const PREFIX: &str = "clewt-";

/// From the last process's end until the kernel lets go of the group.
const EMPTIES_WITHIN: Duration = Duration::from_secs(5);

/// A group of the cgroup v2 tree that stands for a host, or for a container on one. When dropped,
/// every process still in it or below is killed and it is deleted.
///
/// Together with a network namespace it makes a small host: an agent can be told to see nothing but
/// this group.
#[derive(Debug)]
pub struct Cgroup {
    directory: PathBuf,
    path: String,
}

impl Cgroup {
    /// Creates a group directly below the root of the tree. Its name is
    /// `clewt-<pid of the owner>-<number>`; the first call in a process removes those of owners that
    /// no longer exist.
    ///
    /// # Errors
    /// Without root, or where no cgroup v2 tree is mounted.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static STALE: Once = Once::new();
        STALE.call_once(remove_stale);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::at(&format!("/{PREFIX}{}-{number}", std::process::id()))
    }

    /// Creates a group below this one.
    ///
    /// # Errors
    /// When the kernel refuses, as it does for a name that is there.
    pub fn below(&self, name: &str) -> Result<Self> {
        Self::at(&format!("{}/{name}", self.path))
    }

    fn at(path: &str) -> Result<Self> {
        let directory = PathBuf::from(format!("{}{path}", root()?));
        std::fs::create_dir(&directory)
            .with_context(|| format!("creating the cgroup {}", directory.display()))?;
        Ok(Self {
            directory,
            path: path.to_owned(),
        })
    }

    /// Its path as proc_pid_cgroup(5) shows it: from the root of the tree, not of the file system.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its directory in the file system.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The command as a member of the group from its first instruction on. Keeps its arguments,
    /// environment and directory; its outputs are to be set on what is returned.
    #[must_use]
    pub fn member(&self, command: &Command) -> Command {
        // The shell moves itself, then becomes the program.
        let mut member = Command::new("/bin/sh");
        member.args(["-c", r#"echo $$ > "$0"/cgroup.procs && exec "$@""#]);
        member.arg(&self.directory).arg(command.get_program());
        member.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => member.env(name, value),
                None => member.env_remove(name),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            member.current_dir(directory);
        }
        member
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

/// Removes a group and what is in it; says so where that fails.
fn remove(directory: &Path) {
    // Kernel 5.14 and later. Before, whoever started the members ends them.
    let _absent = std::fs::write(directory.join("cgroup.kill"), "1");
    let removed = Deadline::after(EMPTIES_WITHIN).poll(|| std::fs::remove_dir(directory).ok());
    if removed.is_none()
        && let Err(error) = std::fs::remove_dir(directory)
    {
        eprintln!("cgroup {} was not removed: {error}", directory.display());
    }
}

fn remove_stale() {
    let Some(entries) = root().ok().and_then(|root| std::fs::read_dir(root).ok()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        let Some(Ok(owner)) = owner.map(str::parse::<u32>) else {
            continue;
        };
        if Path::new(&format!("/proc/{owner}")).exists() {
            continue;
        }
        for inner in std::fs::read_dir(entry.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            if inner.path().is_dir() {
                remove(&inner.path());
            }
        }
        remove(&entry.path());
    }
}

/// Where the cgroup v2 tree is mounted (proc_pid_mounts(5)): hybrid systems have it in another place
/// than `/sys/fs/cgroup`.
///
/// # Errors
/// Where none is.
pub fn root() -> Result<String> {
    let mounts = std::fs::read_to_string("/proc/mounts").context("reading /proc/mounts")?;
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&"cgroup2"))
        .map(|fields| fields[1].to_owned())
        .context("no cgroup v2 tree is mounted")
}
