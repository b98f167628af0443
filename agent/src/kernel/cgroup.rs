//! The tree of cgroups, version 2.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use tracing::warn;

/// Where systemd mounts it where it is alone.
const USUAL: &str = "/sys/fs/cgroup";

/// The directories of cgroups, or of the whole tree where none are named.
#[must_use]
pub fn cgroups(paths: &[String]) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let root = Path::new(mount_point(&mounts).unwrap_or(USUAL));
    match paths {
        [] => vec![root.to_owned()],
        paths => paths
            .iter()
            .map(|path| root.join(path.trim_start_matches('/')))
            .collect(),
    }
}

/// Opens those of the cgroups whose sockets no other agent has claimed, and claims them for as long
/// as the files are open. Two agents' contexts on one request would contradict each other.
pub(super) fn claim(cgroups: &[PathBuf]) -> Vec<File> {
    let open = |path: &PathBuf| -> io::Result<File> {
        let directory = File::open(path)?;
        flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
        Ok(directory)
    };
    let mut claimed = Vec::new();
    for path in cgroups {
        match open(path) {
            Ok(directory) => claimed.push(directory),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => warn!(
                "another clew passes contexts on for {}; this one does not",
                path.display()
            ),
            Err(error) => warn!(
                "contexts are not passed on for {}: {error} (it needs cgroup version 2)",
                path.display()
            ),
        }
    }
    claimed
}

/// The mount point of the first file system of type `cgroup2` (proc_pid_mountinfo(5)).
fn mount_point(mountinfo: &str) -> Option<&str> {
    mountinfo.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        (filesystem.split(' ').next() == Some("cgroup2")).then(|| fields.nth(4))?
    })
}

#[cfg(test)]
mod tests {
    use super::mount_point;

    #[test]
    fn the_mount_is_found() {
        let hybrid = "\
24 1 0:22 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
25 24 0:23 / /sys/fs/cgroup/cpu rw,relatime shared:3 - cgroup cgroup rw,cpu
35 24 0:33 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw";
        assert_eq!(mount_point(hybrid), Some("/sys/fs/cgroup/unified"));
        let alone = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(mount_point(alone), Some("/sys/fs/cgroup"));
        assert_eq!(mount_point("30 23 0:26 / /sys rw - sysfs sysfs rw"), None);
        assert_eq!(mount_point("cut"), None);
    }
}
