//! The decision about a trace: made once, the same for all its spans.

use std::collections::{BTreeMap, BTreeSet};

use clew_common::sampling::{Threshold, randomness};
use proptest::prelude::*;

use super::script::Script;
use crate::metrics::Count;
use crate::model::{Span, SpanId, TraceFlags, TraceId};
use crate::sample::{Root, Sampler};
use crate::stitch::{IdSource, SequentialIds, StitchConfig};

/// Ids in scripts count from 1: the first trace that begins is dropped, later ones are kept.
const DROPS_THE_FIRST: Threshold = Threshold::new(2);

fn script(threshold: Threshold, parent_based: bool) -> Script {
    Script::new(StitchConfig {
        sampler: Sampler {
            root: Root::Ratio(threshold),
            parent_based,
        },
        ..StitchConfig::default()
    })
}

/// What comes out of a script, and how many spans were dropped.
#[track_caller]
fn check(parent_based: bool, lines: &str, expected: &[&str], unsampled: u64) {
    let mut run = script(DROPS_THE_FIRST, parent_based);
    run.lines(lines);
    let printed = run.printed();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    assert_eq!(run.metrics.counted(Count::SpansUnsampled), unsampled);
    assert_eq!(run.metrics.counted(Count::Spans), expected.len() as u64);
    assert_eq!(run.stitcher.residue(), 0);
}

#[test]
fn a_trace_that_begins_here_is_kept_or_dropped_whole() {
    check(
        true,
        "link A
         link B
         10 1.1 A< start
         11 1.1 B> start
         12 2.1 B< start
         13 2.1 B< end
         14 1.1 B> end
         15 1.1 A< end
         20 1.1 A< start
         21 1.1 B> start
         22 2.1 B< start
         23 2.1 B< end
         24 1.1 B> end
         25 1.1 A< end
         flush",
        &[
            "B<1 a 22..23 socket B>1",
            "B>1 a 21..24 thread A<1",
            "A<1 a 20..25 root",
        ],
        3,
    );
}

#[test]
fn the_decision_of_the_trace_that_is_joined_holds() {
    // The server's side is seen first. What it began would be dropped; the client's is kept.
    check(
        true,
        "link A
         link B
         11 2.1 A< start
         12 2.1 B> start
         13 2.1 B> end
         14 2.1 A< end
         15 1.1 A> start
         16 1.1 A> end",
        &[
            "B>0 a 12..13 thread A<0",
            "A<0 a 11..14 socket A>0",
            "A>0 a 11..16 not_serving",
        ],
        0,
    );
    // The other way round: the client's trace is the first.
    check(
        true,
        "link A
         link B
         10 1.1 A> start
         11 2.1 A< start
         12 2.1 B> start
         13 2.1 B> end
         14 2.1 A< end
         16 1.1 A> end",
        &[],
        3,
    );
}

#[test]
fn what_the_caller_decided_holds() {
    check(
        true,
        "link A
         link B
         10 1.1 A< start ctx=1/2
         11 1.1 B> start
         12 1.1 B> end
         13 1.1 A< end
         20 1.1 A< start ctx=9/2/unsampled
         21 1.1 B> start
         22 1.1 B> end
         23 1.1 A< end
         flush",
        &["B>0 1 11..12 thread A<0", "A<0 1 10..13 header 2"],
        2,
    );
    // Unless the sampler does not ask.
    check(
        false,
        "link A
         link B
         10 1.1 A< start ctx=1/2
         13 1.1 A< end
         20 1.1 A< start ctx=9/2/unsampled
         21 1.1 B> start
         22 1.1 B> end
         23 1.1 A< end
         flush",
        &["B>0 9 21..22 thread A<1", "A<1 9 20..23 header 2"],
        1,
    );
}

#[test]
fn what_will_not_be_exported_does_not_wait() {
    let mut run = script(Threshold::ALWAYS, true);
    run.lines(
        "link A
         10 1.1 A< start ctx=1/2/unsampled
         11 1.1 A< end",
    );
    assert_eq!(run.metrics.counted(Count::SpansUnsampled), 1);
    assert_eq!(run.stitcher.residue(), 0);
    // Its other end, seen late, has the same header and goes the same way.
    run.lines(
        "12 2.1 A> start ctx=1/2/unsampled
         13 2.1 A> end
         flush",
    );
    assert_eq!(run.metrics.counted(Count::SpansUnsampled), 2);
    assert_eq!(run.out, []);
}

#[test]
fn flags_and_state_go_on_with_every_span() {
    let mut run = script(DROPS_THE_FIRST, true);
    run.lines(
        "link A
         link B
         1 9.1 B> start
         2 9.1 B> end
         10 1.1 A< start
         11 1.1 B> start
         12 1.1 B> end
         13 1.1 A< end
         20 1.1 A< start ctx=9/2
         21 1.1 A< end
         flush",
    );
    let what = |span: &Span| (span.flags, span.state.as_deref().map(str::to_owned));
    let of = |flags, state: &str| (flags, Some(state.to_owned()));
    // Sequential ids are not random, and do not pretend to be.
    let here = of(TraceFlags::SAMPLED, "ot=th:00000000000002");
    let inherited = of(TraceFlags::SAMPLED, "vendor=1");
    let found: Vec<_> = run.out.iter().map(what).collect();
    assert_eq!(found, [here.clone(), here, inherited]);
    assert_eq!(run.metrics.counted(Count::ThresholdsLost), 0);
}

