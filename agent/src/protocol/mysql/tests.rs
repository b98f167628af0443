use super::*;
use crate::protocol::{Likeness, Sample, testing};

const RECORDINGS: &str = "src/protocol/mysql/recordings";

testing::recordings!(
    RECORDINGS,
    ENTRY.make,
    go_compressed,
    go_prepared,
    mariadb_cli,
    mariadb_cli_tls,
    pymysql_infile,
    pymysql_large,
    pymysql_prepare,
    pymysql_refused,
    pymysql_simple
);

const GREETING: &[u8] = b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\
    \0\0\0\0\0\0\0\0\0\0abcdefghijkl\0caching_sha2_password\0";
const TLS_REQUEST: &[u8] = b"\x20\0\0\x01\x85\xae\xff\x19\0\0\0\x01\xff\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[test]
fn errors_at_the_end() {
    let error = b"\x13\0\0\x2a\xff\xda\x04#21000Subquery \xff";
    assert_eq!(packets::last_error(error), Some(1242));
    let after_a_row = [b"\x03\0\0\xff\xff\xff\xff", &error[..]].concat();
    assert_eq!(packets::last_error(&after_a_row), Some(1242));
    for other in [
        &error[1..],
        &error[..17],
        b"",
        b"\xff\xff",
        b"\x05\0\0\x09\xfe\0\0\x22\0",
    ] {
        assert_eq!(packets::last_error(other), None, "{other:?}");
    }
}

#[test]
fn likenesses() {
    use Likeness::{No, Perhaps, Yes};
    type Case<'a> = (Option<Side>, bool, &'a [u8], u64, Likeness);
    const CLIENT: Option<Side> = Some(Side::Client);
    const SERVER: Option<Side> = Some(Side::Server);
    let cases: &[Case<'_>] = &[
        (SERVER, true, GREETING, 0, Yes),
        (None, true, GREETING, 0, Yes),
        (CLIENT, true, GREETING, 0, No),
        (SERVER, true, &GREETING[..4], 0, Perhaps),
        (SERVER, true, &GREETING[..30], 0, Perhaps),
        // More than the packet, and less.
        (SERVER, true, GREETING, 100, No),
        (SERVER, true, &GREETING[..60], 70, No),
        (CLIENT, true, TLS_REQUEST, 0, Yes),
        (SERVER, true, TLS_REQUEST, 0, No),
        (CLIENT, true, &TLS_REQUEST[..3], 0, Perhaps),
        // A login comes after a greeting: neither is the middle of anything.
        (SERVER, false, GREETING, 0, No),
        (CLIENT, false, TLS_REQUEST, 0, No),
        // A command tells in the middle, and only there.
        (CLIENT, false, b"\x09\0\0\0\x03SELECT 1", 0, Yes),
        (None, false, b"\x09\0\0\0\x03SELECT 1", 0, Yes),
        (SERVER, false, b"\x09\0\0\0\x03SELECT 1", 0, No),
        (CLIENT, true, b"\x09\0\0\0\x03SELECT 1", 0, No),
        (CLIENT, false, b"\x09\0\0\0\x16SELECT ?", 0, Yes),
        (CLIENT, false, b"\x0b\0\0\0\x03\0\x01SELECT 1", 0, Yes),
        (
            CLIENT,
            false,
            b"\x0a\0\0\0\x17\x01\0\0\0\0\x01\0\0\0",
            0,
            Yes,
        ),
        // Long ones, of which the beginning is here.
        (CLIENT, false, b"\0\x20\0\0\x03SELECT 1", 0x2004, Yes),
        // Lengths that do not fit, a later packet, no statement, another command.
        (CLIENT, false, b"\x0a\0\0\0\x03SELECT 1", 0, No),
        (CLIENT, false, b"\x09\0\0\x01\x03SELECT 1", 0, No),
        (CLIENT, false, b"\x09\0\0\0\x0312345678", 0, No),
        (CLIENT, false, b"\x09\0\0\0\x03SEL\0CT 1", 0, No),
        (CLIENT, false, b"\x01\0\0\0\x0e", 0, No),
        (None, false, b"\x07\0\0\x01\0\0\0\x02\0\0\0", 0, No),
        // Others.
        (CLIENT, true, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, No),
        (None, false, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, No),
        (
            SERVER,
            true,
            b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
            0,
            No,
        ),
        (
            CLIENT,
            true,
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
            0,
            No,
        ),
        (CLIENT, true, b"*1\r\n$4\r\nPING\r\n", 0, No),
        (CLIENT, true, b"AMQP\0\0\x09\x01", 0, No),
        (SERVER, true, b"INFO {}\r\n", 0, No),
        (CLIENT, true, b"\0\0\0\x08\x04\xd2\x16\x2f", 0, No),
    ];
    for &(sender, from_start, bytes, length, expected) in cases {
        let sample = Sample {
            direction: Direction::Received,
            sender,
            from_start,
            bytes,
            length: if length == 0 {
                bytes.len() as u64
            } else {
                length
            },
        };
        assert_eq!(likeness(&sample), expected, "{sample:?}");
    }
}

/// After TLS or compression has begun nothing is looked at.
#[test]
fn closed_to_us() {
    for name in ["go_compressed", "mariadb_cli_tls"] {
        let path = format!("{}/{RECORDINGS}/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let pieces = crate::protocol::recording::parse(&text).unwrap();
        for side in [Side::Client, Side::Server] {
            assert_eq!(testing::play(&pieces, side, true, ENTRY.make), []);
        }
    }
}

/// MariaDB's server reads a command's head by itself.
#[test]
fn heads_by_themselves_on_a_connection_joined_late() {
    let path = format!(
        "{}/{RECORDINGS}/pymysql_simple.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let pieces = crate::protocol::recording::parse(&text).unwrap();
    let late = &pieces[pieces.len() / 3..];
    let mut split = Vec::new();
    for piece in late {
        let mut head = piece.clone();
        let mut rest = piece.clone();
        if piece.from_client && piece.data.len() > HEAD {
            rest.data = head.data.split_off(HEAD);
            rest.gap = 0;
            head.hidden = 0;
            split.push(head);
        }
        split.push(rest);
    }
    let names = |pieces| {
        let exchanges = testing::play(pieces, Side::Server, false, ENTRY.make);
        let names = exchanges.into_iter().map(|(_, finished)| finished.name);
        names.collect::<Vec<_>>()
    };
    let whole = names(late);
    assert!(whole.len() > 4, "{whole:?}");
    assert_eq!(names(&split), whole);
}
