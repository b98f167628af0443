use super::*;
use crate::protocol::{Likeness, Sample, testing};

const RECORDINGS: &str = "src/protocol/cassandra/recordings";

testing::recordings!(
    RECORDINGS,
    ENTRY.make,
    python_control,
    python_simple,
    python_prepared,
    python_batches,
    python_large,
    python_refused,
    python_five_simple,
    python_five_prepared,
    python_five_batches,
    python_five_large,
    python_tables,
    python_three_prepared,
    gocql,
    gocql_snappy
);

#[test]
fn known_by_content() {
    type Case<'a> = (Option<Side>, bool, &'a [u8], u64, Likeness);
    let options = b"\x04\0\0\0\x05\0\0\0\0";
    let startup = b"\x05\0\0\x01\x01\0\0\0\x16\0\x01\0\x0bCQL_VERSION\0\x053.4.7";
    let query = b"\x04\0\0\x05\x07\0\0\0\x0f\0\0\0\x08SELECT 1\0\x01\0";
    let void = b"\x84\0\0\x05\x08\0\0\0\x04\0\0\0\x01";
    let event = b"\x84\0\xff\xff\x0c\0\0\0\x09\0\x07UNKNOWN";
    // A frame with a void result.
    let framed = b"\r\0\x02\xcf\x07\xf7\x85\0\0\x02\x08\0\0\0\x04\0\0\0\x01Z\x88\x9c\x1b";
    let client = Some(Side::Client);
    let cases: [Case<'_>; 25] = [
        (client, true, options, 9, Likeness::Yes),
        (None, true, options, 9, Likeness::Yes),
        (Some(Side::Server), true, options, 9, Likeness::No),
        (client, true, options, 10, Likeness::No),
        (client, true, &options[..4], 4, Likeness::Perhaps),
        (client, true, &options[..4], 9, Likeness::No),
        (client, true, startup, 31, Likeness::Yes),
        (client, true, startup, 32, Likeness::No),
        (Some(Side::Server), true, b"\x85\0\0", 3, Likeness::Perhaps),
        (
            Some(Side::Server),
            true,
            b"\x84\0\0\x01\x02\0\0\0\0",
            9,
            Likeness::Yes,
        ),
        (client, true, b"GET / HTTP/1.1\r\n", 16, Likeness::No),
        (
            client,
            true,
            b"\x16\x03\x01\0\xff\x01\0\0\0",
            9,
            Likeness::No,
        ),
        // MQTT, a query of MySQL's, and a question to a name server over TCP.
        (
            client,
            true,
            b"\x10\x0c\0\x04MQTT\x04\x02",
            14,
            Likeness::No,
        ),
        (client, true, b"\x05\0\0\0\x03SEL", 9, Likeness::No),
        (
            client,
            true,
            b"\x04\x00\x12\x34\x01\0\0\x01\0\0\0\0",
            1026,
            Likeness::No,
        ),
        (None, false, query, 24, Likeness::Yes),
        (client, false, query, 24, Likeness::Yes),
        (Some(Side::Server), false, query, 24, Likeness::No),
        (None, false, query, 25, Likeness::No),
        (None, false, &query[..23], 23, Likeness::No),
        (None, false, void, 13, Likeness::Yes),
        (None, false, &[void, &void[..]].concat(), 26, Likeness::Yes),
        (None, false, event, 18, Likeness::No),
        (None, false, framed, 23, Likeness::Yes),
        (None, false, &framed[1..], 22, Likeness::No),
    ];
    for (sender, from_start, bytes, length, expected) in cases {
        let sample = Sample {
            direction: Direction::Received,
            sender,
            from_start,
            bytes,
            length,
        };
        assert_eq!(likeness(&sample), expected, "{sample:?}");
    }
}

/// Plays lines of a recording, and tells names, ends and outcomes.
fn played(text: &str, from_start: bool) -> Vec<String> {
    let pieces = crate::protocol::recording::parse(text).unwrap();
    let found = testing::play(&pieces, Side::Client, from_start, ENTRY.make);
    let told = found.iter().map(|(started, finished)| {
        format!(
            "{} {}-{} {:?}",
            finished.name, started.start.0, finished.end.0, finished.outcome
        )
    });
    told.collect()
}

const OPTIONS: &str = "c \\x04\\x00\\x00\\x00\\x05\\x00\\x00\\x00\\x00\n\
                       s \\x84\\x00\\x00\\x00\\x06\\x00\\x00\\x00\\x02\\x00\\x00\n";

fn query(stream: u8, digit: u8) -> String {
    format!(
        "c \\x04\\x00\\x00\\x{stream:02x}\\x07\\x00\\x00\\x00\\x16\
         \\x00\\x00\\x00\\x0fSELECT * FROM {}\\x00\\x01\\x00\n",
        char::from(digit)
    )
}

fn void(stream: u8) -> String {
    format!("s \\x84\\x00\\x00\\x{stream:02x}\\x08\\x00\\x00\\x00\\x04\\x00\\x00\\x00\\x01\n")
}

