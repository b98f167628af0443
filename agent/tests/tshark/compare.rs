//! Clew's exchanges beside tshark's messages.

use std::collections::HashMap;
use std::path::Path;

use clew::model::{EndReason, Finished, ParserEvent, Side, Started, Value};
use clew::protocol::recording::{self, Piece, Player, connection};
use clew::protocol::{ALL, Entry, OF_DATAGRAMS, QueryText, Settings};

use crate::capture::Transport;
use crate::dissector::{self, Message};

/// What stands in tshark's lines for a word that it does not know.
pub const UNKNOWN: &str = "<unknown>";

/// An exchange.
pub struct Exchange {
    pub started: Started,
    pub finished: Finished,
}

impl Exchange {
    /// An attribute as text; empty where there is none.
    pub fn get(&self, key: &str) -> String {
        let attributes = self.finished.attributes.iter();
        let mut found = attributes.filter(|attribute| attribute.key == key);
        match found.next().map(|attribute| &attribute.value) {
            None => String::new(),
            Some(Value::Text(text)) => text.to_string(),
            Some(Value::Integer(number)) => number.to_string(),
            Some(Value::Bool(value)) => value.to_string(),
            Some(Value::Texts(texts)) => texts.join(","),
        }
    }
}

/// How a protocol's recordings are compared. Both sides put what they found into lines, of what both
/// know only.
pub struct Comparison {
    /// The folder of the recordings, which is also the start of the protocol's name.
    pub protocol: &'static str,
    /// How the bytes travel.
    pub transport: Transport,
    /// tshark's name of the protocol.
    pub dissector: &'static str,
    /// Which texts Clew tells.
    pub query_text: QueryText,
    /// What Clew says.
    pub clew: fn(&[Exchange]) -> Vec<String>,
    /// What tshark says.
    pub tshark: fn(&[Message]) -> Vec<String>,
    /// Recordings that one of both cannot read, and why.
    pub skipped: &'static [(&'static str, &'static str)],
    /// Where they cannot agree.
    pub exceptions: &'static [Exception],
}

impl Comparison {
    /// By TCP, with all texts; each recording is compared, without exceptions.
    pub const fn of(
        protocol: &'static str,
        dissector: &'static str,
        clew: fn(&[Exchange]) -> Vec<String>,
        tshark: fn(&[Message]) -> Vec<String>,
    ) -> Self {
        Self {
            protocol,
            transport: Transport::Tcp,
            dissector,
            query_text: QueryText::Full,
            clew,
            tshark,
            skipped: &[],
            exceptions: &[],
        }
    }
}

/// Who says what the other does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    Clew,
    Tshark,
}

/// A line that only one of both has, with the reason.
pub struct Exception {
    /// The recording, without its ending.
    pub recording: &'static str,
    /// Who has it.
    pub only: Only,
    /// The line, or the start of all such lines if it ends with `*`.
    pub line: &'static str,
    /// How many there are.
    pub times: usize,
    /// The reason.
    pub why: &'static str,
}

impl Exception {
    fn is_about(&self, line: &str) -> bool {
        match self.line.strip_suffix('*') {
            Some(start) => line.starts_with(start),
            None => line == self.line,
        }
    }
}

/// What tshark says, a line a request; how it ended is known later.
#[derive(Default)]
pub struct Lines(Vec<Line>);

struct Line {
    text: String,
    error: String,
    /// Clew has no span if it succeeds.
    hidden: bool,
}

impl Lines {
    /// A request; gives the number of its line.
    pub fn add(&mut self, text: &str) -> usize {
        self.push(text, false)
    }

    /// One that is told of only if it fails.
    pub fn only_if_it_fails(&mut self, text: &str) -> usize {
        self.push(text, true)
    }

    fn push(&mut self, text: &str, hidden: bool) -> usize {
        self.0.push(Line {
            text: text.to_owned(),
            error: String::new(),
            hidden,
        });
        self.0.len() - 1
    }

    /// It failed.
    pub fn fail(&mut self, line: usize, error: &str) {
        error.clone_into(&mut self.0[line].error);
        self.0[line].hidden = false;
    }

    /// Each with its error, which may be none.
    pub fn into_lines(self) -> Vec<String> {
        let told = self.0.iter().filter(|line| !line.hidden);
        told.map(|line| format!("{} {}", line.text, line.error))
            .collect()
    }
}

