//! What `/proc` says of processes, behind a trait so that tests need no processes.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most that is read of one file of a process.
const READ_MAX: u64 = 64 * 1024;
/// The most cgroups that are looked through for one id.
const CGROUPS_MAX: usize = 20_000;

/// The files of a process. Every answer may be absent: the process is gone, or not ours to read.
pub trait ProcSource: Send {
    /// Target of `exe`: the executable's path in the process's own root.
    fn executable(&self, pid: u32) -> Option<String>;
    /// `cmdline`: NUL-separated arguments.
    fn arguments(&self, pid: u32) -> Option<Vec<u8>>;
    /// `environ`: NUL-separated variables, as they were when the program started.
    fn environment(&self, pid: u32) -> Option<Vec<u8>>;
    /// `cgroup`.
    fn cgroups(&self, pid: u32) -> Option<String>;
    /// `comm` and start time (clock ticks since boot), from `stat`.
    fn stat(&self, pid: u32) -> Option<Stat>;
    /// The path, in the unified hierarchy, of the cgroup with this id (its folder's inode number).
    fn cgroup_path(&self, id: u64) -> Option<String>;
}

/// What is used of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The name (`comm`).
    pub name: String,
    /// Start time in clock ticks since boot: with the pid, a process's identity.
    pub start: u64,
}

/// The system's own `/proc`, and its cgroups.
#[derive(Clone, Debug)]
pub struct ProcFs {
    root: PathBuf,
    cgroups: Option<PathBuf>,
}

impl ProcFs {
    /// Reads under `root` (`/proc`), and cgroups where the mount table says that they are.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        let mounts = std::fs::read_to_string(root.join("self/mountinfo")).unwrap_or_default();
        Self {
            root: root.to_owned(),
            cgroups: cgroup2_mount(&mounts),
        }
    }

    fn read(&self, pid: u32, file: &str) -> Option<Vec<u8>> {
        let path = self.root.join(pid.to_string()).join(file);
        let mut bytes = Vec::new();
        File::open(path)
            .ok()?
            .take(READ_MAX)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(bytes)
    }

    fn read_text(&self, pid: u32, file: &str) -> Option<String> {
        let bytes = self.read(pid, file)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl ProcSource for ProcFs {
    fn executable(&self, pid: u32) -> Option<String> {
        let path = self.root.join(pid.to_string()).join("exe");
        let target = std::fs::read_link(path).ok()?;
        let target = target.to_string_lossy();
        // An executable that was replaced by an upgrade is still the same program.
        let target = target.strip_suffix(" (deleted)").unwrap_or(&target);
        Some(target.to_owned())
    }

    fn arguments(&self, pid: u32) -> Option<Vec<u8>> {
        self.read(pid, "cmdline")
    }

    fn environment(&self, pid: u32) -> Option<Vec<u8>> {
        let mut variables = self.read(pid, "environ")?;
        if variables.len() as u64 == READ_MAX {
            // The last one may be cut: better none than half a value.
            let end = variables.iter().rposition(|byte| *byte == 0).unwrap_or(0);
            variables.truncate(end);
        }
        Some(variables)
    }

    fn cgroups(&self, pid: u32) -> Option<String> {
        self.read_text(pid, "cgroup")
    }

    fn stat(&self, pid: u32) -> Option<Stat> {
        parse_stat(&self.read_text(pid, "stat")?)
    }

    fn cgroup_path(&self, id: u64) -> Option<String> {
        find_cgroup(self.cgroups.as_deref()?, id)
    }
}

/// proc(5): the second field is the name in parentheses, which may hold any character; the start
/// time is the 22nd.
fn parse_stat(text: &str) -> Option<Stat> {
    let (before, after) = text.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    let start = after.split(' ').nth(22 - 3)?.parse().ok()?;
    Some(Stat {
        name: name.to_owned(),
        start,
    })
}

/// Where the unified hierarchy is mounted, from the text of `/proc/self/mountinfo`: at
/// `/sys/fs/cgroup`, or somewhere below it on hosts that have both versions.
#[must_use]
pub fn cgroup2_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        // proc(5): … root mount-point options [optional fields] - type source options
        let (before, after) = line.split_once(" - ")?;
        let kind = after.split(' ').next()?;
        let mount_point = before.split(' ').nth(4)?;
        (kind == "cgroup2").then(|| PathBuf::from(unescape(mount_point)))
    })
}

