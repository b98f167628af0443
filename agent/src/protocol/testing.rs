//! What every protocol's parser is held to, from recordings of real clients and servers.
//!
//! [`check`] compares what a parser makes of a recording with a file beside it that a person has read
//! (`CLEW_BLESS=1` writes it anew). [`survives`] plays the recording in other pieces, with bytes
//! missing, and cut off: nothing panics, everything that starts ends once, memory stays bounded, and
//! nothing is told that did not happen.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::recording::{Piece, Player, connection, parse};
use super::{Parser, Settings};
use crate::model::{
    Attribute, Connection, EndReason, Finished, Outcome, ParserEvent, Side, SpanKind, SpanStatus,
    Started, Value,
};

/// Makes a protocol's parser.
pub type Make = fn(&Connection, &Settings) -> Box<dyn Parser>;

/// Compares both sides' exchanges with the recording's file of expectations: `recordings/NAME.txt`
/// beside the protocol's file against `recordings/NAME.spans`.
pub fn check(directory: &str, name: &str, make: Make) {
    let pieces = recording(directory, name);
    let mut found = String::new();
    for side in [Side::Client, Side::Server] {
        writeln!(found, "{side:?}").unwrap();
        let exchanges = play(&pieces, side, true, make);
        exchanges.iter().for_each(|one| found.push_str(&told(one)));
    }
    let path = path(directory, &format!("{name}.spans"));
    if std::env::var_os("CLEW_BLESS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{}: differs from what was found:\n{found}",
        path.display()
    );
}

fn path(directory: &str, file: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.join(directory).join(file)
}

fn recording(directory: &str, name: &str) -> Vec<Piece> {
    let text = std::fs::read_to_string(path(directory, &format!("{name}.txt"))).unwrap();
    parse(&text).unwrap()
}

/// A test of each of a folder's recordings: [`check`] and [`survives`].
macro_rules! recordings {
    ($directory:expr, $make:expr, $($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            $crate::protocol::testing::check($directory, stringify!($name), $make);
            $crate::protocol::testing::survives($directory, stringify!($name), $make);
        }
    )*};
}
pub(crate) use recordings;

/// An exchange.
pub type Exchange = (Started, Finished);

/// The exchanges of a whole connection, in the order of their starts.
pub fn play(pieces: &[Piece], side: Side, from_start: bool, make: Make) -> Vec<Exchange> {
    play_after(&[], pieces, side, from_start, make)
}

/// The same after some pieces that passed unseen.
fn play_after(
    passed: &[Piece],
    pieces: &[Piece],
    side: Side,
    from_start: bool,
    make: Make,
) -> Vec<Exchange> {
    let parser = make(&connection(side, from_start), &Settings::default());
    let mut player = Player::new(parser, side);
    passed.iter().for_each(|piece| player.pass(piece));
    pieces.iter().for_each(|piece| player.play(piece));
    player.end(EndReason::Closed);
    assert!(player.memory < MEMORY_MAX, "{} bytes held", player.memory);
    exchanges(player.events)
}

/// More than a parser may hold of these recordings.
const MEMORY_MAX: usize = 1 << 20;

/// Pairs starts and ends; each start has one end, and no end comes without.
fn exchanges(events: Vec<ParserEvent>) -> Vec<Exchange> {
    let mut open: HashMap<u64, Started> = HashMap::new();
    let mut whole = BTreeMap::new();
    for event in events {
        match event {
            ParserEvent::Started(started) => {
                let number = started.exchange;
                assert!(!whole.contains_key(&number), "{number} started again");
                let twice = open.insert(number, started);
                assert!(twice.is_none(), "{number} started twice");
            }
            ParserEvent::Finished(finished) => {
                let started = open.remove(&finished.exchange);
                let started = started.expect("an end without a start");
                whole.insert(finished.exchange, (started, finished));
            }
        }
    }
    assert!(open.is_empty(), "never ended: {open:?}");
    whole.into_values().collect()
}

/// An exchange in words, without its times.
fn told((started, finished): &Exchange) -> String {
    let mut text = format!("  {}", finished.name);
    match finished.kind {
        None => {}
        Some(SpanKind::Producer) => text.push_str(" producer"),
        Some(SpanKind::Consumer) => text.push_str(" consumer"),
        Some(SpanKind::Client) => text.push_str(" client"),
        Some(SpanKind::Server) => text.push_str(" server"),
    }
    if finished.status == SpanStatus::Error {
        text.push_str(" error");
    }
    match finished.outcome {
        Outcome::Complete => {}
        Outcome::Aborted => text.push_str(" aborted"),
        Outcome::Lost => text.push_str(" lost"),
    }
    writeln!(
        text,
        " {}-{} at {}",
        started.start.0, finished.end.0, started.position
    )
    .unwrap();
    if let Some(context) = &started.context {
        writeln!(text, "    context: {context:?}").unwrap();
    }
    for Attribute { key, value } in &finished.attributes {
        match value {
            Value::Text(value) => writeln!(text, "    {key}: {value:?}"),
            Value::Integer(value) => writeln!(text, "    {key}: {value}"),
            Value::Bool(value) => writeln!(text, "    {key}: {value}"),
            Value::Texts(value) => writeln!(text, "    {key}: {value:?}"),
        }
        .unwrap();
    }
    for link in &finished.links {
        writeln!(text, "    link: {} {}", link.trace_id, link.span_id).unwrap();
    }
    for note in &finished.notes {
        writeln!(text, "    note: {note}").unwrap();
    }
    text
}

