//! Settings of the export by OTLP.

use std::path::PathBuf;
use std::time::Duration;

use super::endpoint::{self, Written};
use super::layers::{Layers, Pairs, Shown};
use super::origin::Origin;
use super::otel;
use super::value::{Setting, choice};

choice! {
    /// How OTLP travels.
    OtlpProtocol {
        /// gRPC over HTTP/2.
        Grpc = "grpc",
        /// Protobuf over HTTP/1.1.
        HttpProtobuf = "http/protobuf",
    }
}

choice! {
    /// Compression of export requests.
    Compression {
        /// None.
        None = "none",
        /// gzip.
        Gzip = "gzip",
        /// Zstandard.
        Zstd = "zstd",
    }
}

/// The OTLP receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// How.
    pub protocol: OtlpProtocol,
    /// The complete URL; with the path for HTTP.
    pub endpoint: String,
    /// Sent with every request.
    pub headers: Pairs,
    /// Compression of requests.
    pub compression: Compression,
    /// For one attempt.
    pub timeout: Duration,
    /// Authorities to trust instead of the system's (PEM).
    pub certificate: Option<PathBuf>,
    /// The agent's own private key, for mutual TLS (PEM).
    pub client_key: Option<PathBuf>,
    /// The agent's own certificate, for mutual TLS (PEM).
    pub client_certificate: Option<PathBuf>,
}

/// Batches (OpenTelemetry's batch span processor).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The longest that a finished span waits for its batch to fill.
    pub schedule_delay: Duration,
    /// Spans that wait for export; beyond it, new ones are dropped and counted.
    pub max_queue_size: usize,
    /// Spans in one request.
    pub max_export_batch_size: usize,
    /// For the export of a batch; the shorter of this and [`Otlp::timeout`] counts.
    pub export_timeout: Duration,
}

impl Otlp {
    pub(super) fn read(layers: &mut Layers<'_>) -> Self {
        let protocol = layers.optional(
            "otlp.protocol",
            &otel::protocol(),
            "How OTLP travels: grpc or http/protobuf.",
        );
        let written: Option<Written> = layers.optional(
            "otlp.endpoint",
            &endpoint::variables(),
            "The receiver's URL. For HTTP, /v1/traces is added to a URL without a path.",
        );
        let insecure = layers.value(
            "otlp.insecure",
            &otel::insecure(),
            "For gRPC endpoints written without a scheme: plain HTTP/2 instead of TLS.",
            false,
        );
        let protocol = protocol.unwrap_or_else(|| {
            let (protocol, reason) = match written.as_ref().and_then(Written::port) {
                Some(4318) => (
                    OtlpProtocol::HttpProtobuf,
                    Some("because the endpoint's port is 4318"),
                ),
                _ => (OtlpProtocol::Grpc, None),
            };
            let shown = Shown::One(protocol.write());
            layers.restate("otlp.protocol", shown, Origin::Default(reason));
            protocol
        });
        let endpoint = complete_endpoint(written.as_ref(), protocol, insecure, layers);
        let otlp = Self {
            protocol,
            endpoint,
            headers: layers.map(
                "otlp.headers",
                &otel::headers(),
                "Headers sent with every request, such as authorization.",
                otel::pairs,
                Shown::Secrets,
            ),
            compression: layers.value(
                "otlp.compression",
                &otel::compression(),
                "Compression of requests: none, gzip or zstd.",
                Compression::None,
            ),
            timeout: layers.value(
                "otlp.timeout",
                &otel::timeout(),
                "How long one attempt to deliver may take.",
                Duration::from_secs(10),
            ),
            certificate: layers.optional(
                "otlp.certificate",
                &otel::certificate(),
                "PEM file of the authorities to trust instead of the system's.",
            ),
            client_key: layers.optional(
                "otlp.client_key",
                &otel::client_key(),
                "PEM file of the agent's private key, for mutual TLS.",
            ),
            client_certificate: layers.optional(
                "otlp.client_certificate",
                &otel::client_certificate(),
                "PEM file of the agent's certificate, for mutual TLS.",
            ),
        };
        match (&otlp.client_key, &otlp.client_certificate) {
            (Some(_), None) => layers.refuse(
                "otlp.client_key",
                "a key needs its certificate: set `otlp.client_certificate` too",
            ),
            (None, Some(_)) => layers.refuse(
                "otlp.client_certificate",
                "a certificate needs its key: set `otlp.client_key` too",
            ),
            _ => {}
        }
        otlp
    }
}

fn complete_endpoint(
    written: Option<&Written>,
    protocol: OtlpProtocol,
    insecure: bool,
    layers: &mut Layers<'_>,
) -> String {
    let http = protocol == OtlpProtocol::HttpProtobuf;
    let Some(written) = written else {
        let url = if http {
            "http://localhost:4318/v1/traces"
        } else {
            "http://localhost:4317"
        };
        let shown = Shown::One(url.to_owned());
        layers.restate("otlp.endpoint", shown, Origin::Default(None));
        return url.to_owned();
    };
    match written.complete(http, insecure) {
        Ok(url) => {
            let origin = layers.origin("otlp.endpoint");
            let shown = Shown::One(endpoint::redacted(&url));
            layers.restate("otlp.endpoint", shown, origin);
            url
        }
        Err(message) => {
            layers.refuse("otlp.endpoint", message);
            String::new()
        }
    }
}

impl Batch {
    pub(super) fn read(layers: &mut Layers<'_>) -> Self {
        let batch = Self {
            schedule_delay: layers.value(
                "batch.schedule_delay",
                &otel::in_milliseconds("OTEL_BSP_SCHEDULE_DELAY"),
                "The longest that a finished span waits for its batch to fill.",
                Duration::from_secs(1),
            ),
            max_queue_size: layers.value(
                "batch.max_queue_size",
                &otel::number("OTEL_BSP_MAX_QUEUE_SIZE"),
                "Spans that wait for export; beyond it, new ones are dropped and counted.",
                65_536,
            ),
            max_export_batch_size: layers.value(
                "batch.max_export_batch_size",
                &otel::number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
                "Spans in one request.",
                512,
            ),
            export_timeout: layers.value(
                "batch.export_timeout",
                &otel::in_milliseconds("OTEL_BSP_EXPORT_TIMEOUT"),
                "How long the export of a batch may take; the shorter of this and otlp.timeout counts.",
                Duration::from_secs(30),
            ),
        };
        Self {
            max_export_batch_size: batch.size_within_queue(layers),
            ..batch
        }
    }

    /// A batch must fit into the queue. One that was not chosen by anybody, or by a variable that
    /// is meant for other programs too, is cut to fit.
    fn size_within_queue(self, layers: &mut Layers<'_>) -> usize {
        const PATH: &str = "batch.max_export_batch_size";
        let (size, queue) = (self.max_export_batch_size, self.max_queue_size);
        if size <= queue {
            return size;
        }
        let origin = layers.origin(PATH);
        match &origin {
            Origin::Environment(name) if name.starts_with("OTEL_") => {
                layers.warn(format!(
                    "environment {name} is more than `batch.max_queue_size` ({queue}), which is \
                     used instead"
                ));
            }
            Origin::Default(_) => {}
            _ => layers.refuse(
                PATH,
                format!("must not be more than `batch.max_queue_size` ({queue})"),
            ),
        }
        layers.restate(PATH, Shown::One(queue.to_string()), origin);
        queue
    }
}
