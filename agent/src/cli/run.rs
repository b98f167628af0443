//! The flags of `clew run`.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use crate::config::{Environment, Flag, Sources};

/// Where the configuration file is.
#[derive(Args, Clone, Debug, Default)]
pub struct FileArgs {
    /// Configuration file; /etc/clew/clew.yaml if that exists [env: CLEW_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The flags of `clew run`, as text.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub file: FileArgs,

    /// Where spans go; may be repeated [default: otlp if an endpoint is configured, else console on a
    /// terminal] [env: CLEW_OUTPUTS]
    #[arg(
        long,
        value_name = "OUTPUT",
        help_heading = "Output",
        value_parser = ["otlp", "console", "json"]
    )]
    pub output: Vec<String>,

    /// Stop after this time, such as 30s [env: CLEW_DURATION]
    #[arg(long, value_name = "TIME", help_heading = "Output")]
    pub duration: Option<String>,

    /// Name on each span the thread that received or sent its request, by the kernel's number
    /// (clew.thread.id) [env: CLEW_THREAD_IDS]
    #[arg(
        long,
        value_name = "BOOL",
        help_heading = "Output",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub thread_ids: Option<String>,

    /// The receiver [default: http://localhost:4317] [env: OTEL_EXPORTER_OTLP_ENDPOINT,
    /// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT]
    #[arg(long, value_name = "URL", help_heading = "OTLP export")]
    pub endpoint: Option<String>,

    /// How OTLP travels [default: grpc; http/protobuf if the endpoint's port is 4318] [env:
    /// OTEL_EXPORTER_OTLP_PROTOCOL]
    #[arg(
        long,
        value_name = "PROTOCOL",
        help_heading = "OTLP export",
        value_parser = ["grpc", "http/protobuf"]
    )]
    pub protocol: Option<String>,

    /// Header for every request; may be repeated. Others on this host can read it in the process
    /// list: for secrets use the variable or the file [env: OTEL_EXPORTER_OTLP_HEADERS]
    #[arg(long, value_name = "KEY=VALUE", help_heading = "OTLP export")]
    pub header: Vec<String>,

    /// Compression of requests [default: none] [env: OTEL_EXPORTER_OTLP_COMPRESSION]
    #[arg(
        long,
        value_name = "METHOD",
        help_heading = "OTLP export",
        value_parser = ["none", "gzip", "zstd"]
    )]
    pub compression: Option<String>,

    /// Trace only these executables: by name (nginx, python3*) or by path (/opt/*/bin/*)
    #[arg(
        long,
        value_name = "GLOB",
        help_heading = "Scope (the whole host, if nothing is given)"
    )]
    pub include_exe: Vec<String>,

    /// Never trace these executables
    #[arg(
        long,
        value_name = "GLOB",
        help_heading = "Scope (the whole host, if nothing is given)"
    )]
    pub exclude_exe: Vec<String>,

    /// Trace only processes whose command line contains this text, or as a whole matches this
    /// glob, if it has * or ?
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = "Scope (the whole host, if nothing is given)"
    )]
    pub include_cmd: Vec<String>,

    /// Never trace processes with such a command line
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = "Scope (the whole host, if nothing is given)"
    )]
    pub exclude_cmd: Vec<String>,

    /// Trace only containers whose id begins so
    #[arg(
        long,
        value_name = "ID",
        help_heading = "Scope (the whole host, if nothing is given)"
    )]
    pub include_container: Vec<String>,

    /// Never trace containers whose id begins so
    #[arg(
        long,
        value_name = "ID",
        help_heading = "Scope (the whole host, if nothing is given)"
    )]
    pub exclude_container: Vec<String>,

    /// Trace only this cgroup and those below it, such as /system.slice
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Scope (the whole host, if nothing is given)"
    )]
    pub include_cgroup: Vec<String>,

    /// Never trace this cgroup and those below it
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Scope (the whole host, if nothing is given)"
    )]
    pub exclude_cgroup: Vec<String>,

    /// Trace only connections whose serving end has this port, or one of a range (8000-8999)
    #[arg(
        long,
        value_name = "PORTS",
        help_heading = "Scope (the whole host, if nothing is given)"
    )]
    pub include_port: Vec<String>,

    /// Never trace connections with such a port
    #[arg(
        long,
        value_name = "PORTS",
        help_heading = "Scope (the whole host, if nothing is given)"
    )]
    pub exclude_port: Vec<String>,

    /// Which traces are kept: those that their caller keeps, and of those that begin on this host all,
    /// none or a part. Without parentbased_, the caller has no say [default: parentbased_always_on;
    /// parentbased_traceidratio if a ratio is given] [env: OTEL_TRACES_SAMPLER]
    #[arg(
        long,
        value_name = "SAMPLER",
        help_heading = "Sampling",
        value_parser = [
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ]
    )]
    pub sampler: Option<String>,

    /// The part of all traces that a sampler by ratio keeps, such as 0.25. Hosts with the same ratio
    /// keep the same traces [default: 1] [env: OTEL_TRACES_SAMPLER_ARG]
    #[arg(long, value_name = "RATIO", help_heading = "Sampling")]
    pub sampling_ratio: Option<String>,
    /// Trace contexts to understand, of which the first that a request carries holds; may be repeated
    /// [default: all of them, in this order] [env: OTEL_PROPAGATORS]
    #[arg(
        long,
        value_name = "FORMAT",
        help_heading = "Trace context",
        value_parser = [
            "tracecontext", "b3", "b3multi", "jaeger", "xray", "cloudtrace", "datadog",
            "skywalking", "custom", "none",
        ]
    )]
    pub context_format: Vec<String>,

    /// Header of your own that carries the id of a trace, such as trace-id; may be repeated
    /// [env: CLEW_CONTEXT_CUSTOM_HEADERS]
    #[arg(long, value_name = "NAME", help_heading = "Trace context")]
    pub trace_header: Vec<String>,
    /// Insert a traceparent header into plaintext HTTP/1 requests: off, auto (where the kernel
    /// passes a test at the start) or force [default: off] [env: CLEW_PROPAGATION_HEADER]
    #[arg(
        long,
        value_name = "MODE",
        help_heading = "Propagation",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "auto",
        value_parser = ["off", "auto", "force"]
    )]
    pub propagate_header: Option<String>,

    /// The same for the requests of one service; may be repeated [env:
    /// CLEW_PROPAGATION_HEADER_SERVICES]
    #[arg(long, value_name = "SERVICE=MODE", help_heading = "Propagation")]
    pub propagate_header_for: Vec<String>,

    /// Which kernel hooks to use [default: auto, the best that works] [env: CLEW_CAPTURE_BACKEND]
    #[arg(
        long,
        value_name = "BACKEND",
        help_heading = "Capture",
        value_parser = ["auto", "socket", "fentry", "syscall"]
    )]
    pub backend: Option<String>,

    /// The most bytes copied of one send or receive [default: 4KiB] [env: CLEW_CAPTURE_BYTES]
    #[arg(long, value_name = "SIZE", help_heading = "Capture")]
    pub capture_bytes: Option<String>,

    /// Ring buffer between kernel and agent, a power of two [default: 8MiB] [env:
    /// CLEW_CAPTURE_RING_SIZE]
    #[arg(long, value_name = "SIZE", help_heading = "Capture")]
    pub ring_size: Option<String>,

    /// How trace contexts leave with the requests of traced processes; may be repeated [default:
    /// tcp-option] [env: CLEW_PROPAGATE]
    #[arg(
        long,
        value_name = "MODE",
        help_heading = "Propagation",
        value_parser = ["off", "tcp-option"]
    )]
    pub propagate: Vec<String>,

    /// Print the agent's counters to standard error, every 10s or as given (--stats=1s) [env:
    /// CLEW_METRICS_STATS_INTERVAL]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "The agent itself",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10s"
    )]
    pub stats: Option<String>,

    /// Serve the agent's counters to Prometheus at this address, such as 127.0.0.1:9464 [env:
    /// CLEW_METRICS_ADDRESS]
    #[arg(long, value_name = "ADDRESS", help_heading = "The agent itself")]
    pub metrics_address: Option<String>,

    /// error, warn, info, debug or trace; or by module: info,clew::export=debug [default: info]
    /// [env: CLEW_LOG]
    #[arg(long, value_name = "LEVEL", help_heading = "The agent itself")]
    pub log_level: Option<String>,

    /// How log lines look [default: text] [env: CLEW_LOG_FORMAT]
    #[arg(
        long,
        value_name = "FORMAT",
        help_heading = "The agent itself",
        value_parser = ["text", "json"]
    )]
    pub log_format: Option<String>,
}

