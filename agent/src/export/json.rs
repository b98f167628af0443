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

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::export::BatchConfig;
    use crate::export::testing::{resource, server};
    use crate::metrics::{Count, Metrics};

    fn ten(metrics: &Metrics) -> Queue {
        let batch = BatchConfig {
            max_export_batch_size: 4,
            ..BatchConfig::default()
        };
        let queue = Queue::new(batch, metrics.clone(), true);
        let shop = resource("shop");
        queue.push((1..=10).map(|id| server(&shop, 1, id, 0, 1)).collect());
        queue.close(Instant::now());
        queue
    }

    #[tokio::test]
    async fn one_request_a_line() {
        let metrics = Metrics::default();
        let mut out = Vec::new();
        run(&ten(&metrics), Duration::from_secs(1), &mut out).await;
        let lines: Vec<_> = out.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3);
        for line in lines {
            let value: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert!(value["resourceSpans"][0]["scopeSpans"][0]["spans"].is_array());
        }
        assert_eq!(metrics.counted(Count::SpansExported), 10);
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_reader_that_left_ends_it() {
        let metrics = Metrics::default();
        run(&ten(&metrics), Duration::from_secs(1), &mut Gone).await;
        assert_eq!(metrics.counted(Count::SpansExported), 0);
    }
}
