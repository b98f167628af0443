//! Places to run real programs in: network namespaces that stand for hosts, virtual machines with
//! other kernels, processes, temporary directories. Each is a guard: what it made ends with it, also when a test fails half-way.
//!
//! Everything here needs root, `ip` (iproute2), and nothing of the host's own network: bridges and
//! cables live inside the namespaces, so no interface, address or port of the host is taken.

#![forbid(unsafe_code)]

mod deadline;
mod machine;
mod namespace;
mod network;
mod process;
mod tap;

pub use deadline::Deadline;
pub use machine::{Machine, kernel_image};
pub use namespace::Namespace;
pub use network::{Host, Network};
pub use process::Process;
pub use tap::Tap;

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
