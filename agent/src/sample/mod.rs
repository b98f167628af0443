//! Which traces are kept.
//!
//! The decision is made once for a trace, when its root begins or when a context from elsewhere
//! arrives; [`crate::stitch`] keeps it in the trace's cell, where all its spans share it. It is a
//! function of the trace's own randomness, so that all agents with the same sampler decide alike
//! ([`clew_common::sampling`]). See `docs/decisions/0008-sampling.md`.

mod sampler;
mod tracestate;

pub use sampler::{Decision, Root, Sampler};
