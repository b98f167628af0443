//! The bounded queue before an output.
//!
//! When it is full the oldest spans go: after an outage the newest are the ones that somebody
//! looks for. What could not be sent comes back to the front, as the oldest, so a receiver that is
//! down for long pushes it out and nothing is retried for ever.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::BatchConfig;
use crate::metrics::{Count, Drop, Gauge, Metrics};
use crate::model::{Attribute, ExportSpan, Value};

/// Bytes of spans in one batch: below the 4 MiB that gRPC receivers accept by default.
const MAX_BATCH_BYTES: usize = 3 << 20;

/// A queue with a limit in spans and one in bytes.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    batch: BatchConfig,
    metrics: Metrics,
    /// Whether this queue's output is the one that [`Count::SpansExported`] and the gauge speak of.
    primary: bool,
}

#[derive(Default)]
struct State {
    spans: VecDeque<(usize, ExportSpan)>,
    bytes: usize,
    /// When the agent must have left; set once.
    leave_by: Option<Instant>,
}

impl Queue {
    pub(super) fn new(batch: BatchConfig, metrics: Metrics, primary: bool) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            batch,
            metrics,
            primary,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends spans. Never blocks beyond the lock.
    pub(super) fn push(&self, spans: Vec<ExportSpan>) {
        let mut state = self.lock();
        for span in spans {
            let bytes = weight(&span);
            state.bytes += bytes;
            state.spans.push_back((bytes, span));
        }
        self.enforce(&mut state);
        let full = self.is_full(&state);
        drop(state);
        if full {
            self.changed.notify_one();
        }
    }

    fn is_full(&self, state: &State) -> bool {
        state.spans.len() >= self.batch.max_export_batch_size || state.bytes >= MAX_BATCH_BYTES
    }

    /// Puts an unsent batch back before all others.
    pub(super) fn restore(&self, spans: Vec<ExportSpan>) {
        let mut state = self.lock();
        for span in spans.into_iter().rev() {
            let bytes = weight(&span);
            state.bytes += bytes;
            state.spans.push_front((bytes, span));
        }
        self.enforce(&mut state);
    }

    fn enforce(&self, state: &mut State) {
        let mut lost = 0;
        while state.spans.len() > self.batch.max_queue_size
            || state.bytes > self.batch.max_queue_bytes
        {
            let Some((bytes, _)) = state.spans.pop_front() else {
                break;
            };
            state.bytes -= bytes;
            lost += 1;
        }
        if lost > 0 {
            self.metrics.drop(Drop::QueueFull, lost);
        }
        self.show(state);
    }

    fn show(&self, state: &State) {
        if self.primary {
            self.metrics
                .gauge(Gauge::QueuedSpans, state.spans.len() as u64);
        }
    }

    /// Waits until a batch is full, `delay` has passed, or the agent leaves.
    /// Empty when `delay` passed without a span, or when the queue is closed and drained.
    pub(super) async fn next(&self, delay: Duration) -> Vec<ExportSpan> {
        let until = Instant::now() + delay;
        loop {
            {
                let state = self.lock();
                if self.is_full(&state) || state.leave_by.is_some() {
                    break;
                }
            }
            if timeout_at(until, self.changed.notified()).await.is_err() {
                break;
            }
        }
        self.take()
    }

    fn take(&self) -> Vec<ExportSpan> {
        let mut state = self.lock();
        let mut batch = Vec::new();
        let mut size = 0;
        while let Some((bytes, _)) = state.spans.front() {
            if batch.len() == self.batch.max_export_batch_size
                || (!batch.is_empty() && size + bytes > MAX_BATCH_BYTES)
            {
                break;
            }
            if let Some((bytes, span)) = state.spans.pop_front() {
                state.bytes -= bytes;
                size += bytes;
                batch.push(span);
            }
        }
        self.show(&state);
        batch
    }

    /// Ends the waiting in [`Queue::next`] and [`Queue::pause`]: the agent leaves.
    pub(super) fn close(&self, leave_by: Instant) {
        self.lock().leave_by.get_or_insert(leave_by);
        self.changed.notify_one();
    }

    /// When the agent must have left, once it is leaving.
    pub(super) fn leave_by(&self) -> Option<Instant> {
        self.lock().leave_by
    }

    /// Waits for `delay`, or until the agent begins to leave; spans that come meanwhile end it not.
    pub(super) async fn pause(&self, delay: Duration) {
        let until = Instant::now() + delay;
        while self.leave_by().is_none() {
            if timeout_at(until, self.changed.notified()).await.is_err() {
                return;
            }
        }
    }

    /// Waits for the moment by which the agent must have left.
    pub(super) async fn must_leave(&self) {
        loop {
            match self.leave_by() {
                Some(at) => return tokio::time::sleep_until(at).await,
                None => self.changed.notified().await,
            }
        }
    }

    /// Counts what is left as lost by leaving.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        let left = state.spans.len() as u64;
        state.spans.clear();
        state.bytes = 0;
        self.show(&state);
        self.metrics.drop(Drop::Shutdown, left);
    }

    /// Counts spans that arrived.
    pub(super) fn exported(&self, spans: u64) {
        if self.primary {
            self.metrics.count(Count::SpansExported, spans);
        }
    }
}

/// Approximate heap and inline bytes of a span, with what the allocator adds.
fn weight(span: &ExportSpan) -> usize {
    /// Of each allocation: its header, and half of the rounding.
    const OVERHEAD: usize = 24;
    let text = |text: &Cow<'static, str>| match text {
        Cow::Borrowed(_) => 0,
        Cow::Owned(text) => text.capacity() + OVERHEAD,
    };
    let attribute = |attribute: &Attribute| {
        text(&attribute.key)
            + match &attribute.value {
                Value::Text(value) => text(value),
                Value::Integer(_) | Value::Bool(_) => 0,
                Value::Texts(texts) => texts
                    .iter()
                    .map(|text| text.capacity() + size_of::<String>() + OVERHEAD)
                    .sum(),
            }
    };
    size_of::<(usize, ExportSpan)>()
        + text(&span.span.name)
        + span
            .span
            .state
            .as_ref()
            .map_or(0, |state| state.len() + OVERHEAD)
        + span.span.notes.capacity() * size_of::<&str>()
        + span.span.attributes.capacity() * size_of::<Attribute>()
        + OVERHEAD
        + span.span.attributes.iter().map(attribute).sum::<usize>()
}
