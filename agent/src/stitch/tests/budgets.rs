//! Limits, drops and that nothing stays behind.

use super::script::Script;
use crate::metrics::{Count, Drop};
use crate::model::{Attribute, Side, Value};
use crate::stitch::StitchConfig;
use crate::stitch::assemble::add_network;

#[test]
fn the_oldest_open_exchange_is_let_go() {
    let mut run = Script::new(StitchConfig {
        max_open: 2,
        ..StitchConfig::default()
    });
    run.lines(
        "link A
         link B
         link C
         10 1.1 A< start
         11 1.1 B> start
         12 1.2 C< start
         13 1.1 B> end
         14 1.1 A< end
         15 1.2 C< end
         flush",
    );
    // A's span is lost, what it caused keeps its parent.
    let printed = run.printed();
    assert_eq!(printed, "B>0 a 11..13 thread A<0\nC<0 b 12..15 root\n");
    assert_eq!(run.metrics.drops(Drop::ExchangeBudget), 1);
    assert_eq!(run.stitcher.residue(), 0);
}

#[test]
fn spans_beyond_the_budget_stop_waiting() {
    let mut run = Script::new(StitchConfig {
        max_held: 1,
        ..StitchConfig::default()
    });
    run.lines(
        "link A
         link B
         10 1.1 A< start
         11 1.1 A< end
         12 1.1 B< start
         13 1.1 B< end",
    );
    assert_eq!(run.printed(), "A<0 a 10..11 root\n");
    assert_eq!(run.metrics.counted(Count::WaitsCut), 1);
}

#[test]
fn of_processes_beyond_the_budget_only_what_needs_no_learning_is_asserted() {
    let mut run = Script::new(StitchConfig {
        max_processes: 1,
        ..StitchConfig::default()
    });
    run.lines(
        "link A nonblocking
         link B
         link C
         link D
         10 1.1 A< start
         11 2.1 B< start
         12 2.1 C> start
         13 2.1 C> end
         14 2.2 D> start
         15 2.2 D> end
         16 2.1 B< end
         17 1.1 A< end
         flush",
    );
    let expected = "D>0 a 14..15 not_serving\nA<0 b 10..17 root\n\
                    C>0 c 12..13 thread B<0\nB<0 c 11..16 root\n";
    assert_eq!(run.printed(), expected);
    assert_eq!(run.metrics.drops(Drop::ProcessBudget), 1);
    assert_eq!(run.stitcher.residue(), 0);
}

#[test]
fn a_finished_span_leaves_in_time_whatever_its_parents_do() {
    let mut run = Script::new(StitchConfig {
        peer_wait: std::time::Duration::from_secs(3600),
        ..StitchConfig::default()
    });
    run.lines(
        "link A
         link B
         10 1.1 A< start
         11 1.1 B> start
         12 1.1 B> end
         1000012 tick",
    );
    assert_eq!(run.printed(), "B>0 a 11..12 thread A<0\n");
}

#[test]
fn unsampled_traces_are_dropped_whole_and_counted() {
    let mut run = Script::new(StitchConfig::default());
    run.lines(
        "link A
         link B
         link C
         10 1.1 A< start ctx=1/2/unsampled
         11 1.1 B> start
         12 2.1 B< start
         13 2.1 B< end
         14 1.1 B> end
         15 1.1 A< end
         20 1.1 C< start
         21 1.1 C< end
         flush",
    );
    assert_eq!(run.printed(), "C<0 a 20..21 root\n");
    assert_eq!(run.metrics.counted(Count::SpansUnsampled), 3);
    assert_eq!(run.metrics.counted(Count::Spans), 1);
    assert_eq!(run.stitcher.residue(), 0);
}

#[test]
fn counters_tell_what_happened() {
    let mut run = Script::new(StitchConfig::default());
    run.lines(
        "link A
         link B
         10 1.1 A< start
         11 1.1 B> start
         12 2.1 B< start
         13 2.1 B< end
         14 1.1 B> end
         15 1.1 A< end
         flush",
    );
    let counts = [
        (Count::ExchangesStarted, 3),
        (Count::ExchangesFinished, 3),
        (Count::Spans, 3),
        (Count::ParentRoot, 1),
        (Count::ParentThread, 1),
        (Count::ParentSocket, 1),
    ];
    for (count, expected) in counts {
        assert_eq!(run.metrics.counted(count), expected, "{count:?}");
    }
}

#[test]
fn the_connection_adds_what_the_protocol_did_not_say() {
    let run = |link: &str, end: &str, given: &[&'static str]| {
        let mut script = Script::new(StitchConfig::default());
        script.lines(link);
        let given = given.iter().map(|key| Attribute::new(key, "given"));
        let mut attributes: Vec<Attribute> = given.collect();
        let side = if end.ends_with('>') {
            Side::Client
        } else {
            Side::Server
        };
        add_network(&mut attributes, &script.connection(end).address, side);
        let text = attributes.iter().map(|a| match &a.value {
            Value::Text(text) => format!("{}={text}", a.key),
            Value::Integer(number) => format!("{}={number}", a.key),
            other => panic!("{other:?}"),
        });
        text.collect::<Vec<_>>().join(" ")
    };
    let tcp = "network.type=ipv4 network.transport=tcp network.peer.address=10.0.0.1";
    assert_eq!(
        run("link A", "A>", &[]),
        format!("{tcp} network.peer.port=80 server.address=10.0.0.1 server.port=80")
    );
    assert_eq!(
        run("link A", "A<", &["server.address"]),
        format!(
            "server.address=given {tcp} network.peer.port=40000 \
             client.address=10.0.0.1 client.port=40000"
        )
    );
    assert_eq!(
        run("link A unix", "A>", &[]),
        "network.transport=unix server.address=/run/app network.peer.address=/run/app"
    );
    assert_eq!(
        run("link A unix", "A<", &[]),
        "network.transport=unix server.address=/run/app"
    );
}
