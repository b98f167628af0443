//! The settings: what there is, what each means, its default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::endpoint::{self, Written};
use super::error::Problem;
use super::layers::{Effective, Layers, Pairs, Shown, Standard};
use super::limits::Limits;
use super::origin::Origin;
use super::otel;
use super::value::{PortRange, Setting, Size, choice};

choice! {
    /// Where spans go.
    Output {
        /// To an OTLP receiver.
        Otlp = "otlp",
        /// To standard output, for people.
        Console = "console",
        /// To standard output, one line of OTLP JSON for each batch.
        Json = "json",
    }
}

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

choice! {
    /// Which kernel hooks capture traffic.
    Backend {
        /// The best that the kernel accepts.
        Auto = "auto",
        /// Tracepoints on socket sends and receives (kernel 6.3 and later).
        Socket = "socket",
        /// Tracepoints on system calls (kernel 5.10 and later; every system call pays).
        Syscall = "syscall",
    }
}

choice! {
    /// How log lines look.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

/// What is valid: the agent's whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where spans go; never empty.
    pub outputs: Vec<Output>,
    /// The OTLP receiver.
    pub otlp: Otlp,
    /// Batches of spans on their way to the receiver.
    pub batch: Batch,
    /// Attributes of every resource, as the agent's `OTEL_RESOURCE_ATTRIBUTES` gives them; what a
    /// traced process says of itself is stronger. Never holds `service.*`.
    pub resource_attributes: Pairs,
    /// Capture in the kernel.
    pub capture: Capture,
    /// What is traced.
    pub scope: Scope,
    /// Limits.
    pub limits: Limits,
    /// What the agent says of itself in numbers.
    pub metrics: Metrics,
    /// What the agent says of itself in words.
    pub log: Log,
    /// What must not be exported.
    pub redaction: Redaction,
    /// Stop by itself after this time.
    pub duration: Option<Duration>,
    /// Every setting with its origin, in the order of the file.
    pub effective: Vec<Effective>,
    /// What was ignored or looks like a mistake, to be logged.
    pub warnings: Vec<String>,
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
    /// For one batch with all its attempts.
    pub export_timeout: Duration,
}

/// Capture in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Which hooks.
    pub backend: Backend,
    /// The most bytes copied of one send or receive; at most
    /// [`clew_common::event::CAPTURE_MAX`].
    pub bytes: usize,
    /// Bytes of the ring buffer between kernel and agent; a power of two, at least a page.
    pub ring_size: usize,
}

/// What is traced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// If any are given, only what matches one of each kind of them (processes; ports).
    pub include: Rules,
    /// Never what matches one of these; stronger than `include`.
    pub exclude: Rules,
}

/// Rules that choose processes and connections. [`crate::enrich::Filter`] applies them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Globs on the executable: on its path if they contain a `/`, else on its file name.
    pub executables: Vec<String>,
    /// Globs (or, without `*` and `?`, parts) of the command line.
    pub commands: Vec<String>,
    /// Beginnings of container ids.
    pub containers: Vec<String>,
    /// Cgroup paths, each with what is below it.
    pub cgroups: Vec<String>,
    /// Ports of the serving end.
    pub ports: Vec<PortRange>,
}

/// What the agent says of itself in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Print counters to standard error this often.
    pub stats_interval: Option<Duration>,
    /// Serve counters to Prometheus here.
    pub address: Option<SocketAddr>,
}

/// What the agent says of itself in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives as the `tracing-subscriber` crate's `EnvFilter` takes them.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// What must not be exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    /// Query parameters whose values are replaced by `REDACTED`.
    pub query_parameters: Vec<String>,
}

/// The parameters that OpenTelemetry's conventions have redacted by default (attribute
/// `url.query`): signatures and credentials of object stores.
const QUERY_PARAMETERS: [&str; 4] = ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"];

impl Config {
    pub(super) fn read(mut layers: Layers<'_>, terminal: bool) -> Result<Self, Vec<Problem>> {
        let layers = &mut layers;
        let outputs = layers.list(
            "outputs",
            "Where spans go: any of otlp, console, json.",
            Vec::new(),
        );
        let config = Self {
            otlp: Otlp::read(layers),
            outputs: choose_outputs(outputs, terminal, layers),
            batch: Batch::read(layers),
            resource_attributes: resource_attributes(layers),
            capture: Capture::read(layers),
            scope: Scope {
                include: Rules::read(layers, &INCLUDE),
                exclude: Rules::read(layers, &EXCLUDE),
            },
            limits: Limits::read(layers),
            metrics: Metrics {
                stats_interval: layers.optional(
                    "metrics.stats_interval",
                    &[],
                    "Print the agent's counters to standard error this often.",
                ),
                address: layers.optional(
                    "metrics.address",
                    &[],
                    "Serve the agent's counters to Prometheus at this address and port.",
                ),
            },
            log: Log {
                level: layers.value(
                    "log.level",
                    &[Standard {
                        name: "CLEW_LOG",
                        read: String::read,
                    }],
                    "error, warn, info, debug or trace; or by module, such as info,clew::export=debug.",
                    "info".to_owned(),
                ),
                format: layers.value(
                    "log.format",
                    &[],
                    "How log lines look: text or json.",
                    LogFormat::Text,
                ),
            },
            redaction: Redaction {
                query_parameters: layers.list(
                    "redaction.query_parameters",
                    "Query parameters whose values are replaced by REDACTED.",
                    QUERY_PARAMETERS.map(str::to_owned).to_vec(),
                ),
            },
            duration: layers.optional("duration", &[], "Stop by itself after this time."),
            effective: Vec::new(),
            warnings: Vec::new(),
        };
        let (effective, warnings) = layers.finish()?;
        Ok(Self {
            effective,
            warnings,
            ..config
        })
    }
}

