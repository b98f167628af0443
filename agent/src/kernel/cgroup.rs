//! The tree of cgroups, version 2.

use std::path::PathBuf;

/// Where systemd mounts it where it is alone.
const USUAL: &str = "/sys/fs/cgroup";

/// The root of the mounted tree; the usual place where none is mounted.
#[must_use]
pub fn cgroup_root() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    PathBuf::from(mount_point(&mounts).unwrap_or(USUAL))
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
