//! Both ends on one host, in every order in which the kernel may tell of them.

use super::script::{Script, check};
use crate::stitch::StitchConfig;

#[test]
fn the_client_is_seen_first() {
    check(
        "link A
         10 1.1 A> start
         12 2.1 A< start
         20 2.1 A< end
         22 1.1 A> end",
        "A<0 a 12..20 socket A>0
         A>0 a 10..22 not_serving",
    );
}

#[test]
fn the_server_is_seen_first_and_times_are_clamped() {
    let expected = "A<0 a 10..20 socket A>0
                    A>0 a 10..22 not_serving";
    check(
        "link A
         10 2.1 A< start
         12 1.1 A> start
         20 2.1 A< end
         22 1.1 A> end",
        expected,
    );
    // Its whole exchange is.
    check(
        "link A
         10 2.1 A< start
         20 2.1 A< end
         21 1.1 A> start
         22 1.1 A> end",
        expected,
    );
    // Its end comes last.
    check(
        "link A
         10 2.1 A< start
         12 1.1 A> start
         22 1.1 A> end
         25 2.1 A< end",
        "A>0 a 10..22 not_serving
         A<0 a 10..22 socket A>0",
    );
}

#[test]
fn what_a_tentative_request_caused_follows_it_into_its_trace() {
    check(
        "link A
         link B
         link C
         link D
         9 1.1 D< start
         11 2.1 A< start
         12 3.1 B< start
         13 3.1 C> start
         14 3.1 C> end
         15 3.1 B< end
         16 2.1 B> start
         17 2.1 B> end
         18 2.1 A< end
         19 1.1 A> start
         20 1.1 A> end
         21 1.1 D< end
         flush",
        "C>0 a 13..14 thread B<0
         B<0 a 12..15 socket B>0
         B>0 a 12..17 thread A<0
         A<0 a 11..18 socket A>0
         A>0 a 11..20 thread D<0
         D<0 a 9..21 root",
    );
}

#[test]
fn a_peer_that_comes_too_late_changes_nothing() {
    check(
        "link A
         10 2.1 A< start
         20 2.1 A< end
         200020 tick
         200021 1.1 A> start
         200022 1.1 A> end",
        "A<0 a 10..20 root
         A>0 b 200021..200022 not_serving",
    );
}

#[test]
fn requests_are_told_apart_by_their_position() {
    check(
        "link A
         10 1.1 A> start pos=4294967290
         11 1.1 A> start pos=4294967300
         12 2.1 A< start pos=4
         13 2.1 A< start pos=4294967290
         14 2.1 A< end
         15 2.1 A< end
         16 1.1 A> end
         17 1.1 A> end",
        "A<0 a 12..14 socket A>1
         A<1 b 13..15 socket A>0
         A>0 b 10..16 not_serving
         A>1 a 11..17 not_serving",
    );
}

/// What comes out where each request of a link is matched, the server's end being seen last.
const BOTH_MATCHED: &str = "A<0 a 12..14 socket A>0
    A<1 b 13..15 socket A>1
    A>0 a 10..16 not_serving
    A>1 b 11..17 not_serving";

/// A client sends two requests before the first is answered; the server has answered the first
/// when it reads the second.
fn pipelined(link: &str, answers: &str) -> String {
    format!(
        "link A {link}
         10 1.1 A> start {answers}
         11 1.1 A> start {answers}
         12 2.1 A< start {answers}
         13 2.1 A< start
         14 2.1 A< end
         15 2.1 A< end
         16 1.1 A> end
         17 1.1 A> end
         flush"
    )
}

#[test]
fn addresses_that_are_translated_on_the_way_do_not_matter() {
    // The server's end is seen first, last, and on a kept connection.
    check(
        "link A nat
         10 2.1 A< start
         12 1.1 A> start
         20 2.1 A< end
         22 1.1 A> end
         30 1.1 A> start
         31 2.1 A< start
         32 2.1 A< end
         33 1.1 A> end
         40 2.1 A< start
         41 2.1 A< end
         42 1.1 A> start
         43 1.1 A> end",
        "A<0 a 10..20 socket A>0
         A>0 a 10..22 not_serving
         A<1 b 31..32 socket A>1
         A>1 b 30..33 not_serving
         A<2 c 40..41 socket A>2
         A>2 c 40..43 not_serving",
    );
    // Seen from its start, requests under way do not matter either.
    check(&pipelined("nat", ""), BOTH_MATCHED);
}

