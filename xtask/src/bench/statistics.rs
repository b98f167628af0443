//! Medians, quartiles, and ratios that are paired by round.

use std::fmt;

/// The middle of a sample and its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    /// A quarter of the sample is below.
    pub low: f64,
    /// Half of it is.
    pub median: f64,
    /// Three quarters are.
    pub high: f64,
}

impl Quartiles {
    /// Of a sample; `None` of an empty one.
    pub fn of(sample: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = sample.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            low: quantile(&sorted, 0.25)?,
            median: quantile(&sorted, 0.5)?,
            high: quantile(&sorted, 0.75)?,
        })
    }

    /// Of `value / base`, round by round. The machine's speed drifts by a quarter within minutes;
    /// within a round it hardly does, so only these say what a variant costs.
    pub fn of_ratios(values: &[f64], bases: &[f64]) -> Option<Self> {
        Self::of(values.iter().zip(bases).map(|(value, base)| value / base))
    }
}

/// `median (low-high)`, to the precision that the formatter asks for.
impl fmt::Display for Quartiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self { low, median, high } = self;
        write!(f, "{median:.digits$} ({low:.digits$}-{high:.digits$})")
    }
}

/// The value below which `share` of a sorted sample lies, interpolated between neighbours.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = sorted[(below + 1).min(last)];
    Some(sorted[below] + (above - sorted[below]) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sample: &[f64], expected: Option<(f64, f64, f64)>) {
        let expected = expected.map(|(low, median, high)| Quartiles { low, median, high });
        assert_eq!(Quartiles::of(sample.iter().copied()), expected);
    }

    #[test]
    fn quartiles() {
        check(&[], None);
        check(&[7.0], Some((7.0, 7.0, 7.0)));
        check(&[3.0, 1.0], Some((1.5, 2.0, 2.5)));
        check(&[5.0, 1.0, 3.0, 2.0, 4.0], Some((2.0, 3.0, 4.0)));
    }

    #[test]
    fn ratios_are_paired_before_they_are_ranked() {
        // A machine that slows down threefold meanwhile: each round says 1.1.
        let base = [10.0, 20.0, 30.0];
        let value = [11.0, 22.0, 33.0];
        let ratio = Quartiles::of_ratios(&value, &base).expect("three rounds");
        for quartile in [ratio.low, ratio.median, ratio.high] {
            assert!((quartile - 1.1).abs() < 1e-12, "{ratio}");
        }
    }

    #[test]
    fn shown_with_its_spread() {
        let quartiles = Quartiles::of([1.0, 2.0, 3.0]).expect("not empty");
        assert_eq!(format!("{quartiles:.1}"), "2.0 (1.5-2.5)");
    }
}
