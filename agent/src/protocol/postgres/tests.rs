use super::*;
use crate::protocol::{Likeness, Sample, testing};

const RECORDINGS: &str = "src/protocol/postgres/recordings";

testing::recordings!(
    RECORDINGS,
    ENTRY.make,
    pgx,
    psql,
    psycopg_simple,
    psycopg_extended,
    psycopg_cursors,
    psycopg_pipeline,
    psycopg_copy,
    psycopg_large,
    psycopg_scram,
    psycopg_refused
);

#[test]
fn known_by_content() {
    type Case<'a> = (Option<Side>, bool, &'a [u8], u64, Likeness);
    let startup = b"\0\0\0\x25\0\x03\0\0user\0postgres\0database\0shop\0\0";
    let tls = b"\0\0\0\x08\x04\xd2\x16\x2f";
    let ready = b"C\0\0\0\x0aBEGIN\0Z\0\0\0\x05T";
    let cases: [Case<'_>; 19] = [
        (Some(Side::Client), true, startup, 37, Likeness::Yes),
        (None, true, &startup[..8], 37, Likeness::Yes),
        (
            Some(Side::Client),
            true,
            &startup[..7],
            7,
            Likeness::Perhaps,
        ),
        (Some(Side::Client), true, tls, 8, Likeness::Yes),
        (
            Some(Side::Client),
            true,
            b"GET / HTTP/1.1\r\n",
            16,
            Likeness::No,
        ),
        (
            Some(Side::Client),
            true,
            b"\x16\x03\x01\0\xff",
            5,
            Likeness::No,
        ),
        // A Kafka request, and MySQL's greeting.
        (
            Some(Side::Client),
            true,
            b"\0\0\0\x25\0\x12\0\x03\0\0\0\x01",
            41,
            Likeness::No,
        ),
        (
            Some(Side::Server),
            true,
            b"J\0\0\0\x0a8.0",
            78,
            Likeness::No,
        ),
        (
            Some(Side::Server),
            true,
            b"R\0\0\0\x08\0\0\0\0",
            9,
            Likeness::Yes,
        ),
        (
            Some(Side::Client),
            false,
            b"Q\0\0\0\x0aBEGIN\0",
            11,
            Likeness::Yes,
        ),
        (
            Some(Side::Server),
            false,
            b"Q\0\0\0\x0aBEGIN\0",
            11,
            Likeness::No,
        ),
        (None, false, b"Q\0\0\0\x0aBEGIN\0", 12, Likeness::No),
        (None, false, b"Q\0\0\0\x0aBEG\0N\0", 11, Likeness::No),
        (None, false, b"Q\0\0\x10\0SELECT", 4097, Likeness::Yes),
        (None, false, b"S\0\0\0\x04", 5, Likeness::Yes),
        (None, false, ready, 17, Likeness::Yes),
        (None, false, ready, 18, Likeness::No),
        (None, false, b"Z\0\0\0\x05I", 6, Likeness::No),
        (None, false, b"", 10, Likeness::No),
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

/// Results are followed where only half of each piece is captured.
#[test]
fn large_results() {
    let login = "c \\x00\\x00\\x00\\x11\\x00\\x03\\x00\\x00user\\x00me\\x00\\x00\n\
                 s R\\x00\\x00\\x00\\x08\\x00\\x00\\x00\\x00Z\\x00\\x00\\x00\\x05I\n";
    let query = "c Q\\x00\\x00\\x00\\x14SELECT a FROM t\\x00\n";
    let begins = "s+9000 T\\x00\\x00\\x00\\x06\\x00\\x01D\\x00\\x00\\x20\\x00\\x00\\x01\n";
    let ends = "s abcC\\x00\\x00\\x00\\x0eSELECT 12\\x00Z\\x00\\x00\\x00\\x05I\n";
    let cases = [
        // The server's own count.
        (format!("{begins}{ends}"), 5, Some(12)),
        // Its end is before the next request.
        (
            format!("{begins}s+9 abc\nc X\\x00\\x00\\x00\\x04\n"),
            5,
            None,
        ),
        (format!("{begins}s+9 abc\n{query}"), 5, None),
        // Or before the connection's end.
        (begins.to_owned(), 4, None),
    ];
    for (text, end, rows) in cases {
        let pieces = crate::protocol::recording::parse(&format!("{login}{query}{text}")).unwrap();
        let found = testing::play(&pieces, Side::Client, true, ENTRY.make);
        let finished = &found[0].1;
        let count = finished
            .attributes
            .iter()
            .find(|one| one.key == "db.response.returned_rows");
        let expected =
            rows.map(|rows| crate::model::Attribute::new("db.response.returned_rows", rows));
        assert_eq!((finished.end.0, count), (end, expected.as_ref()), "{text}");
    }
}

/// An error that comes after rows, among bytes that were not all captured.
#[test]
fn late_errors() {
    let query = "c Q\\x00\\x00\\x00\\x14SELECT a FROM t\\x00\n";
    let rows = "s+9000 T\\x00\\x00\\x00\\x06\\x00\\x01D\\x00\\x00\\x20\\x00\\x00\\x01\n";
    let fields = "SERROR\\x00C22012\\x00Mdivision by zero\\x00\\x00";
    let error = format!("s abcE\\x00\\x00\\x00\\x05E\\x00\\x00\\x00\\x25{fields}");
    let ready = "Z\\x00\\x00\\x00\\x05I\n";
    for (rest, end) in [(ready.to_owned(), 3), (format!("\ns {ready}"), 4)] {
        let text = format!("{query}{rows}{error}{rest}");
        let pieces = crate::protocol::recording::parse(&text).unwrap();
        let found = testing::play(&pieces, Side::Client, false, ENTRY.make);
        let finished = &found[0].1;
        let code = crate::model::Attribute::new("db.response.status_code", "22012".to_owned());
        assert!(finished.attributes.contains(&code), "{finished:?}");
        assert_eq!(finished.end.0, end);
    }
}

/// The server takes up encryption, or does not.
#[test]
fn encryption() {
    for (answer, wants) in [("S", Wants::Nothing), ("N", Wants::Bytes)] {
        let text = format!("c \\x00\\x00\\x00\\x08\\x04\\xd2\\x16\\x2f\ns {answer}\n");
        let connection = crate::protocol::recording::connection(Side::Client, true);
        let mut parser = Postgres::new(&connection, &Settings::default());
        let mut events = Vec::new();
        for piece in crate::protocol::recording::parse(&text).unwrap() {
            let chunk = Chunk {
                connection: connection.id,
                direction: piece.direction(Side::Client),
                position: 0,
                gap: 0,
                length: piece.length(),
                data: &piece.data,
                time: crate::model::Timestamp(1),
                task: crate::model::Task::default(),
            };
            parser.chunk(&chunk, &mut events);
        }
        assert_eq!(parser.wants(Direction::Sent), wants);
        assert!(events.is_empty());
    }
}
