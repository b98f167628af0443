//! As many requests as a server answers, by wrk.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::cpu;

/// Requests answered in a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saturation {
    /// In full, as wrk counts them. It leaves without the answers that are under way.
    pub requests: u64,
    /// For how long it asked.
    pub seconds: f64,
}

impl Saturation {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
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
) -> Result<Saturation> {
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
    parse(&text).with_context(|| format!("wrk wrote:\n{text}"))
}

/// Of wrk's report the line `  123456 requests in 2.00s, 15.5MB read`.
fn parse(text: &str) -> Result<Saturation> {
    if let Some(errors) = text.lines().find(|line| {
        let line = line.trim_start();
        line.starts_with("Socket errors:") || line.starts_with("Non-2xx")
    }) {
        bail!("requests failed: {}", errors.trim());
    }
    let line = text.lines().find(|line| line.contains(" requests in "));
    let words: Vec<&str> = line
        .context("no count of requests")?
        .split_whitespace()
        .collect();
    let [requests, "requests", "in", seconds, ..] = words[..] else {
        bail!("no count of requests");
    };
    let seconds = seconds.trim_end_matches(',');
    // Its durations are short enough to be in seconds or in minutes.
    let seconds: f64 = match seconds.strip_suffix('m') {
        Some(minutes) => minutes.parse::<f64>()? * 60.0,
        None => seconds.trim_end_matches('s').parse()?,
    };
    Ok(Saturation {
        requests: requests.parse()?,
        seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report() {
        let text = "Running 2s test @ http://127.0.0.1:80/\n  1 threads and 16 connections\n\
                    \x20 Thread Stats   Avg      Stdev     Max   +/- Stdev\n\
                    \x20 123456 requests in 2.10s, 15.50MB read\nRequests/sec:  58788.57\n";
        let expected = Saturation {
            requests: 123_456,
            seconds: 2.1,
        };
        assert_eq!(parse(text).expect("a report"), expected);
        let errors = format!("{text}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        assert!(parse(&errors).is_err());
        assert!(parse("").is_err());
    }
}
