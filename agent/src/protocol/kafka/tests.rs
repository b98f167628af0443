//! Against recordings of real clients and brokers.

use super::ENTRY;
use crate::model::{EndReason, ParserEvent, Side};
use crate::protocol::Settings;
use crate::protocol::recording::{Piece, Player, connection, parse};
use crate::protocol::testing::{check, survives};

const RECORDINGS: &str = "src/protocol/kafka/recordings";
const NAMES: [&str; 12] = [
    "admin",
    "bootstrap-java",
    "careless",
    "consumer-java",
    "consumer-python",
    "group-java",
    "group-librdkafka",
    "group-python",
    "producer-java",
    "producer-librdkafka",
    "producer-python",
    "transaction-java",
];

/// Where a loss may hide the name of a topic, which changes the names of spans.
const BY_ID: [&str; 1] = ["consumer-librdkafka"];

#[test]
fn recordings() {
    for name in NAMES.into_iter().chain(BY_ID) {
        check(RECORDINGS, name, ENTRY.make);
    }
}

#[test]
fn spoiled_recordings() {
    for name in NAMES {
        survives(RECORDINGS, name, ENTRY.make);
    }
}

/// Plays recordings to parsers that share their settings, the last one's spans.
fn names(pieces: &[Vec<Piece>], side: Side, from_start: bool) -> Vec<String> {
    let settings = Settings::default();
    let mut found = Vec::new();
    for pieces in pieces {
        let parser = (ENTRY.make)(&connection(side, from_start), &settings);
        let mut player = Player::new(parser, side);
        pieces.iter().for_each(|piece| player.play(piece));
        player.end(EndReason::Closed);
        found = player.events.into_iter().filter_map(name).collect();
    }
    found
}

fn name(event: ParserEvent) -> Option<String> {
    match event {
        ParserEvent::Finished(finished) => Some(finished.name.into_owned()),
        ParserEvent::Started(_) => None,
    }
}

fn recorded(name: &str) -> Vec<Piece> {
    let path = format!("{}/{RECORDINGS}/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn names_of_topics_from_another_connection() {
    let both = ["bootstrap-java", "consumer-java"].map(recorded);
    let found = names(&both, Side::Client, true);
    assert!(found.contains(&"poll java-orders".to_owned()), "{found:?}");
    let found = names(&both[1..], Side::Client, true);
    assert!(found.contains(&"poll".to_owned()), "{found:?}");
}

/// Java's clients and brokers read the size of a message by itself.
fn sizes_apart(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut apart = Vec::new();
    for mut piece in pieces {
        let rest = piece.data.split_off(4);
        let rest = Piece {
            data: rest,
            gap: 0,
            pause: 0,
            ..piece
        };
        piece.hidden = 0;
        apart.extend([piece, rest]);
    }
    apart
}

#[test]
fn joined_late() {
    // The recorder joined the large message's pieces as they came.
    let mut pieces = recorded("producer-python");
    pieces.drain(..8);
    pieces.truncate(6);
    let expected = ["send py-orders"; 3];
    for side in [Side::Client, Side::Server] {
        assert_eq!(names(&[pieces.clone()], side, false), expected, "{side:?}");
        // The first is passed over until it is known where messages begin.
        let apart = sizes_apart(pieces.clone());
        assert_eq!(names(&[apart], side, false), expected[1..], "{side:?}");
    }
}
