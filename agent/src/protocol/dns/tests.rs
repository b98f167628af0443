//! DNS against recordings of real programs, and what recordings do not show.

use super::super::testing::{self, Exchange, play};
use super::super::{ALL, identify, identify_datagram};
use super::*;
use crate::model::{ConnectionId, Outcome, Task, Timestamp};
use crate::protocol::recording::{Piece, connection};

const RECORDINGS: &str = "src/protocol/dns/recordings";

#[test]
fn recordings() {
    testing::check(RECORDINGS, "dig_tcp", ENTRY.make);
    testing::check(RECORDINGS, "dnspython_udp", DATAGRAMS.make);
    testing::check(RECORDINGS, "glibc_udp", DATAGRAMS.make);
}

#[test]
fn spoiled_captures() {
    testing::survives(RECORDINGS, "dig_tcp", ENTRY.make);
    testing::takes_heads(RECORDINGS, "dig_tcp", ENTRY.make, &[PREFIX]);
}

/// A message with this question.
fn message(id: u16, flags: u16, name: &[u8], kind: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [id, flags, 1, 0, 0, 0] {
        bytes.extend(u16::to_be_bytes(word));
    }
    bytes.extend(name);
    bytes.extend([kind.to_be_bytes(), [0, 1]].concat());
    bytes
}

const ASKS: u16 = 0x0100;
const ANSWERS: u16 = 0x8180;
const NAME: &[u8] = b"\x03www\x07example\x00";

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    [&length.to_be_bytes()[..], message].concat()
}

fn piece(from_client: bool, data: Vec<u8>) -> Piece {
    Piece {
        from_client,
        data,
        hidden: 0,
        gap: 0,
        pause: 0,
    }
}

/// Exchanges in words: type, outcome, time of start and end, notes.
fn words(exchanges: &[Exchange]) -> Vec<String> {
    let told = |(started, finished): &Exchange| {
        format!(
            "{} {:?} {}-{} {}",
            finished.name,
            finished.outcome,
            started.start.0,
            finished.end.0,
            finished.notes.join(", ")
        )
    };
    exchanges.iter().map(told).collect()
}

#[test]
fn answers_in_any_order() {
    let pieces = [
        piece(
            true,
            [1, 2, 3]
                .map(|id| framed(&message(id, ASKS, NAME, id)))
                .concat(),
        ),
        piece(false, framed(&message(2, ANSWERS, NAME, 2))),
        piece(
            false,
            [3, 1]
                .map(|id| framed(&message(id, ANSWERS, NAME, id)))
                .concat(),
        ),
    ];
    for side in [Side::Client, Side::Server] {
        let found = words(&play(&pieces, side, true, ENTRY.make));
        let expected = [
            "DNS query A Complete 1-3 ",
            "DNS query NS Complete 1-2 ",
            "DNS query Complete 1-3 ",
        ];
        assert_eq!(found, expected);
    }
}

/// The answer is read so that its place is not found: who asked was answered for all one knows.
#[test]
fn joined_late() {
    let answer = framed(&message(2, ANSWERS, NAME, 2));
    let asked = |id| piece(true, framed(&message(id, ASKS, NAME, id)));
    let pieces = [
        piece(false, b"the end of an answer".to_vec()),
        asked(1),
        piece(false, b"something in the midst of the answer".to_vec()),
        asked(2),
        piece(false, answer[..PREFIX].to_vec()),
        piece(false, answer[PREFIX..].to_vec()),
        asked(15),
    ];
    for side in [Side::Client, Side::Server] {
        let found = words(&play(&pieces, side, false, ENTRY.make));
        let expected = [
            "DNS query A Lost 2-2 answer perhaps among bytes that were lost",
            "DNS query NS Complete 4-6 ",
            "DNS query MX Aborted 7-8 ",
        ];
        assert_eq!(found, expected);
    }
}

#[test]
fn datagrams() {
    let cased = b"\x03wWw\x07eXample\x00";
    let pieces = [
        piece(true, message(7, ASKS, NAME, 1)),
        // The same id with another question is another one.
        piece(true, message(7, ASKS, NAME, 28)),
        piece(true, message(7, ASKS, cased, 1)),
        piece(false, message(7, ANSWERS, NAME, 1)),
        // Answers to what was repeated.
        piece(false, message(7, ANSWERS, NAME, 1)),
        piece(true, b"something else".to_vec()),
        // One that does not say what it answers.
        piece(true, message(8, ASKS, NAME, 15)),
        piece(false, b"\0\x08\x80\x01\0\0\0\0\0\0\0\0".to_vec()),
    ];
    for side in [Side::Client, Side::Server] {
        let found = play(&pieces, side, true, DATAGRAMS.make);
        let expected = [
            "DNS query A Complete 1-4 asked more than once",
            "DNS query AAAA Aborted 2-9 ",
            "DNS query MX Complete 7-8 ",
        ];
        assert_eq!(words(&found), expected);
        let error = found[2].1.attributes.iter().any(|a| a.key == "error.type");
        assert_eq!(error, side == Side::Client, "who asks wrongly has an error");
    }
}

