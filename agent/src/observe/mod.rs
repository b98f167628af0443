//! The agent's own figures: as a table for people, and for Prometheus.

mod prometheus;
mod server;
mod stats;

pub use prometheus::render_prometheus;
pub use server::{ObserveError, Server, serve};
pub use stats::render_stats;
