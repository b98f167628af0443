//! Recordings of real clients with a real server, and what they leave out.

use crate::model::{EndReason, Outcome, Side, SpanStatus, Value};
use crate::protocol::recording::{Piece, Player, connection, parse};
use crate::protocol::testing::{check, play, survives};
use crate::protocol::{QueryText, Settings};

use super::ENTRY;

const RECORDINGS: &str = "src/protocol/redis/recordings";
const ALL: [&str; 6] = [
    "redis_py_2",
    "redis_py_3",
    "redis_cli",
    "node_redis",
    "pubsub_2",
    "pubsub_3",
];

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

/// Spans of a conversation: name, `!` and its error, and its text.
fn spans(text: &str, side: Side, settings: &Settings) -> Vec<String> {
    let pieces = parse(text).unwrap();
    let parser = (ENTRY.make)(&connection(side, true), settings);
    let mut player = Player::new(parser, side);
    pieces.iter().for_each(|piece| player.play(piece));
    player.end(EndReason::Closed);
    let mut found = Vec::new();
    for event in player.events {
        let crate::model::ParserEvent::Finished(finished) = event else {
            continue;
        };
        let attribute = |key: &str| {
            finished.attributes.iter().find_map(|one| match &one.value {
                Value::Text(text) if one.key == key => Some(text.to_string()),
                Value::Integer(number) if one.key == key => Some(number.to_string()),
                _ => None,
            })
        };
        let mut line = attribute("db.query.text").unwrap_or_else(|| finished.name.to_string());
        if finished.status == SpanStatus::Error {
            line.push_str(" !");
            line.push_str(&attribute("error.type").unwrap_or_default());
        }
        if let Some(batch) = attribute("db.operation.batch.size") {
            line.push_str(" x");
            line.push_str(&batch);
        }
        if finished.outcome == Outcome::Lost {
            line.push_str(" lost");
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
fn inline() {
    is_told(
        "c set a b\\r\\nGET a\\r\\n\\r\\nfoo\\r\\n\ns +OK\\r\\n$1\\r\\nb\\r\\n-ERR unknown command\\r\\n",
        &["SET ? ?", "GET ?", "FOO !ERR"],
    );
}

#[test]
fn an_answer_before_its_question() {
    is_told(
        "s $1\\r\\nb\\r\\n\nc *2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\na\\r\\n",
        &["GET ?"],
    );
}

#[test]
fn handshakes_are_told_where_they_fail() {
    is_told(
        "c *2\\r\\n$4\\r\\nAUTH\\r\\n$6\\r\\nsecret\\r\\n*1\\r\\n$4\\r\\nPING\\r\\n\n\
         s -WRONGPASS invalid username-password pair\\r\\n+PONG\\r\\n\n",
        &["AUTH ? !WRONGPASS"],
    );
}

#[test]
fn redirections() {
    is_told(
        "c *2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\na\\r\\n\ns -MOVED 3999 127.0.0.1:6381\\r\\n\n",
        &["GET ? !MOVED"],
    );
}

#[test]
fn no_replies() {
    is_told(
        "c CLIENT REPLY OFF\\r\\nSET a b\\r\\nCLIENT REPLY ON\\r\\nGET a\\r\\n\n\
         s +OK\\r\\n$1\\r\\nb\\r\\n\n\
         c CLIENT REPLY SKIP\\r\\nSET a b\\r\\nGET a\\r\\n\ns $1\\r\\nb\\r\\n\n",
        &[
            "SET ? ? (no reply wanted)",
            "GET ?",
            "SET ? ? (no reply wanted)",
            "GET ?",
        ],
    );
}

#[test]
fn monitor_and_replication_end_it() {
    is_told(
        "c MONITOR\\r\\n\ns +OK\\r\\n+1.2 [0 127.0.0.1:1] \\\"GET\\\" \\\"x\\\"\\r\\n\nc GET a\\r\\n",
        &["MONITOR"],
    );
    is_told("c PSYNC ? -1\\r\\nGET a\\r\\n\ns +CONTINUE\\r\\n", &[]);
}

#[test]
fn transactions() {
    is_told(
        "c MULTI\\r\\nSET a b\\r\\nGET a\\r\\nEXEC\\r\\n\n\
         s +OK\\r\\n+QUEUED\\r\\n+QUEUED\\r\\n*2\\r\\n+OK\\r\\n-WRONGTYPE x\\r\\n\n\
         c MULTI\\r\\nSET a b\\r\\nEXEC\\r\\n\ns +OK\\r\\n+QUEUED\\r\\n*-1\\r\\n\n",
        &[
            "MULTI",
            "SET ? ? (queued in a transaction)",
            "GET ? (queued in a transaction)",
            "EXEC !WRONGTYPE x2",
            "MULTI",
            "SET ? ? (queued in a transaction)",
            "EXEC (transaction not executed)",
        ],
    );
}

#[test]
fn keys_and_scripts_with_full_text() {
    let settings = Settings {
        query_text: QueryText::Full,
        ..Settings::default()
    };
    let text = "c SET key value\\r\\nMSET a 1 b 2\\r\\nAUTH user pass\\r\\nCONFIG SET requirepass x\\r\\n\
                EVAL return 0\\r\\nCONFIG GET x\\r\\n\n\
                s +OK\\r\\n+OK\\r\\n-ERR no\\r\\n+OK\\r\\n+OK\\r\\n*0\\r\\n\n";
    assert_eq!(
        spans(text, Side::Client, &settings),
        [
            "SET key ?",
            "MSET a ? b ?",
            "AUTH ? ? !ERR",
            "CONFIG SET ? ?",
            "EVAL return ?",
            "CONFIG GET ?",
        ]
    );
}

#[test]
fn a_long_value_is_not_held() {
    let mut pieces = parse(
        "c *3\\r\\n$3\\r\\nSET\\r\\n$1\\r\\na\\r\\n$100000000\\r\\nabc\ns +OK\\r\\n\nc GET b\\r\\n\ns $-1\\r\\n",
    )
    .unwrap();
    pieces[0].hidden = 100_000_000 - 3 + 2;
    let found = play(&pieces, Side::Client, true, ENTRY.make);
    let names: Vec<_> = found.iter().map(|one| one.1.name.as_ref()).collect();
    assert_eq!(names, ["SET", "GET"]);
}

/// A conversation that is joined in its middle is believed after some turns.
#[test]
fn joined_late() {
    let turn = |text: &str| parse(text).unwrap();
    let mut pieces: Vec<Piece> = Vec::new();
    pieces.extend(turn("s lf of a value\\r\\n"));
    for _ in 0..6 {
        pieces.extend(turn(
            "c *2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\na\\r\\n\ns $1\\r\\nb\\r\\n",
        ));
    }
    for side in [Side::Client, Side::Server] {
        let found = play(&pieces, side, false, ENTRY.make);
        assert_eq!(found.len(), 2);
    }
}
