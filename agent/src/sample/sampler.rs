//! The samplers that OpenTelemetry names, and what they decide.

use clew_common::sampling::{Threshold, randomness};

use super::tracestate;
use crate::model::{TraceFlags, TraceId};

/// What decides where no parent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Every trace is kept (`always_on`).
    AlwaysOn,
    /// None is (`always_off`).
    AlwaysOff,
    /// Those are whose randomness is not below the threshold (`traceidratio`, by the algorithm of
    /// the specification's `ProbabilitySampler`).
    Ratio(Threshold),
}

/// A sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Decides where no parent does.
    pub root: Root,
    /// What a context from elsewhere says holds. Else `root` decides about each trace again, and
    /// hosts must have the same ratio for their traces to be whole.
    pub parent_based: bool,
}

impl Default for Sampler {
    /// `parentbased_always_on`.
    fn default() -> Self {
        Self {
            root: Root::AlwaysOn,
            parent_based: true,
        }
    }
}

/// What was decided about a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The trace is kept.
    pub sampled: bool,
    /// The `tracestate` that goes on.
    pub state: Option<Box<str>>,
    /// A threshold was erased because it was wrong or contradicted the sampled flag, or was left
    /// out because there was no room for it.
    pub threshold_lost: bool,
    /// The trace id of another was taken for random, though its flags do not say so.
    pub presumed_random: bool,
}

impl Sampler {
    /// The threshold by which traces that begin here are decided.
    #[must_use]
    pub const fn threshold(self) -> Threshold {
        match self.root {
            Root::AlwaysOn => Threshold::ALWAYS,
            Root::AlwaysOff => Threshold::NEVER,
            Root::Ratio(threshold) => threshold,
        }
    }

    /// Decides about a trace that begins here.
    #[must_use]
    pub fn begin(self, id: TraceId) -> Decision {
        self.decide(randomness(id.0 as u64), None)
    }

    /// Decides about a trace that came from elsewhere with these flags and this `tracestate`.
    ///
    /// Flags that are absent are a decision left to the receiver, which some formats know (B3).
    #[must_use]
    pub fn inherit(self, id: TraceId, flags: Option<TraceFlags>, state: Option<&str>) -> Decision {
        let said = state.map(tracestate::read).unwrap_or_default();
        let randomness = said.randomness.unwrap_or(randomness(id.0 as u64));
        if let Some(flags) = flags.filter(|_| self.parent_based) {
            let sampled = flags.is_sampled();
            let agrees = match said.threshold {
                None => true,
                Some(Ok(threshold)) => threshold.keeps(randomness) == sampled,
                Some(Err(tracestate::Invalid)) => false,
            };
            let state = match agrees {
                true => state.map(Box::from),
                false => tracestate::with_threshold(state, None).0,
            };
            return Decision {
                sampled,
                state,
                threshold_lost: !agrees,
                presumed_random: false,
            };
        }
        let presumed_random = matches!(self.root, Root::Ratio(_))
            && said.randomness.is_none()
            && !flags.is_some_and(TraceFlags::is_random);
        Decision {
            presumed_random,
            ..self.decide(randomness, state)
        }
    }

