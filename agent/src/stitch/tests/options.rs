//! Contexts in TCP options, and what is lost of them.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::script::{Script, check};
use crate::stitch::StitchConfig;

#[test]
fn an_option_names_the_span_at_the_other_end() {
    check(
        "link A
         10 1.1 A> start sent=7/8
         11 2.1 A< start option=7/8
         12 2.1 A< end
         13 1.1 A> end",
        "A<0 7 11..12 socket 8
         8 7 10..13 not_serving",
    );
}

/// Under which name a request left was lost.
#[test]
fn an_option_that_names_a_span_unknown_here_holds_nothing() {
    check(
        "link A
         10 1.1 A> start
         11 2.1 A< start option=7/8
         12 2.1 A< end
         13 1.1 A> end",
        "A<0 7 11..12 tcp_option 8
         A>0 a 10..13 not_serving",
    );
    // What it caused neither.
    check(
        "link A
         link B
         10 1.1 A> start
         11 2.1 A< start option=7/8
         12 2.1 B> start sent=7/9 cause=A<
         13 2.1 B> end
         14 2.1 A< end
         15 1.1 A> end",
        "9 7 12..13 thread A<0
         A<0 7 11..14 tcp_option 8
         A>0 a 10..15 not_serving",
    );
    // The trace is the same: another name in it.
    check(
        "link A
         10 1.1 A> start sent=7/9
         11 2.1 A< start option=7/8
         12 2.1 A< end
         13 1.1 A> end",
        "A<0 7 11..12 socket 9
         9 7 10..13 not_serving",
    );
}

/// What is seen, and in which order, of one request that causes another.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Of client, server, the client that it is then, and that one's server: whether the exchange, and
    /// whether what the kernel knows of its context.
    ends: [(bool, bool); 4],
    /// The server's events come before its client's, for either connection.
    early: [bool; 2],
    /// The time until the next, in microseconds.
    pause: u64,
}

fn seen() -> impl Strategy<Value = Seen> {
    let mostly = prop::bool::weighted(0.8);
    let ends = prop::array::uniform4((mostly, mostly));
    let pause = prop_oneof![Just(10_u64), Just(1000), Just(400_000)];
    (ends, any::<[bool; 2]>(), pause).prop_map(|(ends, early, pause)| Seen { ends, early, pause })
}

/// The events of a connection's end.
fn events(
    of: [&str; 3],
    (exchange, context): (bool, bool),
    times: [u64; 2],
    carried: &str,
) -> [String; 2] {
    let [task, end, pos] = of;
    let [start, over] = times;
    match exchange {
        true => [
            format!(
                "{start} {task} {end} start pos={pos} {}",
                if context { carried } else { "" }
            ),
            format!("{over} {task} {end} end"),
        ],
        false => [String::new(), String::new()],
    }
}

fn script(all: &[Seen]) -> (String, usize) {
    let mut text = "link A\nlink B\n".to_owned();
    let mut time = 0;
    for (number, seen) in all.iter().enumerate() {
        let pos = (number * 100).to_string();
        let (trace, outer, inner) = (number + 1, 2 * number + 1, 2 * number + 2);
        let [client, server, onward, last] = seen.ends;
        let sent = format!("sent={trace}/{outer}");
        let came = format!("option={trace}/{outer}");
        let sent_on = format!("sent={trace}/{inner} cause=A<");
        let came_on = format!("option={trace}/{inner}");
        let client = events(["1.1", "A>", &pos], client, [time, time + 7], &sent);
        let server = events(["2.1", "A<", &pos], server, [time + 1, time + 6], &came);
        let onward = events(["2.1", "B>", &pos], onward, [time + 2, time + 5], &sent_on);
        let last = events(["3.1", "B<", &pos], last, [time + 3, time + 4], &came_on);
        let mut starts = [&client[0], &server[0], &onward[0], &last[0]];
        let mut ends = [&last[1], &onward[1], &server[1], &client[1]];
        if seen.early[0] {
            starts.swap(0, 1);
            ends.swap(2, 3);
        }
        if seen.early[1] {
            starts.swap(2, 3);
            ends.swap(0, 1);
        }
        for line in starts.into_iter().chain(ends) {
            writeln!(text, "{line}").unwrap();
        }
        time += seen.pause;
    }
    writeln!(text, "{} tick", time + 10_000_000).unwrap();
    text.push_str("close A>\nclose A<\nclose B>\nclose B<\n");
    let exchanges = all
        .iter()
        .flat_map(|seen| seen.ends)
        .filter(|(exchange, _)| *exchange);
    (text, exchanges.count())
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever is lost, every exchange that has ended leaves, and nothing stays.
    #[test]
    fn all_that_has_ended_leaves(all in prop::collection::vec(seen(), 1..30)) {
        let (text, exchanges) = script(&all);
        let mut run = Script::new(StitchConfig::default());
        run.lines(&text);
        prop_assert_eq!(run.out.len(), exchanges, "{}", text);
        prop_assert_eq!(run.stitcher.residue(), 0, "{}", text);
    }
}
