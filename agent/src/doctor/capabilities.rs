//! Which capabilities the process has (capabilities(7)).

use super::{Check, Status};

/// A capability's number in `/proc/PID/status` (include/uapi/linux/capability.h).
const DAC_READ_SEARCH: u32 = 2;
const NET_ADMIN: u32 = 12;
const SYS_NICE: u32 = 23;
const SYS_PTRACE: u32 = 19;
const SYS_ADMIN: u32 = 21;
const SYS_RESOURCE: u32 = 24;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

struct Need {
    number: u32,
    name: &'static str,
    what_for: &'static str,
    lost: &'static str,
    required: bool,
    /// Before kernel 5.8 this capability stood for it; to this day it includes it.
    or: Option<u32>,
}

const NEEDS: [Need; 7] = [
    Need {
        number: BPF,
        name: "capability.bpf",
        what_for: "load kernel programs (CAP_BPF)",
        lost: "all of it",
        required: true,
        or: Some(SYS_ADMIN),
    },
    Need {
        number: PERFMON,
        name: "capability.perfmon",
        what_for: "attach to tracepoints and read kernel memory (CAP_PERFMON)",
        lost: "all of it",
        required: true,
        or: Some(SYS_ADMIN),
    },
    Need {
        number: NET_ADMIN,
        name: "capability.net_admin",
        what_for: "send contexts to other hosts (CAP_NET_ADMIN)",
        lost: "traces that go on at other hosts, but for requests that carry a header",
        required: false,
        or: None,
    },
    Need {
        number: SYS_NICE,
        name: "capability.sys_nice",
        what_for: "read the ring before other programs get the processor (CAP_SYS_NICE)",
        lost: "chunks, counted as drops, where all processors are busy",
        required: false,
        or: None,
    },
    Need {
        number: SYS_PTRACE,
        name: "capability.sys_ptrace",
        what_for: "read other users' processes in /proc (CAP_SYS_PTRACE)",
        lost: "executable paths, and service names of processes older than the agent",
        required: false,
        or: None,
    },
    Need {
        number: DAC_READ_SEARCH,
        name: "capability.dac_read_search",
        what_for: "read files whatever their permissions (CAP_DAC_READ_SEARCH)",
        lost: "what belongs to other users, where folders are closed",
        required: false,
        // CAP_DAC_OVERRIDE.
        or: Some(1),
    },
    Need {
        number: SYS_RESOURCE,
        name: "capability.sys_resource",
        what_for: "raise the limit on locked memory, before kernel 5.11 (CAP_SYS_RESOURCE)",
        lost: "large maps on old kernels",
        required: false,
        or: None,
    },
];

/// The remedy for all of them.
const REMEDY: &str = "run as root, or grant it: AmbientCapabilities= in a systemd unit, \
                      --cap-add in docker, securityContext.capabilities in Kubernetes";

/// One check for each capability, from the text of `/proc/self/status`.
pub fn checks(status: &str, kernel: Option<(u32, u32)>) -> Vec<Check> {
    let effective = effective(status);
    NEEDS
        .iter()
        .filter(|need| {
            // From 5.11 on, BPF memory counts for the cgroup, not against RLIMIT_MEMLOCK.
            need.number != SYS_RESOURCE || kernel.is_none_or(|version| version < (5, 11))
        })
        .map(|need| need.check(effective))
        .collect()
}

impl Need {
    fn check(&self, effective: Option<u64>) -> Check {
        let check = Check::works(self.name, self.what_for, "");
        let check = if self.required {
            check.required()
        } else {
            check
        };
        let has = |number: u32| effective.map(|set| set & (1 << number) != 0);
        let or = self.or.and_then(has).unwrap_or(false);
        match has(self.number) {
            Some(true) => check,
            _ if or => check,
            Some(false) => check.but(Status::Missing, "not granted", self.lost, REMEDY),
            None => check.but(
                Status::Degraded,
                "unknown: /proc/self/status does not say",
                "",
                "mount /proc",
            ),
        }
    }
}

/// The effective set.
fn effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        const ALL: [&str; 7] = [
            "capability.bpf",
            "capability.perfmon",
            "capability.net_admin",
            "capability.sys_nice",
            "capability.sys_ptrace",
            "capability.dac_read_search",
            "capability.sys_resource",
        ];
        for (name, set, missing) in [
            ("everything", u64::MAX, &[][..]),
            ("nothing", 0, &ALL),
            ("the two that matter", 1 << BPF | 1 << PERFMON, &ALL[2..]),
            (
                "CAP_SYS_ADMIN, which includes them, and CAP_DAC_OVERRIDE",
                1 << SYS_ADMIN | 1 << 1,
                &[
                    "capability.net_admin",
                    "capability.sys_nice",
                    "capability.sys_ptrace",
                    "capability.sys_resource",
                ],
            ),
        ] {
            let status = format!("CapPrm:\tffffffffffffffff\nCapEff:\t{set:016x}\n");
            let found: Vec<_> = checks(&status, Some((5, 10)))
                .into_iter()
                .filter(|check| check.status == Status::Missing)
                .map(|check| check.name)
                .collect();
            assert_eq!(found, missing, "{name}");
        }
    }

    #[test]
    fn unknown_sets_and_new_kernels() {
        let unknown = checks("", Some((6, 1)));
        assert_eq!(unknown.len(), 6, "locked memory does not matter any more");
        assert!(unknown.iter().all(|check| check.status == Status::Degraded));
    }
}
