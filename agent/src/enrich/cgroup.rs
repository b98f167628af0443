//! Which container a process is in, from the lines of `/proc/PID/cgroup`.
//!
//! There is no standard; container runtimes and init systems each have their own shape of path,
//! listed in the tests. All put a container's id (64 hexadecimal digits, most of them) into one
//! component, bare or as `<runtime>-<id>.scope`. The innermost one wins: a node that is itself a
//! container (kind, Docker in Docker) has its id further out.

/// What a cgroup path says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// The container's id, `container.id`.
    pub id: Option<String>,
    /// The pod's UID, `k8s.pod.uid`, with dashes.
    pub pod: Option<String>,
}

/// Scopes of runtimes' helpers: they live beside the container, not in it.
const HELPERS: [&str; 2] = ["crio-conmon-", "libpod-conmon-"];

/// The paths of `/proc/PID/cgroup`, without repetitions; the unified hierarchy's first.
///
/// Lines are `hierarchy:controllers:path` (cgroups(7)); the unified one's begins with `0::`. On
/// hosts with cgroup v1, or both, containers are told by the v1 hierarchies alone.
pub fn paths(text: &str) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    let mut add = |line: &str| {
        let path = line.splitn(3, ':').nth(2);
        if let Some(path) = path.filter(|path| path.starts_with('/') && *path != "/")
            && !paths.iter().any(|known| known == path)
        {
            paths.push(path.to_owned());
        }
    };
    let unified = |line: &&str| line.starts_with("0::");
    text.lines().filter(unified).for_each(&mut add);
    text.lines()
        .filter(|line| !unified(line))
        .for_each(&mut add);
    paths
}

/// The container that any of the paths names.
#[must_use]
pub fn container_of(paths: &[String]) -> Container {
    let mut found = Container::default();
    for path in paths {
        // containerd told to use systemd's names on cgroupfs joins three parts by colons:
        // `<slice>:cri-containerd:<id>`.
        let components = || path.rsplit(['/', ':']).filter(|part| !part.is_empty());
        if components().any(|part| HELPERS.iter().any(|helper| part.starts_with(helper))) {
            continue;
        }
        if found.id.is_none() {
            found.id = components().find_map(container_id);
        }
        if found.pod.is_none() {
            found.pod = components().find_map(pod_uid);
        }
    }
    found
}

fn container_id(component: &str) -> Option<String> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    // `docker-<id>`, `cri-containerd-<id>`, `crio-<id>`, `libpod-<id>`.
    let last = name.rsplit('-').next().unwrap_or(name);
    if is_hexadecimal(last, 64) {
        return Some(last.to_owned());
    }
    // AWS Fargate: `<32 hexadecimal digits>-<number>`.
    if let Some((task, number)) = name.split_once('-')
        && is_hexadecimal(task, 32)
        && (5..=20).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(name.to_owned());
    }
    None
}

/// `pod<uid>`, or `kubepods-burstable-pod<uid with underscores>.slice`.
fn pod_uid(component: &str) -> Option<String> {
    let name = component.strip_suffix(".slice").unwrap_or(component);
    let at = name.rfind("pod").filter(|at| {
        let before = &name[..*at];
        before.is_empty() || before.ends_with('-')
    })?;
    let uid = name[at + 3..].replace('_', "-");
    let lengths: Vec<_> = uid.split('-').map(str::len).collect();
    let digits = uid.replace('-', "");
    // Static pods have a hash instead of a UUID: 32 digits without dashes.
    let shaped = matches!(lengths[..], [8, 4, 4, 4, 12] | [32]);
    (shaped && is_hexadecimal(&digits, 32)).then_some(uid)
}

fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3dd988081e7149463c043b5d9c57d7309e079c5e9290f91feba1cc45a04d6a5b";
    const B: &str = "e857a4bf05a69080a759574949d7a0e69572e27647800fa7faff6a05a8332aa1";
    const UID: &str = "2f6b3a5c-9d1e-4b7a-8c0d-1e2f3a4b5c6d";

    #[test]
    fn layouts() {
        let uid = UID.replace('-', "_");
        let static_pod = "d2b8a1f4c3e5967081726354a5b6c7d8";
        for (name, text, id, pod) in [
            ("host, root cgroup", "0::/\n".to_owned(), None, None),
            (
                "systemd service",
                "0::/system.slice/nginx.service\n".into(),
                None,
                None,
            ),
            (
                "systemd session",
                "0::/user.slice/user-1000.slice/session-3.scope\n".into(),
                None,
                None,
            ),
            (
                "docker, systemd, v2",
                format!("0::/system.slice/docker-{A}.scope\n"),
                Some(A),
                None,
            ),
            (
                "docker, cgroupfs, v2",
                format!("0::/docker/{A}\n"),
                Some(A),
                None,
            ),
            (
                "docker, v1",
                format!("12:pids:/docker/{A}\n11:memory:/docker/{A}\n1:name=systemd:/docker/{A}\n"),
                Some(A),
                None,
            ),
            (
                "docker, hybrid",
                format!("5:memory:/docker/{A}\n1:name=systemd:/docker/{A}\n0::/\n"),
                Some(A),
                None,
            ),
            (
                "docker, rootless",
                format!(
                    "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope\n"
                ),
                Some(A),
                None,
            ),
            (
                "docker, with systemd inside",
                format!("0::/docker/{A}/init.scope\n"),
                Some(A),
                None,
            ),
            (
                "podman, root",
                format!("0::/machine.slice/libpod-{A}.scope/container\n"),
                Some(A),
                None,
            ),
            (
                "podman, rootless",
                format!(
                    "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope\n"
                ),
                Some(A),
                None,
            ),
            (
                "podman, cgroupfs",
                format!("0::/libpod_parent/libpod-{A}\n"),
                Some(A),
                None,
            ),
            (
                "podman's monitor",
                format!("0::/machine.slice/libpod-conmon-{A}.scope\n"),
                None,
                None,
            ),
            (
                "containerd without Kubernetes",
                format!("0::/system.slice/nerdctl-{A}.scope\n"),
                Some(A),
                None,
            ),
            (
                "containerd, cgroupfs",
                format!("0::/default/{A}\n"),
                Some(A),
                None,
            ),
            (
                "Kubernetes, containerd, systemd",
                format!(
                    "0::/kubepods.slice/kubepods-burstable.slice/\
                     kubepods-burstable-pod{uid}.slice/cri-containerd-{A}.scope\n"
                ),
                Some(A),
                Some(UID),
            ),
            (
                "Kubernetes, guaranteed, CRI-O, systemd",
                format!("0::/kubepods.slice/kubepods-pod{uid}.slice/crio-{A}.scope\n"),
                Some(A),
                Some(UID),
            ),
            (
                "Kubernetes, CRI-O, with a cgroup inside",
                format!("0::/kubepods.slice/kubepods-pod{uid}.slice/crio-{A}.scope/container\n"),
                Some(A),
                Some(UID),
            ),
            (
                "CRI-O's monitor",
                format!("0::/kubepods.slice/kubepods-pod{uid}.slice/crio-conmon-{A}.scope\n"),
                None,
                None,
            ),
            (
                "Kubernetes, cgroupfs",
                format!("0::/kubepods/besteffort/pod{UID}/{A}\n"),
                Some(A),
                Some(UID),
            ),
            (
                "Kubernetes, cgroupfs, v1",
                format!(
                    "11:cpu,cpuacct:/kubepods/burstable/pod{UID}/{A}\n\
                     1:name=systemd:/kubepods/burstable/pod{UID}/{A}\n"
                ),
                Some(A),
                Some(UID),
            ),
            (
                "Kubernetes, static pod",
                format!("0::/kubepods/burstable/pod{static_pod}/{A}\n"),
                Some(A),
                Some(static_pod),
            ),
            (
                "Kubernetes, containerd, systemd names under cgroupfs",
                format!(
                    "0::/system.slice/containerd.service/kubepods-burstable-pod{uid}.slice:cri-containerd:{A}\n"
                ),
                Some(A),
                Some(UID),
            ),
            (
                "kind: a node in a container",
                format!(
                    "0::/docker/{B}/kubelet.slice/kubelet-kubepods.slice/\
                     kubelet-kubepods-pod{uid}.slice/cri-containerd-{A}.scope\n"
                ),
                Some(A),
                Some(UID),
            ),
            (
                "seen from inside of a cgroup namespace",
                format!("0::/../../kubepods-pod{uid}.slice/cri-containerd-{A}.scope\n"),
                Some(A),
                Some(UID),
            ),
            (
                "Amazon ECS on EC2",
                format!("9:memory:/ecs/5a0d5ceddf6c44c1928d367a815d890f/{A}\n"),
                Some(A),
                None,
            ),
            (
                "AWS Fargate",
                "1:name=systemd:/ecs/5a0d5ceddf6c44c1928d367a815d890f/\
                 5a0d5ceddf6c44c1928d367a815d890f-1234567890\n"
                    .into(),
                Some("5a0d5ceddf6c44c1928d367a815d890f-1234567890"),
                None,
            ),
            (
                "an id that is too short",
                format!("0::/docker/{}\n", &A[..63]),
                None,
                None,
            ),
            (
                "pods that are none",
                "0::/podman/tripod/pod12\n".into(),
                None,
                None,
            ),
            ("garbage", "\n:\n::\n0::\n1:2\nabc\n".into(), None, None),
        ] {
            let found = container_of(&paths(&text));
            assert_eq!(
                (found.id.as_deref(), found.pod.as_deref()),
                (id, pod),
                "{name}: {text}"
            );
        }
    }

    #[test]
    fn the_unified_path_comes_first_and_none_twice() {
        assert_eq!(
            paths("3:cpu:/a\n2:memory:/a\n1:name=systemd:/b:c\n0::/d\n"),
            ["/d", "/a", "/b:c"]
        );
    }
}