#[test]
fn a_translated_connection_older_than_the_agent_is_known_by_its_positions_now() {
    check(
        "link A nat late
         10 1.1 A> start
         12 2.1 A< start
         20 2.1 A< end
         22 1.1 A> end",
        "A<0 a 12..20 socket A>0
         A>0 a 10..22 not_serving",
    );
    // The first request that can be told tells the connection; the second is known by that.
    check(&pipelined("nat late", "answer=7"), BOTH_MATCHED);
    // One end saw it begin, and its first request.
    check(
        &pipelined("nat late<", &format!("answer={}", 1 << 20)),
        BOTH_MATCHED,
    );
    // Nothing tells it: the server had another response under way, and the addresses differ.
    check(
        "link A nat late
         10 1.1 A> start answer=7
         12 2.1 A< start answer=9
         20 2.1 A< end
         22 1.1 A> end
         flush",
        "A>0 a 10..22 not_serving
         A<0 b 12..20 root",
    );
}

#[test]
fn addresses_tell_where_positions_do_not() {
    check(
        "link A late
         10 1.1 A> start answer=7
         12 2.1 A< start answer=9
         20 2.1 A< end
         22 1.1 A> end",
        "A<0 a 12..20 socket A>0
         A>0 a 10..22 not_serving",
    );
}

#[test]
fn namespaces_with_the_same_addresses_are_told_apart() {
    // Even where their requests have the same sequence numbers.
    check(
        "link A
         link B like=A
         10 1.1 A> start
         11 3.1 B> start
         12 2.1 A< start
         13 4.1 B< start
         14 2.1 A< end
         15 4.1 B< end
         16 1.1 A> end
         17 3.1 B> end",
        "A<0 a 12..14 socket A>0
         B<0 b 13..15 socket B>0
         A>0 a 10..16 not_serving
         B>0 b 11..17 not_serving",
    );
}

#[test]
fn what_two_connections_claim_is_nobodys() {
    // Equal addresses and equal positions: no request is matched.
    check(
        "link A late
         link B late like=A
         10 1.1 A> start answer=7
         11 3.1 B> start answer=7
         12 2.1 A< start answer=7
         13 4.1 B< start answer=7
         14 2.1 A< end
         15 4.1 B< end
         16 1.1 A> end
         17 3.1 B> end
         flush",
        "A>0 a 10..16 not_serving
         B>0 b 11..17 not_serving
         A<0 c 12..14 root
         B<0 d 13..15 root",
    );
    // The addresses are those of one request, the positions those of another.
    check(
        "link A late
         link B late nat
         10 1.1 A> start answer=7
         11 3.1 B> start answer=9
         12 2.1 A< start answer=9
         14 2.1 A< end
         16 1.1 A> end
         17 3.1 B> end
         flush",
        "A>0 a 10..16 not_serving
         B>0 b 11..17 not_serving
         A<0 c 12..14 root",
    );
    // Of a connection whose other end is known nothing else is taken for it.
    check(
        "link A
         link B late like=A
         10 1.1 A> start
         11 2.1 A< start
         12 2.1 A< end
         13 1.1 A> end
         20 1.1 A> start
         21 4.1 B< start pos=100
         22 2.1 A< start
         23 4.1 B< end
         24 2.1 A< end
         25 1.1 A> end
         flush",
        "A<0 a 11..12 socket A>0
         A>0 a 10..13 not_serving
         A<1 b 22..24 socket A>1
         A>1 b 20..25 not_serving
         B<0 c 21..23 root",
    );
}

#[test]
fn a_pair_is_forgotten_with_either_end() {
    for end in ["A>", "A<"] {
        let mut run = Script::new(StitchConfig::default());
        run.lines(
            "link A
             10 1.1 A> start
             11 2.1 A< start
             12 2.1 A< end
             13 1.1 A> end",
        );
        assert_eq!(run.stitcher.peers.tcp_twins(), 2);
        run.lines(&format!("close {end}"));
        assert_eq!(run.stitcher.peers.tcp_twins(), 0);
        assert_eq!(run.stitcher.residue(), 0);
    }
}

