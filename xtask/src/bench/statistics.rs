//! Medians, quartiles, intervals, and ratios that are paired by round.

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

/// The median of a sample, and an interval that holds the median of what it was drawn from with at least
/// 95 % confidence, whatever the distribution: from a value of the sample to its counterpart from the
/// other end ([`rank`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Of the sample.
    pub median: f64,
    /// Its upper end.
    pub high: f64,
    /// Whether the sample is large enough for such a confidence; else this is all of it.
    pub confident: bool,
}

impl Interval {
    /// Of a sample; `None` of an empty one.
    pub fn of(sample: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = sample.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let rank = rank(sorted.len());
        let below = rank.map_or(0, |(rank, _)| rank - 1);
        Some(Self {
            low: *sorted.get(below)?,
            median: quantile(&sorted, 0.5)?,
            high: *sorted.iter().rev().nth(below)?,
            confident: rank.is_some(),
        })
    }

    /// Of `value / base`, round by round; as [`Quartiles::of_ratios`].
    pub fn of_ratios(values: &[f64], bases: &[f64]) -> Option<Self> {
        Self::of(values.iter().zip(bases).map(|(value, base)| value / base))
    }

    /// Whether something is at most so much.
    pub fn verdict(self, most: f64) -> Verdict {
        match self {
            Self { high, .. } if self.confident && high <= most => Verdict::Met,
            Self { low, .. } if self.confident && low > most => Verdict::Missed,
            _ => Verdict::Undecided,
        }
    }
}

/// `median (low to high)`, to the precision that the formatter asks for.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self {
            low, median, high, ..
        } = self;
        write!(f, "{median:.digits$} ({low:.digits$} to {high:.digits$})")
    }
}

/// Whether an aim was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of the interval is within it.
    Met,
    /// All of the interval is beyond it.
    Missed,
    /// Neither.
    Undecided,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Undecided => "undecided",
        })
    }
}

/// How many places from either end of a sorted sample the interval of its median begins and ends, counted
/// from 1, and the interval's confidence; `None` where even from end to end it is below 95 %.
///
/// So many of the sample's values are below the median as a fair coin falls heads: the median is below the
/// k-th of n values with the probability of less than k heads in n throws.
pub fn rank(sample: usize) -> Option<(usize, f64)> {
    let throws = i32::try_from(sample).ok()?;
    let mut found = None;
    // The probability of so many heads, and of no more than that.
    let mut exactly = 0.5_f64.powi(throws);
    let mut at_most = exactly;
    for heads in 0..throws {
        let confidence = 1.0 - 2.0 * at_most;
        if confidence < 0.95 {
            break;
        }
        found = Some((heads as usize + 1, confidence));
        exactly *= f64::from(throws - heads) / f64::from(heads + 1);
        at_most += exactly;
    }
    found
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

    /// The ranks that tables of the sign test's critical values give, at 5 % (two-sided).
    #[test]
    fn ranks_of_the_medians_interval() {
        for (sample, expected) in [
            (0, None),
            (5, None),
            (6, Some((1, 0.969))),
            (7, Some((1, 0.984))),
            (8, Some((1, 0.992))),
            (9, Some((2, 0.961))),
            (15, Some((4, 0.965))),
            (20, Some((6, 0.959))),
            (99, Some((40, 0.956))),
        ] {
            let found = rank(sample).map(|(rank, confidence)| (rank, (confidence * 1e3).round()));
            let expected = expected.map(|(rank, confidence)| (rank, f64::round(confidence * 1e3)));
            assert_eq!(found, expected, "of {sample}");
        }
    }

    #[test]
    fn intervals() {
        assert_eq!(Interval::of([]), None);
        let few = Interval::of([3.0, 1.0, 2.0]).expect("not empty");
        assert_eq!((few.low, few.median, few.high), (1.0, 2.0, 3.0));
        assert!(!few.confident);
        let enough = Interval::of((1..=9).rev().map(f64::from)).expect("not empty");
        assert_eq!((enough.low, enough.median, enough.high), (2.0, 5.0, 8.0));
        assert!(enough.confident);
        assert_eq!(format!("{enough:.1}"), "5.0 (2.0 to 8.0)");
    }

    #[test]
    fn verdicts() {
        let interval = Interval::of((1..=9).map(f64::from)).expect("not empty");
        assert_eq!(interval.verdict(8.0), Verdict::Met);
        assert_eq!(interval.verdict(7.9), Verdict::Undecided);
        assert_eq!(interval.verdict(2.0), Verdict::Undecided);
        assert_eq!(interval.verdict(1.9), Verdict::Missed);
        let few = Interval::of([1.0; 5]).expect("not empty");
        assert_eq!(few.verdict(2.0), Verdict::Undecided);
    }

    #[test]
    fn shown_with_its_spread() {
        let quartiles = Quartiles::of([1.0, 2.0, 3.0]).expect("not empty");
        assert_eq!(format!("{quartiles:.1}"), "2.0 (1.5-2.5)");
    }
}
