//! The settings: what there is, what each means, its default.

use std::net::SocketAddr;
use std::time::Duration;

use super::context::Inbound;
use super::error::Problem;
use super::layers::{Effective, Layers, Pairs, Shown, Standard};
use super::limits::Limits;
use super::origin::Origin;
use super::otel;
use super::otlp::{Batch, Otlp};
use super::propagation::Propagation;
use super::sampling::Sampling;
use super::scope::Scope;
use super::value::{Setting, Size, choice};

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
    /// Which kernel hooks capture traffic.
    Backend {
        /// The best that the kernel accepts.
        Auto = "auto",
        /// Tracepoints on socket sends and receives (kernel 6.3 and later).
        Socket = "socket",
        /// The functions behind them (kernel 5.10 and later, where programs may attach to functions).
        Fentry = "fentry",
        /// Tracepoints on system calls (kernel 5.10 and later; every system call pays).
        Syscall = "syscall",
    }
}

choice! {
    /// How trace contexts leave with the requests that traced processes send.
    Propagate {
        /// They do not.
        Off = "off",
        /// In a TCP option, which needs an agent at the other end too.
        TcpOption = "tcp-option",
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

choice! {
    /// How much is exported of what databases are asked.
    QueryText {
        /// Nothing but a summary.
        Off = "off",
        /// The text without its literals.
        Sanitized = "sanitized",
        /// The text as it is, and keys of caches.
        Full = "full",
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
    /// Whether spans name the thread that received or sent their request.
    pub thread_ids: bool,
    /// Capture in the kernel.
    pub capture: Capture,
    /// How trace contexts leave with requests: empty for not at all.
    pub propagate: Vec<Propagate>,
    /// What is traced.
    pub scope: Scope,
    /// Which traces are kept.
    pub sampling: Sampling,
    /// Trace contexts that messages carry.
    pub context: Inbound,
    /// How contexts leave this host.
    pub propagation: Propagation,
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
    /// Query parameters whose values are replaced by `REDACTED`, besides those that always are.
    pub query_parameters: Vec<String>,
    /// What of the text of queries is.
    pub query_text: QueryText,
}

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
            thread_ids: layers.value(
                "thread_ids",
                &[],
                "Name on each span the thread that received or sent its request (clew.thread.id).",
                false,
            ),
            capture: Capture::read(layers),
            propagate: propagate(layers),
            scope: Scope::read(layers),
            sampling: Sampling::read(layers),
            context: Inbound::read(layers),
            propagation: Propagation::read(layers),
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
                    "Query parameters to redact, besides those that always are (token, password, sig, …).",
                    Vec::new(),
                ),
                query_text: layers.value(
                    "redaction.query_text",
                    &[],
                    "How much of database queries is exported: sanitized (without literals), off, or full.",
                    QueryText::Sanitized,
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

fn propagate(layers: &mut Layers<'_>) -> Vec<Propagate> {
    let mut modes = layers.list(
        "propagate",
        "How trace contexts leave with requests: tcp-option (agents at both ends), or off.",
        vec![Propagate::TcpOption],
    );
    if modes.contains(&Propagate::Off) {
        if modes.len() > 1 {
            layers.refuse("propagate", "`off` goes with nothing else");
        }
        modes.clear();
    }
    modes
}

impl Capture {
    fn read(layers: &mut Layers<'_>) -> Self {
        const LARGEST: usize = clew_common::event::CAPTURE_MAX;
        let backend = layers.value(
            "capture.backend",
            &[],
            "Which kernel hooks: auto, socket (6.3+), fentry (5.10+) or syscall (5.10+, costs more).",
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
