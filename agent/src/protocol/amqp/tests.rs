//! Against recordings of real clients and servers.

use super::*;
use crate::model::Outcome;
use crate::protocol::recording::parse;
use crate::protocol::testing::{check, play, survives, takes_heads};

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

/// Of a channel with confirms that is joined late, from its first message on: each message waits for its
/// confirm from the one on that is sent a second after all others were confirmed.
#[test]
fn confirms_are_counted_after_a_silence() {
    let name = format!(
        "{}/{RECORDINGS}/pika_confirm.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut pieces = parse(&std::fs::read_to_string(name).unwrap()).unwrap();
    let publishes =
        |data: &[u8]| data.starts_with(b"\x01\0\x01\0\0\0") && data[7..11] == *b"\0<\0(";
    let places: Vec<usize> = (0..pieces.len())
        .filter(|&at| publishes(&pieces[at].data))
        .collect();
    let publishes_of = |pieces: &[_], side| {
        let exchanges = play(&pieces[places[0]..], side, false, ENTRY.make);
        let publishes = exchanges
            .into_iter()
            .filter(|(_, finished)| finished.name.starts_with("publish"));
        publishes.map(|(_, finished)| finished).collect::<Vec<_>>()
    };
    for side in [Side::Client, Side::Server] {
        for (silent, pause, counted) in [(3, 1000, 3), (3, 900, 6), (1, 1000, 1)] {
            pieces[places[silent]].pause = pause;
            let found = publishes_of(&pieces, side);
            pieces[places[silent]].pause = 0;
            let outcomes: Vec<_> = found.iter().map(|one| one.outcome).collect();
            let expected: Vec<_> = (0..places.len())
                .map(|at| match at < counted {
                    true => Outcome::Lost,
                    false => Outcome::Complete,
                })
                .collect();
            assert_eq!(outcomes, expected, "{side:?}, {silent} {pause}");
            // The broker refuses the last one.
            let is_refused = |one: &crate::model::Finished| {
                let mut attributes = one.attributes.iter();
                attributes.any(|a| a.key == "error.type" && a.value == "nack".into())
            };
            assert_eq!(
                is_refused(&found[5]),
                counted < 6,
                "{side:?}, {silent} {pause}"
            );
        }
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
