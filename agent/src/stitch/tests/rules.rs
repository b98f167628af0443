//! One script for each rule of [`crate::stitch::parent`].

use super::script::{Script, check};
use crate::model::Value;
use crate::stitch::StitchConfig;

#[test]
fn a_request_from_elsewhere_begins_a_trace() {
    check(
        "link A
         10 1.1 A< start
         20 1.1 A< end
         200019 tick",
        "",
    );
    check(
        "link A
         10 1.1 A< start
         20 1.1 A< end
         200020 tick",
        "A<0 a 10..20 root",
    );
}

#[test]
fn a_long_request_from_elsewhere_does_not_hold_what_it_caused() {
    check(
        "link A
         link B
         10 1.1 A< start
         30 1.1 B> start
         40 1.1 B> end
         500010 tick
         600000 1.1 A< end",
        "B>0 a 30..40 thread A<0
         A<0 a 10..600000 root",
    );
}

#[test]
fn a_span_names_the_thread_of_its_request_where_asked() {
    for (thread_ids, expected) in [(false, None), (true, Some(Value::Integer(7)))] {
        let config = StitchConfig {
            thread_ids,
            ..StitchConfig::default()
        };
        let mut run = Script::new(config);
        run.lines(
            "link A
             10 1.7 A< start
             20 1.8 A< end
             flush",
        );
        let attributes = &run.out[0].attributes;
        let thread = attributes.iter().find(|a| a.key == "clew.thread.id");
        assert_eq!(thread.map(|a| a.value.clone()), expected);
    }
}

#[test]
fn the_header_of_a_request_from_elsewhere_is_its_parent() {
    check(
        "link A
         link B
         10 1.1 A< start ctx=7/8
         11 1.1 B> start
         12 1.1 B> end
         20 1.1 A< end
         flush",
        "B>0 7 11..12 thread A<0
         A<0 7 10..20 header 8",
    );
}

#[test]
fn a_blocking_thread_proves_the_parent_among_others() {
    check(
        "link A
         link B
         link C
         10 1.1 A< start
         11 1.2 B< start
         12 1.2 C> start
         13 1.2 C> end
         14 1.1 A< end
         15 1.2 B< end
         flush",
        "A<0 a 10..14 root
         C>0 b 12..13 thread B<0
         B<0 b 11..15 root",
    );
}

#[test]
fn a_nonblocking_thread_proves_nothing_among_others() {
    check(
        "link A nonblocking
         link B nonblocking
         link C nonblocking
         10 1.1 A< start
         11 1.2 B< start
         12 1.2 C> start
         13 1.2 C> end",
        "C>0 a 12..13 shared_thread",
    );
}

#[test]
fn the_only_request_of_a_process_without_background_is_safe() {
    let serve_one = "link A nonblocking
         link B nonblocking
         10 1.1 A< start
         12 1.1 B> start
         13 1.1 B> end
         14 1.1 A< end
         flush";
    let parent = "B>0 a 12..13 thread A<0
         A<0 a 10..14 root";
    check(serve_one, parent);
    // A request before the process ever served is start-up.
    check(
        &format!("link S\n1 1.1 S> start\n2 1.1 S> end\n{serve_one}"),
        &format!("S>0 a 1..2 not_serving\n{}", parent.replace(" a ", " b ")),
    );
    // One after that is background.
    check(
        &format!(
            "{serve_one}
             20 1.1 B> start
             21 1.1 B> end
             30 1.1 A< start
             31 1.1 B> start
             32 1.1 B> end
             33 1.1 A< end"
        ),
        &format!(
            "{parent}
             B>1 b 20..21 not_serving
             B>2 c 31..32 shared_thread"
        ),
    );
    // Another process with the same id starts anew.
    check(
        &format!(
            "{serve_one}
             20 1.1 B> start
             21 1.1 B> end
             exit 1
             30 1.1 A< start
             31 1.1 B> start
             32 1.1 B> end
             33 1.1 A< end
             flush"
        ),
        &format!(
            "{parent}
             B>1 b 20..21 not_serving
             B>2 c 31..32 thread A<1
             A<1 c 30..33 root"
        ),
    );
}

#[test]
fn two_requests_on_a_thread_are_ambiguous() {
    check(
        "link A nonblocking
         link B nonblocking
         link C nonblocking
         10 1.1 A< start
         11 1.1 B< start
         12 1.1 C> start
         13 1.1 C> end
         14 1.1 A< end
         15 1.1 C> start
         16 1.1 C> end
         17 1.1 B< end
         flush",
        "C>0 a 12..13 ambiguous
         A<0 b 10..14 root
         C>1 c 15..16 thread B<0
         B<0 c 11..17 root",
    );
}

