//! Against recordings of real clients and servers.

use super::*;
use crate::protocol::testing::{check, survives, takes_heads};

const RECORDINGS: &str = "src/protocol/amqp/recordings";
const NAMES: [&str; 7] = [
    "go",
    "pika_confirm",
    "pika_errors",
    "pika_large",
    "pika_login",
    "pika_plain",
    "pika_tx",
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

#[test]
fn heads_by_themselves() {
    for name in NAMES {
        takes_heads(RECORDINGS, name, ENTRY.make, &[wire::PAYLOAD]);
    }
}

#[test]
fn likenesses() {
    const START: &[u8] = b"\x01\0\0\0\0\0\x05\0\x0a\0\x0a\0\xce";
    for (from_start, sender, bytes, expected) in [
        (
            true,
            Some(Side::Client),
            &b"AMQP\0\0\x09\x01"[..],
            Likeness::Yes,
        ),
        (true, Some(Side::Client), b"AMQ", Likeness::Perhaps),
        // AMQP 1.0, and 0-8.
        (true, Some(Side::Client), b"AMQP\0\x01\0\0", Likeness::No),
        (
            true,
            Some(Side::Client),
            b"AMQP\x01\x01\x08\0",
            Likeness::No,
        ),
        (true, Some(Side::Server), START, Likeness::Yes),
        (
            true,
            Some(Side::Client),
            b"\x16\x03\x01\0\xa5\x01\0\0\xa1\x03\x03",
            Likeness::No,
        ),
        (
            true,
            Some(Side::Client),
            b"GET / HTTP/1.1\r\n",
            Likeness::No,
        ),
        (false, None, b"AMQP\0\0\x09\x01", Likeness::No),
        (false, None, START, Likeness::Yes),
        // A heartbeat, alone and before something else.
        (false, None, b"\x08\0\0\0\0\0\0\xce", Likeness::Yes),
        (false, None, b"\x08\0\0\0\0\0\0\xce\x17", Likeness::No),
        // No end, no such method, on the wrong channel.
        (
            false,
            None,
            b"\x01\0\0\0\0\0\x05\0\x0a\0\x0a\0\0",
            Likeness::No,
        ),
        (
            false,
            None,
            b"\x01\0\0\0\0\0\x05\0\x0a\0\x63\0\xce",
            Likeness::No,
        ),
        (
            false,
            None,
            b"\x01\0\x01\0\0\0\x05\0\x0a\0\x0a\0\xce",
            Likeness::No,
        ),
        (false, None, b"", Likeness::No),
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
