//! Connections of which everything is seen.

use super::*;

#[test]
fn a_server_answers() {
    check(
        "in: GET /a HTTP/1.1|Host: h||
         out: HTTP/1.1 200 OK|Content-Length: 5||hello",
        "0 server @0 1..2 complete GET /a 200 res=5",
    );
}

#[test]
fn a_client_is_answered() {
    check(
        "out: GET /a HTTP/1.1|Host: h||
         in: HTTP/1.1 200 OK|Content-Length: 5||hello",
        "0 client @0 1..2 complete GET http://h/a 200 res=5",
    );
}

#[test]
fn keep_alive() {
    check(
        "in: POST /a HTTP/1.1|Content-Length: 3||abc
         out: HTTP/1.1 201 Created|Content-Length: 0||
         in: GET /b HTTP/1.1||
         out: HTTP/1.1 404 Not Found|Content-Length: 2||no",
        "0 server @0 1..2 complete POST /a 201 req=3 res=0
         1 server @42 3..4 complete GET /b 404 res=2",
    );
}

#[test]
fn pipelining() {
    check(
        "in: GET /a HTTP/1.1||GET /b HTTP/1.1||
         in: GET /c HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 1||aHTTP/1.1 500 No|Content-Length: 1||b
         out: HTTP/1.1 200 OK|Content-Length: 1||
         out: c",
        "0 server @0 1..3 complete GET /a 200 res=1
         1 server @19 1..3 complete GET /b 500 res=1 error=500
         2 server @38 2..5 complete GET /c 200 res=1",
    );
}

#[test]
fn chunked_both_ways() {
    check(
        "in: POST / HTTP/1.1|Transfer-Encoding: chunked||4;x=y|wiki|0|T: u||GET /b HTTP/1.1||
         out: HTTP/1.1 200 OK|Transfer-Encoding: gzip, Chunked||A|0123456789|
         out: 3|abc|0|Trailer: x|
         out: |HTTP/1.1 200 OK|Content-Length: 0||",
        "0 server @0 1..4 complete POST / 200 req=4 res=13
         1 server @71 1..4 complete GET /b 200 res=0",
    );
}

#[test]
fn responses_without_body() {
    check(
        "in: HEAD /a HTTP/1.1||GET /b HTTP/1.1||GET /c HTTP/1.1||GET /d HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 500||HTTP/1.1 204 No Content||
         out: HTTP/1.1 304 Not Modified|Content-Length: 9||
         out: HTTP/1.1 200 OK|Content-Length: 0||",
        "0 server @0 1..2 complete HEAD /a 200
         1 server @20 1..2 complete GET /b 204
         2 server @39 1..3 complete GET /c 304
         3 server @58 1..4 complete GET /d 200 res=0",
    );
}

#[test]
fn interim_responses() {
    check(
        "out: PUT /a HTTP/1.1|Host: h|Expect: 100-continue|Content-Length: 2||
         in: HTTP/1.1 100 Continue||
         out: ab
         in: HTTP/1.1 103 Early Hints|Link: x||HTTP/1.1 200 OK|Content-Length: 0||",
        "0 client @0 1..4 complete PUT http://h/a 200 req=2 res=0",
    );
}

#[test]
fn refused_expectation_and_the_next_request() {
    check(
        "in: PUT /a HTTP/1.1|Expect: 100-continue|Content-Length: 9||
         out: HTTP/1.1 413 Too Large|Content-Length: 0||
         in: GET /b HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 0||",
        "0 server @0 1..2 complete PUT /a 413 res=0 (response before end of request)
         1 server @60 3..4 complete GET /b 200 res=0",
    );
}

#[test]
fn websocket_ends_at_the_switch() {
    let script = "in: GET /ws HTTP/1.1|Upgrade: websocket|Connection: Upgrade||
                  out: HTTP/1.1 101 Switching Protocols|Upgrade: websocket||\\t\\t
                  in: GET /not-http HTTP/1.1||
                  out: HTTP/1.1 200 OK||";
    check(script, "0 server @0 1..2 complete GET /ws 101");
    let mut player = Player::new(&connection(true), Limits::default());
    lines(script)
        .iter()
        .take(2)
        .for_each(|line| player.play(line));
    for direction in [Direction::Received, Direction::Sent] {
        assert_eq!(player.parser.wants(direction), Wants::Nothing);
    }
}

