//! Keep or drop: spans of traces that their caller did not sample are not exported.

use crate::metrics::{Count, Metrics};
use crate::model::Span;

/// Removes the spans whose trace is not sampled, and counts them.
///
/// The decision is the one that came with the trace (W3C Trace Context, section 3.2.2.5.1); a trace
/// that began here is sampled. Spans of one trace share their cell's flags, so that a trace is kept
/// or dropped whole.
pub fn retain_sampled(spans: &mut Vec<Span>, metrics: &Metrics) {
    let before = spans.len();
    spans.retain(|span| span.flags.is_sampled());
    let dropped = before - spans.len();
    if dropped > 0 {
        metrics.count(Count::SpansUnsampled, dropped as u64);
    }
}
