//! Prometheus' text format, version 0.0.4. The tables in [`crate::metrics`] are the source; label
//! values are literals without a character that would need an escape.

use std::fmt::Write as _;

use crate::metrics::{Count, Drop, Gauge, Metrics};

/// All metrics in the text format.
#[must_use]
pub fn render_prometheus(metrics: &Metrics) -> String {
    let mut text = String::from(
        "# HELP clew_drops_total What was lost, by the place and the reason of the loss.\n\
         # TYPE clew_drops_total counter\n",
    );
    for drop in Drop::ALL {
        let [place, reason] = drop.labels() else {
            continue;
        };
        let _ = writeln!(
            text,
            "clew_drops_total{{place=\"{place}\",reason=\"{reason}\"}} {}",
            metrics.drops(*drop)
        );
    }
    for count in Count::ALL {
        let name = format!("clew_{}_total", count.labels()[0]);
        family(&mut text, &name, "counter", metrics.counted(*count));
    }
    for gauge in Gauge::ALL {
        let name = format!("clew_{}", gauge.labels()[0]);
        family(&mut text, &name, "gauge", metrics.amount(*gauge));
    }
    text
}

fn family(text: &mut String, name: &str, kind: &str, value: u64) {
    let words = name.trim_start_matches("clew_").trim_end_matches("_total");
    let words = words.replace('_', " ");
    let help = match kind {
        "counter" => format!("Number of {words} since the start."),
        _ => format!("Present {words}."),
    };
    let _ = writeln!(
        text,
        "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_once_with_help_and_type() {
        let metrics = Metrics::default();
        metrics.drop(Drop::QueueFull, 3);
        metrics.count(Count::Spans, 5);
        metrics.gauge(Gauge::QueuedSpans, 7);
        let text = render_prometheus(&metrics);
        for line in [
            "clew_drops_total{place=\"export\",reason=\"queue_full\"} 3",
            "clew_spans_total 5",
            "# TYPE clew_spans_total counter",
            "clew_queued_spans 7",
            "# TYPE clew_queued_spans gauge",
        ] {
            assert_eq!(text.lines().filter(|l| *l == line).count(), 1, "{line}");
        }
        let samples = text.lines().filter(|line| !line.starts_with('#')).count();
        let all = Drop::ALL.len() + Count::ALL.len() + Gauge::ALL.len();
        assert_eq!(samples, all);
        let families = text.matches("# TYPE").count();
        assert_eq!(families, 1 + Count::ALL.len() + Gauge::ALL.len());
        assert_eq!(families, text.matches("# HELP").count());
        assert!(text.ends_with('\n'));
    }
}