impl RunArgs {
    /// The flags that were given, with the settings they stand for.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let all: &[(&'static str, &'static str, &[String])] = &[
            ("--output", "outputs", &self.output),
            ("--duration", "duration", self.duration.as_slice()),
            ("--thread-ids", "thread_ids", self.thread_ids.as_slice()),
            ("--endpoint", "otlp.endpoint", self.endpoint.as_slice()),
            ("--protocol", "otlp.protocol", self.protocol.as_slice()),
            ("--header", "otlp.headers", &self.header),
            (
                "--compression",
                "otlp.compression",
                self.compression.as_slice(),
            ),
            (
                "--include-exe",
                "scope.include.executables",
                &self.include_exe,
            ),
            (
                "--exclude-exe",
                "scope.exclude.executables",
                &self.exclude_exe,
            ),
            ("--include-cmd", "scope.include.commands", &self.include_cmd),
            ("--exclude-cmd", "scope.exclude.commands", &self.exclude_cmd),
            (
                "--include-container",
                "scope.include.containers",
                &self.include_container,
            ),
            (
                "--exclude-container",
                "scope.exclude.containers",
                &self.exclude_container,
            ),
            (
                "--include-cgroup",
                "scope.include.cgroups",
                &self.include_cgroup,
            ),
            (
                "--exclude-cgroup",
                "scope.exclude.cgroups",
                &self.exclude_cgroup,
            ),
            ("--include-port", "scope.include.ports", &self.include_port),
            ("--exclude-port", "scope.exclude.ports", &self.exclude_port),
            ("--sampler", "sampling.sampler", self.sampler.as_slice()),
            (
                "--sampling-ratio",
                "sampling.ratio",
                self.sampling_ratio.as_slice(),
            ),
            ("--context-format", "context.formats", &self.context_format),
            (
                "--trace-header",
                "context.custom_headers",
                &self.trace_header,
            ),
            (
                "--propagate-header",
                "propagation.header",
                self.propagate_header.as_slice(),
            ),
            (
                "--propagate-header-for",
                "propagation.header_services",
                &self.propagate_header_for,
            ),
            ("--backend", "capture.backend", self.backend.as_slice()),
            (
                "--capture-bytes",
                "capture.bytes",
                self.capture_bytes.as_slice(),
            ),
            (
                "--ring-size",
                "capture.ring_size",
                self.ring_size.as_slice(),
            ),
            ("--propagate", "propagate", &self.propagate),
            ("--stats", "metrics.stats_interval", self.stats.as_slice()),
            (
                "--metrics-address",
                "metrics.address",
                self.metrics_address.as_slice(),
            ),
            ("--log-level", "log.level", self.log_level.as_slice()),
            ("--log-format", "log.format", self.log_format.as_slice()),
        ];
        all.iter()
            .filter(|(_, _, values)| !values.is_empty())
            .map(|(name, setting, values)| Flag {
                name,
                setting,
                values: values.to_vec(),
            })
            .collect()
    }

    /// All sources of the configuration: these flags, the process's environment, the file.
    /// Variables that are not UTF-8 are left out: no setting can be read from them.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Sources {
            file: self.file.config.clone(),
            flags: self.flags(),
            environment: std::env::vars_os()
                .filter_map(text)
                .collect::<Environment>(),
            terminal: std::io::stdout().is_terminal(),
        }
    }
}
