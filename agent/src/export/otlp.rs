//! The OTLP output: batches to requests, until they are taken, refused, or pushed out.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tracing::{error, info, warn};

use super::encode::Encoder;
use super::grpc::Grpc;
use super::http::Http;
use super::queue::Queue;
use super::retry::{Backoff, Outcome};
use super::{ExportError, OtlpConfig, Protocol};
use crate::metrics::{Count, Drop, Metrics};

/// Between two log lines about the same trouble.
const LOG_EVERY: Duration = Duration::from_secs(30);
/// Longest wait between attempts while the agent leaves.
const HURRY: Duration = Duration::from_millis(200);

/// A receiver.
pub(super) struct Client {
    transport: Transport,
    endpoint: String,
    timeout: Duration,
}

enum Transport {
    Grpc(Box<Grpc>),
    Http(Box<Http>),
}

impl Client {
    /// Must be called inside a runtime; connects to nothing yet.
    pub(super) fn new(config: &OtlpConfig, timeout: Duration) -> Result<Self, ExportError> {
        Ok(Self {
            transport: match config.protocol {
                Protocol::Grpc => Transport::Grpc(Box::new(Grpc::new(config, timeout)?)),
                Protocol::HttpProtobuf => Transport::Http(Box::new(Http::new(config)?)),
            },
            endpoint: config.endpoint.clone(),
            timeout,
        })
    }

    async fn send(&self, request: Vec<u8>) -> Outcome {
        let attempt = async {
            match &self.transport {
                Transport::Grpc(grpc) => grpc.send(request).await,
                Transport::Http(http) => http.send(request).await,
            }
        };
        match tokio::time::timeout(self.timeout, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Retry {
                after: None,
                reason: format!("no answer within {:?}", self.timeout),
            },
        }
    }
}

/// A success, perhaps a partial one. A receiver's count cannot be negative.
pub(super) fn accepted(response: ExportTraceServiceResponse) -> Outcome {
    let partial = response.partial_success.unwrap_or_default();
    Outcome::Accepted {
        rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
        message: partial.error_message,
    }
}

/// Sends until the queue is closed and drained, or the time to leave has come.
pub(super) async fn run(client: &Client, queue: &Queue, delay: Duration, metrics: &Metrics) {
    let mut encoder = Encoder::default();
    let mut backoff = Backoff::new();
    let mut logs = Logs::default();
    loop {
        let spans = queue.next(delay).await;
        if spans.is_empty() {
            if queue.leave_by().is_some() {
                return;
            }
            continue;
        }
        metrics.count(Count::ExportRequests, 1);
        let outcome = tokio::select! {
            outcome = client.send(encoder.request(&spans)) => outcome,
            () = queue.must_leave() => {
                metrics.drop(Drop::Shutdown, spans.len() as u64);
                queue.abandon();
                return;
            }
        };
        let count = spans.len() as u64;
        logs.note(&client.endpoint, &outcome, count);
        match outcome {
            Outcome::Accepted { rejected, .. } => {
                let rejected = rejected.min(count);
                metrics.drop(Drop::PartialSuccess, rejected);
                queue.exported(count - rejected);
                backoff.reset();
            }
            Outcome::Refused { .. } => {
                metrics.drop(Drop::Refused, count);
                backoff.reset();
            }
            Outcome::Retry { after, .. } => {
                metrics.count(Count::ExportRetries, 1);
                queue.restore(spans);
                let wait = backoff.wait(after);
                queue.pause(wait).await;
                if let Some(leave_by) = queue.leave_by() {
                    if tokio::time::Instant::now() >= leave_by {
                        queue.abandon();
                        return;
                    }
                    tokio::time::sleep_until(
                        leave_by.min(tokio::time::Instant::now() + wait.min(HURRY)),
                    )
                    .await;
                }
            }
        }
    }
}

/// Says what happens to the spans, without a line per request.
#[derive(Default)]
struct Logs {
    unreachable_since: Option<Instant>,
    last_loss: Option<Instant>,
    lost_since: u64,
}

impl Logs {
    fn note(&mut self, endpoint: &str, outcome: &Outcome, spans: u64) {
        match outcome {
            Outcome::Retry { reason, .. } => {
                if self.unreachable_since.is_none() {
                    self.unreachable_since = Some(Instant::now());
                    warn!("{endpoint} does not take spans now ({reason}); they wait in the queue");
                }
            }
            Outcome::Accepted { rejected, message } => {
                self.returned(endpoint);
                if *rejected > 0 {
                    self.lost(
                        endpoint,
                        (*rejected).min(spans),
                        "rejected some spans",
                        message,
                    );
                } else if !message.is_empty() {
                    // OTLP: a message without rejected spans is a warning for a person.
                    self.lost(endpoint, 0, "took the spans but warns", message);
                }
            }
            Outcome::Refused { reason } => {
                self.returned(endpoint);
                self.lost(endpoint, spans, "refused spans for good", reason);
            }
        }
    }

    fn returned(&mut self, endpoint: &str) {
        if let Some(since) = self.unreachable_since.take() {
            info!("{endpoint} answers again after {:.1?}", since.elapsed());
        }
    }

    fn lost(&mut self, endpoint: &str, spans: u64, what: &str, why: &str) {
        self.lost_since += spans;
        if self.last_loss.is_some_and(|at| at.elapsed() < LOG_EVERY) {
            return;
        }
        self.last_loss = Some(Instant::now());
        let why = why.escape_debug();
        match std::mem::take(&mut self.lost_since) {
            0 => warn!("{endpoint} {what}: {why}"),
            lost => error!("{endpoint} {what}: {why} ({lost} spans lost since the last such line)"),
        }
    }
}
