//! Connections as scripts: what moved, line by line, against the exchanges that come of it.
//!
//! A line is `in` or `out` (what the process received or sent), options, a colon, and the bytes,
//! where `|` stands for CR LF and `\n`, `\t` for themselves. Options: `gap=N` lost bytes before
//! it, `hidden=N` uncaptured bytes at its end. `end REASON` ends the connection or a direction.
//! The time of a line is its number. Received bytes are at offset 1000, sent ones at 5000; what
//! receives is task 1, what sends task 2.

mod attributes;
mod contexts;
mod exchanges;
mod losses;
mod properties;
mod recordings;

use std::fmt::Write;
use std::sync::Arc;

use super::*;
use crate::model::{
    ConnectionId, EndReason, Finished, Outcome, Role, SpanStatus, Started, Task, Timestamp, Value,
};

/// The stream offset of the first received and the first sent byte.
const START: [u64; 2] = [1000, 5000];

#[derive(Clone, Debug)]
struct Piece {
    direction: Direction,
    gap: u64,
    hidden: u64,
    data: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Line {
    Piece(Piece),
    End(EndReason),
}

fn lines(script: &str) -> Vec<Line> {
    script
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty())
        .map(|line| match line.strip_prefix("end ") {
            Some(reason) => Line::End(match reason {
                "peer" => EndReason::PeerClosed,
                "local" => EndReason::LocalClosed,
                "closed" => EndReason::Closed,
                "reset" => EndReason::Failed(104),
                "timeout" => EndReason::Failed(110),
                "unreachable" => EndReason::Failed(113),
                "exit" => EndReason::ProcessExited,
                "forgotten" => EndReason::Forgotten,
                other => panic!("no such end: {other}"),
            }),
            None => Line::Piece(piece(line)),
        })
        .collect()
}

fn piece(line: &str) -> Piece {
    let (head, text) = line.split_once(':').expect("a colon");
    let mut words = head.split_whitespace();
    let direction = match words.next() {
        Some("in") => Direction::Received,
        Some("out") => Direction::Sent,
        other => panic!("no such direction: {other:?}"),
    };
    let mut piece = Piece {
        direction,
        gap: 0,
        hidden: 0,
        data: text
            .strip_prefix(' ')
            .unwrap_or(text)
            .replace('|', "\r\n")
            .replace("\\n", "\n")
            .replace("\\t", "\t")
            .into_bytes(),
    };
    for option in words {
        let (name, number) = option.split_once('=').expect("an option");
        let number = number.parse().expect("a number");
        match name {
            "gap" => piece.gap = number,
            "hidden" => piece.hidden = number,
            other => panic!("no such option: {other}"),
        }
    }
    piece
}

/// A connection that is played to a parser.
struct Player {
    parser: Http1,
    position: [u64; 2],
    time: u64,
    events: Vec<ParserEvent>,
    /// Highest [`Parser::memory`].
    memory: usize,
}

fn connection(from_start: bool) -> Connection {
    Connection {
        id: ConnectionId(1),
        address: Address::Tcp {
            local: ([127, 0, 0, 1], 8080).into(),
            remote: ([127, 0, 0, 1], 40_000).into(),
        },
        netns: 1,
        role: Role::Unknown,
        from_start,
        nonblocking: false,
        positions: START,
        now: START,
        pid: 1,
        time: Timestamp(0),
    }
}

impl Player {
    fn new(connection: &Connection, limits: Limits) -> Self {
        Self {
            parser: Http1::new(connection, limits, &Arc::default(), &Arc::default()),
            position: START,
            time: 0,
            events: Vec::new(),
            memory: 0,
        }
    }

    fn play(&mut self, line: &Line) {
        self.time += 1;
        match line {
            Line::Piece(piece) => self.piece(piece),
            Line::End(reason) => self.parser.ended(
                &ConnectionEnd {
                    connection: ConnectionId(1),
                    reason: *reason,
                    time: Timestamp(self.time),
                },
                &mut self.events,
            ),
        }
        self.memory = self.memory.max(self.parser.memory());
    }

    fn piece(&mut self, piece: &Piece) {
        let position = &mut self.position[index(piece.direction)];
        *position += piece.gap;
        let chunk = Chunk {
            connection: ConnectionId(1),
            direction: piece.direction,
            position: *position,
            gap: piece.gap,
            length: piece.data.len() as u64 + piece.hidden,
            data: &piece.data,
            time: Timestamp(self.time),
            task: Task::thread(1, index(piece.direction) as u32 + 1),
        };
        if chunk.length == 0 {
            return;
        }
        *position += chunk.length;
        self.parser.chunk(&chunk, &mut self.events);
    }