    /// Only a ratio is written down: that everything is kept goes without saying, as it does with
    /// OpenTelemetry's SDKs. A threshold of others, that this decision has overruled, is erased.
    fn decide(self, randomness: u64, state: Option<&str>) -> Decision {
        let sampled = self.threshold().keeps(randomness);
        let threshold = match self.root {
            Root::Ratio(threshold) if sampled => Some(threshold),
            _ => None,
        };
        let (state, written) = tracestate::with_threshold(state, threshold);
        Decision {
            sampled,
            state,
            threshold_lost: !written,
            presumed_random: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUARTER: Root = Root::Ratio(Threshold::new(0xc0_0000_0000_0000));
    const KEPT: u128 = 0xab_ffff_0000_0000_00c0_0000_0000_0001;
    const DROPPED: u128 = 0xab_ffff_0000_0000_ffbf_ffff_ffff_ffff;

    fn inherit(sampler: Sampler, id: u128, flags: u8, state: &str) -> Decision {
        let state = (!state.is_empty()).then_some(state);
        sampler.inherit(TraceId(id), Some(TraceFlags(flags)), state)
    }

    /// `kept`, `dropped`, with the state; `!` where a threshold was lost, `?` where randomness was
    /// presumed.
    fn show(decision: &Decision) -> String {
        let verdict = if decision.sampled { "kept" } else { "dropped" };
        let lost = if decision.threshold_lost { "!" } else { "" };
        let presumed = if decision.presumed_random { "?" } else { "" };
        let state = decision.state.as_deref().unwrap_or("-");
        format!("{verdict}{lost}{presumed} {state}")
    }

    #[test]
    fn traces_that_begin_here() {
        for (root, of_low, of_high) in [
            (Root::AlwaysOn, "kept -", "kept -"),
            (Root::AlwaysOff, "dropped -", "dropped -"),
            (
                Root::Ratio(Threshold::ALWAYS),
                "kept ot=th:0",
                "kept ot=th:0",
            ),
            (Root::Ratio(Threshold::NEVER), "dropped -", "dropped -"),
            (QUARTER, "dropped -", "kept ot=th:c"),
        ] {
            for parent_based in [false, true] {
                let sampler = Sampler { root, parent_based };
                assert_eq!(
                    show(&sampler.begin(TraceId(DROPPED))),
                    of_low,
                    "{sampler:?}"
                );
                assert_eq!(show(&sampler.begin(TraceId(KEPT))), of_high, "{sampler:?}");
            }
        }
    }

    #[test]
    fn a_parent_based_sampler_does_what_the_caller_did() {
        let table = [
            (KEPT, 1, "", "kept -"),
            (KEPT, 0, "", "dropped -"),
            (DROPPED, 1, "a=1", "kept a=1"),
            (DROPPED, 1, "a=1,ot=p:8", "kept a=1,ot=p:8"),
            // A threshold that agrees with the flag stays where it is.
            (KEPT, 3, "a=1,ot=th:c", "kept a=1,ot=th:c"),
            (KEPT, 3, "ot=th:0", "kept ot=th:0"),
            (DROPPED, 2, "a=1,ot=th:c", "dropped a=1,ot=th:c"),
            (DROPPED, 3, "a=1,ot=th:8", "kept a=1,ot=th:8"),
            // One that contradicts it, or is none, is erased; nothing else is.
            (DROPPED, 3, "a=1,ot=th:c", "kept! a=1"),
            (DROPPED, 3, "a=1,ot=th:c;p:8", "kept! ot=p:8,a=1"),
            (KEPT, 2, "ot=th:c", "dropped! -"),
            (KEPT, 3, "ot=th:C", "kept! -"),
            // An explicit randomness counts instead of the id's, and is never touched.
            (
                DROPPED,
                1,
                "ot=rv:c0000000000000;th:c",
                "kept ot=rv:c0000000000000;th:c",
            ),
            (
                KEPT,
                1,
                "ot=rv:bfffffffffffff;th:c",
                "kept! ot=rv:bfffffffffffff",
            ),
        ];
        for root in [Root::AlwaysOn, Root::AlwaysOff, QUARTER] {
            let sampler = Sampler {
                root,
                parent_based: true,
            };
            for (id, flags, state, wanted) in table {
                let decision = inherit(sampler, id, flags, state);
                assert_eq!(
                    show(&decision),
                    wanted,
                    "{sampler:?} {id:x} {flags} {state}"
                );
            }
        }
    }

    #[test]
    fn an_independent_sampler_decides_again() {
        let full = format!("ot=x:{}", "v".repeat(250));
        for (root, id, flags, state, wanted) in [
            (Root::AlwaysOn, DROPPED, 0, "", "kept -"),
            (Root::AlwaysOn, DROPPED, 2, "a=1,ot=th:c", "kept a=1"),
            (Root::AlwaysOff, KEPT, 1, "a=1,ot=th:c", "dropped a=1"),
            (QUARTER, KEPT, 2, "", "kept ot=th:c"),
            (QUARTER, KEPT, 2, "a=1,ot=th:8;p:8", "kept ot=p:8;th:c,a=1"),
            (QUARTER, KEPT, 3, "a=1,ot=th:c", "kept a=1,ot=th:c"),
            (QUARTER, DROPPED, 3, "a=1,ot=th:8", "dropped a=1"),
            (
                QUARTER,
                DROPPED,
                2,
                "ot=rv:c0000000000000",
                "kept ot=rv:c0000000000000;th:c",
            ),
            (
                QUARTER,
                KEPT,
                0,
                "ot=rv:00000000000000",
                "dropped ot=rv:00000000000000",
            ),
            // Nobody has said that the id is random.
            (QUARTER, KEPT, 0, "", "kept? ot=th:c"),
            (QUARTER, KEPT, 3, &full, &format!("kept! {full}")),
        ] {
            let sampler = Sampler {
                root,
                parent_based: false,
            };
            let decision = inherit(sampler, id, flags, state);
            assert_eq!(show(&decision), wanted, "{root:?} {id:x} {flags} {state}");
        }
    }

    #[test]
    fn a_decision_left_to_the_receiver_is_the_roots() {
        for parent_based in [false, true] {
            for (root, id, state, wanted) in [
                (Root::AlwaysOn, DROPPED, None, "kept -"),
                (Root::AlwaysOff, KEPT, None, "dropped -"),
                (QUARTER, KEPT, Some("a=1"), "kept? ot=th:c,a=1"),
                (QUARTER, DROPPED, Some("a=1"), "dropped? a=1"),
            ] {
                let sampler = Sampler { root, parent_based };
                let decision = sampler.inherit(TraceId(id), None, state);
                assert_eq!(show(&decision), wanted, "{sampler:?} {id:x}");
            }
        }
    }

    proptest! {
        /// A trace that one host keeps is kept by every host with a greater ratio, whether it began
        /// there or came from elsewhere, and its threshold tells the truth.
        #[test]
        fn decisions_are_consistent(id in 1u128.., low in 0f64..=1.0, high in 0f64..=1.0) {
            let (low, high) = if low <= high { (low, high) } else { (high, low) };
            let sampler = |ratio| Sampler {
                root: Root::Ratio(Threshold::from_ratio(ratio).expect("a ratio")),
                parent_based: false,
            };
            let few = sampler(low).begin(TraceId(id));
            let many = inherit(sampler(high), id, 2, "");
            prop_assert!(!few.sampled || many.sampled);
            prop_assert_eq!(&inherit(sampler(low), id, 2, ""), &few);

            let parent_based = Sampler { parent_based: true, ..sampler(low) };
            let state = few.state.clone().unwrap_or_default();
            let heard = inherit(parent_based, id, 2 | u8::from(few.sampled), &state);
            prop_assert_eq!(heard, few);
        }

        /// Whatever arrives: no panic, a state within its limits, every other vendor's member kept.
        #[test]
        fn any_state_is_survived(
            id in 1u128..,
            flags in 0u8..4,
            own in "(th:[0-9a-fA-F]{0,16}|rv:[0-9a-f]{13,15}|[a-z]{0,3}:?[ -+./0-9A-Z_-]{0,9})(;th:[0-9a-f]{1,14})?",
            before in "([a-z]{1,4}x=[a-z0-9]{1,9},){0,3}",
            after in "(,[a-z]{1,4}y=[a-z0-9]{1,9}){0,3}",
        ) {
            let state = format!("{before}ot={own}{after}");
            for sampler in [
                Sampler::default(),
                Sampler { root: QUARTER, parent_based: false },
                Sampler { root: Root::AlwaysOn, parent_based: false },
            ] {
                let decision = inherit(sampler, id, flags, &state);
                let after_it = decision.state.as_deref().unwrap_or_default();
                for member in before.split(',').chain(after.split(',')) {
                    prop_assert!(after_it.split(',').any(|kept| kept == member) || member.is_empty());
                }
                // Deciding again changes nothing: the threshold now agrees with the flag.
                let flags = flags & 2 | u8::from(decision.sampled);
                let again = inherit(Sampler::default(), id, flags, after_it);
                prop_assert_eq!(again.state, decision.state.clone());
                prop_assert!(!again.threshold_lost);
            }
        }
    }
}
