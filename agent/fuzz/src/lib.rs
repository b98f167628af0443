//! What the fuzz targets of the protocols of `clew::protocol::ALL` share.
//!
//! An input is the text of a recording (`agent/src/protocol/recording.rs`), so recordings are seeds as
//! they are; `c-9 …` has lost nine bytes before it. Lines that are none are passed over. The first byte
//! of the input says from which side it is seen, and whether from the start.

use clew::model::{EndReason, ParserEvent, Side};
use clew::protocol::recording::{Piece, Player, connection, piece};
use clew::protocol::{Entry, Sample, Settings};

/// What a connection may hold, in bytes, with room for the allocator's rounding.
const MEMORY_MAX: usize = 1 << 20;

/// Plays an input to a protocol's parser: it must neither panic nor hold much, and each exchange that
/// it starts must end once.
pub fn fuzz(entry: &Entry, input: &[u8]) {
    let first = input.first().copied().unwrap_or_default();
    let side = if first & 1 == 0 {
        Side::Client
    } else {
        Side::Server
    };
    let from_start = first & 4 == 0;
    let parser = (entry.make)(&connection(side, from_start), &Settings::default());
    let mut player = Player::new(parser, side);
    for line in input.split(|&byte| byte == b'\n') {
        let Some(piece) = std::str::from_utf8(line).ok().and_then(piece) else {
            continue;
        };
        likeness(entry, &piece, side, from_start);
        player.play(&piece);
    }
    player.end(EndReason::Closed);
    assert!(player.memory <= MEMORY_MAX, "{} bytes held", player.memory);
    check(&player.events);
}

fn likeness(entry: &Entry, piece: &Piece, side: Side, from_start: bool) {
    std::hint::black_box((entry.likeness)(&Sample {
        direction: piece.direction(side),
        sender: from_start.then_some(if piece.from_client {
            Side::Client
        } else {
            Side::Server
        }),
        from_start,
        bytes: &piece.data,
        length: piece.length(),
    }));
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
