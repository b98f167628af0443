//! The harness of the end-to-end tests: real programs, the truth about their requests, and how
//! the exported spans compare with it.
//!
//! A test takes a [`Stage`]: a network namespace, a temporary directory, and the agent of a
//! backend. The agents trace the whole host and are shared by the tests that run side by side; a
//! test finds its own spans by the unique tokens in its URL paths. What would disturb others
//! (saturation, a stopped agent) takes a stage of its own.

#![forbid(unsafe_code)]

pub mod agent;
pub mod baseline;
pub mod clients;
pub mod collector;
pub mod held;
pub mod joined;
pub mod metrics;
pub mod operations;
pub mod otlp;
pub mod plan;
pub mod raw;
pub mod require;
pub mod score;
pub mod sdk;
pub mod servers;
pub mod service;
pub mod stage;
pub mod store;

pub use agent::{Agent, Backend};
pub use otlp::{Kind, Span};
pub use stage::Stage;

/// Prints a line that is seen without `--nocapture` too: what was skipped, and the figures.
pub fn report(line: &str) {
    use std::io::Write as _;
    // Where standard error is closed nobody would read it.
    let _unread = writeln!(std::io::stderr().lock(), "{line}");
}
