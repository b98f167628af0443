//! The OpenTelemetry Collector, which writes down what it receives.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clew_testbed::{Namespace, Process};
use tempfile::TempDir;

use crate::agent::free_address;
use crate::otlp;
use crate::require::{self, Need};
use crate::store::Store;

/// The Collector with its file exporter.
#[derive(Debug)]
pub struct Collector {
    directory: TempDir,
    /// Where it takes OTLP over gRPC.
    pub grpc: SocketAddr,
    /// Where it takes OTLP over HTTP.
    pub http: SocketAddr,
    starts: u32,
}

impl Collector {
    /// One that is not running yet.
    ///
    /// # Errors
    /// When it finds no room or no ports.
    pub fn new() -> Result<Self> {
        Ok(Self {
            directory: clew_testbed::temp_dir()?,
            grpc: free_address()?,
            http: free_address()?,
            starts: 0,
        })
    }

    /// Starts it with a new file, on a namespace's loopback or the host's.
    ///
    /// # Errors
    /// When it is not there, or does not listen.
    pub fn start(&mut self, namespace: Option<&Namespace>) -> Result<(Process, PathBuf)> {
        self.starts += 1;
        let number = self.starts;
        let output = self.directory.path().join(format!("{number}.jsonl"));
        let configuration = self.directory.path().join(format!("{number}.yaml"));
        std::fs::write(
            &configuration,
            format!(
                "receivers:\n  otlp:\n    protocols:\n      \
                 grpc: {{endpoint: '{}'}}\n      http: {{endpoint: '{}'}}\n\
                 exporters:\n  file:\n    path: {}\n    flush_interval: 100ms\n\
                 service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
                 traces: {{receivers: [otlp], exporters: [file]}}\n",
                self.grpc,
                self.http,
                output.display()
            ),
        )?;
        let collector = require::find(Need::Collector).map_err(anyhow::Error::msg)?;
        let mut command = std::process::Command::new(collector);
        command.arg("--config").arg(configuration);
        let name = format!("collector-{number}");
        let mut process = Process::start(&name, command, namespace, self.directory.path())?;
        for address in [self.grpc, self.http] {
            process.wait_listening(address, Duration::from_secs(60))?;
        }
        Ok((process, output))
    }
}

/// The spans that a Collector has written so far.
///
/// # Errors
/// When it has written something else than spans of the kinds that [`otlp`] knows.
pub fn read(output: &Path) -> Result<Store> {
    let store = Store::default();
    let text = match std::fs::read_to_string(output) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text.with_context(|| format!("reading {}", output.display()))?,
    };
    // The last line may be half written.
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        store.add(otlp::parse_line(line)?);
    }
    Ok(store)
}
