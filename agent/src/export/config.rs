//! What the exporter is asked to do: plain values, already validated.

use std::path::PathBuf;
use std::time::Duration;

/// Where spans go, and how they are gathered. No output at all is valid: spans are then discarded.
#[derive(Clone, Debug, Default)]
pub struct ExportConfig {
    /// OTLP (`OTEL_TRACES_EXPORTER=otlp`).
    pub otlp: Option<OtlpConfig>,
    /// Human-readable spans and waterfalls on standard output.
    pub console: bool,
    /// OTLP/JSON, one request a line, on standard output.
    pub json: bool,
    /// Batches and the queue before each output.
    pub batch: BatchConfig,
}

/// How OTLP requests travel (`OTEL_EXPORTER_OTLP_[TRACES_]PROTOCOL`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`.
    Grpc,
    /// `http/protobuf`.
    HttpProtobuf,
}

/// Compression of request bodies (`OTEL_EXPORTER_OTLP_[TRACES_]COMPRESSION`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// `none`.
    #[default]
    None,
    /// `gzip`.
    Gzip,
    /// `zstd`.
    Zstd,
}

/// One OTLP receiver.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// gRPC or HTTP.
    pub protocol: Protocol,
    /// The final URL. `https` asks for TLS. For gRPC scheme, host and port, for example
    /// `http://localhost:4317` (`OTEL_EXPORTER_OTLP_INSECURE` is decided before, by the scheme
    /// written here); for HTTP with the path.
    pub endpoint: String,
    /// Headers (gRPC metadata) of each request (`OTEL_EXPORTER_OTLP_[TRACES_]HEADERS`, decoded).
    pub headers: Vec<(String, String)>,
    /// Compression.
    pub compression: Compression,
    /// Time for one attempt (`OTEL_EXPORTER_OTLP_[TRACES_]TIMEOUT`).
    pub timeout: Duration,
    /// PEM file of the authorities that may sign the receiver's certificate
    /// (`…_CERTIFICATE`); without it the system's.
    pub certificate: Option<PathBuf>,
    /// PEM file of our private key (`…_CLIENT_KEY`); needs `client_certificate`.
    pub client_key: Option<PathBuf>,
    /// PEM file of our certificate chain (`…_CLIENT_CERTIFICATE`); needs `client_key`.
    pub client_certificate: Option<PathBuf>,
}

impl OtlpConfig {
    /// A receiver with the specification's defaults: no headers, no compression, 10 s.
    #[must_use]
    pub fn new(protocol: Protocol, endpoint: impl Into<String>) -> Self {
        Self {
            protocol,
            endpoint: endpoint.into(),
            headers: Vec::new(),
            compression: Compression::None,
            timeout: Duration::from_secs(10),
            certificate: None,
            client_key: None,
            client_certificate: None,
        }
    }
}

/// Gathering of spans. Each output has a queue of its own.
#[derive(Clone, Debug)]
pub struct BatchConfig {
    /// Longest wait of a span before its batch leaves (`OTEL_BSP_SCHEDULE_DELAY`). The
    /// specification's default is 5 s; ours is 1 s, so that a request can be seen within 2 s.
    pub schedule_delay: Duration,
    /// Spans in a queue (`OTEL_BSP_MAX_QUEUE_SIZE`). The specification's default, 2048, is one
    /// SDK's; we hold a host's.
    pub max_queue_size: usize,
    /// Approximate bytes in a queue, whatever the number of spans.
    pub max_queue_bytes: usize,
    /// Spans in one request (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`).
    pub max_export_batch_size: usize,
    /// Longest time of one attempt (`OTEL_BSP_EXPORT_TIMEOUT`); the shorter one of this and
    /// [`OtlpConfig::timeout`] counts.
    pub export_timeout: Duration,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            schedule_delay: Duration::from_secs(1),
            max_queue_size: 20_000,
            max_queue_bytes: 24 << 20,
            max_export_batch_size: 512,
            export_timeout: Duration::from_secs(30),
        }
    }
}
