//! Clew's agent: kernel events in, OpenTelemetry spans out.
//!
//! The way of the data is one direction, no calls back:
//! `kernel` → `ingest` → `protocol` → `stitch` → `sample` → `enrich` → `export`.
//! What lies between `ingest` and `sample` is pure: no clock, no I/O, no kernel. See
//! `docs/architecture.md`.

pub mod export;
pub mod metrics;
pub mod model;
pub mod observe;
pub mod protocol;
