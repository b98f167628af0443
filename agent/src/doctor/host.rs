//! The checks of the host that need no BPF.

use std::path::Path;

use super::{Check, Status, capabilities};
use crate::enrich::cgroup2_mount;

/// Inode numbers of the namespaces that exist from boot on (include/linux/proc_ns.h:
/// `PROC_PID_INIT_INO`, `PROC_CGROUP_INIT_INO`).
const INITIAL_PID: u64 = 0xEFFF_FFFC;
const INITIAL_CGROUP: u64 = 0xEFFF_FFFB;

/// The oldest kernel that any capture backend works on.
const OLDEST: (u32, u32) = (5, 10);

/// Looks at the host under `root` (`/`). Gives the kernel's release and the checks.
#[must_use]
pub fn host_checks(root: &Path) -> (String, Vec<Check>) {
    let host = Host { root };
    let release = host.text("proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim().to_owned();
    let version = version(&release);
    let mut checks = vec![kernel(&release, version), host.btf(), host.lockdown()];
    let status = host.text("proc/self/status").unwrap_or_default();
    checks.extend(capabilities::checks(&status, version));
    checks.push(host.pid_namespace());
    checks.push(host.cgroup2());
    checks.push(host.cgroup_namespace());
    // See `capabilities::checks`: from 5.11 on the limit does not matter.
    if version.is_some_and(|version| version < (5, 11)) {
        checks.push(host.locked_memory());
    }
    (release, checks)
}

/// `6.18.44-cloud` to 6 and 18.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn kernel(release: &str, version: Option<(u32, u32)>) -> Check {
    let check = Check::works("kernel", "hooks on traffic", release).required();
    match version {
        None => check.but(
            Status::Degraded,
            format!("version unknown ({release:?})"),
            "",
            "mount /proc",
        ),
        Some(version) if version < OLDEST => check.but(
            Status::Missing,
            release,
            "all of it",
            "use kernel 5.10 or later",
        ),
        Some(_) => check,
    }
}

struct Host<'a> {
    root: &'a Path,
}

impl Host<'_> {
    fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }

    /// The inode number in a link such as `pid:[4026531836]`.
    fn namespace(&self, name: &str) -> Option<u64> {
        let link = self.root.join("proc/self/ns").join(name);
        let target = std::fs::read_link(link).ok()?;
        let target = target.to_str()?;
        target.split_once('[')?.1.strip_suffix(']')?.parse().ok()
    }

    fn btf(&self) -> Check {
        let check = Check::works("btf", "layout of the kernel's structures", "").required();
        let path = "sys/kernel/btf/vmlinux";
        match std::fs::metadata(self.root.join(path)) {
            Ok(metadata) => Check {
                detail: format!("/{path}, {} KiB", metadata.len() >> 10),
                ..check
            },
            Err(error) => check.but(
                Status::Missing,
                format!("/{path}: {error}"),
                "all of it",
                "use a kernel built with CONFIG_DEBUG_INFO_BTF (all large distributions' are); in a \
                 container, mount the host's /sys",
            ),
        }
    }

    /// kernel_lockdown(7). The file reads `none [integrity] confidentiality`.
    fn lockdown(&self) -> Check {
        let check = Check::works("lockdown", "reading kernel memory", "");
        let Some(text) = self.text("sys/kernel/security/lockdown") else {
            return check.but(
                Status::Degraded,
                "state unknown: securityfs is not mounted, or the kernel has no lockdown",
                "",
                "none needed where the kernel's hooks work; to know it: mount -t securityfs none \
                 /sys/kernel/security",
            );
        };
        let state = text.split(['[', ']']).nth(1).unwrap_or_default().to_owned();
        if state == "confidentiality" {
            return check.required().but(
                Status::Missing,
                state,
                "all of it: kernel programs may not read memory",
                "boot with lockdown=integrity or without lockdown",
            );
        }
        Check {
            detail: state,
            ..check
        }
    }

    fn pid_namespace(&self) -> Check {
        let check = Check::works(
            "pid_namespace",
            "find in /proc the processes that the kernel names",
            "the host's",
        );
        match self.namespace("pid") {
            Some(INITIAL_PID) => check,
            Some(_) => check.but(
                Status::Missing,
                "the agent is in a pid namespace of its own",
                "service names and containers of processes older than the agent; attributes may \
                 be those of the wrong process",
                "docker run --pid=host; in Kubernetes, hostPID: true",
            ),
            None => check.but(
                Status::Degraded,
                "unknown: /proc/self/ns/pid cannot be read",
                "",
                "mount /proc",
            ),
        }
    }

    fn cgroup2(&self) -> Check {
        let check = Check::works(
            "cgroup2",
            "pass contexts on; find processes' containers and cgroups",
            "",
        );
        let mounts = self.text("proc/self/mountinfo").unwrap_or_default();
        match cgroup2_mount(&mounts) {
            Some(path) => Check {
                detail: path.display().to_string(),
                ..check
            },
            None => check.but(
                Status::Missing,
                "no cgroup2 mount in /proc/self/mountinfo",
                "contexts in TCP options and in headers; containers of processes that end quickly",
                "mount it in a folder of its own: mkdir /run/cgroup2; \
                 mount -t cgroup2 none /run/cgroup2",
            ),
        }
    }

    fn cgroup_namespace(&self) -> Check {
        let check = Check::works(
            "cgroup_namespace",
            "see the cgroup paths of other containers",
            "the host's",
        );
        match self.namespace("cgroup") {
            Some(INITIAL_CGROUP) => check,
            Some(_) => check.but(
                Status::Degraded,
                "the agent is in a cgroup namespace of its own",
                "cgroup paths are relative to the agent's: rules on cgroups may not match",
                "docker run --cgroupns=host",
            ),
            None => check.but(
                Status::Degraded,
                "unknown: /proc/self/ns/cgroup cannot be read",
                "",
                "",
            ),
        }
    }

    fn locked_memory(&self) -> Check {
        let check = Check::works("locked_memory", "memory of maps, before kernel 5.11", "");
        let limits = self.text("proc/self/limits").unwrap_or_default();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max locked memory"));
        let soft = line.and_then(|line| line.split_whitespace().nth(3));
        match soft {
            Some("unlimited") => Check {
                detail: "unlimited".to_owned(),
                ..check
            },
            Some(bytes) => check.but(
                Status::Degraded,
                format!("limited to {bytes} bytes"),
                "maps may not be created, unless CAP_SYS_RESOURCE lets the agent raise the limit",
                "LimitMEMLOCK=infinity in a systemd unit, --ulimit memlock=-1 in docker",
            ),
            None => check.but(Status::Degraded, "unknown", "", "mount /proc"),
        }
    }
}

#[cfg(test)]
mod tests;
