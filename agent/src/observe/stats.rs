//! A table for `clew run --stats`.

use std::fmt::Write as _;

use crate::metrics::{Count, Drop, Gauge, Metrics};

/// All figures, present amounts first; of the drops only those that happened, so that a loss
/// catches the eye.
#[must_use]
pub fn render_stats(metrics: &Metrics) -> String {
    let mut text = String::new();
    section(&mut text, "now");
    for gauge in Gauge::ALL {
        row(&mut text, gauge.labels()[0], metrics.amount(*gauge));
    }
    section(&mut text, "since the start");
    for count in Count::ALL {
        row(&mut text, count.labels()[0], metrics.counted(*count));
    }
    section(&mut text, "lost");
    let mut lost = false;
    for drop in Drop::ALL {
        let number = metrics.drops(*drop);
        if number > 0 {
            lost = true;
            row(&mut text, &drop.labels().join(": "), number);
        }
    }
    if !lost {
        text.push_str("  nothing\n");
    }
    text
}

fn section(text: &mut String, title: &str) {
    let _ = writeln!(text, "{title}");
}

fn row(text: &mut String, name: &str, number: u64) {
    let _ = writeln!(
        text,
        "  {:<36} {:>18}",
        name.replace('_', " "),
        grouped(number)
    );
}

/// Digits in groups of three, with a narrow eye for large numbers.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let metrics = Metrics::default();
        assert!(render_stats(&metrics).ends_with("lost\n  nothing\n"));
        metrics.count(Count::Chunks, 1_234_567);
        metrics.drop(Drop::ChunkRingFull, 12);
        let text = render_stats(&metrics);
        assert!(text.contains("  chunks                                        1 234 567\n"));
        assert!(
            text.ends_with("lost\n  kernel: chunk ring full                              12\n")
        );
    }
}
