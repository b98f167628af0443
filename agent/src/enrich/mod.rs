//! Who is behind a span: the process, its container, its host; and whether it is to be traced.
//!
//! What the kernel's event said comes first, `/proc` second, the parent process third: a process
//! may be gone before anyone looks. Of a process's environment only the two variables that
//! OpenTelemetry defines for this purpose are read; nothing else of it is kept.

mod cgroup;
mod host;
mod identity;
mod proc;
mod processes;
mod resource;
mod scope;
mod service;
#[cfg(test)]
mod testing;
mod variables;

pub use cgroup::{Container, container_of};
pub use host::Host;
pub use identity::Identity;
pub use proc::{ProcFs, ProcSource, Stat, cgroup2_mount};
pub use processes::{Exec, Processes};
pub use scope::{Filter, Verdict};
pub use service::service_name;
pub use variables::Declared;
