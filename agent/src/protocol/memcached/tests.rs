//! Recordings of real clients with a real server, and what they leave out.

use crate::model::{EndReason, ParserEvent, Side, SpanStatus, Value};
use crate::protocol::recording::{Player, connection, parse};
use crate::protocol::testing::{check, survives};
use crate::protocol::{Parser, QueryText, Settings, Wants};

use super::ENTRY;

const RECORDINGS: &str = "src/protocol/memcached/recordings";
const ALL: [&str; 4] = ["pymemcache", "pylibmc", "gomemcache", "meta"];

#[test]
fn recordings() {
    for name in ALL {
        check(RECORDINGS, name, ENTRY.make);
    }
}

#[test]
fn spoiled() {
    for name in ALL {
        survives(RECORDINGS, name, ENTRY.make);
    }
}

/// Spans of a conversation: text, `!` and its error or outcome, rows, notes.
fn spans(text: &str, side: Side, settings: &Settings) -> Vec<String> {
    let pieces = parse(text).unwrap();
    let parser = (ENTRY.make)(&connection(side, true), settings);
    let mut player = Player::new(parser, side);
    pieces.iter().for_each(|piece| player.play(piece));
    player.end(EndReason::Closed);
    let mut found = Vec::new();
    for event in player.events {
        let ParserEvent::Finished(finished) = event else {
            continue;
        };
        let attribute = |key: &str| {
            finished.attributes.iter().find_map(|one| match &one.value {
                Value::Text(text) if one.key == key => Some(text.to_string()),
                Value::Integer(number) if one.key == key => Some(number.to_string()),
                _ => None,
            })
        };
        let mut line = attribute("db.query.text").unwrap_or_default();
        if let Some(code) = attribute("db.response.status_code") {
            line.push_str(if finished.status == SpanStatus::Error {
                " !"
            } else {
                " "
            });
            line.push_str(&code);
        }
        if let Some(rows) = attribute("db.response.returned_rows") {
            line.push_str(" x");
            line.push_str(&rows);
        }
        for note in finished.notes {
            line.push_str(" (");
            line.push_str(note);
            line.push(')');
        }
        found.push(line);
    }
    found
}

fn is_told(text: &str, expected: &[&str]) {
    for side in [Side::Client, Side::Server] {
        let found = spans(text, side, &Settings::default());
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn pipelines_outcomes_and_errors() {
    is_told(
        "c get a b\\r\\nadd a 0 0 1\\r\\nx\\r\\nincr a 1\\r\\ndelete b\\r\\nversion\\r\\n\n\
         s VALUE a 0 3\\r\\nEND\\r\\nEND\\r\\nNOT_STORED\\r\\nCLIENT_ERROR no number\\r\\nNOT_FOUND\\r\\nVERSION 1\\r\\n\n",
        &[
            "get ? ? x1",
            "add ? NOT_STORED",
            "incr ? !CLIENT_ERROR",
            "delete ? NOT_FOUND",
        ],
    );
}

#[test]
fn noreply() {
    is_told(
        "c set a 0 0 1 noreply\\r\\nx\\r\\nget a\\r\\n\ns END\\r\\n\n",
        &["set ? (no reply wanted)", "get ? x0"],
    );
}

#[test]
fn quiet_ones() {
    let quiet = "(reply only if out of the ordinary)";
    is_told(
        "c mg a v q O1\\r\\nmg b v q O2\\r\\nms c 1 q\\r\\nx\\r\\nmn\\r\\n\n\
         s VA 1 O2\\r\\ny\\r\\nMN\\r\\n\n",
        &[&format!("mg ? {quiet}"), "mg ?", &format!("ms ? {quiet}")],
    );
}

#[test]
fn keys_with_full_text() {
    let settings = Settings {
        query_text: QueryText::Full,
        ..Settings::default()
    };
    let text = "c set key 0 0 6\\r\\nsecret\\r\\nget a b\\r\\n\ns STORED\\r\\nEND\\r\\n\n";
    assert_eq!(
        spans(text, Side::Client, &settings),
        ["set key", "get a b x0"]
    );
}

#[test]
fn the_binary_protocol_is_left_alone() {
    let text = "c \\x80\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00a";
    is_told(text, &[]);
    let mut parser = (ENTRY.make)(&connection(Side::Client, true), &Settings::default());
    let piece = &parse(text).unwrap()[0];
    let chunk = crate::model::Chunk {
        connection: crate::model::ConnectionId(1),
        direction: piece.direction(Side::Client),
        position: 1000,
        gap: 0,
        length: piece.length(),
        data: &piece.data,
        time: crate::model::Timestamp(1),
        task: crate::model::Task::default(),
    };
    Parser::chunk(&mut *parser, &chunk, &mut Vec::new());
    assert_eq!(parser.wants(piece.direction(Side::Client)), Wants::Nothing);
}
