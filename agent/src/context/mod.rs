//! Trace context as messages carry it: one file per format.

pub mod w3c;