/// Blanks, tabs, line ends and backslashes are octal escapes in mount tables.
fn unescape(text: &str) -> String {
    let mut plain = text.to_owned();
    for (escape, character) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        plain = plain.replace(escape, character);
    }
    plain
}

/// Looks for a cgroup by its id, breadth first: containers lie a few levels deep.
fn find_cgroup(mount: &Path, id: u64) -> Option<String> {
    use std::os::unix::fs::{DirEntryExt, MetadataExt};

    if std::fs::metadata(mount).ok()?.ino() == id {
        return Some("/".to_owned());
    }
    let mut folders = std::collections::VecDeque::from([mount.to_owned()]);
    let mut seen = 0;
    while let Some(folder) = folders.pop_front() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.ino() == id {
                let path = entry.path();
                let below = path.strip_prefix(mount).ok()?;
                return Some(format!("/{}", below.display()));
            }
            seen += 1;
            if seen > CGROUPS_MAX {
                return None;
            }
            folders.push_back(entry.path());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines() {
        let line = |name: &str| {
            format!("7 ({name}) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 2 3\n")
        };
        for name in ["curl", "a b", "x) S 1 (", ""] {
            let stat = Stat {
                name: name.to_owned(),
                start: 4242,
            };
            assert_eq!(parse_stat(&line(name)), Some(stat));
        }
        for text in ["", "7 (curl)", "7 (curl) S 1", "7 curl S 1"] {
            assert_eq!(parse_stat(text), None, "{text:?}");
        }
    }

    #[test]
    fn mounts() {
        for (text, wanted) in [
            ("", None),
            (
                "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw\n\
                 42 31 0:39 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
                Some("/sys/fs/cgroup/unified"),
            ),
            (
                "35 24 0:30 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
                Some("/sys/fs/cgroup"),
            ),
            ("1 1 0:1 / /a\\040b rw - cgroup2 none rw\n", Some("/a b")),
            ("1 1 0:1 / /a rw - cgroup none rw\nnonsense\n", None),
        ] {
            assert_eq!(cgroup2_mount(text), wanted.map(PathBuf::from), "{text}");
        }
    }

    /// The test's own process is one whose answers are known.
    #[test]
    fn own_process() {
        let proc = ProcFs::new(Path::new("/proc"));
        let pid = std::process::id();
        let executable = std::env::current_exe().expect("a test has an executable");
        assert_eq!(proc.executable(pid), Some(executable.display().to_string()));
        let first = std::env::args().next().expect("a test has a name");
        let arguments = proc.arguments(pid).expect("own arguments");
        assert!(arguments.starts_with(first.as_bytes()));
        assert!(proc.environment(pid).is_some());
        assert!(proc.stat(pid).is_some_and(|stat| stat.start > 0));
        assert_eq!(proc.stat(u32::MAX), None);
    }

    #[test]
    fn cgroups_are_found_by_inode() {
        use std::os::unix::fs::MetadataExt;

        let mount = std::env::temp_dir().join(format!("clew-cgroups-{}", std::process::id()));
        let deep = mount.join("a.slice/b.scope");
        std::fs::create_dir_all(&deep).expect("the folder for temporary files is writable");
        let inode = |path: &Path| std::fs::metadata(path).map(|meta| meta.ino()).unwrap_or(0);
        assert_eq!(
            find_cgroup(&mount, inode(&deep)).as_deref(),
            Some("/a.slice/b.scope")
        );
        assert_eq!(find_cgroup(&mount, inode(&mount)).as_deref(), Some("/"));
        assert_eq!(find_cgroup(&mount, 1), None);
        let removed = std::fs::remove_dir_all(&mount);
        assert!(removed.is_ok());
    }
}