/// A receiver that was named is meant to be used. Without one, a person at a terminal wants to
/// see spans; a service wants to export them, to the place where collectors listen.
fn choose_outputs(given: Vec<Output>, terminal: bool, layers: &mut Layers<'_>) -> Vec<Output> {
    if !given.is_empty() {
        let twice = given
            .iter()
            .enumerate()
            .any(|(at, output)| given[..at].contains(output));
        let on_stdout = |output: &&Output| **output != Output::Otlp;
        if twice {
            layers.refuse("outputs", "the same output is named twice");
        } else if given.iter().filter(on_stdout).count() > 1 {
            layers.refuse(
                "outputs",
                "`console` and `json` both write to standard output: choose one",
            );
        }
        return given;
    }
    let (output, reason) = if layers.origin("otlp.endpoint") != Origin::Default(None) {
        (Output::Otlp, "because an OTLP endpoint is configured")
    } else if terminal {
        (Output::Console, "because standard output is a terminal")
    } else {
        (Output::Otlp, "because standard output is no terminal")
    };
    let shown = Shown::List(vec![output.write()]);
    layers.restate("outputs", shown, Origin::Default(Some(reason)));
    vec![output]
}

impl Otlp {
    fn read(layers: &mut Layers<'_>) -> Self {
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

/// The agent's own `OTEL_RESOURCE_ATTRIBUTES` describe where it runs (cluster, environment): that
/// holds for what it traces. Its own service name does not.
fn resource_attributes(layers: &mut Layers<'_>) -> Pairs {
    let variable = Standard {
        name: "OTEL_RESOURCE_ATTRIBUTES",
        read: otel::pairs,
    };
    let mut attributes = layers.map(
        "resource_attributes",
        &[variable],
        "Attributes of every resource, such as deployment.environment.name.",
        otel::pairs,
        Shown::Map,
    );
    let all = attributes.len();
    attributes.retain(|(key, _)| !key.starts_with("service."));
    if attributes.len() < all {
        let origin = layers.origin("resource_attributes");
        layers.warn(format!(
            "`service.*` in `resource_attributes` ({origin}) is ignored: each traced process has \
             its own"
        ));
        layers.restate(
            "resource_attributes",
            Shown::Map(attributes.clone()),
            origin,
        );
    }
    attributes
}

impl Batch {
    fn read(layers: &mut Layers<'_>) -> Self {
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
                "How long a batch is tried to be delivered, all attempts together.",
                Duration::from_secs(30),
            ),
        };
        if batch.max_export_batch_size > batch.max_queue_size {
            layers.refuse(
                "batch.max_export_batch_size",
                format!(
                    "must not be more than `batch.max_queue_size` ({})",
                    batch.max_queue_size
                ),
            );
        }
        batch
    }
}

impl Capture {
    fn read(layers: &mut Layers<'_>) -> Self {
        const LARGEST: usize = clew_common::event::CAPTURE_MAX;
        let backend = layers.value(
            "capture.backend",
            &[],
            "Which kernel hooks: auto, socket (6.3+) or syscall (5.10+, costs more).",
            Backend::Auto,
        );
        let bytes = layers.value(
            "capture.bytes",
            &[],
            "The most bytes copied of one send or receive.",
            Size(LARGEST),
        );
        if bytes.0 > LARGEST {
            layers.refuse("capture.bytes", format!("at most {}", Size(LARGEST)));
        }
        let ring_size = layers.value(
            "capture.ring_size",
            &[],
            "Size of the ring buffer between kernel and agent.",
            Size::mib(8),
        );
        // bpf(2), BPF_MAP_TYPE_RINGBUF: a power of two and a multiple of the page size, which is
        // 64 KiB on some arm64 kernels. Its positions are 32 bits wide.
        if !ring_size.0.is_power_of_two() || !(1 << 16..=1 << 30).contains(&ring_size.0) {
            layers.refuse(
                "capture.ring_size",
                format!("expected a power of two between 64KiB and 1GiB, not {ring_size}"),
            );
        }
        Self {
            backend,
            bytes: bytes.0,
            ring_size: ring_size.0,
        }
    }
}

/// The paths of one set of rules.
struct RulePaths {
    executables: &'static str,
    commands: &'static str,
    containers: &'static str,
    cgroups: &'static str,
    ports: &'static str,
}

const INCLUDE: RulePaths = RulePaths {
    executables: "scope.include.executables",
    commands: "scope.include.commands",
    containers: "scope.include.containers",
    cgroups: "scope.include.cgroups",
    ports: "scope.include.ports",
};

const EXCLUDE: RulePaths = RulePaths {
    executables: "scope.exclude.executables",
    commands: "scope.exclude.commands",
    containers: "scope.exclude.containers",
    cgroups: "scope.exclude.cgroups",
    ports: "scope.exclude.ports",
};

impl Rules {
    fn read(layers: &mut Layers<'_>, paths: &RulePaths) -> Self {
        Self {
            executables: layers.list(
                paths.executables,
                "Globs on the executable: on its path if they contain a /, else on its name.",
                Vec::new(),
            ),
            commands: layers.list(
                paths.commands,
                "Globs on the whole command line; without * and ?, a part of it.",
                Vec::new(),
            ),
            containers: layers.list(
                paths.containers,
                "Container ids, or their beginnings.",
                Vec::new(),
            ),
            cgroups: layers.list(
                paths.cgroups,
                "Cgroup paths, such as /system.slice; each with what is below it.",
                Vec::new(),
            ),
            ports: layers.list(
                paths.ports,
                "Ports of the serving end, such as 8080 or 8000-8999.",
                Vec::new(),
            ),
        }
    }
}
