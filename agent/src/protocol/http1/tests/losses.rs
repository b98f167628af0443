//! Connections of which something is not seen.

use super::*;

#[test]
fn joined_in_the_middle() {
    let late = connection(false);
    let limits = Limits::default();
    check_with(
        &late,
        limits,
        "in: of a body
         in: more GET / HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 2||no
         in: GET /a HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 2||ok",
        "0 server @32 4..5 complete GET /a 200 res=2 (response without request ignored)",
    );
    check_with(
        &late,
        limits,
        "out: tail of a response
         in: GET /a HTTP/1.1||
         out: HTTP/1.1 204 No Content||",
        "0 server @0 2..3 complete GET /a 204",
    );
    check_with(
        &late,
        limits,
        "out: HTTP/1.1 101 Switching||\nin: GET / HTTP/1.1||",
        "",
    );
}

#[test]
fn other_protocols() {
    for script in [
        "in: PRI * HTTP/2.0||SM||",
        "in: *1|$4|PING|\nout: +PONG|",
        "in: EHLO x|\nout: 250 ok|",
        "in: GET key|\nout: $-1|",
        "in: GET /\nin: x|",
    ] {
        check(script, "");
    }
}

#[test]
fn heads_beyond_the_cap() {
    // What was captured is told; the end is where something else begins.
    check(
        "in hidden=9: GET /a HTTP/1.1|Host: h|Content-Le
         out hidden=80: HTTP/1.1 200 OK|Content-Type
         out hidden=80: more
         in: GET /b HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 0||",
        "0 server @0 1..3 complete GET /a 200 (request head cut, response head cut)
         1 server @45 4..5 complete GET /b 200 res=0",
    );
    check(
        "in hidden=9: GET /long
         out: HTTP/1.1 414 Too Long|Content-Length: 0||",
        "0 server @0 1..2 complete GET /long 414 res=0 (request head cut)",
    );
    check(
        "in hidden=9: FROB /long\nout: HTTP/1.1 414 Long|Content-Length: 0||",
        "",
    );
    // The head is found to be too long over several chunks.
    let limits = Limits {
        head: 64,
        ..Limits::default()
    };
    check_with(
        &connection(true),
        limits,
        "in: GET /a HTTP/1.1|Host: h|
         in: X: 0123456789012345678901234567890123456789|
         in: Y: 0123456789||
         out: HTTP/1.1 431 Too Large|Content-Length: 0||",
        "0 server @0 1..4 complete GET /a 431 res=0 (request head cut)",
    );
}

#[test]
fn bodies_beyond_the_cap() {
    check(
        "in hidden=90: POST /a HTTP/1.1|Content-Length: 100||0123456789
         out hidden=1000: HTTP/1.1 200 OK|Content-Length: 2000||
         out hidden=1000:
         in: GET /b HTTP/1.1||
         out hidden=102: HTTP/1.1 200 OK|Transfer-Encoding: chunked||64|
         out: 1|x|0||",
        "0 server @0 1..3 complete POST /a 200 req=100 res=2000
         1 server @141 4..6 complete GET /b 200 res=101",
    );
}

#[test]
fn chunk_sizes_beyond_the_cap() {
    let lost = "in: GET /a HTTP/1.1||
                out hidden=200: HTTP/1.1 200 OK|Transfer-Encoding: chunked||64|
                out hidden=200: data";
    // The end is seen.
    for end in ["0||", "xyz|0||"] {
        check(
            &format!("{lost}\nout: {end}\nin: GET /b HTTP/1.1||"),
            "0 server @0 1..4 complete GET /a 200 (end of response inferred)
             1 server @19 5.. open",
        );
    }
    // It is not: the next request, the next response, or the connection's end tell.
    check(
        &format!("{lost}\nin: GET /b HTTP/1.1||"),
        "0 server @0 1..3 complete GET /a 200 (end of response inferred)
         1 server @19 4.. open",
    );
    check(
        &format!("{lost}\nout: H\nout: HTTP/1.1 200 OK||"),
        "0 server @0 1..3 complete GET /a 200 (end of response inferred)",
    );
    check(
        &format!("{lost}\nend local"),
        "0 server @0 1..3 complete GET /a 200 (end of response inferred)",
    );
    check(
        &format!("{lost}\nend exit"),
        "0 server @0 1..4 aborted GET /a 200 error=process_exited (end of response inferred)",
    );
    check(
        "in: GET /a HTTP/1.1||GET /b HTTP/1.1||
         out hidden=200: HTTP/1.1 200 OK|Transfer-Encoding: chunked||64|
         out: HTTP/1.1 204 No
         out:  Content||",
        "0 server @0 1..2 complete GET /a 200 (end of response inferred)
         1 server @19 1..4 complete GET /b 204",
    );
}

