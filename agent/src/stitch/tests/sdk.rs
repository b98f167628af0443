//! Processes with a tracing SDK of their own: docs/decisions/0010-spans-beside-an-sdk.md.

use super::script::check;

#[test]
fn ours_are_between_the_sdks_client_span_and_what_it_caused() {
    check(
        "link A
         link B
         10 1.1 A> start ctx=1/7
         11 2.1 A< start ctx=1/7
         12 2.1 B> start ctx=1/8
         13 3.1 B< start ctx=1/8
         14 3.1 B< end
         15 2.1 B> end
         16 2.1 A< end
         17 1.1 A> end",
        "B<0 1 13..14 socket B>0
         B>0 1 12..15 header 8
         A<0 1 11..16 socket A>0
         A>0 1 10..17 header 7",
    );
}

#[test]
fn a_request_that_an_sdk_sends_again_is_another_child_of_its_span() {
    check(
        "link A
         link B
         10 1.1 A> start ctx=1/7
         11 2.1 A< start ctx=1/7
         12 1.1 A> end aborted
         13 1.1 B> start ctx=1/7
         14 2.2 B< start ctx=1/7
         15 2.2 B< end
         16 1.1 B> end
         17 2.1 A< end",
        "A>0 1 10..12 header 7
         B<0 1 14..15 socket B>0
         B>0 1 13..16 header 7
         A<0 1 11..12 socket A>0",
    );
}

#[test]
fn an_sdk_that_hears_nothing_begins_a_trace_and_ours_go_on() {
    check(
        "link A
         link B
         link C
         10 2.1 A< start ctx=1/7
         11 2.1 B> start
         12 3.1 B< start
         13 3.1 C> start ctx=5/9
         14 3.1 C> end
         15 3.1 B< end
         16 2.1 B> end
         17 2.1 A< end
         flush",
        "C>0 5 13..14 header 9
         B<0 1 12..15 socket B>0
         B>0 1 11..16 thread A<0
         A<0 1 10..17 header 7",
    );
}

/// The header that the process receives is the one that it sends: it forwards nothing.
#[test]
fn a_process_that_calls_itself_is_not_its_own_ancestor() {
    // Which ends of the last one belong together turns out after a while only.
    for link in ["", "unix", "unix late"] {
        check(
            &format!(
                "link A {link}
                 11 1.2 A< start ctx=1/7
                 12 1.1 A> start ctx=1/7
                 13 1.2 A< end
                 300000 tick
                 300001 1.1 A> end"
            ),
            "A<0 1 11..13 socket A>0
             A>0 1 11..300001 header 7",
        );
    }
}

#[test]
fn telemetry_has_no_parent_and_teaches_nothing() {
    check(
        "link A nonblocking
         link B nonblocking
         link T nonblocking
         5 1.1 A< start
         6 1.2 T> start telemetry
         7 1.2 T> end
         8 1.1 T> start telemetry
         9 1.1 T> end
         10 1.1 A< end
         11 1.1 T> start telemetry
         12 1.1 T> end
         20 1.1 A< start
         21 1.1 B> start
         22 1.1 B> end
         23 1.1 A< end
         flush",
        "T>0 a 6..7 telemetry
         T>1 b 8..9 telemetry
         T>2 c 11..12 telemetry
         A<0 d 5..10 root
         B>0 e 21..22 thread A<1
         A<1 e 20..23 root",
    );
}

/// A request to export that was itself handed on, with its context.
#[test]
fn telemetry_with_a_header_has_the_parent_that_it_names() {
    check(
        "link A
         link T
         10 1.1 A< start ctx=1/7 telemetry
         11 1.1 T> start ctx=1/7 telemetry
         12 1.1 T> end
         13 1.1 A< end
         flush",
        "T>0 1 11..12 header A<0
         A<0 1 10..13 header 7",
    );
}