const REQUESTS: usize = 12;

/// What the threads of one request's way through three services see, each with its time.
const CHAIN: [&[(u64, &str)]; 3] = [
    &[(10, "1.# Q#> start"), (80, "1.# Q#> end")],
    &[
        (20, "2.# Q#< start"),
        (30, "2.# R#> start"),
        (60, "2.# R#> end"),
        (70, "2.# Q#< end"),
    ],
    &[(40, "3.# R#< start"), (50, "3.# R#< end")],
];

/// Several such ways at once. Every event is told late by one of `delays`, in its thread's order: a
/// request's arrival perhaps before its departure, but never after its response has arrived.
fn told_late(delays: &[u64]) -> String {
    let mut delays = delays.iter().cycle();
    let mut lines = Vec::new();
    let mut links = String::new();
    for n in 0..REQUESTS {
        links += &format!("link Q{n}\nlink R{n}\n");
        for thread in CHAIN {
            let mut told = 0;
            for (time, line) in thread {
                let time = time + 3 * n as u64;
                told = told.max(time + delays.next().copied().unwrap_or(0));
                lines.push((
                    told,
                    format!("{time} {}", line.replace('#', &n.to_string())),
                ));
            }
        }
    }
    lines.sort_by_key(|(told, _)| *told);
    let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    format!("{links}{}\nflush", lines.join("\n"))
}

/// Trace ids of a seed's, span ids that count as the script expects.
struct SeededIds {
    state: u64,
    spans: SequentialIds,
}

impl IdSource for SeededIds {
    fn trace_id(&mut self) -> TraceId {
        // SplitMix64.
        let mut next = || {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ mixed >> 31
        };
        TraceId(u128::from(next()) << 64 | u128::from(next()))
    }

    fn span_id(&mut self) -> SpanId {
        self.spans.span_id()
    }

    fn is_random(&self) -> bool {
        true
    }
}

proptest! {
    /// Whichever end is seen first, and whatever the traces were that began meanwhile: of each
    /// request all spans are kept, or none, by the trace id that they have.
    #[test]
    fn never_half_a_trace(
        seed in any::<u64>(),
        ratio in 0f64..=1.0,
        delays in prop::collection::vec(0u64..20, 1..64),
    ) {
        let threshold = Threshold::from_ratio(ratio).expect("a ratio");
        let config = StitchConfig {
            sampler: Sampler { root: Root::Ratio(threshold), parent_based: true },
            ..StitchConfig::default()
        };
        let ids = SeededIds { state: seed, spans: SequentialIds::default() };
        let mut run = Script::with_ids(config, Box::new(ids));
        run.lines(&told_late(&delays));

        let mut requests = BTreeMap::<String, Vec<&Span>>::new();
        for span in &run.out {
            let name = run.name(span.span_id);
            let number = name[1..].split(['<', '>']).next().expect("a number");
            requests.entry(number.to_owned()).or_default().push(span);
        }
        for spans in requests.values() {
            prop_assert_eq!(spans.len(), 4);
            for span in spans {
                prop_assert_eq!(span.trace_id, spans[0].trace_id);
                prop_assert!(threshold.keeps(randomness(span.trace_id.0 as u64)));
                prop_assert_eq!(span.flags, TraceFlags(3));
            }
        }
        let dropped = 4 * (REQUESTS - requests.len()) as u64;
        prop_assert_eq!(run.metrics.counted(Count::SpansUnsampled), dropped);
        prop_assert_eq!(run.stitcher.residue(), 0);
    }

    /// Two agents that see different parts of the same traces keep the same ones; one with a
    /// greater ratio keeps these and more.
    #[test]
    fn agents_agree(traces in prop::collection::btree_set(1u64..1 << 56, 1..20), ratio in 0f64..=0.5) {
        let kept = |ratio: f64, lines: fn(u64) -> String| {
            let threshold = Threshold::from_ratio(ratio).expect("a ratio");
            let mut run = script(threshold, false);
            run.lines("link A\nlink B");
            for &trace in &traces {
                run.lines(&lines(trace));
            }
            run.lines("flush");
            run.out.iter().map(|span| span.trace_id.0 as u64).collect::<BTreeSet<_>>()
        };
        let serving = |trace| format!("1 1.1 A< start ctx={trace}/1\n2 1.1 A< end");
        let calling = |trace| format!("1 1.1 B> start ctx={trace}/2/unsampled\n2 1.1 B> end");
        let found = kept(ratio, serving);
        prop_assert_eq!(&found, &kept(ratio, calling));
        prop_assert!(found.is_subset(&kept(2.0 * ratio, calling)));
    }
}
