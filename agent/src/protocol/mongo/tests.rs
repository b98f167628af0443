use std::io::Write as _;

use super::ENTRY;
use super::bson::tests::{document, element, number, string};
use super::message::HEADER;
use crate::model::{Outcome, Side, SpanStatus, Value};
use crate::protocol::recording::{Piece, connection};
use crate::protocol::testing::{Exchange, check, play, survives, takes_heads};
use crate::protocol::{Likeness, Sample, Settings};

const RECORDINGS: &str = "src/protocol/mongo/recordings";

#[test]
fn recordings() {
    for name in ["pymongo", "pymongo-monitor", "pymongo-login", "node"] {
        check(RECORDINGS, name, ENTRY.make);
        survives(RECORDINGS, name, ENTRY.make);
        takes_heads(RECORDINGS, name, ENTRY.make, &[HEADER]);
    }
}

fn message(id: i32, to: i32, code: i32, body: &[u8]) -> Vec<u8> {
    let length = body.len() as i32 + 16;
    let head = [length, id, to, code].map(i32::to_le_bytes).concat();
    [&head, body].concat()
}

/// An `OP_MSG` of one document.
fn msg(id: i32, to: i32, flags: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    let body = [&flags.to_le_bytes()[..], &[0], &document(elements)].concat();
    message(id, to, 2013, &body)
}

/// A command on the database `shop`.
fn command(id: i32, flags: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    let all = [elements, &[string("$db", "shop")]].concat();
    msg(id, 0, flags, &all)
}

fn ok() -> Vec<u8> {
    element(1, "ok", &1.0f64.to_le_bytes())
}