/// Of what was read at once only the beginning is known: whole responses may be behind it.
#[test]
fn responses_among_bytes_beyond_the_cap() {
    let part = "out hidden=10: HTTP/1.1 200 OK|Content-Length: 30||01234
                out hidden=300: 01234
                out: HTTP/1.1 200 OK|Content-Length: 0||
                end local";
    check(
        &format!(
            "in: GET /a HTTP/1.1||GET /b HTTP/1.1||GET /c HTTP/1.1||GET /d HTTP/1.1||\n{part}"
        ),
        "0 server @0 1..3 complete GET /a 200 res=30
         1 server @19 1..3 lost GET /b - (response head not captured)
         2 server @38 1..1 lost GET /c - (response head not captured)
         3 server @57 1..1 lost GET /d - (response head not captured)",
    );
    // Who is left alone is answered.
    check(
        &format!("in: GET /a HTTP/1.1||GET /b HTTP/1.1||GET /c HTTP/1.1||\n{part}"),
        "0 server @0 1..3 complete GET /a 200 res=30
         1 server @19 1..3 lost GET /b - (response head not captured)
         2 server @38 1..4 complete GET /c 200 res=0",
    );
    check(
        "in: GET /a HTTP/1.1||GET /b HTTP/1.1||
         out hidden=300: HTTP/1.1 200 OK|Transfer-Encoding: chunked||64|
         out: HTTP/1.1 404 Not Found|Content-Length: 0||",
        "0 server @0 1..2 complete GET /a 200 (end of response inferred)
         1 server @19 1..3 complete GET /b 404 res=0",
    );
}

#[test]
fn nothing_captured() {
    check(
        "in hidden=20:\nout: HTTP/1.1 200 OK|Content-Length: 0||",
        "",
    );
    check(
        "in: GET /a HTTP/1.1||
         out hidden=500:
         out hidden=500:
         in: GET /b HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 0||",
        "0 server @0 1..3 lost GET /a - (response head not captured)
         1 server @19 4..5 complete GET /b 200 res=0",
    );
    check(
        "in: GET /a HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 0||
         in hidden=19:
         out: HTTP/1.1 404 Not Found|Content-Length: 0||
         in: GET /c HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 0||",
        "0 server @0 1..2 complete GET /a 200 res=0
         1 server @38 5..6 complete GET /c 200 res=0 (response without request ignored)",
    );
    check(
        "in: GET /a HTTP/1.1||
         out: hello
         end closed",
        "0 server @0 1..2 lost GET /a - (response is not HTTP)",
    );
}

#[test]
fn contradictory_lengths() {
    check(
        "in: POST /a HTTP/1.1|Content-Length: 1|Content-Length: 2||abc
         out: HTTP/1.1 200 OK|Content-Length: 5, 5||hello
         in: POST /b HTTP/1.1|Transfer-Encoding: gzip||abc
         out: HTTP/1.1 200 OK|Content-Length: x||abc
         in: GET /c HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: -1||abc
         end local",
        "0 server @0 1..2 complete POST /a 200 res=5 (contradictory body length)
         1 server @61 3..4 complete POST /b 200 (contradictory body length)
         2 server @109 5..6 complete GET /c 200 (contradictory body length)",
    );
}

#[test]
fn gaps_inside_bodies_do_no_harm() {
    check(
        "in: POST /a HTTP/1.1|Content-Length: 100||0123456789
         in gap=80: 0123456789
         out: HTTP/1.1 200 OK|Content-Length: 100||
         out gap=90: 0123456789
         in: GET /b HTTP/1.0||
         out: HTTP/1.0 200 OK||
         out gap=90: 0123456789
         end local",
        "0 server @0 1..4 complete POST /a 200 req=100 res=100
         1 server @141 5..7 complete GET /b 200 res=100",
    );
    check(
        "in: POST /a HTTP/1.1|Transfer-Encoding: chunked||64|0123456789
         in gap=90: |0||
         out: HTTP/1.1 200 OK|Content-Length: 0||",
        "0 server @0 1..3 complete POST /a 200 req=100 res=0",
    );
}

