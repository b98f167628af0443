//! Threads and processes that a request begins, and calls that are under way together or come late.

use super::script::{Script, check};
use crate::metrics::Drop;
use crate::stitch::StitchConfig;

/// While nothing else is served, whoever a request's task begins works for it.
#[test]
fn of_the_only_request_all_offspring_is_its_own() {
    for server in ["", "nonblocking"] {
        // A thread, a command, a command's command, and a thread's thread.
        for (begin, by) in [
            ("11 1.1 begins 1.2", "1.2"),
            ("11 1.1 begins 7.7", "7.7"),
            ("11 1.1 begins 7.7\n11 7.7 begins 8.8", "8.8"),
            ("11 1.1 begins 1.2\n11 1.2 begins 1.3", "1.3"),
        ] {
            check(
                &format!(
                    "link A {server}
                     link B
                     10 1.1 A< start
                     {begin}
                     12 {by} B> start
                     13 {by} B> end
                     14 1.1 A< end
                     flush"
                ),
                "B>0 a 12..13 thread A<0
                 A<0 a 10..14 root",
            );
        }
    }
}

/// Another request has come since: what a new task sends may be for that.
#[test]
fn among_other_requests_offspring_is_doubtful() {
    let script = |task: &str| {
        format!(
            "link A
             link B
             link C
             10 1.1 A< start
             11 1.1 begins {task}
             12 1.5 B< start
             13 {task} C> start
             14 {task} C> end"
        )
    };
    check(&script("1.2"), "C>0 a 13..14 ambiguous");
    check(&script("7.7"), "C>0 a 13..14 ambiguous");
    // Also when that has ended already, and when it was there before.
    check(
        "link A
         link B
         link C
         10 1.1 A< start
         11 1.1 begins 7.7
         12 1.5 B< start
         12 1.5 B< end
         13 7.7 C> start
         14 7.7 C> end",
        "C>0 a 13..14 ambiguous",
    );
    check(
        "link A
         link B
         link C
         10 1.5 B< start
         11 1.1 A< start
         11 1.1 begins 7.7
         12 1.5 B< end
         13 7.7 C> start
         14 7.7 C> end",
        "C>0 a 13..14 ambiguous",
    );
}

#[test]
fn a_late_call_has_no_parent() {
    for task in ["1.2", "7.7"] {
        check(
            &format!(
                "link A
                 link C
                 10 1.1 A< start
                 11 1.1 begins {task}
                 12 1.1 A< end
                 13 {task} C> start
                 14 {task} C> end
                 flush"
            ),
            "C>0 a 13..14 not_serving
             A<0 b 10..12 root",
        );
    }
}

#[test]
fn a_task_that_serves_is_nobodys() {
    // Thread 2 has served B: what it sends then may be for whomever.
    check(
        "link A
         link B
         link C
         10 1.1 A< start
         11 1.1 begins 1.2
         12 1.2 B< start
         13 1.2 B< end
         14 1.2 C> start
         15 1.2 C> end",
        "C>0 a 14..15 shared_thread",
    );
}

#[test]
fn a_request_to_its_own_process_is_not_caused_by_itself() {
    // Thread 2, begun for A, calls its own process, whose end is seen first: A was not alone.
    check(
        "link A
         link S
         10 1.1 A< start
         11 1.1 begins 1.2
         12 1.3 S< start
         13 1.2 S> start
         14 1.3 S< end
         15 1.2 S> end
         16 1.1 A< end
         flush",
        "S<0 a 12..14 socket S>0
         S>0 a 12..15 shared_thread
         A<0 b 10..16 root",
    );
}

#[test]
fn a_command_may_forward_the_context_of_its_request() {
    check(
        "link A
         link B
         link C
         10 1.1 A< start ctx=1/2
         11 1.5 B< start ctx=3/4
         12 1.1 begins 7.7
         13 7.7 C> start ctx=1/2
         14 7.7 C> end",
        "C>0 1 13..14 header A<0",
    );
}

/// A thread serves `times` requests and begins `task` for each, which ends with it; then `exception`
/// happens. What is the parent of what a new one sends while another request is open?
fn after_learning(times: usize, task: &str, exception: &str) -> String {
    let mut run = Script::new(StitchConfig::default());
    run.lines(
        "link A
         link B
         link C",
    );
    for n in 0..times {
        // It may take a moment.
        let end = if n % 2 == 0 { "12 1.1 B< end" } else { "" };
        let later = if n % 2 == 1 { "12 1.1 B< end" } else { "" };
        run.lines(&format!(
            "10 1.1 B< start
             11 1.1 begins {task}
             {later}
             900000 {task} ends
             {end}"
        ));
    }
    run.lines(exception);
    run.lines(&format!(
        "3000000 1.5 A< start
         3000001 1.1 B< start
         3000002 1.1 begins {task}
         3000003 {task} C> start
         3000004 {task} C> end
         flush"
    ));
    let printed = run.printed();
    let line = printed.lines().find_map(|line| line.strip_prefix("C>0 "));
    let words = line.expect("a span").split_whitespace();
    words.skip(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_process_shows_that_its_offspring_ends_with_its_requests() {
    for (task, other) in [("1.2", "7.7"), ("7.7", "1.2")] {
        assert_eq!(after_learning(15, task, ""), "ambiguous");
        assert_eq!(after_learning(16, task, ""), "thread B<16");
        // A pool: one that outlives its request, or that serves one itself.
        let outlives = format!(
            "1000000 1.1 B< start
             1000001 1.1 begins {task}
             1000002 1.1 B< end
             2000003 {task} ends"
        );
        let serves = format!(
            "link D
             1000000 1.1 B< start
             1000001 1.1 begins {task}
             1000002 {task} D< start
             1000003 {task} D< end
             1000004 1.1 B< end"
        );
        for exception in [outlives, serves] {
            assert_eq!(after_learning(99, task, &exception), "ambiguous");
            // Of processes and threads each speaks for itself.
            let of_other = exception.replace(task, other);
            let parent = after_learning(99, task, &of_other);
            assert!(parent.starts_with("thread B<"), "{parent}: {of_other}");
        }
    }
}

#[test]
fn nothing_stays_behind_and_what_finds_no_room_is_counted() {
    let mut run = Script::new(StitchConfig {
        max_offspring: 2,
        ..StitchConfig::default()
    });
    run.lines(
        "link A
         10 1.1 A< start
         11 1.1 begins 1.2
         11 1.1 begins 1.3
         11 1.1 begins 7.7
         12 1.2 ends
         12 1.9 ends
         13 1.1 begins 1.4
         14 1.1 A< end",
    );
    assert_eq!(run.metrics.drops(Drop::OffspringBudget), 1);
    // Those that are alive are let go in time, and their end, later, means nothing.
    run.lines(
        "1000015 tick
         1000016 1.3 ends
         flush",
    );
    assert_eq!(run.stitcher.residue(), 0);
}

#[test]
fn two_calls_at_once_are_both_children() {
    check(
        "link A
         link O
         link B nonblocking
         link C nonblocking
         9 1.5 O< start
         10 1.1 A< start
         11 1.1 B> start
         12 1.1 C> start
         13 1.1 C> end
         14 1.1 B> end
         15 1.1 A< end
         flush",
        "C>0 a 12..13 thread A<0
         B>0 a 11..14 thread A<0
         A<0 a 10..15 root",
    );
}
