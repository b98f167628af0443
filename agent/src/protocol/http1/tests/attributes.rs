//! What is said of an exchange.

use super::*;
use crate::model::Attribute;

/// Plays one exchange and prints its attributes, one `key=value` a line.
#[track_caller]
fn check_attributes(connection: &Connection, script: &str, expected: &str) {
    let mut player = Player::new(connection, Limits::default());
    lines(script).iter().for_each(|line| player.play(line));
    let events = player.finish();
    let Some(ParserEvent::Finished(finished)) = events.last() else {
        panic!("not finished: {events:?}");
    };
    let show =
        |attribute: &Attribute| format!("{}={}", attribute.key, shown(finished, &attribute.key));
    let found: Vec<_> = finished.attributes.iter().map(show).collect();
    let expected: Vec<_> = expected
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    assert_eq!(found, expected, "\n{script}");
}

#[test]
fn of_a_server() {
    check_attributes(
        &connection(true),
        "in: POST /p/1?a=b&token=t HTTP/1.1|Host: example.com:8443|User-Agent: curl/8|X-Forwarded-For: 10.1.1.1, 10.2.2.2|X-Forwarded-Proto: https|Content-Length: 2||ab
         out: HTTP/1.1 503 No|Content-Length: 3||abc",
        "http.request.method=POST
         url.scheme=https
         url.path=/p/1
         url.query=a=b&token=REDACTED
         server.address=example.com
         server.port=8443
         client.address=10.1.1.1
         user_agent.original=curl/8
         network.protocol.name=http
         network.protocol.version=1.1
         http.response.status_code=503
         http.request.body.size=2
         http.response.body.size=3
         error.type=503",
    );
    check_attributes(
        &connection(true),
        "in: FROB / HTTP/1.0|Forwarded: for=\"[2001:db8::1]:99\";host=[::1];proto=https||
         out: HTTP/1.0 404 No||",
        "http.request.method=_OTHER
         http.request.method_original=FROB
         url.scheme=https
         url.path=/
         server.address=::1
         server.port=443
         client.address=2001:db8::1
         client.port=99
         network.protocol.name=http
         network.protocol.version=1.0
         http.response.status_code=404
         http.response.body.size=0",
    );
}

#[test]
fn of_a_client() {
    check_attributes(
        &connection(true),
        "out: GET /p?q=1 HTTP/1.1|Host: example.com|X-Forwarded-For: 10.1.1.1|User-Agent: a|  b||
         in: HTTP/1.1 404 Not Found|Content-Length: 0||",
        "http.request.method=GET
         url.full=http://example.com/p?q=1
         server.address=example.com
         server.port=80
         user_agent.original=a b
         network.protocol.name=http
         network.protocol.version=1.1
         http.response.status_code=404
         http.response.body.size=0
         error.type=404",
    );
    check_attributes(
        &connection(true),
        "out: CONNECT h:443 HTTP/1.1|Host: other||
         end reset",
        "http.request.method=CONNECT
         server.address=h
         server.port=443
         network.protocol.name=http
         network.protocol.version=1.1
         error.type=connection_reset",
    );
    let unix = Connection {
        address: Address::Unix {
            path: "/run/s".to_owned(),
            socket: 1,
            peer: 2,
        },
        ..connection(true)
    };
    check_attributes(
        &unix,
        "out: GET /v1 HTTP/1.1|Host: docker||
         in: HTTP/1.1 200 OK|Content-Length: 0||",
        "http.request.method=GET
         url.full=http://docker/v1
         server.address=docker
         network.protocol.name=http
         network.protocol.version=1.1
         http.response.status_code=200
         http.response.body.size=0",
    );
}

#[test]
fn long_texts_are_cut() {
    let long = "ü".repeat(2000);
    let mut player = Player::new(&connection(true), Limits::default());
    let script = format!("in: GET /{long} HTTP/1.1||\nout: HTTP/1.1 204 No Content||");
    lines(&script).iter().for_each(|line| player.play(line));
    let Some(ParserEvent::Finished(finished)) = player.events.last() else {
        panic!("not finished");
    };
    assert_eq!(shown(finished, "url.path").len(), 2047);
    assert_eq!(finished.notes, ["value cut"]);
}
