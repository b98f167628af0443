//! The decision whether a trace is kept: OpenTelemetry's consistent probability sampling.
//!
//! A trace has 56 bits of randomness: the low ones of its id, or an explicit value that travels with
//! it. A sampler has a rejection threshold of as many bits, derived from its ratio. A trace is kept
//! if its randomness is not below the threshold. So all hosts that have the same ratio decide alike
//! without a word between them, and one with a greater ratio keeps all that one with a smaller keeps.
//!
//! Both sides of the kernel boundary decide by this file: the kernel programs for traces that begin
//! in the kernel, the agent for the others. Integers only, since BPF knows no floating point.
//!
//! <https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/>; W3C Trace
//! Context Level 2, "Random Trace ID Flag".

/// Bits of a trace's randomness.
pub const RANDOM_BITS: u32 = 56;

/// Hexadecimal digits of a threshold that a ratio gets, after the leading `f`s. The specification
/// recommends 4 ("Converting floating-point probability to threshold value"): a short `tracestate`
/// for a ratio that is off by 2^-13 of itself at most.
const PRECISION: u32 = 4;

/// The randomness of a trace whose id ends in these 64 bits, where no explicit value says otherwise.
#[inline]
#[must_use]
pub const fn randomness(trace_id_low: u64) -> u64 {
    trace_id_low & ((1 << RANDOM_BITS) - 1)
}

/// A rejection threshold: of 2^56 traces, as many are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threshold(u64);

impl Threshold {
    /// Every trace is kept.
    pub const ALWAYS: Self = Self(0);
    /// No trace is kept. The specification has no threshold for that, and none is ever written for
    /// it; as a number it is the next after the greatest randomness.
    pub const NEVER: Self = Self(1 << RANDOM_BITS);

    /// The threshold of this value; [`Self::NEVER`] for values beyond 56 bits.
    #[inline]
    #[must_use]
    pub const fn new(value: u64) -> Self {
        if value < Self::NEVER.0 {
            Self(value)
        } else {
            Self::NEVER
        }
    }

    /// Its value, 0 to 2^56: what the agent hands over to the kernel programs.
    #[inline]
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Whether a trace with this [`randomness`] is kept.
    #[inline]
    #[must_use]
    pub const fn keeps(self, randomness: u64) -> bool {
        randomness >= self.0
    }

    /// The threshold that keeps this part of all traces, rounded as the specification recommends.
    ///
    /// `None` for what is no ratio from 0 to 1. [`Self::NEVER`] for 0, and for what is below the
    /// smallest ratio that 56 bits can express, 2^-56.
    #[must_use]
    pub const fn from_ratio(ratio: f64) -> Option<Self> {
        Self::rounded(ratio, PRECISION)
    }