#[test]
fn blocking_proves_nothing_in_a_select_loop() {
    check(
        "link A
         link B
         link C
         link D
         10 1.1 A< start
         11 1.1 B< start
         12 1.1 A< end
         13 1.2 C< start
         14 1.1 D> start
         15 1.1 D> end",
        "D>0 a 14..15 shared_thread",
    );
}

#[test]
fn another_thread_is_judged_by_timing() {
    let script = |server: &str, client: &str| {
        format!(
            "link A {server}
             link B {client}
             10 1.1 A< start
             11 1.2 B> start
             12 1.2 B> end
             13 1.1 A< end
             flush"
        )
    };
    let timing = "B>0 a 11..12 timing A<0
                  A<0 a 10..13 root";
    check(&script("nonblocking", ""), timing);
    check(&script("", "nonblocking"), timing);
    check(
        &script("", ""),
        "B>0 a 11..12 shared_thread
         A<0 b 10..13 root",
    );
}

#[test]
fn another_thread_among_several_requests_is_ambiguous() {
    check(
        "link A nonblocking
         link B nonblocking
         link C nonblocking
         10 1.1 A< start
         11 1.2 B< start
         12 1.3 C> start
         13 1.3 C> end",
        "C>0 a 12..13 ambiguous",
    );
}

#[test]
fn a_forwarded_header_names_the_parent_even_in_an_event_loop() {
    check(
        "link A nonblocking
         link B nonblocking
         link C nonblocking
         10 1.1 A< start ctx=1/2
         11 1.1 B< start ctx=3/4
         12 1.1 C> start ctx=3/4
         13 1.1 C> end
         14 1.1 B< end
         15 1.1 A< end
         flush",
        "C>0 3 12..13 header B<0
         A<0 1 10..15 header 2
         B<0 3 11..14 header 4",
    );
}

#[test]
fn a_header_of_the_applications_own_wins() {
    check(
        "link A
         link C
         10 1.1 A< start ctx=1/2
         12 1.1 C> start ctx=1/9
         13 1.1 C> end",
        "C>0 1 12..13 header 9",
    );
}

#[test]
fn requests_with_one_context_are_told_apart_by_a_blocking_thread_only() {
    let script = |kind: &str| {
        format!(
            "link A {kind}
             link B {kind}
             link C {kind}
             10 1.1 A< start ctx=1/2
             11 1.2 B< start ctx=1/2
             12 1.2 C> start ctx=1/2
             13 1.2 C> end"
        )
    };
    check(&script(""), "C>0 1 12..13 thread B<0");
    check(&script("nonblocking"), "C>0 1 12..13 ambiguous");
}

/// A thread serves, calls and answers `times` times while another is serving; then `violation`
/// happens; then the thread serves and calls on `D`: with which parent?
fn after_learning(times: usize, violation: &str) -> String {
    let mut run = Script::new(StitchConfig::default());
    run.lines(
        "link A nonblocking
         link B nonblocking
         link C nonblocking
         link D nonblocking
         10 1.1 A< start",
    );
    for _ in 0..times {
        run.lines(
            "10 1.2 B< start
             11 1.2 C> start
             12 1.2 C> end
             13 1.2 B< end",
        );
    }
    run.lines(violation);
    run.lines(
        "20 1.2 B< start
         21 1.2 D> start
         22 1.2 D> end
         flush",
    );
    let printed = run.printed();
    let line = printed.lines().find_map(|line| line.strip_prefix("D>0 "));
    let words = line.expect("a span").split_whitespace();
    words.skip(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_process_learns_to_be_trusted_and_loses_it_for_good() {
    assert_eq!(after_learning(15, ""), "shared_thread");
    assert_eq!(after_learning(16, ""), "thread B<16");
    let violations = [
        // A response ended by another task than the request's.
        "14 1.2 B< start
         15 1.3 B< end",
        // Two requests on a task.
        "link E nonblocking
         14 1.1 E< start
         15 1.1 E< end",
        // A response read by another task than the one that asked.
        "14 1.2 C> start
         15 1.3 C> end",
    ];
    for violation in violations {
        assert_eq!(
            after_learning(99, violation),
            "shared_thread",
            "{violation}"
        );
    }
}
