//! Clew's agent: kernel events in, OpenTelemetry spans out.
//!
//! The way of the data is one direction, no calls back:
//! `kernel` → `ingest` → `protocol` → `stitch` → `sample` → `enrich` → `export`.
//! What lies between `ingest` and `sample` is pure: no clock, no I/O, no kernel. See
//! `docs/architecture.md`.

pub mod cli;
pub mod clock;
pub mod config;
pub mod context;
pub mod doctor;
pub mod enrich;
pub mod export;
pub mod ingest;
pub mod kernel;
pub mod metrics;
pub mod model;
pub mod observe;
pub mod pipeline;
pub mod priority;
pub mod privilege;
pub mod protocol;
pub mod run;
pub mod sample;
pub mod stitch;