/// A reply with a cursor, in the field `batch` so many documents.
fn batch(id: i32, to: i32, flags: u32, name: &str, documents: usize, cursor: i64) -> Vec<u8> {
    let each: Vec<_> = (0..documents)
        .map(|n| element(3, &n.to_string(), &document(&[number("_id", 7)])))
        .collect();
    let cursor = document(&[
        element(4, name, &document(&each)),
        element(0x12, "id", &cursor.to_le_bytes()),
        string("ns", "shop.orders"),
    ]);
    msg(id, to, flags, &[element(3, "cursor", &cursor), ok()])
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

fn server(data: Vec<u8>) -> Piece {
    Piece {
        from_client: false,
        ..client(data)
    }
}

fn exchanges(pieces: &[Piece]) -> Vec<Exchange> {
    let server = play(pieces, Side::Server, true, ENTRY.make);
    let client = play(pieces, Side::Client, true, ENTRY.make);
    assert_eq!(server.len(), client.len());
    client
}

/// `name start-end, attributes that are asked for, notes`.
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

const ROWS: &[&str] = &["db.response.returned_rows"];

#[test]
fn an_unacknowledged_write_ends_with_itself() {
    let mut insert = command(1, 2, &[string("insert", "log")]);
    let half = insert.split_off(30);
    let found = exchanges(&[
        client(insert),
        client(half),
        client(command(2, 0, &[string("find", "log")])),
        server(batch(9, 2, 0, "firstBatch", 1, 0)),
    ]);
    assert_eq!(told(&found[0], &[]), "insert log 1-2");
    assert_eq!(found[0].1.outcome, Outcome::Complete);
    assert_eq!(told(&found[1], ROWS), "find log 3-4 1");
}

#[test]
fn a_server_counts_what_it_has_inserted() {
    let documents: Vec<_> = (0..3)
        .map(|n| {
            element(
                3,
                &n.to_string(),
                &document(&[string("text", &"x".repeat(200))]),
            )
        })
        .collect();
    let told_of = |name: &str, answer: &[Vec<u8>]| {
        let batch = element(4, "documents", &document(&documents));
        let mut insert = client(command(1, 0, &[string(name, "log"), batch]));
        // The last document is not captured.
        insert.hidden = insert.data.split_off(500).len() as u64;
        let found = exchanges(&[insert, server(msg(9, 1, 0, answer))]);
        told(&found[0], &["db.operation.batch.size"])
    };
    let written = || number("n", 3);
    let error = element(3, "0", &document(&[number("code", 11000)]));
    let errors = element(4, "writeErrors", &document(&[error]));
    assert_eq!(
        told_of("insert", &[written(), ok()]),
        "insert log 1-2 3, command cut"
    );
    // What an update found is no batch.
    assert_eq!(
        told_of("update", &[written(), ok()]),
        "update log 1-2 -, command cut"
    );
    assert_eq!(
        told_of("insert", &[written(), errors, ok()]),
        "insert log 1-2 error -, command cut"
    );
}

#[test]
fn replies_of_an_exhaust_cursor_are_one_exchange() {
    let get = [
        element(0x12, "getMore", &5i64.to_le_bytes()),
        string("collection", "orders"),
    ];
    let found = exchanges(&[
        client(command(1, 1 << 16, &get)),
        server(batch(50, 1, 2, "nextBatch", 3, 5)),
        server(batch(51, 50, 2, "nextBatch", 3, 5)),
        server(batch(52, 51, 0, "nextBatch", 2, 0)),
        client(command(2, 0, &[number("dropDatabase", 1)])),
        server(msg(53, 2, 0, &[ok()])),
    ]);
    assert_eq!(told(&found[0], ROWS), "getMore orders 1-4 8");
    assert_eq!(told(&found[1], ROWS), "dropDatabase shop 5-6 -");
}

#[test]
fn heartbeats_have_no_span() {
    let hello = [number("hello", 1), number("maxAwaitTimeMS", 10_000)];
    let found = exchanges(&[
        client(command(1, 1 << 16, &hello)),
        server(msg(50, 1, 2, &[ok()])),
        server(msg(51, 50, 2, &[ok()])),
        server(msg(52, 51, 2, &[ok()])),
    ]);
    assert_eq!(found, []);
}

#[test]
fn waiting_for_documents() {
    let bool = |name| element(8, name, &[1]);
    let get = |id, more: &[Vec<u8>]| {
        let get = [
            element(0x12, "getMore", &5i64.to_le_bytes()),
            string("collection", "orders"),
        ];
        client(command(id, 0, &[&get[..], more].concat()))
    };
    let opened = [
        client(command(
            1,
            0,
            &[
                string("find", "orders"),
                bool("tailable"),
                bool("awaitData"),
            ],
        )),
        server(batch(50, 1, 0, "firstBatch", 0, 5)),
    ];
    let polls = [
        get(2, &[]),
        server(batch(51, 2, 0, "nextBatch", 0, 5)),
        get(3, &[]),
        server(batch(52, 3, 0, "nextBatch", 2, 5)),
        get(4, &[]),
    ];
    let found = exchanges(&[&opened[..], &polls].concat());
    assert_eq!(found.len(), 2);
    // Not since it asked.
    assert_eq!(told(&found[1], ROWS), "getMore orders 6-6 2");
    // Opened elsewhere: its times are true, and it says why.
    let found = exchanges(&polls[..2]);
    assert_eq!(
        told(&found[0], ROWS),
        "getMore orders 1-2 0, waited for data"
    );
    // Only cursors that wait take a time.
    let timed = [get(2, &[number("maxTimeMS", 900)]), polls[1].clone()];
    assert_eq!(exchanges(&timed), []);
    let stage = document(&[element(3, "$changeStream", &document(&[]))]);
    let pipeline = element(4, "pipeline", &document(&[element(3, "0", &stage)]));
    let watch = client(command(1, 0, &[string("aggregate", "orders"), pipeline]));
    let watched = [watch, opened[1].clone(), polls[0].clone(), polls[1].clone()];
    assert_eq!(exchanges(&watched).len(), 1);
}

#[test]
fn messages_of_old() {
    let namespace = |text: &str| [&[0; 4][..], text.as_bytes(), &[0]].concat();
    let query = |id, name: &str, inner: Vec<u8>| {
        let body = [namespace(name), vec![0; 8], inner].concat();
        client(message(id, 0, 2004, &body))
    };
    let reply = |to, flags: i32, documents: &[Vec<u8>]| {
        let count = (documents.len() as i32).to_le_bytes();
        let flags = flags.to_le_bytes();
        let body = [&flags[..], &[0; 12], &count, &documents.concat()].concat();
        server(message(90 + to, to, 1, &body))
    };
    let looks_failed = document(&[number("ok", 0), number("code", 1)]);
    let secret = document(&[string("name", "secret")]);
    let wrapped = document(&[element(
        3,
        "$query",
        &document(&[string("count", "orders")]),
    )]);
    let found = exchanges(&[
        query(1, "shop.orders", secret.clone()),
        reply(1, 0, std::slice::from_ref(&looks_failed)),
        query(2, "shop.$cmd", wrapped),
        reply(2, 0, &[looks_failed]),
        query(3, "shop.orders", secret.clone()),
        reply(3, 2, std::slice::from_ref(&secret)),
        client(message(
            4,
            0,
            2002,
            &[namespace("shop.log.old"), secret].concat(),
        )),
    ]);
    let keys = ["db.collection.name", "db.response.status_code"];
    let found: Vec<_> = found.iter().map(|one| told(one, &keys)).collect();
    assert_eq!(
        found,
        [
            "find orders 1-2 orders -",
            "count orders 3-4 error orders 1",
            "find orders 5-6 error orders -",
            "insert log.old 7-7 log.old -",
        ]
    );
}

#[test]
fn errors() {
    let inner = |name, kind| {
        let error = document(&[number("index", 0), number("code", 64)]);
        match kind {
            3 => element(3, name, &error),
            _ => element(4, name, &document(&[element(3, "0", &error)])),
        }
    };
    for (reply, expected) in [
        (vec![number("n", 1), ok()], "update orders 1-2 -"),
        (
            vec![inner("writeErrors", 4), ok()],
            "update orders 1-2 error 64",
        ),
        (
            vec![inner("writeConcernError", 3), ok()],
            "update orders 1-2 error 64",
        ),
        (
            vec![number("ok", 0), number("code", 13)],
            "update orders 1-2 error 13",
        ),
        (vec![number("ok", 0)], "update orders 1-2 error -"),
    ] {
        let found = exchanges(&[
            client(command(1, 0, &[string("update", "orders")])),
            server(msg(9, 1, 0, &reply)),
        ]);
        assert_eq!(told(&found[0], &["db.response.status_code"]), expected);
    }
    // Nobody answered.
    let found = exchanges(&[client(command(1, 0, &[string("update", "orders")]))]);
    let key = &["error.type"];
    assert_eq!(
        told(&found[0], key),
        "update orders 1-2 error connection_closed"
    );
    // A user's name is none of anybody's business.
    let found = exchanges(&[client(command(1, 0, &[string("createUser", "ann")]))]);
    assert_eq!(told(&found[0], &[]), "createUser shop 1-2 error");
}

#[test]
fn what_is_compressed() {
    let packed = |id, to, plain: &[u8], compressor: u8| {
        let mut data = plain[16..].to_vec();
        if compressor == 2 {
            let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(&data).unwrap();
            data = to.finish().unwrap();
        }
        let size = plain.len() as i32 - 16;
        let head = [2013, size].map(i32::to_le_bytes).concat();
        message(id, to, 2012, &[&head, &[compressor][..], &data].concat())
    };
    let plain = command(1, 0, &[string("find", "orders")]);
    let answer = batch(9, 1, 0, "firstBatch", 2, 0);
    for (compressor, expected) in [
        (0, "find orders 1-2 2"),
        (2, "find orders 1-2 2"),
        (1, "mongodb 1-2 -, command compressed"),
        (3, "mongodb 1-2 -, command compressed"),
    ] {
        let found = exchanges(&[
            client(packed(1, 0, &plain, compressor)),
            server(packed(9, 1, &answer, compressor)),
        ]);
        assert_eq!(told(&found[0], ROWS), expected);
    }
}

#[test]
fn a_checksum_and_a_sequence_first() {
    let documents = document(&[number("_id", 1)]).repeat(3);
    let name = b"documents\0";
    let size = (4 + name.len() + documents.len()) as u32;
    let sequence = [&[1][..], &size.to_le_bytes(), name, &documents].concat();
    let body = document(&[string("insert", "orders"), string("$db", "shop")]);
    let all = [&1u32.to_le_bytes()[..], &sequence, &[0], &body, &[9; 4]].concat();
    let insert = message(1, 0, 2013, &all);
    assert_eq!(likeness(&insert, true, Some(Side::Client)), Likeness::Yes);
    let found = exchanges(&[
        client(insert),
        server(msg(9, 1, 0, &[number("n", 3), ok()])),
    ]);
    assert_eq!(
        told(&found[0], &["db.operation.batch.size"]),
        "insert orders 1-2 3"
    );
}

#[test]
fn answers_out_of_order_and_early() {
    let found = exchanges(&[
        client(command(1, 0, &[string("find", "a")])),
        client(command(2, 0, &[string("find", "b")])),
        server(msg(8, 2, 0, &[ok()])),
        server(msg(9, 1, 0, &[ok()])),
        server(msg(10, 3, 0, &[ok()])),
        client(command(3, 0, &[string("find", "c")])),
    ]);
    let found: Vec<_> = found.iter().map(|one| told(one, &[])).collect();
    assert_eq!(found, ["find a 1-4", "find b 2-3", "find c 6-6"]);
}

fn likeness(bytes: &[u8], from_start: bool, sender: Option<Side>) -> Likeness {
    (ENTRY.likeness)(&Sample {
        direction: crate::model::Direction::Received,
        sender,
        from_start,
        bytes,
        length: bytes.len() as u64,
    })
}

#[test]
fn first_bytes() {
    use Likeness::{No, Perhaps, Yes};
    let find = command(1, 0, &[string("find", "orders")]);
    let reply = msg(9, 1, 0, &[ok()]);
    let sides = [None, Some(Side::Client), Some(Side::Server)];
    for (bytes, expected) in [
        (&find[..], [Yes, Yes, No]),
        (&reply, [Yes, No, Yes]),
        (&find[..40], [Yes, Yes, No]),
        (&find[..20], [Perhaps, Perhaps, No]),
        (&find[..3], [Perhaps, Perhaps, Perhaps]),
        (b"", [Perhaps; 3]),
    ] {
        let found = sides.map(|side| likeness(bytes, true, side));
        assert_eq!(found, expected, "{bytes:?}");
        let late = likeness(bytes, false, None);
        assert_eq!(late == Yes, expected[0] == Yes);
        assert_ne!(late, Perhaps);
    }
    let others: [&[u8]; 16] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03random bytes",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0shop\0\0",
        b"\x4a\0\0\0\x0a8.0.36\0\x0b\0\0\0abcdefgh\0\xff\xf7\xff\x02\0\xff\xdf\x15\0\0",
        b"*1\r\n$4\r\nPING\r\n",
        b"get key\r\n",
        b"\x80\0\0\x03\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0key",
        b"\0\0\0\x1a\0\x12\0\x03\0\0\0\x01\0\x08consumer\0\0\0\0\0\0\0",
        b"AMQP\0\0\x09\x01",
        b"INFO {\"server_id\":\"a\"}\r\n",
        b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03abc",
        b"\x04\0\0\0\x05\0\0\0\0",
        b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0\x01\x04\0\x01\0\0\0\0\0\0\0\0",
    ];
    for bytes in others {
        assert_eq!(likeness(bytes, true, None), No, "{}", bytes.escape_ascii());
        assert_eq!(likeness(bytes, false, None), No);
    }
}

#[test]
fn joined_late() {
    let text = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(RECORDINGS)
            .join("pymongo.txt"),
    )
    .unwrap();
    let pieces = crate::protocol::recording::parse(&text).unwrap();
    for side in [Side::Client, Side::Server] {
        let whole = play(&pieces, side, true, ENTRY.make);
        // From a reply on; then nothing is missing.
        let late = play(&pieces[9..], side, false, ENTRY.make);
        assert_eq!(late.len(), whole.len() - 4);
        for ((_, late), (_, whole)) in late.iter().zip(&whole[4..]) {
            assert_eq!(
                (&late.name, &late.attributes),
                (&whole.name, &whole.attributes)
            );
        }
    }
    let parser = (ENTRY.make)(&connection(Side::Client, true), &Settings::default());
    assert!(parser.memory() < 2048);
}
