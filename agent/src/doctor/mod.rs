//! `clew doctor`: what works on this host, why not, what is lost by it, what to do.
//!
//! A report is data; [`render_text`] and [`render_json`] show it. [`host_checks`] makes the checks
//! that need no BPF, [`hook_checks`] loads what `clew run` would load.
//!
//! Exit code: 0 if everything required works (less may be degraded or missing: the report says
//! what that costs), 1 if something required is missing and tracing cannot work. There is no third
//! code for "works with less": almost every host lacks something that is optional, and scripts
//! would take it for a failure.

mod capabilities;
mod hooks;
mod host;
mod logs;
mod render;

pub use hooks::hook_checks;
pub use host::host_checks;
pub use render::{SCHEMA_VERSION, render_json, render_text};

use serde::Serialize;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The kernel's release, as `uname -r` gives it.
    pub kernel: String,
    /// The checks, in the order in which they matter.
    pub checks: Vec<Check>,
}

/// Whether something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does.
    Works,
    /// It does, with less than everything; or it could not be found out whether it does.
    Degraded,
    /// It does not.
    Missing,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A short name that stays the same between versions: `btf`, `capability.bpf`.
    pub name: String,
    /// What it is needed for.
    pub what_for: String,
    /// Whether it works.
    pub status: Status,
    /// What was seen: why it does not work, or what exactly works. May be empty.
    pub detail: String,
    /// What is lost where it does not work.
    pub lost: String,
    /// What to do about it.
    pub remedy: String,
    /// Tracing cannot work without it.
    pub required: bool,
}

impl Check {
    /// Something that works.
    pub fn works(name: &str, what_for: &str, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            what_for: what_for.to_owned(),
            status: Status::Works,
            detail: detail.into(),
            lost: String::new(),
            remedy: String::new(),
            required: false,
        }
    }

    /// The same check with a less good outcome: why, what is lost, what to do.
    #[must_use]
    pub fn but(self, status: Status, detail: impl Into<String>, lost: &str, remedy: &str) -> Self {
        Self {
            status,
            detail: detail.into(),
            lost: lost.to_owned(),
            remedy: remedy.to_owned(),
            ..self
        }
    }

    /// The same check, as one without which tracing cannot work.
    #[must_use]
    pub fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }

    const fn prevents_tracing(&self) -> bool {
        self.required && matches!(self.status, Status::Missing)
    }
}

impl Report {
    /// Whether tracing can work on this host.
    #[must_use]
    pub fn can_trace(&self) -> bool {
        !self.checks.iter().any(Check::prevents_tracing)
    }

    /// The exit code of `clew doctor`: 0 if tracing can work, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.can_trace())
    }
}
