//! The agent under measurement.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clew_testbed::{Deadline, Process};
use nix::sys::signal::Signal;

use super::cpu::{self, Family};
use super::workload::free_port;

/// From its start until it traces.
const START: Duration = Duration::from_secs(10);

/// It promises to leave within 2 s.
const LEAVE: Duration = Duration::from_secs(5);

/// `clew run` on the processor that is not the server's; it traces the whole host, if it is told
/// nothing else.
pub struct Agent {
    process: Process,
    family: Family,
    metrics: SocketAddr,
}

/// Drops by place and reason, as counted since the agent's start.
pub type Drops = BTreeMap<String, u64>;

impl Agent {
    /// Starts it, with more arguments for `clew run`, and waits until it traces.
    ///
    /// # Errors
    /// When it does not, with what it wrote.
    pub fn start(binary: &Path, endpoint: &str, more: &[&str], directory: &Path) -> Result<Self> {
        let binary = binary.to_str().context("a path in UTF-8")?;
        Self::start_by(cpu::pinned(cpu::REST, binary), endpoint, more, directory)
    }

    /// Starts it by a command that becomes the agent, wherever that runs.
    ///
    /// # Errors
    /// When it does not trace, with what it wrote.
    pub fn start_by(
        mut command: Command,
        endpoint: &str,
        more: &[&str],
        directory: &Path,
    ) -> Result<Self> {
        let metrics = free_port()?;
        command.args(["run", "--output", "otlp", "--protocol", "grpc"]);
        command.args([
            "--endpoint",
            endpoint,
            "--metrics-address",
            &metrics.to_string(),
        ]);
        command.args(more);
        // Defaults are measured, not the settings that whoever runs this has in the environment.
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let process = Process::start("agent", command, None, directory)?;
        let ready = Deadline::after(START).poll(|| {
            let traces = process.output().contains("clew is tracing");
            (traces || process.has_ended()).then_some(traces)
        });
        if ready != Some(true) {
            bail!("the agent does not trace; it wrote:\n{}", process.output());
        }
        let family = Family::of(process.pid())?;
        Ok(Self {
            process,
            family,
            metrics,
        })
    }

    /// The processor time it has taken.
    ///
    /// # Errors
    /// When it has ended.
    pub fn time(&self) -> Result<Duration> {
        self.family.time().with_context(|| self.process.output())
    }

    /// Its resident memory in bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident(&self) -> Result<u64> {
        cpu::resident(self.process.pid()).with_context(|| self.process.output())
    }

    /// What it says that it lost, from its Prometheus endpoint.
    ///
    /// # Errors
    /// When that does not answer.
    pub fn drops(&self) -> Result<Drops> {
        let text = self.metrics()?;
        drops(&text).with_context(|| format!("no drop counters in:\n{text}"))
    }

    /// What it says of itself, at its Prometheus endpoint.
    ///
    /// # Errors
    /// When that does not answer.
    pub fn metrics(&self) -> Result<String> {
        let scrape = || -> Result<String> {
            let mut stream = TcpStream::connect(self.metrics)?;
            stream.set_read_timeout(Some(START))?;
            write!(
                stream,
                "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        scrape().context("reading the agent's metrics")
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it has written.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Asks it to leave, as a person would, and waits for it.
    ///
    /// # Errors
    /// When it does not leave in time or not well.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        let status = self.process.wait(LEAVE)?;
        if !status.success() {
            bail!(
                "the agent failed ({status}); it wrote:\n{}",
                self.process.output()
            );
        }
        Ok(())
    }
}

/// `clew_drops_total{place="kernel",reason="chunk_ring_full"} 3` as `kernel chunk_ring_full`: 3.
pub fn drops(text: &str) -> Option<Drops> {
    let lines = text.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix("clew_drops_total{")?.split_once("} ")?;
        let label = |name: &str| {
            let after = labels.split_once(&format!("{name}=\""))?.1;
            Some(after.split_once('"')?.0)
        };
        let name = format!("{} {}", label("place")?, label("reason")?);
        // Prometheus numbers are floating point.
        Some((name, value.trim().parse::<f64>().ok()? as u64))
    });
    let drops: Drops = lines.collect();
    (!drops.is_empty()).then_some(drops)
}

/// `clew_spans_unsampled_total 3`: 3.
pub fn counter(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    // Prometheus numbers are floating point.
    value.trim().parse::<f64>().ok().map(|value| value as u64)
}

/// What was added between two readings, where anything was.
pub fn added(before: &Drops, after: &Drops) -> Drops {
    after
        .iter()
        .map(|(name, total)| {
            (
                name.clone(),
                total - before.get(name).unwrap_or(&0).min(total),
            )
        })
        .filter(|&(_, more)| more > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_counters() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# TYPE clew_drops_total counter\n\
                    clew_drops_total{place=\"kernel\",reason=\"chunk_ring_full\"} 3\n\
                    clew_drops_total{place=\"export\",reason=\"refused\"} 0\n\
                    clew_spans_total 7\n";
        let before = drops(text).expect("counters");
        assert_eq!(before.get("kernel chunk_ring_full"), Some(&3));
        assert_eq!(before.len(), 2);
        assert_eq!(drops("clew_spans_total 7\n"), None);

        assert_eq!(counter(text, "clew_spans_total"), Some(7));
        assert_eq!(counter(text, "clew_spans"), None);

        let after = drops(&text.replace("} 3", "} 5")).expect("counters");
        let more = added(&before, &after);
        assert_eq!(
            more.into_iter().collect::<Vec<_>>(),
            [("kernel chunk_ring_full".to_owned(), 2)]
        );
    }
}