#[test]
fn connect_ends_at_the_tunnel() {
    check(
        "out: CONNECT h:443 HTTP/1.1|Host: h:443||
         in: HTTP/1.1 407 Proxy Authentication Required|Content-Length: 2||no
         out: CONNECT h:443 HTTP/1.1|Host: h:443||
         in: HTTP/1.1 200 Connection established||
         out: GET / HTTP/1.1||
         end closed",
        "0 client @0 1..2 complete CONNECT - 407 res=2 error=407
         1 client @39 3..4 complete CONNECT - 200",
    );
}

#[test]
fn close_delimited() {
    let table = [
        ("in", "out", "local", "5 complete GET /a 200 res=7"),
        ("in", "out", "closed", "5 complete GET /a 200 res=7"),
        ("in", "out", "exit", "5 complete GET /a 200 res=7"),
        (
            "in",
            "out",
            "reset",
            "6 aborted GET /a 200 res=7 error=connection_reset",
        ),
        (
            "out",
            "in",
            "peer",
            "5 complete GET http://127.0.0.1:40000/a 200 res=7",
        ),
        (
            "out",
            "in",
            "exit",
            "6 aborted GET http://127.0.0.1:40000/a 200 res=7 error=process_exited",
        ),
    ];
    for (request, response, end, expected) in table {
        let side = if request == "in" { "server" } else { "client" };
        check(
            &format!(
                "{request}: GET /a HTTP/1.0||
                 {response}: HTTP/1.0 200 OK||
                 {response}: abc
                 {response}: def
                 {response}: g
                 end {end}"
            ),
            &format!("0 {side} @0 1..{expected}"),
        );
    }
}

#[test]
fn half_closed_clients_are_still_answered() {
    check(
        "in: GET /a HTTP/1.1||
         end peer
         out: HTTP/1.1 200 OK|Content-Length: 0||
         end local",
        "0 server @0 1..3 complete GET /a 200 res=0",
    );
    check(
        "out: GET /a HTTP/1.1|Host: h||
         end local
         in: HTTP/1.1 200 OK|Content-Length: 1||
         in: x",
        "0 client @0 1..4 complete GET http://h/a 200 res=1",
    );
}

#[test]
fn heads_in_pieces() {
    check(
        "in: |
         in: |G
         in: ET /a HT
         in: TP/1.1|Host: h|
         in: |
         out: HTT
         out: P/1.1 200 OK|Content-Len
         out: gth: 1||x",
        "0 server @4 2..8 complete GET /a 200 res=1",
    );
}

#[test]
fn line_feeds_and_folded_lines() {
    check(
        "in: GET /a HTTP/1.1\\nHost: h\\nX: a|\\tContent-Length: 7\\n\\nGET /b HTTP/1.1\\n\\n
         out: HTTP/1.1 200 OK\\nContent-Length:|  3|X: y\\n\\nabcHTTP/1.1 200|Content-Length : 0||",
        "0 server @0 1..2 complete GET /a 200 res=3
         1 server @50 1..2 complete GET /b 200 res=0",
    );
}

#[test]
fn targets() {
    check(
        "out: GET http://u:p@h:81/a?sig=1 HTTP/1.1|Host: other||
         in: HTTP/1.1 200 OK|Content-Length: 0||
         out: OPTIONS * HTTP/1.1|Host: h||
         in: HTTP/1.1 200 OK|Content-Length: 0||
         out: FROB /x HTTP/1.1|Host: h||
         in: HTTP/1.1 200 OK|Content-Length: 0||",
        "0 client @0 1..2 complete GET http://REDACTED:REDACTED@h:81/a?sig=REDACTED 200 res=0
         1 client @53 3..4 complete OPTIONS http://h 200 res=0
         2 client @84 5..6 complete HTTP http://h/x 200 res=0",
    );
}

#[test]
fn responses_before_the_request_has_ended() {
    check(
        "in: POST /a HTTP/1.1|Content-Length: 6||ab
         out: HTTP/1.1 400 Bad Request|Content-Length: 0||
         in: cdefGET /b HTTP/1.1||
         out: HTTP/1.1 200 OK|Content-Length: 0||",
        "0 server @0 1..2 complete POST /a 400 res=0 (response before end of request)
         1 server @45 3..4 complete GET /b 200 res=0",
    );
}