    /// [`Self::from_ratio`] with so many digits, 1 to 4.
    ///
    /// Exact arithmetic on the number's bits: every host must come to the same threshold, and `core`
    /// has no rounding of floating-point numbers.
    const fn rounded(ratio: f64, precision: u32) -> Option<Self> {
        const FRACTION_BITS: u32 = 52;
        const BIAS: u32 = 1023;
        // Bits of the fixed-point numbers below that are behind the point.
        const BEHIND: u32 = 64;

        let bits = ratio.to_bits();
        // Ordered like the numbers themselves; what is negative, infinite or no number is greater.
        if bits == 1f64.to_bits() {
            return Some(Self::ALWAYS);
        }
        if bits > 1f64.to_bits() && bits != (-0f64).to_bits() {
            return None;
        }
        let exponent = (bits >> FRACTION_BITS) as u32 & 0x7ff;
        if exponent + RANDOM_BITS < BIAS {
            return Some(Self::NEVER);
        }
        // The ratio lies in [2^-(zeros + 1), 2^-zeros): its threshold begins with zeros/4 digits f.
        let zeros = BIAS - 1 - exponent;
        let significand = (bits & ((1 << FRACTION_BITS) - 1)) | 1 << FRACTION_BITS;
        // Traces kept, of 2^56, in fixed point: significand × 2^(exponent - bias - 52 + 56).
        let kept = (significand as u128) << (BEHIND + RANDOM_BITS - FRACTION_BITS - zeros - 1);
        let dropped = (1 << (BEHIND + RANDOM_BITS)) - kept;

        let digits = precision + zeros / 4;
        let coarse = (RANDOM_BITS / 4).saturating_sub(digits) * 4;
        let half = 1 << (BEHIND + coarse - 1);
        let units = (dropped + half) >> (BEHIND + coarse);
        Some(Self((units << coarse) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's table of 1-in-N sampling: thresholds of 3, 4 and 5 digits, without the
    /// zeros at their end.
    #[test]
    fn thresholds_of_the_specification() {
        let table: [(u32, [u64; 3], [u32; 3]); 12] = [
            (2, [0x8; 3], [1; 3]),
            (3, [0xaab, 0xaaab, 0xaaaab], [3, 4, 5]),
            (4, [0xc; 3], [1; 3]),
            (5, [0xccd, 0xcccd, 0xccccd], [3, 4, 5]),
            (8, [0xe; 3], [1; 3]),
            (10, [0xe66, 0xe666, 0xe6666], [3, 4, 5]),
            (16, [0xf; 3], [1; 3]),
            (100, [0xfd71, 0xfd70a, 0xfd70a4], [4, 5, 6]),
            (1000, [0xffbe7, 0xffbe77, 0xffbe76d], [5, 6, 7]),
            (10_000, [0xfff972, 0xfff9724, 0xfff97247], [6, 7, 8]),
            (100_000, [0xffff584, 0xffff583a, 0xffff583a5], [7, 8, 9]),
            (1_000_000, [0xffffef4, 0xffffef39, 0xffffef391], [7, 8, 9]),
        ];
        for (one_in, digits, lengths) in table {
            for (at, precision) in [3, 4, 5].into_iter().enumerate() {
                let wanted = Threshold(digits[at] << (RANDOM_BITS - 4 * lengths[at]));
                let found = Threshold::rounded(1.0 / f64::from(one_in), precision);
                assert_eq!(found, Some(wanted), "1 in {one_in}, {precision} digits");
            }
        }
    }

    #[test]
    fn ratios_at_the_edges() {
        let smallest = 1.0 / (1u64 << RANDOM_BITS) as f64;
        let table = [
            (1.0, Some(Threshold::ALWAYS)),
            (0.0, Some(Threshold::NEVER)),
            (-0.0, Some(Threshold::NEVER)),
            (f64::MIN_POSITIVE / 2.0, Some(Threshold::NEVER)),
            (smallest / 2.0, Some(Threshold::NEVER)),
            (smallest, Some(Threshold((1 << RANDOM_BITS) - 1))),
            (2.0 * smallest, Some(Threshold((1 << RANDOM_BITS) - 2))),
            // As near to 1 as to be 1 in four digits.
            (1.0 - f64::EPSILON, Some(Threshold::ALWAYS)),
            (0.75, Some(Threshold(0x40_0000_0000_0000))),
            (31.0 / 32.0, Some(Threshold(0x08_0000_0000_0000))),
            (1.0 + f64::EPSILON, None),
            (-f64::MIN_POSITIVE, None),
            (f64::INFINITY, None),
            (f64::NAN, None),
        ];
        for (ratio, wanted) in table {
            assert_eq!(Threshold::from_ratio(ratio), wanted, "{ratio:e}");
        }
    }

    /// What a threshold keeps of all values is the ratio, within its rounding; a greater ratio has
    /// no greater threshold.
    #[test]
    fn thresholds_follow_their_ratios() {
        let mut before = Threshold::NEVER;
        for step in 1..=20_000 {
            // From 2^-40 to 1, evenly by their logarithm. Smaller ones have fewer bits than digits.
            let exponent = -40.0 * (1.0 - f64::from(step) / 20_000.0);
            let ratio = exponent.exp2();
            let threshold = Threshold::from_ratio(ratio).expect("a ratio");
            let kept = (Threshold::NEVER.0 - threshold.0) as f64 / Threshold::NEVER.0 as f64;
            assert!((kept / ratio - 1.0).abs() < 1.3e-4, "{ratio:e}: {kept:e}");
            assert!(threshold <= before, "{ratio:e}");
            before = threshold;
        }
        assert_eq!(before, Threshold::ALWAYS);
    }

    #[test]
    fn the_decision() {
        let quarter = Threshold::from_ratio(0.25).expect("a ratio");
        for (trace_id_low, kept) in [
            (0xc0_0000_0000_0000, true),
            (0xbf_ffff_ffff_ffff, false),
            (0xff_ffff_ffff_ffff, true),
            (0, false),
            // What is above the 56 bits says nothing.
            (0xff00_0000_0000_0000, false),
            (0x00c0_0000_0000_0000, true),
        ] {
            let decided = quarter.keeps(randomness(trace_id_low));
            assert_eq!(decided, kept, "{trace_id_low:x}");
            assert!(Threshold::ALWAYS.keeps(randomness(trace_id_low)));
            assert!(!Threshold::NEVER.keeps(randomness(trace_id_low)));
        }
        // The specification's example of an explicit randomness value, 43.1 %.
        let randomness = 0x6e_6d1a_7583_2a2f;
        assert!(Threshold::new(randomness).keeps(randomness));
        assert!(!Threshold::new(randomness + 1).keeps(randomness));
        assert_eq!(Threshold::new(u64::MAX), Threshold::NEVER);
    }
}
