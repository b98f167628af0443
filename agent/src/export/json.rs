//! OTLP/JSON, one request a line.

use std::io::{self, Write};
use std::time::Duration;

use tracing::error;

use super::convert;
use super::queue::Queue;
use crate::model::ExportSpan;

/// Writes batches until the queue is closed and drained. A reader that has left ends the writing,
/// quietly; what comes after is discarded by the queue's limits, and counted there.
pub(super) async fn run(queue: &Queue, delay: Duration, out: &mut impl Write) {
    loop {
        let spans = queue.next(delay).await;
        if spans.is_empty() {
            if queue.leave_by().is_some() {
                return;
            }
            continue;
        }
        match write(&spans, out) {
            Ok(()) => queue.exported(spans.len() as u64),
            Err(error) => {
                if error.kind() != io::ErrorKind::BrokenPipe {
                    error!("spans can no longer be written to standard output: {error}");
                }
                queue.restore(spans);
                return;
            }
        }
    }
}

fn write(spans: &[ExportSpan], out: &mut impl Write) -> io::Result<()> {
    let mut line = serde_json::to_vec(&convert::request(spans))?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}
