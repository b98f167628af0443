//! As many requests as a server answers, by wrk.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::cpu;

/// What wrk reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Answered in full, as wrk counts them. It leaves without the answers that are under way.
    pub requests: u64,
    /// For how long it asked.
    pub seconds: f64,
    /// The latency in seconds that 99 % of the requests did not exceed; `None` without `--latency`.
    pub p99: Option<f64>,
    /// Connections that could not be made, or broke; requests that were not answered in time.
    pub socket_errors: u64,
    /// Answers that say that the request failed: from 400 on.
    pub refused: u64,
}

impl Report {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// From what it writes.
    ///
    /// # Errors
    /// When that is no report.
    pub fn parse(text: &str) -> Result<Self> {
        read(text).with_context(|| format!("wrk wrote:\n{text}"))
    }
}

/// Requests `path` as fast as the server answers, over `connections`.
///
/// # Errors
/// When wrk is missing, or an answer is not a success.
pub fn saturate(
    server: SocketAddr,
    path: &str,
    connections: usize,
    lasting: Duration,
) -> Result<Report> {
    let mut command = cpu::pinned(cpu::REST, "wrk");
    command.args(["--threads", "1", "--connections", &connections.to_string()]);
    command.args(["--duration", &format!("{}s", lasting.as_secs().max(1))]);
    command.arg(format!("http://{server}{path}"));
    let output = command.output().context("starting taskset (util-linux)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "wrk failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report = Report::parse(&text)?;
    ensure!(
        report.socket_errors + report.refused == 0,
        "requests failed; wrk wrote:\n{text}"
    );
    Ok(report)
}

fn read(text: &str) -> Result<Report> {
    let find = |beginning: &str| {
        let mut lines = text.lines().map(str::trim_start);
        lines.find_map(|line| line.strip_prefix(beginning))
    };
    // `  123456 requests in 2.00s, 15.5MB read`
    let line = text.lines().find(|line| line.contains(" requests in "));
    let words: Vec<&str> = line
        .context("no count of requests")?
        .split_whitespace()
        .collect();
    let [requests, "requests", "in", lasted, ..] = words[..] else {
        bail!("no count of requests");
    };
    // `  Socket errors: connect 0, read 3, write 0, timeout 0`
    let socket_errors = find("Socket errors:").map_or(Ok(0), |kinds| {
        kinds
            .split(',')
            .map(|kind| {
                let count = kind.split_whitespace().nth(1);
                Ok(count
                    .context("socket errors without a count")?
                    .parse::<u64>()?)
            })
            .sum::<Result<u64>>()
    })?;
    // `  Non-2xx or 3xx responses: 12`
    let refused = find("Non-2xx or 3xx responses:").map_or(Ok(0), |count| count.trim().parse())?;
    // `     99%  428.00us`
    let p99 = find("99%").map(time).transpose()?;
    Ok(Report {
        requests: requests.parse()?,
        seconds: time(lasted.trim_end_matches(','))?,
        p99,
        socket_errors,
        refused,
    })
}

/// `428.00us`, `1.25ms`, `2.10s` or `1.00m` in seconds.
fn time(text: &str) -> Result<f64> {
    // The seconds last: other units end like them.
    const UNITS: [(&str, f64); 4] = [("us", 1e-6), ("ms", 1e-3), ("m", 60.0), ("s", 1.0)];
    let text = text.trim();
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))
        .with_context(|| format!("no time: {text}"))?;
    Ok(number.parse::<f64>()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Running 2s test @ http://127.0.0.1:80/\n  1 threads and 16 connections\n\
                        \x20 Thread Stats   Avg      Stdev     Max   +/- Stdev\n\
                        \x20   Latency   110.79us  145.42us   4.63ms   99.29%\n\
                        \x20 Latency Distribution\n     50%   93.00us\n     99%    1.25ms\n\
                        \x20 123456 requests in 2.10s, 15.50MB read\nRequests/sec:  58788.57\n";

    #[test]
    fn report() {
        let expected = Report {
            requests: 123_456,
            seconds: 2.1,
            p99: Some(0.00125),
            socket_errors: 0,
            refused: 0,
        };
        assert_eq!(Report::parse(TEXT).expect("a report"), expected);
        let without = TEXT.replace("     99%    1.25ms\n", "");
        assert_eq!(Report::parse(&without).expect("a report").p99, None);
        assert!(Report::parse("").is_err());
    }

    #[test]
    fn failures() {
        let text = format!(
            "{TEXT}  Socket errors: connect 1, read 3, write 0, timeout 7\n\
             \x20 Non-2xx or 3xx responses: 12\n"
        );
        let report = Report::parse(&text).expect("a report");
        assert_eq!((report.socket_errors, report.refused), (11, 12));
        assert!(Report::parse(&text.replace("read 3", "read")).is_err());
    }

    #[test]
    fn times() {
        for (text, seconds) in [("500.00us", 0.0005), ("3.00s", 3.0), ("1.50m", 90.0)] {
            let read = time(text).expect("a time");
            assert!((read - seconds).abs() < 1e-12, "{text}: {read}");
        }
        assert!(time("12").is_err());
    }
}
