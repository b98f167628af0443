//! Applications with OpenTelemetry's own SDK in them, and what they heard.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result};
use clew_testbed::Process;
use serde::Deserialize;

use crate::require::{self, Need};
use crate::service::{self, go_program, listening};
use crate::stage::{Stage, with};

/// A service that carries out plans ([`crate::plan`]) and makes spans of its own, by the libraries
/// that OpenTelemetry has for what it is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// Flask and requests.
    Python,
    /// `net/http` with `otelhttp`.
    Go,
    /// The JDK's HTTP server and client, under OpenTelemetry's agent for Java: the service of
    /// [`service::Runtime::Java`] as it is.
    Java,
}

impl Sdk {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Python, Self::Go, Self::Java];

    /// What all of them need.
    pub const NEEDS: &'static [Need] = &[
        Need::Python,
        Need::Program("go"),
        Need::Program("javac"),
        Need::JavaAgent,
    ];

    /// Starts the service on a port of the stage's loopback, and waits until it listens. Its spans
    /// go to `export`, by OTLP over HTTP.
    ///
    /// # Errors
    /// When it cannot be built or does not listen.
    pub fn start(self, stage: &Stage, port: u16, export: SocketAddr) -> Result<Process> {
        let name = format!("{self:?}-sdk-{port}");
        let listen = port.to_string();
        let mut command = match self {
            Self::Python => service::python_program("sdk_service.py", &[&listen])?,
            Self::Go => with(Command::new(go_program("go-sdk")?), &[&listen]),
            Self::Java => {
                let agent = require::find(Need::JavaAgent).map_err(anyhow::Error::msg)?;
                let agent = format!("-javaagent:{}", agent.display());
                service::java(&[&agent, "-Dheard=true"], &listen)?
            }
        };
        configure(&mut command, &name, export);
        listening(stage.start(&name, command)?, port)
    }
}

/// Tells an SDK where its spans go.
pub fn configure(command: &mut Command, service_name: &str, export: SocketAddr) {
    command
        .env("OTEL_SERVICE_NAME", service_name)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{export}"))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        // Milliseconds between two exports; five seconds by default.
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        // Python's libraries use the stable names of attributes only when told.
        .env("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
        .env("OTEL_METRICS_EXPORTER", "none")
        .env("OTEL_LOGS_EXPORTER", "none")
        // Of Java's agent's many instrumentations, those that matter: each costs start-up time.
        .env("OTEL_INSTRUMENTATION_COMMON_DEFAULT_ENABLED", "false")
        .env("OTEL_INSTRUMENTATION_JAVA_HTTP_SERVER_ENABLED", "true")
        .env("OTEL_INSTRUMENTATION_HTTP_URL_CONNECTION_ENABLED", "true")
        // Everything that they talk to is on their loopback.
        .env("NO_PROXY", "127.0.0.1");
}

/// A request as a service with an SDK received it.
#[derive(Clone, Debug, Deserialize)]
pub struct Heard {
    /// Its path.
    pub path: String,
    /// Its header lines, each by itself.
    pub headers: Vec<(String, String)>,
}

impl Heard {
    /// The values of a header, one a line.
    #[must_use]
    pub fn values(&self, header: &str) -> Vec<&str> {
        let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case(header);
        let lines = self.headers.iter().filter(named);
        lines.map(|(_, value)| value.as_str()).collect()
    }
}

/// What a service has heard so far, from what it wrote.
///
/// # Errors
/// When a line that should tell it does not.
pub fn heard(service: &Process) -> Result<Vec<Heard>> {
    let output = service.output();
    let lines = output.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("in the line {line}")))
        .collect()
}
