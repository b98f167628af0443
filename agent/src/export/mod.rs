//! Spans leave: OTLP over gRPC or HTTP, OTLP/JSON lines, and the console.
//!
//! Each output has a bounded queue and a thread of its own, so that a terminal which stands still
//! does not hold up the network, and neither ever holds up the pipeline.

mod config;
mod console;
pub mod convert;
pub mod encode;
mod grpc;
mod http;
mod json;
mod otlp;
mod queue;
mod retry;
#[cfg(test)]
mod testing;
pub mod waterfall;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

pub use config::{BatchConfig, Compression, ExportConfig, OtlpConfig, Protocol};
use queue::Queue;

use crate::metrics::Metrics;
use crate::model::ExportSpan;

/// Why the exporter cannot start. That a receiver is unreachable is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The endpoint is not a usable URL.
    #[error(
        "the OTLP endpoint `{endpoint}` is not usable: {reason}; give a URL such as http://localhost:4317"
    )]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header cannot be sent.
    #[error(
        "the OTLP header `{name}` cannot be sent: its name or value holds characters that HTTP does not allow"
    )]
    Header {
        /// Its name; values are often secret.
        name: String,
    },
    /// A certificate or key file is unusable.
    #[error("the OTLP certificate or key file {path} cannot be used: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("TLS for the OTLP endpoint cannot be set up: {0}")]
    Tls(String),
    /// A thread or its runtime could not be made.
    #[error("the export thread could not be started: {0}")]
    Thread(#[from] io::Error),
}

/// The running outputs.
pub struct Exporter {
    outputs: Vec<Output>,
}

struct Output {
    queue: Arc<Queue>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

/// Starts the outputs, each on a thread of its own.
///
/// With several, drops are counted at each, but exported and queued spans at the first of OTLP,
/// JSON, console only: a span that goes to two places is one exported span.
///
/// # Errors
/// When the configuration cannot work ([`ExportError`]).
pub fn start(config: &ExportConfig, metrics: &Metrics) -> Result<Exporter, ExportError> {
    let mut outputs = Vec::new();
    if let Some(otlp) = &config.otlp {
        let timeout = otlp.timeout.min(config.batch.export_timeout);
        let runtime = runtime()?;
        let client = {
            // tonic's channel spawns its worker when it is made.
            let _inside = runtime.enter();
            otlp::Client::new(otlp, timeout)?
        };
        let delay = config.batch.schedule_delay;
        let (queue, metrics_) = (queue(config, metrics, true), metrics.clone());
        outputs.push(spawn("clew-otlp", &queue.clone(), move || {
            runtime.block_on(otlp::run(&client, &queue, delay, &metrics_));
        })?);
    }
    if config.json {
        let runtime = runtime()?;
        let primary = outputs.is_empty();
        let (queue, delay) = (queue(config, metrics, primary), config.batch.schedule_delay);
        outputs.push(spawn("clew-json", &queue.clone(), move || {
            runtime.block_on(json::run(&queue, delay, &mut io::stdout()));
        })?);
    }
    if config.console {
        let runtime = runtime()?;
        let queue = queue(config, metrics, outputs.is_empty());
        outputs.push(spawn("clew-console", &queue.clone(), move || {
            runtime.block_on(console::run(&queue));
        })?);
    }
    Ok(Exporter { outputs })
}

fn queue(config: &ExportConfig, metrics: &Metrics, primary: bool) -> Arc<Queue> {
    Arc::new(Queue::new(config.batch.clone(), metrics.clone(), primary))
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn spawn(
    name: &str,
    queue: &Arc<Queue>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<Output> {
    let (alive, ended) = mpsc::channel::<()>();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _alive = alive;
            work();
        })?;
    Ok(Output {
        queue: Arc::clone(queue),
        ended,
    })
}

impl Exporter {
    /// Hands spans over. Never waits for an output: over the queue's limits the oldest spans are
    /// dropped and counted ([`crate::metrics::Drop::QueueFull`]).
    pub fn send(&self, spans: Vec<ExportSpan>) {
        if spans.is_empty() {
            return;
        }
        let Some((last, others)) = self.outputs.split_last() else {
            return;
        };
        for output in others {
            output.queue.push(spans.clone());
        }
        last.queue.push(spans);
    }

    /// Sends what is queued and ends the outputs, within `deadline`. What could not be sent by then
    /// is counted ([`crate::metrics::Drop::Shutdown`]).
    pub fn shutdown(self, deadline: Duration) {
        let leave_by = Instant::now() + deadline;
        for output in &self.outputs {
            output.queue.close(leave_by.into());
        }
        for output in self.outputs {
            // The thread gives up at `leave_by` by itself; the margin is for its last steps. One
            // that is stuck in a write to a terminal is left behind.
            let left = leave_by.saturating_duration_since(Instant::now());
            let margin = Duration::from_millis(100);
            // Nothing is ever sent: it ends, or the time does. Either may leave spans behind, an
            // output that failed earlier all that came since.
            let _ = output.ended.recv_timeout(left + margin);
            output.queue.abandon();
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
