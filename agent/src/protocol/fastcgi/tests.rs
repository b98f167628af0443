use super::ENTRY;
use super::record::HEADER;
use crate::model::{Direction, EndReason, ParserEvent, Side, SpanStatus, Value};
use crate::protocol::recording::{Piece, Player, connection};
use crate::protocol::testing::{Exchange, check, play, survives, takes_heads};
use crate::protocol::{Likeness, Sample, Settings};

const RECORDINGS: &str = "src/protocol/fastcgi/recordings";

#[test]
fn recordings() {
    for name in [
        "nginx-fpm",
        "nginx-go",
        "unix-fpm",
        "unix-error",
        "unix-large",
        "unix-post",
        "lighttpd-go",
        "lighttpd-missing",
        "own-go",
    ] {
        check(RECORDINGS, name, ENTRY.make);
        // In these the end of an answer was not captured: how it is cut makes a difference.
        if !matches!(name, "nginx-fpm" | "unix-large") {
            survives(RECORDINGS, name, ENTRY.make);
            takes_heads(RECORDINGS, name, ENTRY.make, &[HEADER]);
        }
    }
}

fn record(kind: u8, id: u8, content: &[u8]) -> Vec<u8> {
    let padding = content.len().wrapping_neg() % 8;
    let length = (content.len() as u16).to_be_bytes();
    let head = [1, kind, 0, id, length[0], length[1], padding as u8, 0];
    [&head, content, &vec![b'p'; padding]].concat()
}

fn begin(id: u8) -> Vec<u8> {
    record(1, id, &[0, 1, 1, 0, 0, 0, 0, 0])
}

fn params(id: u8, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut content = Vec::new();
    for text in pairs.iter().map(|pair| [pair.0, pair.1]) {
        for length in text.map(str::len) {
            match u8::try_from(length) {
                Ok(short @ 0..0x80) => content.push(short),
                _ => content.extend((length as u32 | 1 << 31).to_be_bytes()),
            }
        }
        text.iter().for_each(|one| content.extend(one.as_bytes()));
    }
    [record(4, id, &content), record(4, id, &[])].concat()
}

fn request(id: u8, pairs: &[(&str, &str)]) -> Vec<u8> {
    let all = [&[("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", "/a")], pairs].concat();
    [begin(id), params(id, &all), record(5, id, &[])].concat()
}

fn end(id: u8, application: u8, protocol: u8) -> Vec<u8> {
    record(3, id, &[0, 0, 0, application, protocol, b'x', b'y', b'z'])
}

fn client(data: Vec<u8>) -> Piece {
    Piece {
        from_client: true,
        data,
        hidden: 0,
        gap: 0,
        pause: 0,
    }
}

fn server(records: &[Vec<u8>]) -> Piece {
    Piece {
        from_client: false,
        ..client(records.concat())
    }
}

fn exchanges(pieces: &[Piece]) -> Vec<Exchange> {
    play(pieces, Side::Server, true, ENTRY.make)
}

fn told((started, finished): &Exchange, keys: &[&str]) -> String {
    let mut text = format!("{} {}-{}", finished.name, started.start.0, finished.end.0);
    if finished.status == SpanStatus::Error {
        text.push_str(" error");
    }
    for key in keys {
        let value = finished.attributes.iter().find(|one| one.key == *key);
        match value.map(|one| &one.value) {
            Some(Value::Text(value)) => text.push_str(&format!(" {value}")),
            Some(Value::Integer(value)) => text.push_str(&format!(" {value}")),
            _ => text.push_str(" -"),
        }
    }
    finished
        .notes
        .iter()
        .for_each(|note| text.push_str(&format!(", {note}")));
    text
}

const STATUS: &[&str] = &["http.response.status_code", "http.response.body.size"];

#[test]
fn requests_may_be_multiplexed() {
    let found = exchanges(&[
        client([begin(1), begin(2)].concat()),
        client(params(2, &[("REQUEST_METHOD", "POST")])),
        client(params(1, &[("REQUEST_METHOD", "GET")])),
        client(record(5, 2, b"body")),
        server(&[
            record(6, 1, b"Status: 201 C\r\n"),
            record(6, 2, b"A: b\r\n\r\ntwo"),
            record(6, 1, b"\r\none, long"),
        ]),
        server(&[end(2, 0, 0)]),
        server(&[end(1, 7, 0)]),
    ]);
    let found: Vec<_> = found.iter().map(|one| told(one, STATUS)).collect();
    assert_eq!(
        found,
        [
            "POST 1-6 200 3",
            "GET 1-7 201 9, application status is not 0"
        ]
    );
}

#[test]
fn endings() {
    let head = record(6, 1, b"Status: 200 OK\r\n\r\nbody");
    let table: [(&[Piece], &str); 5] = [
        (&[server(&[end(1, 0, 2)])], "GET 1-2 error overloaded"),
        (
            &[server(&[end(1, 0, 0)])],
            "GET 1-2 -, response head not captured",
        ),
        (
            &[server(std::slice::from_ref(&head))],
            "GET 1-3 error connection_closed",
        ),
        (&[], "GET 1-2 error connection_closed"),
        (
            &[client(record(2, 1, &[])), server(&[end(1, 0, 0)])],
            "GET 1-3 error aborted, request aborted by web server",
        ),
    ];
    for (rest, expected) in table {
        let found = exchanges(&[&[client(request(1, &[]))], rest].concat());
        assert_eq!(told(&found[0], &["error.type"]), expected);
    }
}

