//! Any chunks, gaps and ends in any order: the HTTP/1 parser must neither panic nor hold much, and
//! each exchange that it starts must end once.
//!
//! The input is a list of records, separated by 0xff (which HTTP never has), so that seeds can be
//! read and spliced. The first byte of a record says what it is: `<` received, `>` sent; `g` and
//! `G` the same after a gap, `h` and `H` the same with uncaptured bytes at the end, whose number
//! the second byte gives; `e` an end. Whatever else it is, it was received.

#![no_main]

use std::sync::Arc;

use clew::context::Extractor;
use clew::model::{
    Address, Chunk, Connection, ConnectionEnd, ConnectionId, Direction, EndReason, ParserEvent,
    Role, Task, Timestamp,
};
use clew::protocol::http1::{Http1, Limits, Redaction, likeness};
use clew::protocol::{Parser, Wants};
use libfuzzer_sys::fuzz_target;

/// Small, so that short inputs reach them.
const LIMITS: Limits = Limits {
    head: 512,
    open: 4,
    early: 2,
    text: 64,
    skip: 64,
};
/// What a connection may hold under these limits, in bytes, with room for the allocator's rounding.
const MEMORY_MAX: usize = 32 * 1024;

fuzz_target!(|input: &[u8]| {
    let late = input.first() == Some(&b'l');
    let mut player = Player {
        parser: Http1::new(
            &connection(!late),
            LIMITS,
            &Arc::new(Redaction::default()),
            &Arc::new(Extractor::default()),
        ),
        positions: [1 << 20, 1 << 32],
        time: 0,
        events: Vec::new(),
    };
    input
        .split(|&byte| byte == 0xff)
        .for_each(|record| player.record(record));
    player.end(EndReason::Closed);
    check(&player.events);
});

fn connection(from_start: bool) -> Connection {
    Connection {
        id: ConnectionId(1),
        address: Address::Tcp {
            local: ([127, 0, 0, 1], 80).into(),
            remote: ([127, 0, 0, 1], 40_000).into(),
        },
        netns: 1,
        role: Role::Unknown,
        from_start,
        nonblocking: false,
        positions: [0; 2],
        now: [0; 2],
        pid: 1,
        time: Timestamp(0),
    }
}

struct Player {
    parser: Http1,
    positions: [u64; 2],
    time: u64,
    events: Vec<ParserEvent>,
}

impl Player {
    fn record(&mut self, record: &[u8]) {
        // From nothing to more than any length that a message may claim.
        let amount = |byte: u8| match byte {
            0..128 => u64::from(byte),
            _ => 1 << (byte % 48),
        };
        match record {
            [] => {}
            [b'<', data @ ..] => self.chunk(Direction::Received, 0, 0, data),
            [b'>', data @ ..] => self.chunk(Direction::Sent, 0, 0, data),
            [b'g', n, data @ ..] => self.chunk(Direction::Received, amount(*n), 0, data),
            [b'G', n, data @ ..] => self.chunk(Direction::Sent, amount(*n), 0, data),
            [b'h', n, data @ ..] => self.chunk(Direction::Received, 0, amount(*n), data),
            [b'H', n, data @ ..] => self.chunk(Direction::Sent, 0, amount(*n), data),
            [b'e', reason, ..] => self.end(match reason % 7 {
                0 => EndReason::PeerClosed,
                1 => EndReason::LocalClosed,
                2 => EndReason::Closed,
                3 => EndReason::Failed(104),
                4 => EndReason::Failed(u32::from(*reason)),
                5 => EndReason::ProcessExited,
                _ => EndReason::Forgotten,
            }),
            data => self.chunk(Direction::Received, 0, 0, data),
        }
    }

    fn chunk(&mut self, direction: Direction, gap: u64, hidden: u64, data: &[u8]) {
        self.time += 1;
        let position = &mut self.positions[usize::from(direction == Direction::Sent)];
        *position = position.wrapping_add(gap);
        let chunk = Chunk {
            connection: ConnectionId(1),
            direction,
            position: *position,
            gap,
            length: data.len() as u64 + hidden,
            data,
            time: Timestamp(self.time),
            task: Task::thread(1, 1),
        };
        if chunk.length == 0 {
            return;
        }
        *position = chunk.end();
        std::hint::black_box(likeness(data));
        self.parser.chunk(&chunk, &mut self.events);
        if let Wants::SkipUntil(end) = self.parser.wants(direction) {
            assert!(
                end >= chunk.end(),
                "nothing before the present place can be skipped"
            );
        }
        self.bounded();
    }

    fn end(&mut self, reason: EndReason) {
        self.time += 1;
        let end = ConnectionEnd {
            connection: ConnectionId(1),
            reason,
            time: Timestamp(self.time),
        };
        self.parser.ended(&end, &mut self.events);
        self.bounded();
    }

    fn bounded(&self) {
        let memory = self.parser.memory();
        assert!(memory <= MEMORY_MAX, "{memory} bytes held");
    }
}

/// Started in order, each finished once after its start.
fn check(events: &[ParserEvent]) {
    let mut begun = 0;
    let mut open = Vec::new();
    for event in events {
        match event {
            ParserEvent::Started(started) => {
                assert_eq!(started.exchange, begun);
                open.push(begun);
                begun += 1;
            }
            ParserEvent::Finished(finished) => {
                let at = open.iter().position(|open| *open == finished.exchange);
                open.remove(at.expect("finished once, after its start"));
            }
        }
    }
    assert!(open.is_empty(), "never finished: {open:?}");
}