    /// Ends the connection and checks what must hold of any.
    fn finish(mut self) -> Vec<ParserEvent> {
        self.play(&Line::End(EndReason::Closed));
        let mut open = Vec::new();
        for (number, event) in self.events.iter().filter_map(started).enumerate() {
            assert_eq!(event.exchange, number as u64, "exchanges are counted");
        }
        for event in &self.events {
            match event {
                ParserEvent::Started(started) => open.push(started.exchange),
                ParserEvent::Finished(finished) => {
                    let at = open.iter().position(|open| *open == finished.exchange);
                    open.remove(at.expect("finished once, after its start"));
                }
            }
        }
        assert!(open.is_empty(), "never finished: {open:?}");
        self.events
    }
}

fn started(event: &ParserEvent) -> Option<&Started> {
    match event {
        ParserEvent::Started(started) => Some(started),
        ParserEvent::Finished(_) => None,
    }
}

fn attribute<'a>(finished: &'a Finished, key: &str) -> Option<&'a Value> {
    let mut found = finished.attributes.iter().filter(|a| a.key == key);
    let value = found.next().map(|attribute| &attribute.value);
    assert_eq!(found.count(), 0, "{key} is there twice");
    value
}

fn shown(finished: &Finished, key: &str) -> String {
    match attribute(finished, key) {
        Some(Value::Text(text)) => text.to_string(),
        Some(Value::Integer(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => "-".to_owned(),
    }
}

/// One line per exchange, in the order of their requests:
/// `number side @offset start..end outcome name target status`, then what is there of
/// `req=` and `res=` (body sizes), `error=`, `ctx=` and `(notes)`.
fn render(events: &[ParserEvent]) -> String {
    let mut text = String::new();
    for start in events.iter().filter_map(started) {
        let finished = events.iter().find_map(|event| match event {
            ParserEvent::Finished(finished) if finished.exchange == start.exchange => {
                Some(finished)
            }
            _ => None,
        });
        let side = match start.side {
            Side::Server => "server",
            Side::Client => "client",
        };
        let base = START[usize::from(start.side == Side::Client)];
        let (number, at, from) = (start.exchange, start.position - base, start.start.0);
        let _ = write!(text, "{number} {side} @{at} {from}..");
        match finished {
            Some(finished) => render_finished(&mut text, finished),
            None => text.push_str(" open"),
        }
        let origin = start.context.as_ref().and_then(|context| context.origin);
        if let Some(span) = origin.and_then(|origin| origin.span_id) {
            let _ = write!(text, " ctx={span}");
        }
        text.push('\n');
    }
    text
}

fn render_finished(text: &mut String, finished: &Finished) {
    let outcome = match finished.outcome {
        Outcome::Complete => "complete",
        Outcome::Aborted => "aborted",
        Outcome::Lost => "lost",
    };
    let target = match shown(finished, "url.path").as_str() {
        "-" => shown(finished, "url.full"),
        path => path.to_owned(),
    };
    let status = shown(finished, "http.response.status_code");
    let _ = write!(
        text,
        "{} {outcome} {} {target} {status}",
        finished.end.0, finished.name
    );
    for (label, key) in [
        ("req", "http.request.body.size"),
        ("res", "http.response.body.size"),
        ("error", "error.type"),
    ] {
        if attribute(finished, key).is_some() {
            let _ = write!(text, " {label}={}", shown(finished, key));
        }
    }
    let failed = attribute(finished, "error.type").is_some();
    assert_eq!(failed, finished.status == SpanStatus::Error);
    if !finished.notes.is_empty() {
        let _ = write!(text, " ({})", finished.notes.join(", "));
    }
}

/// Plays a script on a connection seen from its first byte on.
#[track_caller]
fn check(script: &str, expected: &str) {
    check_with(&connection(true), Limits::default(), script, expected);
}

#[track_caller]
fn check_with(connection: &Connection, limits: Limits, script: &str, expected: &str) {
    let mut player = Player::new(connection, limits);
    for line in lines(script) {
        player.play(&line);
    }
    let found = render(&player.events);
    player.finish();
    let expected: Vec<_> = expected
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected, "\n{script}");
}