#[test]
fn gaps_elsewhere() {
    // A response's end was in the gap.
    check(
        "in: GET /a HTTP/1.1||GET /b HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 10||
         out gap=10: HTTP/1.1 204 No Content||",
        "0 server @0 1..2 lost GET /a 200 res=10 (bytes lost)
         1 server @19 1..3 complete GET /b 204",
    );
    // More than the response was.
    check(
        "in: GET /a HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 10||
         out gap=50: HTTP/1.1 204 No Content||
         in: GET /c HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 0||",
        "0 server @0 1..2 lost GET /a 200 res=0 (bytes lost)
         1 server @19 4..5 complete GET /c 200 res=0 (response without request ignored)",
    );
    // Requests were: what was answered before stays, what answers them is nobody's.
    check(
        "in: GET /a HTTP/1.1||GET /b HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 1||
         in gap=19: GET /d HTTP/1.1||
         out: x",
        "0 server @0 1..4 complete GET /a 200 res=1
         1 server @19 1..1 lost GET /b - (bytes lost)
         2 server @57 3.. open",
    );
    check(
        "out: HTTP/1.1 200 OK|Content-Length: 0||
         in gap=19: GET /b HTTP/1.1||
         out: HTTP/1.1 204 No Content||",
        "0 server @19 2..3 complete GET /b 204",
    );
}

#[test]
fn too_many_open() {
    let limits = Limits {
        open: 2,
        ..Limits::default()
    };
    check_with(
        &connection(true),
        limits,
        "in: GET /a HTTP/1.1||GET /b HTTP/1.1||GET /c HTTP/1.1||
         out: HTTP/1.1 500 No|Content-Length: 0||HTTP/1.1 200 OK|Content-Length: 4||
         in: GET /d HTTP/1.1||GET /e HTTP/1.1||
         out: bodyHTTP/1.1 204 No Content||",
        "0 server @0 1..1 lost GET /a - (too many requests open)
         1 server @19 1..2 lost GET /b 200 res=0 (too many requests open)
         2 server @38 1..1 lost GET /c - (too many requests open)
         3 server @57 3.. open
         4 server @76 3.. open",
    );
}

#[test]
fn skipping() {
    let mut player = Player::new(&connection(true), Limits::default());
    let mut play = |script: &str| {
        lines(script).iter().for_each(|line| player.play(line));
        [Direction::Received, Direction::Sent].map(|direction| player.parser.wants(direction))
    };
    assert_eq!(play(""), [Wants::Bytes, Wants::Bytes]);
    let upload = "in: PUT /a HTTP/1.1|Content-Length: 1000000||";
    let end = 1000 + 44 + 1_000_000;
    assert_eq!(play(upload), [Wants::SkipUntil(end), Wants::Bytes]);
    assert_eq!(play("in hidden=10:"), [Wants::SkipUntil(end), Wants::Bytes]);
    // Little is left: not worth it.
    assert_eq!(
        play("in gap=990000 hidden=10:"),
        [Wants::Bytes, Wants::Bytes]
    );
    play("in hidden=9980:");
    let download = "out hidden=100: HTTP/1.1 200 OK|Transfer-Encoding: chunked||100000|";
    let end = 5000 + 47 + 8 + 0x10_0000;
    assert_eq!(play(download), [Wants::Bytes, Wants::SkipUntil(end)]);
    assert_eq!(play("end closed"), [Wants::Nothing, Wants::Nothing]);
}

#[test]
fn heads_of_pipelined_responses_behind_what_is_captured() {
    check(
        "out: GET /a HTTP/1.1|Host: h||GET /b HTTP/1.1|Host: h||GET /c HTTP/1.1|Host: h||
         in hidden=200: HTTP/1.1 200 OK|Content-Length: 10||ab
         end peer",
        "0 client @0 1..2 complete GET http://h/a 200 res=10
         1 client @28 1..2 lost GET http://h/b - (response head not captured)
         2 client @56 1..1 lost GET http://h/c - (response head not captured)",
    );
}
