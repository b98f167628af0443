//! Spans gathered to traces until each is complete.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::{Evidence, ExportSpan, Parent, SpanId, TraceId};

/// Silence after which a trace with a root is taken for complete.
const QUIET: Duration = Duration::from_millis(400);
/// Silence after which one is shown without its root (still open, or lost).
const PATIENCE: Duration = Duration::from_secs(30);
/// Limits of the buffer. The oldest trace is shown early when one is reached.
const MAX_TRACES: usize = 1000;
const MAX_SPANS: usize = 20_000;
/// Spans of one trace; a larger one is shown in parts.
const MAX_TRACE_SPANS: usize = 500;

#[derive(Default)]
pub(super) struct Traces {
    open: HashMap<TraceId, Open>,
    spans: usize,
    /// Left the buffer early.
    early: Vec<Vec<ExportSpan>>,
}

struct Open {
    spans: Vec<ExportSpan>,
    last: Instant,
}

impl Traces {
    pub(super) fn add(&mut self, span: ExportSpan, now: Instant) {
        let id = span.span.trace_id;
        let open = self.open.entry(id).or_insert_with(|| Open {
            spans: Vec::new(),
            last: now,
        });
        open.last = now;
        open.spans.push(span);
        self.spans += 1;
        if open.spans.len() >= MAX_TRACE_SPANS {
            self.take_early(id);
        } else if self.open.len() > MAX_TRACES || self.spans > MAX_SPANS {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.last);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.take_early(oldest);
            }
        }
    }

    fn take_early(&mut self, id: TraceId) {
        if let Some(open) = self.open.remove(&id) {
            self.spans -= open.spans.len();
            self.early.push(open.spans);
        }
    }

    /// The traces to show now, in the order of their starts; all of them if `everything`. A trace
    /// of one span is not among them: its line has said it all.
    pub(super) fn complete(&mut self, now: Instant, everything: bool) -> Vec<Vec<ExportSpan>> {
        let done: Vec<TraceId> = self
            .open
            .iter()
            .filter(|(_, open)| {
                let silence = now.saturating_duration_since(open.last);
                everything || silence >= PATIENCE || (silence >= QUIET && has_root(&open.spans))
            })
            .map(|(id, _)| *id)
            .collect();
        for id in done {
            self.take_early(id);
        }
        let mut traces = std::mem::take(&mut self.early);
        traces.retain(|spans| spans.len() > 1);
        traces.sort_by_key(|spans| spans.iter().map(|span| span.start_unix_nanos).min());
        traces
    }
}

/// Whether nothing local is awaited: every parent is here, or on another host, or does not exist.
fn has_root(spans: &[ExportSpan]) -> bool {
    let here: std::collections::HashSet<SpanId> =
        spans.iter().map(|span| span.span.span_id).collect();
    spans.iter().all(|span| match span.span.parent {
        Parent::None(_) => true,
        Parent::Span { id, evidence } => {
            matches!(evidence, Evidence::Header | Evidence::TcpOption) || here.contains(&id)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing::{below, client, resource, server};

    #[test]
    fn waits_for_the_root_and_for_quiet() {
        let shop = resource("shop");
        let start = Instant::now();
        let mut traces = Traces::default();
        let inner = below(client(&shop, 1, 2, 1, 2), 1, Evidence::Thread);
        traces.add(inner, start);
        assert!(
            traces.complete(start + QUIET, false).is_empty(),
            "root still open"
        );
        let later = start + Duration::from_secs(5);
        traces.add(server(&shop, 1, 1, 0, 3), later);
        assert!(traces.complete(later, false).is_empty(), "not quiet yet");
        assert_eq!(traces.complete(later + QUIET, false)[0].len(), 2);
        assert_eq!(traces.spans, 0);
    }

    #[test]
    fn stays_bounded() {
        let shop = resource("shop");
        let now = Instant::now();
        let mut traces = Traces::default();
        for trace in 0..3000 {
            traces.add(server(&shop, trace, 1, 0, 1), now);
            traces.add(server(&shop, 1_000_000, trace as u64, 0, 1), now);
        }
        assert!(traces.open.len() <= MAX_TRACES);
        let shown = traces.complete(now, true);
        assert!(shown.iter().all(|spans| spans.len() <= MAX_TRACE_SPANS));
        assert!(traces.open.is_empty() && traces.spans == 0);
    }
}