#[test]
fn streams_overlap() {
    let [a, b] = [query(1, b'a'), query(2, b'b')];
    let [first, second] = [void(1), void(2)];
    let text = format!("{OPTIONS}{a}{b}{second}{first}");
    let expected = ["SELECT a 3-6 Complete", "SELECT b 4-5 Complete"];
    assert_eq!(played(&text, true), expected);
    assert_eq!(played(&text[OPTIONS.len()..], false).len(), 2);
    // The answer is seen before the request.
    let text = format!("{OPTIONS}{first}{a}");
    assert_eq!(played(&text, true), ["SELECT a 4-4 Complete"]);
    // But not where its request may have been missed.
    let text = format!("{first}{a}{first}");
    assert_eq!(played(&text, false), ["SELECT a 2-3 Complete"]);
    // An event in between.
    let event = "s \\x84\\x00\\xff\\xff\\x0c\\x00\\x00\\x00\\x09\\x00\\x07UNKNOWN\n";
    let text = format!("{OPTIONS}{a}{event}{first}");
    assert_eq!(played(&text, true), ["SELECT a 3-5 Complete"]);
}

#[test]
fn losses() {
    let [a, b] = [query(1, b'a'), query(1, b'b')];
    let answer = void(1);
    // The answer to the first is lost, and the second's may be either's.
    let lossy = answer.replacen("s ", "s-13 ", 1);
    let text = format!("{OPTIONS}{a}{b}{lossy}");
    let expected = ["SELECT a 3-5 Lost", "SELECT b 4-6 Lost"];
    assert_eq!(played(&text, true), expected);
    // It is seen that one was lost before the stream is used again.
    let other = void(2).replacen("s ", "s-13 ", 1);
    let text = format!("{OPTIONS}{a}{other}{b}{answer}");
    let expected = ["SELECT a 3-5 Lost", "SELECT b 5-6 Complete"];
    assert_eq!(played(&text, true), expected);
    // Both an answer and a request.
    let request = query(2, b'c').replacen("c ", "c-31 ", 1);
    let text = format!("{OPTIONS}{a}{other}{request}{answer}");
    let expected = ["SELECT a 3-6 Lost", "SELECT c 5-7 Aborted"];
    assert_eq!(played(&text, true), expected);
    // The connection ends.
    let text = format!("{OPTIONS}{a}{other}");
    assert_eq!(played(&text, true), ["SELECT a 3-5 Lost"]);
}

/// Compression of version 5 leaves nothing to see.
#[test]
fn compressed_frames() {
    let startup = "c \\x05\\x00\\x00\\x01\\x01\\x00\\x00\\x00\\x28\\x00\\x02\
                   \\x00\\x0bCQL_VERSION\\x00\\x053.4.7\\x00\\x0bCOMPRESSION\\x00\\x03lz4\n";
    let connection = crate::protocol::recording::connection(Side::Client, true);
    let mut parser = Cassandra::new(&connection, &Settings::default());
    let piece = &crate::protocol::recording::parse(startup).unwrap()[0];
    let chunk = Chunk {
        connection: connection.id,
        direction: Direction::Sent,
        position: 0,
        gap: 0,
        length: piece.length(),
        data: &piece.data,
        time: crate::model::Timestamp(1),
        task: crate::model::Task::default(),
    };
    parser.chunk(&chunk, &mut Vec::new());
    assert_eq!(parser.wants(Direction::Sent), Wants::Nothing);
    assert_eq!(parser.wants(Direction::Received), Wants::Nothing);
}

/// A statement that one connection prepares is known on all.
#[test]
fn prepared_on_another_connection() {
    let id = "0123456789abcdef";
    let prepare = format!(
        "{OPTIONS}c \\x04\\x00\\x00\\x01\\x09\\x00\\x00\\x00\\x13\\x00\\x00\\x00\\x0fSELECT * FROM a\n\
         s \\x84\\x00\\x00\\x01\\x08\\x00\\x00\\x00\\x16\\x00\\x00\\x00\\x04\\x00\\x10{id}\n"
    );
    let execute = format!(
        "{OPTIONS}c \\x04\\x00\\x00\\x01\\x0a\\x00\\x00\\x00\\x15\\x00\\x10{id}\\x00\\x01\\x00\n{}",
        void(1)
    );
    let settings = Settings::default();
    let mut names = Vec::new();
    for text in [&execute, &prepare, &execute] {
        let connection = crate::protocol::recording::connection(Side::Client, true);
        let parser = Cassandra::new(&connection, &settings);
        let mut player = crate::protocol::recording::Player::new(Box::new(parser), Side::Client);
        for piece in crate::protocol::recording::parse(text).unwrap() {
            player.play(&piece);
        }
        names.extend(player.events.iter().filter_map(|event| match event {
            ParserEvent::Finished(finished) => Some((finished.name.to_string(), finished.outcome)),
            ParserEvent::Started(_) => None,
        }));
    }
    let expected = [
        ("EXECUTE".to_owned(), crate::model::Outcome::Lost),
        ("SELECT a".to_owned(), crate::model::Outcome::Complete),
    ];
    assert_eq!(names, expected);
}
