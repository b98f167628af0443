//! Against recordings of real clients and servers.

use super::*;
use crate::protocol::recording::{connection, parse};
use crate::protocol::testing::{check, play, survives, takes_heads};

const RECORDINGS: &str = "src/protocol/mqtt/recordings";
const NAMES: [&str; 9] = [
    "mosquitto_pub",
    "mosquitto_pub_acl",
    "mosquitto_pub_lines",
    "mosquitto_sub",
    "paho_large",
    "paho_qos0",
    "paho_refused",
    "paho_v3",
    "paho_v5",
];

#[test]
fn recordings() {
    for name in NAMES {
        check(RECORDINGS, name, ENTRY.make);
    }
}

#[test]
fn spoiled_recordings() {
    for name in NAMES {
        survives(RECORDINGS, name, ENTRY.make);
    }
}

/// Mosquitto and Paho read a packet's first bytes one by one.
#[test]
fn heads_byte_by_byte() {
    for name in NAMES {
        takes_heads(RECORDINGS, name, ENTRY.make, &[1, 1]);
    }
}

/// Names and notes of the exchanges of a recording.
fn told(text: &str, side: Side, from_start: bool) -> Vec<String> {
    let pieces = parse(text).unwrap();
    let exchanges = play(&pieces, side, from_start, ENTRY.make);
    let lines = exchanges.iter().map(|(started, finished)| {
        let error = finished.attributes.iter().find(|a| a.key == "error.type");
        format!(
            "{} {}-{} {:?}{}",
            finished.name,
            started.start.0,
            finished.end.0,
            finished.outcome,
            error.map_or(String::new(), |error| format!(" {:?}", error.value)),
        ) + &finished.notes.concat()
    });
    lines.collect()
}

const HELLO: &str =
    "c \\x10\\x0d\\x00\\x04MQTT\\x04\\x02\\x00<\\x00\\x01a\ns \\x20\\x02\\x00\\x00\n";