#[test]
fn responses_seen_before_their_request() {
    check(
        "in: HTTP/1.1 200 OK|Content-Length: 3||ab
         out: GET /a HTTP/1.1|Host: h||
         in: c
         in: HTTP/1.1 204 No Content||HTTP/1.1 500 Error|Content-Length: 1||
         in: x
         out: GET /b HTTP/1.1|Host: h||GET /c HTTP/1.1|Host: h||",
        "0 client @0 2..3 complete GET http://h/a 200 res=3
         1 client @28 6..4 complete GET http://h/b 204
         2 client @56 6..5 complete GET http://h/c 500 res=1 error=500",
    );
    check(
        "out: HTTP/1.1 200 OK|Content-Length: 3||
         in: HEAD /a HTTP/1.1||
         out: HTTP/1.1 200 OK||
         in: CONNECT h:1 HTTP/1.1||
         out: HTTP/1.1 200 OK||",
        "0 server @0 2..1 complete HEAD /a 200
         1 server @20 4..3 complete CONNECT - 200",
    );
    check(
        "out: HTTP/1.1 101 Switching Protocols||
         in: GET /ws HTTP/1.1||
         in: GET /no HTTP/1.1||",
        "0 server @0 2..1 complete GET /ws 101",
    );
    check(
        "in: HTTP/1.0 200 OK||abc
         end peer
         out: GET /a HTTP/1.0|Host: h||
         out: GET /b HTTP/1.0|Host: h||",
        "0 client @0 3..1 complete GET http://h/a 200 res=3
         1 client @28 4..4 aborted GET http://h/b - error=connection_closed",
    );
}

#[test]
fn cut_short() {
    let request = "in: POST /a HTTP/1.1|Content-Length: 4||ab";
    let head = "out: HTTP/1.1 200 OK|Content-Length: 4||ab";
    let table = [
        ("", "peer", "open"),
        (
            "",
            "local",
            "2 aborted POST /a - req=2 error=connection_closed",
        ),
        (
            "",
            "closed",
            "2 aborted POST /a - req=2 error=connection_closed",
        ),
        (
            "",
            "reset",
            "2 aborted POST /a - req=2 error=connection_reset",
        ),
        ("", "timeout", "2 aborted POST /a - req=2 error=timeout"),
        (
            "",
            "unreachable",
            "2 aborted POST /a - req=2 error=connection_failed",
        ),
        ("", "exit", "2 aborted POST /a - req=2 error=process_exited"),
        (
            "",
            "forgotten",
            "1 lost POST /a - req=2 (connection forgotten)",
        ),
        (
            head,
            "closed",
            "3 aborted POST /a 200 req=2 res=2 error=connection_closed",
        ),
        (
            head,
            "exit",
            "3 aborted POST /a 200 req=2 res=2 error=process_exited",
        ),
        (
            head,
            "forgotten",
            "2 lost POST /a 200 req=2 res=2 (connection forgotten)",
        ),
        (
            "out: HTTP/1.1 200 OK|Transfer-Encoding: chunked||4|ab",
            "closed",
            "3 aborted POST /a 200 req=2 res=2 error=connection_closed",
        ),
        (
            "out: HTTP/1.1 503 Unavailable|Content-Le",
            "reset",
            "3 aborted POST /a 503 req=2 error=503 (response head cut)",
        ),
        (
            "out: HTTP/1.1 503",
            "reset",
            "3 aborted POST /a - req=2 error=connection_reset",
        ),
    ];
    for (response, end, expected) in table {
        let space = if expected == "open" { " " } else { "" };
        check(
            &format!("{request}\n{response}\nend {end}"),
            &format!("0 server @0 1..{space}{expected}"),
        );
    }
}

#[test]
fn requests_that_never_became_whole() {
    check(
        "in: GET /a HTTP/1.1|Host:
         end peer
         out: HTTP/1.1 408 Timeout|Content-Length: 0||",
        "0 server @0 1..3 complete GET /a 408 res=0 (request head cut)",
    );
    check("in: GET /a HTTP/1.\nend closed", "");
    check("in: GE\nend closed", "");
    check(
        "out: HTTP/1.1 408 Timeout|Content-Length: 0||\nend closed",
        "",
    );
}
