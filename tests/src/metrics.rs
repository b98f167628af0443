//! The agent's metrics in the Prometheus text format.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// What one scrape gave.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Scrapes `/metrics`.
    ///
    /// # Errors
    /// When nothing answers within 5 s, or not with 200.
    pub fn scrape(address: SocketAddr) -> Result<Self> {
        let within = Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&address, within)
            .with_context(|| format!("connecting to the agent's metrics at {address}"))?;
        stream.set_read_timeout(Some(within))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer's head")?;
        ensure!(head.split(' ').nth(1) == Some("200"), "{head}");
        Ok(Self(body.to_owned()))
    }

    /// The sum of all samples of a metric that have this label, all of them for `("", "")`.
    ///
    /// # Panics
    /// When the metric is not there: a name that nobody exports would otherwise read as 0.
    #[must_use]
    pub fn sum(&self, name: &str, (key, value): (&str, &str)) -> f64 {
        let wanted = format!("{key}=\"{value}\"");
        let mut exported = false;
        let mut sum = 0.0;
        for line in self.0.lines() {
            let Some((series, sample)) = line.rsplit_once(' ') else {
                continue;
            };
            let (metric, labels) = series.split_once('{').unwrap_or((series, ""));
            if metric != name {
                continue;
            }
            exported = true;
            if key.is_empty() || labels.contains(&wanted) {
                sum += sample.parse().unwrap_or(0.0);
            }
        }
        assert!(exported, "no metric {name} in:\n{}", self.0);
        sum
    }

    /// The answer, in the Prometheus text format.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// All drops that have this reason.
    #[must_use]
    pub fn drops(&self, reason: &str) -> f64 {
        self.sum("clew_drops_total", ("reason", reason))
    }

    /// Runs of kernel programs that other tasks' runs of them prevented, or spoilt. Since Linux 7.0 that
    /// happens wherever several tasks share a processor, and on slow ones often.
    #[must_use]
    pub fn runs_lost(&self) -> f64 {
        self.drops("program_missed") + self.drops("chunk_preempted")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_label() {
        let metrics = Metrics(
            "# TYPE clew_drops_total counter\n\
             clew_drops_total{place=\"kernel\",reason=\"full\"} 3\n\
             clew_drops_total{place=\"export\",reason=\"full\"} 4\n\
             clew_drops_total{place=\"export\",reason=\"refused\"} 5\n\
             clew_spans_total 7\n"
                .to_owned(),
        );
        assert_eq!(metrics.drops("full"), 7.0);
        assert_eq!(metrics.sum("clew_drops_total", ("", "")), 12.0);
        assert_eq!(metrics.sum("clew_spans_total", ("", "")), 7.0);
    }
}
