//! Recorded connections: what a real client and a real server said, to be played to parsers by tests,
//! fuzzers and benchmarks.
//!
//! A recording is text, one line a read of the recorder (`tests/services/record.py`):
//!
//! ```text
//! # what was recorded
//! c GET x\r\n          the client sent this
//! s VALUE\x00\xff      the server did
//! s+5000 abc           the server sent this and 5000 bytes more, which were not captured
//! c-9 abc              nine bytes of the client's were lost, then it sent this
//! c@300 abc            nothing was said for 300 ms, then the client sent this
//! ```
//!
//! Bytes are written as [`std::ascii::escape_default`] writes them.

use std::fmt;

use crate::model::{
    Address, Chunk, Connection, ConnectionEnd, ConnectionId, Direction, EndReason, ParserEvent,
    Role, Side, Task, Timestamp,
};

use super::{Parser, Settings};

/// Some bytes that went one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The client sent them.
    pub from_client: bool,
    /// Those that were captured.
    pub data: Vec<u8>,
    /// How many more there were.
    pub hidden: u64,
    /// How many were lost before it.
    pub gap: u64,
    /// How long nothing was said before it, in milliseconds, where that matters.
    pub pause: u64,
}

impl Piece {
    /// How many bytes moved.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.data.len() as u64 + self.hidden
    }

    /// The way it went, seen from a side.
    #[must_use]
    pub const fn direction(&self, side: Side) -> Direction {
        match (side, self.from_client) {
            (Side::Client, true) | (Side::Server, false) => Direction::Sent,
            (Side::Client, false) | (Side::Server, true) => Direction::Received,
        }
    }
}

/// A line that is none of a recording.
#[derive(Debug)]
pub struct NoRecording {
    line: usize,
}

impl fmt::Display for NoRecording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is not one of a recording", self.line)
    }
}

impl std::error::Error for NoRecording {}

/// Reads a recording.
///
/// # Errors
/// Names the first line that is not as it should be.
pub fn parse(text: &str) -> Result<Vec<Piece>, NoRecording> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| piece(line).ok_or(NoRecording { line: index + 1 }))
        .collect()
}

/// Reads a line, if it is one of a recording.
#[must_use]
pub fn piece(line: &str) -> Option<Piece> {
    let (head, text) = line.split_once(' ')?;
    let number = |text: &str| text.parse::<u32>().ok().map(u64::from);
    let (head, pause) = match head.split_once('@') {
        Some((head, pause)) => (head, number(pause)?),
        None => (head, 0),
    };
    let (who, hidden, gap) = match (head.split_once('+'), head.split_once('-')) {
        (Some((who, hidden)), _) => (who, number(hidden)?, 0),
        (_, Some((who, gap))) => (who, 0, number(gap)?),
        (None, None) => (head, 0, 0),
    };
    let from_client = match who {
        "c" => true,
        "s" => false,
        _ => return None,
    };
    Some(Piece {
        from_client,
        data: unescape(text)?,
        hidden,
        gap,
        pause,
    })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b't' => b'\t',
            b'r' => b'\r',
            b'n' => b'\n',
            b'x' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                u8::from_str_radix(digits, 16).ok()?
            }
            other => other,
        });
    }
    Some(bytes)
}

/// Plays a connection to a parser. The time of a piece is its number, in nanoseconds, and the pauses so far;
/// the client is process 1, the
/// server process 2; the client's bytes begin at offset 1000 of their stream, the server's at 5000.
pub struct Player {
    parser: Box<dyn Parser>,
    connection: Connection,
    settings: Settings,
    side: Side,
    /// Of the client's stream, of the server's.
    positions: [u64; 2],
    time: u64,
    /// What the parser said.
    pub events: Vec<ParserEvent>,
    /// The highest [`Parser::memory`].
    pub memory: usize,
}

/// A connection as a player plays it.
#[must_use]
pub fn connection(side: Side, from_start: bool) -> Connection {
    let addresses = [([127, 0, 0, 1], 40_000).into(), ([127, 0, 0, 1], 80).into()];
    let (local, remote, role) = match side {
        Side::Client => (addresses[0], addresses[1], Role::Connected),
        Side::Server => (addresses[1], addresses[0], Role::Accepted),
    };
    let mut positions = [1000, 5000];
    if side == Side::Client {
        positions.reverse();
    }
    Connection {
        id: ConnectionId(1),
        address: Address::Tcp { local, remote },
        netns: 1,
        role: if from_start { role } else { Role::Unknown },
        from_start,
        nonblocking: false,
        positions,
        now: positions,
        pid: if side == Side::Client { 1 } else { 2 },
        time: Timestamp(0),
    }
}

impl Player {
    /// One side's parser, made for [`connection`].
    #[must_use]
    pub fn new(parser: Box<dyn Parser>, side: Side) -> Self {
        Self::with(parser, side, Settings::default())
    }

    /// The same with settings made before, for who counts what a connection costs: to make them is
    /// dearer than a parser.
    #[must_use]
    pub fn with(parser: Box<dyn Parser>, side: Side, settings: Settings) -> Self {
        Self {
            parser,
            connection: connection(side, true),
            settings,
            side,
            positions: [1000, 5000],
            time: 0,
            events: Vec::new(),
            memory: 0,
        }
    }

    /// Lets a piece pass unseen: the connection is joined later.
    pub fn pass(&mut self, piece: &Piece) {
        self.wait(piece);
        self.positions[usize::from(!piece.from_client)] += piece.gap + piece.length();
    }

    /// Plays a piece.
    pub fn play(&mut self, piece: &Piece) {
        self.wait(piece);
        let position = &mut self.positions[usize::from(!piece.from_client)];
        *position += piece.gap;
        let chunk = Chunk {
            connection: ConnectionId(1),
            direction: piece.direction(self.side),
            position: *position,
            gap: piece.gap,
            length: piece.length(),
            data: &piece.data,
            time: Timestamp(self.time),
            task: match self.side {
                Side::Client => Task::thread(1, 1),
                Side::Server => Task::thread(2, 2),
            },
        };
        *position += piece.length();
        if chunk.length > 0 {
            super::play(
                &mut self.parser,
                &self.connection,
                &self.settings,
                &chunk,
                &mut self.events,
            );
        }
        self.memory = self.memory.max(self.parser.memory());
    }

    fn wait(&mut self, piece: &Piece) {
        let passed = 1 + piece.pause * 1_000_000;
        self.time = self.time.saturating_add(passed);
    }

    /// Ends the connection.
    pub fn end(&mut self, reason: EndReason) {
        self.time += 1;
        let end = ConnectionEnd {
            connection: ConnectionId(1),
            reason,
            time: Timestamp(self.time),
        };
        self.parser.ended(&end, &mut self.events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let pieces = parse("# text\nc a\\r\\n\\x00\\\\\n\ns+7 b c\nc-2@30 d").unwrap();
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[0].data, b"a\r\n\0\\");
        assert!(pieces[0].from_client && !pieces[1].from_client);
        assert_eq!(
            (pieces[1].data.as_slice(), pieces[1].hidden),
            (&b"b c"[..], 7)
        );
        assert_eq!((pieces[2].gap, pieces[2].pause), (2, 30));
        for text in ["x a", "c", "c \\x1", "c+x a", "c@ a"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
