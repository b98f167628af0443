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
///
/// With [`Cgroup::limiting`] a group that limits what is in it, of whichever version the system has for
/// that.
#[derive(Debug)]
pub struct Cgroup {
    directory: PathBuf,
    path: String,
    version: Version,
}

/// Systems may have some controllers in trees of their own (version 1), and the others, or none, in the one
/// tree of version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One tree for each controller: a process may be in a group of each.
    One,
    /// One tree: a process is in one group.
    Two,
}

impl Cgroup {
    /// Creates a group directly below the root of the tree. Its name is
    /// `clewt-<pid of the owner>-<number>`; the first call in a process removes those of owners that
    /// no longer exist.
    ///
    /// # Errors
    /// Without root, or where no cgroup v2 tree is mounted.
    pub fn new() -> Result<Self> {
        Self::within(&root()?, Version::Two)
    }

    /// Creates a group in the tree that has this controller (`memory`, `cpu`), directly below its root.
    ///
    /// # Errors
    /// Without root, or where the kernel has no such controller.
    pub fn limiting(controller: &str) -> Result<Self> {
        if let Some(root) = tree_of(controller)? {
            return Self::within(&root, Version::One);
        }
        let group = Self::new()?;
        group.enable(controller)?;
        Ok(group)
    }

    /// Has the root of a tree of version 2 pass a controller on to this group and its siblings.
    ///
    /// # Errors
    /// Where the kernel has no such controller, or it is in a tree of its own.
    pub fn enable(&self, controller: &str) -> Result<()> {
        let parent = self.directory.parent().context("the root of the tree")?;
        std::fs::write(
            parent.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )
        .with_context(|| format!("the controller {controller}"))
    }

    fn within(root: &str, version: Version) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static STALE: Once = Once::new();
        STALE.call_once(|| {
            let trees = ["memory", "cpu"].map(|controller| tree_of(controller).ok().flatten());
            for root in trees.into_iter().flatten().chain(self::root().ok()) {
                remove_stale(&root);
            }
        });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/{PREFIX}{}-{number}", std::process::id());
        Self::at(root, &path, version)
    }

    /// Creates a group below this one.
    ///
    /// # Errors
    /// When the kernel refuses, as it does for a name that is there.
    pub fn below(&self, name: &str) -> Result<Self> {
        let path = format!("{}/{name}", self.path);
        let tree = self
            .directory
            .to_str()
            .and_then(|directory| directory.strip_suffix(&self.path));
        Self::at(tree.context("a tree's root in UTF-8")?, &path, self.version)
    }

    fn at(root: &str, path: &str, version: Version) -> Result<Self> {
        let directory = PathBuf::from(format!("{root}{path}"));
        std::fs::create_dir(&directory)
            .with_context(|| format!("creating the cgroup {}", directory.display()))?;
        Ok(Self {
            directory,
            path: path.to_owned(),
            version,
        })
    }

    /// The version of its tree.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Sets one of its files, which has these names in versions 1 and 2.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set(&self, names: [&str; 2], value: &str) -> Result<()> {
        let file = self.file(names);
        std::fs::write(&file, value)
            .with_context(|| format!("writing {value} to {}", file.display()))
    }

    /// What is in one of its files.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, names: [&str; 2]) -> Result<String> {
        let file = self.file(names);
        std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))
    }

    fn file(&self, [one, two]: [&str; 2]) -> PathBuf {
        self.directory.join(match self.version {
            Version::One => one,
            Version::Two => two,
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

fn remove_stale(root: &str) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
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
    mounted("cgroup2", |_| true)?.context("no cgroup v2 tree is mounted")
}

/// Where the tree of a controller of version 1 is mounted.
fn tree_of(controller: &str) -> Result<Option<String>> {
    mounted("cgroup", |options| {
        options.split(',').any(|option| option == controller)
    })
}

fn mounted(kind: &str, is_wanted: impl Fn(&str) -> bool) -> Result<Option<String>> {
    let mounts = std::fs::read_to_string("/proc/mounts").context("reading /proc/mounts")?;
    let mut mounts = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let found = mounts.find(|fields| fields.len() > 3 && fields[2] == kind && is_wanted(fields[3]));
    Ok(found.map(|fields| fields[1].to_owned()))
}