/// What must be true of an exchange wherever it is told whole: name, status and the attributes that
/// name what was done.
fn essence((started, finished): &Exchange) -> (u64, String, SpanStatus) {
    (started.position, finished.name.to_string(), finished.status)
}

/// The same ways in each run, so that a change which breaks one is known by it. `PROPTEST_RNG_SEED` and
/// `PROPTEST_CASES` look for others; the fuzz targets do all the time.
fn config() -> ProptestConfig {
    let default = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_RNG_SEED").is_some() {
        return default;
    }
    ProptestConfig {
        cases: 64,
        rng_seed: RngSeed::Fixed(0x0c1e_4000),
        ..default
    }
}

/// Plays a recording in every way in which a capture may spoil it.
pub fn survives(directory: &str, name: &str, make: Make) {
    let pieces = recording(directory, name);
    let sides = [Side::Client, Side::Server];
    let whole = sides.map(|side| play(&pieces, side, true, make));
    let config = config();
    proptest!(config, |(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 1..9usize), 0..8),
        losses in proptest::collection::vec((any::<prop::sample::Index>(), 1..200usize), 0..3),
        hides in proptest::collection::vec((any::<prop::sample::Index>(), 0..64usize), 0..3),
        from in any::<prop::sample::Index>(),
        late in any::<bool>(),
        side in 0..2usize,
    )| {
        let exact = losses.is_empty() && hides.is_empty() && !late;
        let mut spoiled = pieces.clone();
        for (at, length) in cuts {
            let at = at.index(spoiled.len());
            cut(&mut spoiled, at, length);
        }
        for (at, seen) in hides {
            let piece = &mut spoiled[at.index(pieces.len())];
            let seen = seen.min(piece.data.len());
            piece.hidden += (piece.data.len() - seen) as u64;
            piece.data.truncate(seen);
        }
        for (at, length) in losses {
            lose(&mut spoiled, at.index(pieces.len()), length);
        }
        let from = if late { from.index(spoiled.len()) } else { 0 };
        let (passed, seen) = spoiled.split_at(from);
        let found = play_after(passed, seen, sides[side], !late, make);
        let whole = whole[side].iter();
        if exact {
            let expected: Vec<_> = whole.map(essence).collect();
            let found: Vec<_> = found.iter().map(essence).collect();
            prop_assert_eq!(found, expected);
            return Ok(());
        }
        // Positions are true, so every exchange can be told from others by its own.
        let truth: HashMap<_, _> = whole.map(|one| (essence(one).0, essence(one))).collect();
        for one in found.iter().filter(|one| one.1.outcome == Outcome::Complete) {
            let one = essence(one);
            let invented = format!("invented: {one:?}");
            prop_assert_eq!(truth.get(&one.0), Some(&one), "{}", invented);
        }
    });
}

/// Joins a recording at each of its pieces, as it is and as one sees it who takes the heads of messages by
/// themselves, in so many bytes: the same is told.
pub fn takes_heads(directory: &str, name: &str, make: Make, heads: &[usize]) {
    let pieces = recording(directory, name);
    for from in 0..pieces.len() {
        let (passed, seen) = pieces.split_at(from);
        let mut in_pieces = seen.to_vec();
        for at in (0..seen.len()).rev() {
            // From the back: each cut leaves the front where it is.
            let mut end = heads.iter().sum::<usize>();
            for length in heads.iter().rev() {
                cut(&mut in_pieces, at, end);
                end -= length;
            }
        }
        for side in [Side::Client, Side::Server] {
            let [whole, found] = [seen, &in_pieces].map(|seen| {
                let found = play_after(passed, seen, side, false, make);
                found.iter().map(essence).collect::<Vec<_>>()
            });
            assert_eq!(found, whole, "{name} at the {side:?} from piece {from}");
        }
    }
}

/// Cuts a piece in two, `length` bytes from its start.
fn cut(pieces: &mut Vec<Piece>, at: usize, length: usize) {
    let piece = &mut pieces[at];
    if piece.data.len() <= length {
        return;
    }
    let rest = Piece {
        data: piece.data.split_off(length),
        gap: 0,
        pause: 0,
        ..*piece
    };
    piece.hidden = 0;
    pieces.insert(at + 1, rest);
}

/// Loses the first bytes of a piece, and then those of the next one that went the same way.
fn lose(pieces: &mut [Piece], at: usize, mut length: usize) {
    let from_client = pieces[at].from_client;
    let mut lost = 0;
    for piece in &mut pieces[at..] {
        if piece.from_client != from_client {
            continue;
        }
        let seen = length.min(piece.data.len());
        piece.data.drain(..seen);
        length -= seen;
        if piece.data.is_empty() {
            lost += seen as u64 + piece.hidden + piece.gap;
            piece.hidden = 0;
            piece.gap = 0;
            continue;
        }
        piece.gap += lost + seen as u64;
        return;
    }
}
