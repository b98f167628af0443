//! As many requests as a server answers, by the load generators that are usual for it: wrk,
//! `redis-benchmark`, `pgbench`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::workload::{Server, Workload};
use super::{cpu, wrk};

/// Commands by which Redis's speed is found out: its load has no duration, only a number.
pub const TRIAL: u64 = 50_000;

/// What was reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saturation {
    /// Requests answered.
    pub answered: u64,
    /// For how long was asked.
    pub seconds: f64,
}

impl Saturation {
    /// Requests a second.
    pub fn rate(self) -> f64 {
        self.answered as f64 / self.seconds
    }
}

/// A load as fast as the server answers.
pub struct Saturating<'a> {
    /// Of the load.
    pub connections: usize,
    /// About how long it lasts.
    pub lasting: Duration,
    /// How many commands Redis is sent.
    pub commands: u64,
    /// Where a generator may write.
    pub directory: &'a Path,
}

impl Saturating<'_> {
    /// Asks; HTTP's servers for `path`.
    ///
    /// # Errors
    /// When a generator is missing, or an answer is not a success.
    pub fn run(&self, workload: Workload, server: &Server, path: &str) -> Result<Saturation> {
        match workload {
            Workload::NginxSmall | Workload::NginxFile | Workload::Python | Workload::Node => {
                let report = wrk::saturate(server.address, path, self.connections, self.lasting)?;
                Ok(Saturation {
                    answered: report.requests,
                    seconds: report.seconds,
                })
            }
            Workload::Redis => self.redis(server, 1),
            Workload::RedisPipelined => self.redis(server, 16),
            Workload::Postgres => self.postgres(server, "simple"),
            Workload::PostgresPrepared => self.postgres(server, "prepared"),
        }
    }

    fn redis(&self, server: &Server, pipeline: u64) -> Result<Saturation> {
        // So many of each kind; whole pipelines on every connection.
        let each = pipeline * self.connections as u64;
        let each = (self.commands / 2).next_multiple_of(each);
        let mut command: Command = cpu::pinned(cpu::REST, "redis-benchmark");
        command.args(["-p", &server.address.port().to_string(), "-q"]);
        command.args(["-t", "set,get", "-d", "64", "-P", &pipeline.to_string()]);
        command.args(["-c", &self.connections.to_string()]);
        command.args(["-n", &each.to_string()]);
        let start = Instant::now();
        server.run(command, self.directory)?;
        Ok(Saturation {
            answered: 2 * each,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    fn postgres(&self, server: &Server, protocol: &str) -> Result<Saturation> {
        let mut command = server.pgbench()?;
        command.args(["--select-only", "--no-vacuum", "--protocol", protocol]);
        command.args(["--client", &self.connections.to_string()]);
        let seconds = self.lasting.as_secs().max(1);
        command.args(["--time", &seconds.to_string()]);
        let text = server.run(command, self.directory)?;
        pgbench(&text).with_context(|| format!("pgbench wrote:\n{text}"))
    }
}

/// Reads pgbench's report.
fn pgbench(text: &str) -> Result<Saturation> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next())
            .with_context(|| format!("no `{name}`"))
    };
    let answered: u64 = value("number of transactions actually processed: ")?.parse()?;
    let rate: f64 = value("tps = ")?.parse()?;
    Ok(Saturation {
        answered,
        seconds: answered as f64 / rate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_of_pgbench() {
        let text = "scaling factor: 1\nnumber of transactions actually processed: 31000\n\
                    number of failed transactions: 0 (0.000%)\nlatency average = 0.516 ms\n\
                    initial connection time = 30.120 ms\n\
                    tps = 15500.000000 (without initial connection time)\n";
        let expected = Saturation {
            answered: 31_000,
            seconds: 2.0,
        };
        assert_eq!(pgbench(text).expect("a report"), expected);
        assert_eq!(expected.rate(), 15_500.0);
        assert!(pgbench("pgbench: error").is_err());
    }
}