#[test]
fn ends_that_pass_unseen() {
    let mut answer = server(&[
        record(6, 1, b"Status: 404 No\r\n\r\n"),
        record(6, 1, b"body"),
    ]);
    answer.hidden = 500;
    answer.data.truncate(50);
    let asked = client(request(1, &[]));
    let more = server(&[b"anything".to_vec()]);
    let answered = server(&[record(6, 1, b"A: b\r\n\r\n"), end(1, 0, 0)]);
    let found = exchanges(&[asked.clone(), answer.clone(), more, asked.clone(), answered]);
    let found: Vec<_> = found.iter().map(|one| told(one, STATUS)).collect();
    let expected = ["GET 1-3 404 -, end of response inferred", "GET 4-5 200 0"];
    assert_eq!(found, expected);
    // A connection that is reset proves nothing.
    let parser = (ENTRY.make)(&connection(Side::Client, true), &Settings::default());
    let mut player = Player::new(parser, Side::Client);
    player.play(&asked);
    player.play(&answer);
    player.end(EndReason::Failed(104));
    let Some(ParserEvent::Finished(finished)) = player.events.pop() else {
        panic!("no end");
    };
    assert_eq!(finished.outcome, crate::model::Outcome::Aborted);
}

#[test]
fn parameters() {
    let long = "x".repeat(300);
    let pairs = [
        ("REQUEST_URI", "/a/b?c=1&password=p"),
        ("HTTPS", "on"),
        ("HTTP_HOST", "shop.example:8443"),
        ("SERVER_PORT", "443"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("HTTP_X_FORWARDED_FOR", "192.0.2.9, 10.0.0.1"),
        ("HTTP_X_LONG", &long),
        ("HTTP_AUTHORIZATION", "secret"),
        (
            "HTTP_B3",
            "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
        ),
    ];
    let pieces = [
        client(request(1, &pairs)),
        server(&[record(6, 1, b"A: b\r\n\r\n"), end(1, 0, 0)]),
    ];
    let found = play(&pieces, Side::Client, true, ENTRY.make);
    assert_eq!(
        told(&found[0], &["url.full"]),
        "GET 1-2 https://shop.example:8443/a/b?c=1&password=REDACTED"
    );
    let found = exchanges(&pieces);
    let keys = [
        "url.scheme",
        "url.path",
        "server.address",
        "server.port",
        "client.address",
        "network.protocol.name",
    ];
    assert_eq!(
        told(&found[0], &keys),
        "GET 1-2 https /a/b shop.example 8443 192.0.2.9 fastcgi"
    );
    let text = format!("{found:?}");
    assert!(!text.contains("secret") && !text.contains("xxx"));
    let found = exchanges(&[client(request(
        1,
        &[("QUERY_STRING", "q=1"), ("SERVER_NAME", "s")],
    ))]);
    let keys = ["url.path", "url.query", "server.address"];
    assert_eq!(told(&found[0], &keys), "GET 1-2 error /a q=1 s");
}

#[test]
fn parameters_that_are_cut() {
    let mut asked = client(request(1, &[("A", "b"), ("C", &"d".repeat(5000))]));
    asked.hidden = (asked.data.len() - 4096) as u64;
    asked.data.truncate(4096);
    let found = exchanges(&[
        asked,
        server(&[record(6, 1, b"A: b\r\n\r\n"), end(1, 0, 0)]),
    ]);
    assert_eq!(told(&found[0], STATUS), "GET 1-2 200 0, parameters cut");
}

#[test]
fn first_bytes() {
    use Likeness::{No, Perhaps, Yes};
    let likeness = |bytes: &[u8], from_start, sender| {
        (ENTRY.likeness)(&Sample {
            direction: Direction::Received,
            sender,
            from_start,
            bytes,
            length: bytes.len() as u64,
        })
    };
    let sides = [None, Some(Side::Client), Some(Side::Server)];
    let asked = request(1, &[]);
    let answered = record(6, 1, b"Status: 200 OK\r\n\r\n");
    let cases: [(&[u8], [Likeness; 3], Likeness); 9] = [
        (&asked, [Yes, Yes, No], Yes),
        (&answered, [Yes, No, Yes], Yes),
        (&asked[..10], [Perhaps, Perhaps, No], No),
        (&asked[..1], [Perhaps; 3], No),
        (b"", [Perhaps; 3], No),
        (&end(1, 0, 0), [Yes, No, Yes], No),
        (&record(9, 0, b"\x0f\0FCGI_MPXS_CONNS"), [Yes, Yes, No], No),
        (&record(6, 1, b"\0\x01binary, no head"), [No; 3], No),
        (&record(1, 0, &[0, 1, 1, 0, 0, 0, 0, 0]), [No; 3], No),
    ];
    for (bytes, expected, late) in cases {
        let found = sides.map(|side| likeness(bytes, true, side));
        assert_eq!(found, expected, "{}", bytes.escape_ascii());
        assert_eq!(likeness(bytes, false, None), late);
    }
    let others: [&[u8]; 11] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdef",
        b"\0\0\0\x08\x04\xd2\x16\x2fabcdefgh",
        b"\x4a\0\0\0\x0a8.0.36\0\x0b\0\0\0abcdefgh\0\xff\xf7\xff",
        b"\x01\0\0\0\x01\x17\0\0\x02\x03def\x04shop\x06orders",
        b"*1\r\n$4\r\nPING\r\n**",
        b"AMQP\0\0\x09\x01AMQP\0\0\x09\x01",
        b"\x01\0\x01\0\0\0\x0b\0\x0a\0\x0aabcdef",
        b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03abc",
        b"\x48\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0",
        b"\0\x1d\x01\x01\x01\0\0\x01\0\0\0\0\0\0\x03www",
    ];
    for bytes in others {
        for from_start in [true, false] {
            let found = likeness(bytes, from_start, None);
            assert_eq!(found, No, "{}", bytes.escape_ascii());
        }
    }
}
