//! Trace context as messages carry it: one file per format, each from a header's value to ids.
//!
//! A [`Carrier`] holds the header fields of a message that some format knows; an [`Extractor`] says
//! which context holds. Whatever a format calls invalid is as if it were not there, and the next
//! format in the list is asked.

pub mod b3;
mod carrier;
pub mod cloud_trace;
pub mod custom;
pub mod datadog;
mod digits;
mod extract;
mod hash;
pub mod ids;
pub mod jaeger;
pub mod skywalking;
#[cfg(test)]
mod tests;
pub mod w3c;
pub mod xray;

pub use carrier::Carrier;
pub use extract::{Extracted, Extractor, NotUnderstood, Original};