/// Plays all recordings of a protocol to both, and compares.
pub fn compare(how: &Comparison) {
    let Some(tshark) = dissector::find() else {
        return;
    };
    let recordings = recordings(how);
    assert!(!recordings.is_empty(), "{}: no recordings", how.protocol);
    let connections: Vec<_> = recordings
        .iter()
        .map(|(_, pieces)| pieces.clone())
        .collect();
    let dissected = dissector::dissect(&tshark, how.transport, how.dissector, &connections);
    let mut wrong = String::new();
    let mut agreed = 0;
    for ((name, pieces), messages) in recordings.iter().zip(&dissected) {
        if how.skipped.iter().any(|(skipped, _)| skipped == name) {
            continue;
        }
        let mut clew = (how.clew)(&exchanges(how, pieces));
        let mut tshark = (how.tshark)(messages);
        for exception in how.exceptions.iter().filter(|one| one.recording == name) {
            let lines = match exception.only {
                Only::Clew => &mut clew,
                Only::Tshark => &mut tshark,
            };
            let before = lines.len();
            lines.retain(|line| !exception.is_about(line));
            let gone = before - lines.len();
            if gone != exception.times {
                let Exception {
                    only,
                    line,
                    times,
                    why,
                    ..
                } = exception;
                wrong += &format!(
                    "{name}: {gone} lines, not {times}, of {only:?} alone: {line} ({why})\n"
                );
            }
        }
        agreed += clew.len();
        if !agree(&clew, &tshark) {
            wrong += &difference(name, &clew, &tshark);
        }
    }
    assert!(wrong.is_empty(), "{}:\n{wrong}", how.protocol);
    assert!(agreed > 0, "{}: nothing to compare", how.protocol);
    println!("{}: {agreed} lines agree", how.protocol);
}

/// The beginning of a text, which both have: Clew cuts long ones.
pub fn head(text: &str) -> String {
    text.chars().take(1000).collect()
}

/// Whether both have the same lines.
fn agree(clew: &[String], tshark: &[String]) -> bool {
    clew.len() == tshark.len() && clew.iter().zip(tshark).all(|(a, b)| are_alike(a, b))
}

/// Whether lines have the same words; where tshark has [`UNKNOWN`], Clew may have any.
fn are_alike(clew: &str, tshark: &str) -> bool {
    let (clew, tshark) = (clew.split(' '), tshark.split(' '));
    clew.clone().count() == tshark.clone().count()
        && clew.zip(tshark).all(|(a, b)| a == b || b == UNKNOWN)
}

/// Both, from where they differ.
fn difference(name: &str, clew: &[String], tshark: &[String]) -> String {
    let pairs = clew.iter().zip(tshark);
    let same = pairs.take_while(|(a, b)| are_alike(a, b)).count();
    let from = |lines: &[String]| -> String {
        let lines = lines[same..].iter();
        lines.map(|line| format!("    {line}\n")).collect()
    };
    let (clew, tshark) = (from(clew), from(tshark));
    format!("{name}, after {same} lines that agree:\n  Clew:\n{clew}  tshark:\n{tshark}")
}

/// A protocol's recordings with their names, in order.
fn recordings(how: &Comparison) -> Vec<(String, Vec<Piece>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/protocol")
        .join(how.protocol)
        .join("recordings");
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // Datagrams are told by their names, as in the protocols' own tests.
        if name.ends_with("udp") == (how.transport == Transport::Udp) {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((name, recording::parse(&text).unwrap()));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// What the client's side of a recording gives, in the order of the starts.
fn exchanges(how: &Comparison, pieces: &[Piece]) -> Vec<Exchange> {
    let connection = connection(Side::Client, true);
    let settings = Settings {
        query_text: how.query_text,
        ..Settings::default()
    };
    let parser = (entry(how).make)(&connection, &settings);
    let mut player = Player::new(parser, Side::Client);
    pieces.iter().for_each(|piece| player.play(piece));
    player.end(EndReason::Closed);
    let mut open = HashMap::new();
    let mut found = Vec::new();
    for event in player.events {
        match event {
            ParserEvent::Started(started) => {
                open.insert(started.exchange, started);
            }
            ParserEvent::Finished(finished) => {
                let started = open.remove(&finished.exchange).unwrap();
                found.push(Exchange { started, finished });
            }
        }
    }
    found.sort_by_key(|exchange| exchange.started.exchange);
    found
}

fn entry(how: &Comparison) -> &'static Entry {
    let among = match how.transport {
        Transport::Tcp => ALL,
        Transport::Udp => OF_DATAGRAMS,
    };
    let mut entries = among.iter();
    entries
        .find(|entry| entry.protocol.label().starts_with(how.protocol))
        .unwrap()
}