#[test]
fn both_ends_saw_the_same_header() {
    check(
        "link A
         10 1.1 A> start ctx=1/2
         12 2.1 A< start ctx=1/2
         20 2.1 A< end
         22 1.1 A> end",
        "A<0 1 12..20 socket A>0
         A>0 1 10..22 header 2",
    );
    check(
        "link A
         12 2.1 A< start ctx=1/2
         20 2.1 A< end
         21 1.1 A> start ctx=1/2
         22 1.1 A> end",
        "A<0 1 12..20 socket A>0
         A>0 1 12..22 header 2",
    );
}

#[test]
fn a_header_of_another_trace_than_the_clients_wins() {
    check(
        "link A
         10 1.1 A> start
         12 2.1 A< start ctx=1/2
         20 2.1 A< end
         22 1.1 A> end",
        "A<0 1 12..20 header 2
         A>0 a 10..22 not_serving",
    );
}

#[test]
fn a_request_of_a_process_to_itself_is_not_its_own_cause() {
    // Two threads of a runtime with a scheduler; the server's side is seen first.
    check(
        "link A nonblocking
         link S nonblocking
         1 1.1 S< start
         2 1.1 S< end
         12 1.2 A< start
         13 1.1 A> start
         14 1.2 A< end
         15 1.1 A> end
         flush",
        "A<0 a 12..14 socket A>0
         A>0 a 12..15 not_serving
         S<0 b 1..2 root",
    );
}

#[test]
fn unix_sockets_from_their_start() {
    check(
        "link A unix
         11 2.1 A< start
         12 1.1 A> start
         20 2.1 A< end
         22 1.1 A> end
         31 2.1 A< start
         32 1.1 A> start
         33 2.1 A< end
         34 1.1 A> end",
        "A<0 a 11..20 socket A>0
         A>0 a 11..22 not_serving
         A<1 b 31..33 socket A>1
         A>1 b 31..34 not_serving",
    );
}

#[test]
fn unix_sockets_older_than_the_agent_learn_their_offset() {
    check(
        "link A unix late
         10 1.1 A> start pos=1000
         11 2.1 A< start pos=0
         12 2.1 A< end
         13 1.1 A> end
         21 2.1 A< start pos=100
         22 1.1 A> start pos=1100
         23 2.1 A< end
         24 1.1 A> end
         flush",
        "A<0 a 11..12 socket A>0
         A>0 a 10..13 not_serving
         A<1 b 21..23 socket A>1
         A>1 b 21..24 not_serving",
    );
    // Two at once teach nothing, and neither does one that began before the client's.
    check(
        "link A unix late
         10 1.1 A> start pos=1000
         11 1.1 A> start pos=1100
         12 2.1 A< start pos=0
         13 2.1 A< end
         14 1.1 A> end
         15 1.1 A> end
         flush",
        "A>0 a 10..14 not_serving
         A>1 b 11..15 not_serving
         A<0 c 12..13 root",
    );
    check(
        "link A unix late
         11 2.1 A< start pos=0
         12 1.1 A> start pos=1000
         13 2.1 A< end
         14 1.1 A> end
         flush",
        "A>0 a 12..14 not_serving
         A<0 b 11..13 root",
    );
    // A socket address that is used again starts anew.
    check(
        "link A unix late
         10 1.1 A> start pos=1000
         11 2.1 A< start pos=0
         12 2.1 A< end
         13 1.1 A> end
         close A>
         20 1.1 A> start pos=1100
         21 1.1 A> start pos=1200
         22 2.1 A< start pos=100
         23 2.1 A< end
         24 1.1 A> end
         25 1.1 A> end
         flush",
        "A<0 a 11..12 socket A>0
         A>0 a 10..13 not_serving
         A>1 b 20..24 not_serving
         A>2 c 21..25 not_serving
         A<1 d 22..23 root",
    );
}

#[test]
fn a_client_that_has_its_response_ends_the_server_exchange_as_a_parent() {
    // Thread 2 sent the response but its hook has not told yet when the next request is served.
    check(
        "link A nonblocking
         link B nonblocking
         link C nonblocking
         10 1.1 A> start
         11 2.2 A< start
         13 1.1 A> end
         14 1.1 B> start
         15 2.3 B< start
         16 2.3 C> start
         17 2.2 A< end
         18 2.3 C> end",
        "A>0 a 10..13 not_serving
         A<0 a 11..13 socket A>0
         C>0 b 16..18 thread B<0",
    );
}