/// Plays datagrams, `(seconds, sent, bytes)`, and ends quietly.
fn at_times(chunks: &[(u64, bool, Vec<u8>)]) -> Vec<String> {
    let mut parser = (DATAGRAMS.make)(&connection(Side::Client, true), &Settings::default());
    let (mut events, mut position) = (Vec::new(), [0; 2]);
    for (seconds, sent, data) in chunks {
        let direction = match sent {
            true => Direction::Sent,
            false => Direction::Received,
        };
        let chunk = Chunk {
            connection: ConnectionId(1),
            direction,
            position: position[index(direction)],
            gap: 0,
            length: data.len() as u64,
            data,
            time: Timestamp(seconds * 1_000_000_000),
            task: Task::thread(1, 1),
        };
        position[index(direction)] = chunk.end();
        parser.chunk(&chunk, &mut events);
    }
    let end = ConnectionEnd {
        connection: ConnectionId(1),
        reason: EndReason::Failed(110),
        time: Timestamp(100_000_000_000),
    };
    parser.ended(&end, &mut events);
    assert!(parser.is_between_requests(Direction::Sent));
    let finished = events.iter().filter_map(|event| match event {
        ParserEvent::Finished(finished) => Some(format!(
            "{} {:?} {}",
            finished.exchange,
            finished.outcome,
            finished.end.0 / 1_000_000_000
        )),
        ParserEvent::Started(_) => None,
    });
    finished.collect()
}

#[test]
fn a_question_without_an_answer_ends_when_it_was_asked_last() {
    let asks = || message(1, ASKS, NAME, 1);
    let answers = || message(1, ANSWERS, NAME, 1);
    assert_eq!(
        at_times(&[(1, true, asks()), (6, true, asks())]),
        ["0 Aborted 6"]
    );
    // Much later it is another one.
    assert_eq!(
        at_times(&[
            (1, true, asks()),
            (50, true, asks()),
            (51, false, answers())
        ]),
        ["0 Aborted 1", "1 Complete 51"]
    );
    // An answer that was there long before is to something else.
    assert_eq!(
        at_times(&[
            (1, false, answers()),
            (9, true, asks()),
            (10, false, answers())
        ]),
        ["0 Complete 10"]
    );
}

#[test]
fn what_was_lost_is_not_unanswered() {
    let mut answer = piece(false, message(9, ANSWERS, NAME, 1));
    answer.gap = 40;
    let pieces = [piece(true, message(7, ASKS, NAME, 1)), answer];
    let found = play(&pieces, Side::Client, true, DATAGRAMS.make);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1.outcome, Outcome::Lost);
}

fn sample(bytes: &[u8], from_start: bool) -> Sample<'_> {
    Sample {
        direction: Direction::Sent,
        sender: None,
        from_start,
        bytes,
        length: bytes.len() as u64,
    }
}

#[test]
fn datagrams_of_others() {
    let mut quic = vec![
        0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0xd0,
    ];
    quic.resize(1200, 0x5a);
    let mut ntp = vec![0x23, 0, 6, 0xec, 0, 0, 0, 0];
    ntp.resize(48, 0);
    let stun = b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl".to_vec();
    let snmp =
        b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x04\x01\x02\x03\x04\x02\x01\0".to_vec();
    let dhcp = [vec![1, 1, 6, 0, 1, 2, 3, 4], vec![0; 240]].concat();
    let rtp = [vec![0x80, 0, 0, 1, 0, 0, 0, 160], vec![0xd5; 164]].concat();
    let netbios = [
        vec![b' '],
        b"CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_vec(),
        vec![0],
    ]
    .concat();
    let mdns = message(0, 0, b"\x05_http\x04_tcp\x05local\0", 12);
    for bytes in [
        quic,
        ntp,
        stun,
        snmp,
        dhcp,
        rtp,
        b"page.views:1|c|#a:b".to_vec(),
        b"<34>Oct 11 22:14:15 host su: failed".to_vec(),
        b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n".to_vec(),
        message(5, 0x0110, &netbios, 33),
        mdns,
        // A dynamic update, a reserved bit, a byte too many, no name.
        message(5, 0x2800, NAME, 6),
        message(5, 0x0140, NAME, 1),
        [message(5, ASKS, NAME, 1), vec![0]].concat(),
        message(5, ASKS, b"\xc0\x0c", 1),
        Vec::new(),
    ] {
        let found = identify_datagram(&sample(&bytes, false)).err();
        assert_eq!(found, Some(Likeness::No), "{bytes:?}");
        let found = (ENTRY.likeness)(&sample(&framed(&bytes), false));
        assert_eq!(found, Likeness::No, "{bytes:?}");
    }
}

#[test]
fn its_own() {
    for bytes in [
        message(5, ASKS, NAME, 1),
        message(5, 0, b"\0", 2),
        message(5, ANSWERS, NAME, 28),
        message(0, ASKS, NAME, 1),
    ] {
        assert!(
            identify_datagram(&sample(&bytes, false)).is_ok(),
            "{bytes:?}"
        );
        let framed = framed(&bytes);
        for from_start in [true, false] {
            let found = identify(&sample(&framed, from_start)).map(|entry| entry.protocol);
            assert_eq!(found.ok(), Some(Protocol::Dns), "{bytes:?}");
        }
        for length in 1..framed.len() {
            let cut = &framed[..length];
            assert_eq!(
                (ENTRY.likeness)(&sample(cut, true)),
                Likeness::Perhaps,
                "{cut:?}"
            );
            assert_eq!(
                (ENTRY.likeness)(&sample(cut, false)),
                Likeness::No,
                "{cut:?}"
            );
        }
    }
}

#[test]
fn streams_of_others() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0\0\0\x52\0\x03\0\0user\0postgres\0\0",
        b"\0\0\0\x24\0\x12\0\x04\0\0\0\x01\0\x04test",
        b"AMQP\0\0\x09\x01",
        b"*1\r\n$4\r\nPING\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04abcd",
        b"\x04\0\0\0\x01\0\0\0\x16\0\x01\0\x0bCQL_VERSION",
        b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0",
        b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0",
    ] {
        assert_eq!(
            (ENTRY.likeness)(&sample(bytes, true)),
            Likeness::No,
            "{bytes:?}"
        );
    }
    assert!(ALL.iter().any(|entry| entry.protocol == Protocol::Dns));
}
