//! Places to run real programs in: network namespaces and cgroups that stand for hosts, virtual
//! machines with other kernels, links between them, processes, temporary directories. Each is a guard:
//! what it made ends with it, also when a test fails half-way.
//!
//! Everything here needs root, `ip` (iproute2), and nothing of the host's own network: bridges and
//! cables live inside the namespaces, so no interface, address or port of the host is taken.

#![forbid(unsafe_code)]

mod cgroup;
mod deadline;
mod impairment;
mod machine;
mod namespace;
mod network;
mod node;
mod postgres;
mod process;
mod tap;
mod unprivileged;

pub use cgroup::{Cgroup, Version as CgroupVersion, root as cgroup_root};
pub use deadline::{Deadline, slowness};
pub use impairment::Impairment;
pub use machine::{Cgroups, Machine, kernel_image, shell_line};
pub use namespace::Namespace;
pub use network::{Host, Network};
pub use node::{Node, Pod};
pub use postgres::Postgres;
pub use process::Process;
pub use tap::Tap;
pub use unprivileged::{unprivileged, unprivileged_dir, unprivileged_dir_in_memory};

use anyhow::Context as _;

/// A temporary directory, removed when dropped.
///
/// # Errors
/// When the directory cannot be created.
pub fn temp_dir() -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("clewt-")
        .tempdir()
        .context("creating a temporary directory")
}
