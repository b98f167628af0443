//! The recorded connection, exchange by exchange, without end.

use clew::model::{ParserEvent, Side};
use clew::protocol::recording::{Piece, Player, connection, parse};
use clew::protocol::{Settings, http1};

const RECORDING: &str = include_str!("../../src/protocol/http1/recordings/curl_nginx.txt");

/// How many exchanges the recording has.
const EXCHANGES: u32 = 13;
/// How many exchanges are timed together: whole recordings.
pub const SAMPLE: u32 = 16 * EXCHANGES;
/// Exchanges until a stitcher lets as many spans go as come.
pub const WARM_UP: usize = 1000;
/// Between two exchanges, by the clock of the events, in nanoseconds.
const PACE: u64 = 2_000_000;

/// The exchanges of the recording, again and again, as one end sees them.
pub struct Exchanges {
    exchanges: Vec<Vec<Piece>>,
    next: usize,
    player: Player,
    now: u64,
}

impl Exchanges {
    /// From the connection's beginning.
    pub fn new(side: Side) -> Self {
        let exchanges = split(&parse(RECORDING).expect("a recording"));
        assert_eq!(exchanges.len(), EXCHANGES as usize);
        Self {
            exchanges,
            next: 0,
            player: player(side, &Settings::default()),
            now: 0,
        }
    }

    /// What moves in the next exchange.
    pub fn pieces(&mut self) -> &[Piece] {
        let at = self.next;
        self.next = (at + 1) % self.exchanges.len();
        &self.exchanges[at]
    }

    /// Lets the parser read the next exchange; returns its events, which are few.
    pub fn parse(&mut self) -> std::vec::Drain<'_, ParserEvent> {
        let at = self.next;
        self.pieces();
        for piece in &self.exchanges[at] {
            self.player.play(piece);
        }
        self.player.events.drain(..)
    }

    /// The next exchange's events, at times by which spans that wait leave in the end.
    pub fn events(&mut self) -> Vec<ParserEvent> {
        self.now += PACE;
        let (start, end) = (self.now, self.now + PACE / 2);
        let timed = |mut event| {
            match &mut event {
                ParserEvent::Started(started) => started.start.0 = start,
                ParserEvent::Finished(finished) => finished.end.0 = end,
            }
            event
        };
        self.parse().map(timed).collect()
    }
}

/// A parser at a connection's beginning.
pub fn player(side: Side, settings: &Settings) -> Player {
    let parser = (http1::ENTRY.make)(&connection(side, true), settings);
    Player::with(parser, side, settings.clone())
}

/// An exchange ends with the piece after which a parser says so.
fn split(pieces: &[Piece]) -> Vec<Vec<Piece>> {
    let mut player = player(Side::Client, &Settings::default());
    let ends = |piece: &Piece| {
        player.play(piece);
        let mut events = player.events.drain(..);
        events.any(|event| matches!(event, ParserEvent::Finished(_)))
    };
    let ends: Vec<bool> = pieces.iter().map(ends).collect();
    let mut exchanges = vec![Vec::new()];
    for (piece, end) in pieces.iter().zip(ends) {
        exchanges.last_mut().expect("one").push(piece.clone());
        if end {
            exchanges.push(Vec::new());
        }
    }
    assert_eq!(exchanges.pop(), Some(Vec::new()), "an exchange without end");
    exchanges
}
