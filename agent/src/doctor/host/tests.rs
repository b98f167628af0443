use std::path::PathBuf;

use super::*;

/// A host made of files, removed with it.
struct TestHost(PathBuf);

impl TestHost {
    fn new(name: &str, files: &[(&str, &str)], namespaces: &[(&str, u64)]) -> Self {
        let folder = format!("clew-doctor-{}-{name}", std::process::id());
        let root = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(root.join("proc/self/ns")).expect("the temporary folder works");
        for (path, text) in files {
            let path = root.join(path);
            let folder = path.parent().expect("below the root");
            std::fs::create_dir_all(folder).expect("the temporary folder works");
            std::fs::write(&path, text).expect("the temporary folder works");
        }
        for (name, inode) in namespaces {
            let link = root.join("proc/self/ns").join(name);
            std::os::unix::fs::symlink(format!("{name}:[{inode}]"), link)
                .expect("the temporary folder works");
        }
        Self(root)
    }

    fn statuses(&self) -> Vec<(String, Status)> {
        let (_, checks) = host_checks(&self.0);
        let pairs = checks.into_iter().map(|check| (check.name, check.status));
        pairs.collect()
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        // A leftover in the folder for temporary files harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const GOOD: [(&str, &str); 5] = [
    ("proc/sys/kernel/osrelease", "6.12.0-amd64\n"),
    ("proc/self/status", "CapEff:\t000001ffffffffff\n"),
    ("sys/kernel/btf/vmlinux", "btf"),
    (
        "sys/kernel/security/lockdown",
        "none [integrity] confidentiality\n",
    ),
    (
        "proc/self/mountinfo",
        "42 31 0:39 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
    ),
];
const INITIAL: [(&str, u64); 2] = [("pid", INITIAL_PID), ("cgroup", INITIAL_CGROUP)];

#[test]
fn a_good_host() {
    let host = TestHost::new("good", &GOOD, &INITIAL);
    let (release, checks) = host_checks(&host.0);
    assert_eq!(release, "6.12.0-amd64");
    for check in &checks {
        assert_eq!(check.status, Status::Works, "{check:?}");
    }
    let names: Vec<_> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "kernel",
            "btf",
            "lockdown",
            "capability.bpf",
            "capability.perfmon",
            "capability.net_admin",
            "capability.sys_nice",
            "capability.sys_ptrace",
            "capability.dac_read_search",
            "pid_namespace",
            "cgroup2",
            "cgroup_namespace",
        ]
    );
}

/// Each file with what becomes of its check.
#[test]
fn one_thing_at_a_time() {
    use Status::{Degraded, Missing, Works};
    for (name, file, text, check, wanted) in [
        (
            "old",
            "proc/sys/kernel/osrelease",
            "4.19.0",
            "kernel",
            Missing,
        ),
        (
            "fair",
            "proc/sys/kernel/osrelease",
            "5.15.0",
            "kernel",
            Works,
        ),
        ("odd", "proc/sys/kernel/osrelease", "x", "kernel", Degraded),
        (
            "closed",
            "sys/kernel/security/lockdown",
            "none integrity [confidentiality]",
            "lockdown",
            Missing,
        ),
        (
            "open",
            "sys/kernel/security/lockdown",
            "[none] integrity confidentiality",
            "lockdown",
            Works,
        ),
        ("v1", "proc/self/mountinfo", "", "cgroup2", Missing),
        (
            "user",
            "proc/self/status",
            "CapEff:\t0000000000000000\n",
            "capability.bpf",
            Missing,
        ),
    ] {
        let files: Vec<_> = GOOD
            .iter()
            .map(|(path, good)| (*path, if *path == file { text } else { *good }))
            .collect();
        let host = TestHost::new(name, &files, &INITIAL);
        let statuses = host.statuses();
        let found = statuses.iter().find(|(found, _)| found == check);
        assert_eq!(found.map(|(_, status)| *status), Some(wanted), "{name}");
    }
}

#[test]
fn inside_of_a_container() {
    let host = TestHost::new("container", &GOOD, &[("pid", 4_026_532_000), ("cgroup", 1)]);
    let statuses = host.statuses();
    for wanted in [
        ("pid_namespace".to_owned(), Status::Missing),
        ("cgroup_namespace".to_owned(), Status::Degraded),
    ] {
        assert!(statuses.contains(&wanted), "{wanted:?} in {statuses:?}");
    }
}

#[test]
fn locked_memory_matters_on_old_kernels() {
    let mut files = GOOD.to_vec();
    files[0].1 = "5.10.0-30-amd64";
    for (name, limit, wanted) in [
        ("limited", "65536", Status::Degraded),
        ("unlimited", "unlimited", Status::Works),
    ] {
        let limits = format!(
            "Limit                     Soft Limit           Hard Limit           Units\n\
             Max locked memory         {limit}                65536                bytes\n"
        );
        let mut files = files.clone();
        files.push(("proc/self/limits", &limits));
        let host = TestHost::new(name, &files, &INITIAL);
        let found = ("locked_memory".to_owned(), wanted);
        assert!(host.statuses().contains(&found), "{:?}", host.statuses());
    }
}

/// Nothing to read at all: nothing panics, nothing is claimed to work but what needs no file.
#[test]
fn an_empty_host() {
    let host = TestHost::new("empty", &[], &[]);
    for (name, status) in host.statuses() {
        assert_ne!(status, Status::Works, "{name}");
    }
}