#[test]
fn acknowledgements() {
    // (what comes after the connection's beginning, what is told at the client)
    let cases: [(&str, &[&str]); 9] = [
        // Sent again.
        (
            "c 2\\x05\\x00\\x01t\\x00\\x01\nc \\x3a\\x05\\x00\\x01t\\x00\\x01\ns @\\x02\\x00\\x01\n",
            &["publish t 3-5 Completemessage sent again"],
        ),
        // In another order than sent.
        (
            "c 2\\x05\\x00\\x01t\\x00\\x01\nc 2\\x05\\x00\\x01u\\x00\\x02\ns @\\x02\\x00\\x02@\\x02\\x00\\x01\n",
            &["publish t 3-5 Complete", "publish u 4-5 Complete"],
        ),
        // Seen before what it acknowledges.
        (
            "s @\\x02\\x00\\x01\nc 2\\x05\\x00\\x01t\\x00\\x01\n",
            &["publish t 4-4 Complete"],
        ),
        // Twice.
        (
            "s @\\x02\\x00\\x01@\\x02\\x00\\x01\nc 2\\x05\\x00\\x01t\\x00\\x01\n",
            &["publish t 4-4 Complete"],
        ),
        // Never.
        (
            "c 2\\x05\\x00\\x01t\\x00\\x01\n",
            &["publish t 3-4 Aborted Text(\"connection_closed\")"],
        ),
        // A client's PUBREC is enough, a broker's is not.
        (
            "s 4\\x05\\x00\\x01t\\x00\\x01\nc P\\x02\\x00\\x01\ns b\\x02\\x00\\x01\nc p\\x02\\x00\\x01\n",
            &["process t 3-4 Complete"],
        ),
        (
            "c 4\\x05\\x00\\x01t\\x00\\x01\ns P\\x02\\x00\\x01\nc b\\x02\\x00\\x01\ns p\\x02\\x00\\x01\n",
            &["publish t 3-6 Complete"],
        ),
        // A subscription that is refused, and one that is not.
        (
            "c \\x82\\x06\\x00\\x01\\x00\\x01t\\x00\ns \\x90\\x03\\x00\\x01\\x80\nc \\x82\\x06\\x00\\x02\\x00\\x01t\\x00\ns \\x90\\x03\\x00\\x02\\x00\n",
            &["subscribe 3-4 Complete Text(\"128\")"],
        ),
        // Pings.
        ("c \\xc0\\x00\ns \\xd0\\x00\n", &[]),
    ];
    for (text, expected) in cases {
        let found = told(&[HELLO, text].concat(), Side::Client, true);
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn joined_late() {
    let message = "s \\x32\\x16\\x00\\x01t\\x00\\x01\\x0b\\x26\\x00\\x02ab\\x00\\x04cdefhello\n";
    let late = [
        // In the middle of a message.
        "s 5\\x00\\x01t\\x00\n",
        // The client is not known until it says what only a client says.
        "c \\xc0\\x00\n",
        message,
        "c @\\x02\\x00\\x01\n",
    ];
    assert_eq!(
        told(&late.concat(), Side::Client, false),
        ["process t 3-4 Complete"]
    );
}

#[test]
fn aliases_that_nobody_saw() {
    let text = [
        "c \\x10\\x0e\\x00\\x04MQTT\\x05\\x02\\x00<\\x00\\x00\\x01a\ns \\x20\\x03\\x00\\x00\\x00\n",
        "c 0\\x06\\x00\\x00\\x03\\x23\\x00\\x01\n",
    ];
    assert_eq!(
        told(&text.concat(), Side::Server, true),
        ["publish 3-3 Losttopic's alias not known"]
    );
}

#[test]
fn memory_is_bounded() {
    let mut parser = (ENTRY.make)(&connection(Side::Client, true), &Settings::default());
    let mut events = Vec::new();
    let mut position = 1000;
    let mut data = b"\x10\x0e\0\x04MQTT\x05\x02\0<\0\0\x01a".to_vec();
    for number in 1..5000_u16 {
        let [high, low] = number.to_be_bytes();
        let chunk = Chunk {
            connection: crate::model::ConnectionId(1),
            direction: Direction::Sent,
            position,
            gap: 0,
            length: data.len() as u64,
            data: &data,
            time: crate::model::Timestamp(number.into()),
            task: crate::model::Task::default(),
        };
        parser.chunk(&chunk, &mut events);
        position = chunk.end();
        data = [&[0x32, 9, 0, 1, b't', high, low, 3, 0x23, high, low][..]].concat();
    }
    assert!(parser.memory() < 1 << 20, "{}", parser.memory());
}

#[test]
fn likenesses() {
    let start = |bytes: &'static [u8]| (true, Some(Side::Client), bytes);
    let late = |bytes: &'static [u8]| (false, None::<Side>, bytes);
    for ((from_start, sender, bytes), expected) in [
        (
            start(&b"\x10\x0d\0\x04MQTT\x04\x02\0<\0\x01a"[..]),
            Likeness::Yes,
        ),
        (
            start(b"\x10\x0e\0\x04MQTT\x05\x02\0<\0\0\x01a"),
            Likeness::Yes,
        ),
        (
            start(b"\x10\x0f\0\x06MQIsdp\x03\x02\0<\0\x01a"),
            Likeness::Yes,
        ),
        // A bridge.
        (
            start(b"\x10\x0d\0\x04MQTT\x84\x02\0<\0\x01a"),
            Likeness::Yes,
        ),
        (start(b"\x10"), Likeness::Perhaps),
        (start(b"\x10\x0d\0\x04MQ"), Likeness::Perhaps),
        (start(b"\x10\x0d\0\x04MQTT\x06\x02\0<\0\x01a"), Likeness::No),
        (start(b"\x10\x05\0\x04MQTT\x04"), Likeness::No),
        (start(b"\x16\x03\x01\0\xa5\x01"), Likeness::No),
        (start(b"GET / HTTP/1.1\r\n"), Likeness::No),
        (start(b"*1\r\n$4\r\nPING\r\n"), Likeness::No),
        (start(b"SSH-2.0-OpenSSH_9.2\r\n"), Likeness::No),
        (late(b"0\x05\0\x01tab"), Likeness::Yes),
        (late(b"0\x05\0\x01tab\xc0\0"), Likeness::Yes),
        // Longer or shorter than the chunk, wildcards, no id.
        (late(b"0\x04\0\x01tab"), Likeness::No),
        (late(b"0\x05\0\x01#ab"), Likeness::No),
        (late(b"2\x05\0\x01t\0\0"), Likeness::No),
        // Acknowledgements and pings might be anything.
        (late(b"@\x02\0\x01"), Likeness::No),
        (late(b"\xc0\0"), Likeness::No),
        // PostgreSQL's ParseComplete, LDAP, the length of an HTTP chunk, text.
        (late(b"1\0\0\0\x04"), Likeness::No),
        (
            late(b"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\0\x80\0"),
            Likeness::No,
        ),
        (late(b"30\r\nabcdefghijklmnopqrstuvwxyz"), Likeness::No),
        (late(b"12 apples and some more of them"), Likeness::No),
        (late(b""), Likeness::No),
    ] {
        let sample = Sample {
            direction: Direction::Sent,
            sender,
            from_start,
            bytes,
            length: bytes.len() as u64,
        };
        assert_eq!(likeness(&sample), expected, "{bytes:?}");
    }
}
