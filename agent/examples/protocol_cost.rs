//! What it costs to parse an exchange of each protocol, from recordings of real clients and servers.
//!
//! ```text
//! cargo xtask bench protocols
//! ```
//!
//! The recordings of a protocol are played in turn, each to a new parser for the client's side and to one
//! for the server's, again and again.
//! What is measured is the parsers' work and the making of connections, spread over the exchanges of
//! the recording: short recordings look dearer than long connections are. Time is this thread's
//! processor time, which other programs do not add to. For HTTP/1 without the making of connections,
//! and for the steps before and after parsing, see `benches/micro`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clew::model::{EndReason, ParserEvent, Side};
use clew::protocol::recording::{Piece, Player, connection, parse};
use clew::protocol::{Entry, Sample, Settings, identify};
use rustix::time::{ClockId, clock_gettime};

/// For how long each protocol's recordings are played.
const TIME: Duration = Duration::from_secs(2);

/// Counts what is allocated.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: it does what the system's allocator does, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: promised by the caller.
        unsafe { System.dealloc(place, layout) }
    }

    // What grows is one more allocation, though it may stay where it is; its bytes are those it grows by.
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(size.saturating_sub(layout.size()) as u64, Ordering::Relaxed);
        // SAFETY: promised by the caller.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What was measured of a protocol.
#[derive(Default)]
struct Cost {
    exchanges: u64,
    time: Duration,
    allocations: u64,
    bytes: u64,
}

fn main() {
    let protocols = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol");
    let settings = Settings::default();
    let mut recordings: BTreeMap<&str, Vec<Recording<'_>>> = BTreeMap::new();
    for folder in std::fs::read_dir(protocols).into_iter().flatten().flatten() {
        let files = std::fs::read_dir(folder.path().join("recordings"));
        for file in files.into_iter().flatten().flatten() {
            // Beside the recordings are the files of what they must give.
            if file.path().extension().is_none_or(|ending| ending != "txt") {
                continue;
            }
            let Ok(text) = std::fs::read_to_string(file.path()) else {
                continue;
            };
            let Ok(pieces) = parse(&text) else { continue };
            let Some(entry) = known(&pieces) else {
                continue;
            };
            let of_protocol = recordings.entry(entry.protocol.label()).or_default();
            for side in [Side::Client, Side::Server] {
                let recording = Recording {
                    entry,
                    pieces: pieces.clone(),
                    side,
                    settings: &settings,
                };
                if recording.play() > 0 {
                    of_protocol.push(recording);
                }
            }
        }
    }
    println!(
        "| protocol | exchanges/s on one core | ns an exchange | allocations | bytes allocated |"
    );
    println!("|---|---|---|---|---|");
    for (protocol, recordings) in recordings {
        let cost = measure(&recordings);
        let exchanges = cost.exchanges.max(1) as f64;
        println!(
            "| {protocol} | {:.0} | {:.0} | {:.1} | {:.0} |",
            exchanges / cost.time.as_secs_f64(),
            cost.time.as_nanos() as f64 / exchanges,
            cost.allocations as f64 / exchanges,
            cost.bytes as f64 / exchanges,
        );
    }
}

fn known(pieces: &[Piece]) -> Option<Entry> {
    let mut seen = [false; 2];
    pieces.iter().find_map(|piece| {
        let from_start = !std::mem::replace(&mut seen[usize::from(piece.from_client)], true);
        let sender = if piece.from_client {
            Side::Client
        } else {
            Side::Server
        };
        identify(&Sample {
            direction: piece.direction(Side::Client),
            sender: from_start.then_some(sender),
            from_start,
            bytes: &piece.data,
            length: piece.length(),
        })
        .ok()
    })
}

/// What is played, and as whom it is seen.
struct Recording<'s> {
    entry: Entry,
    pieces: Vec<Piece>,
    side: Side,
    settings: &'s Settings,
}

impl Recording<'_> {
    /// Returns how many exchanges it has.
    fn play(&self) -> u64 {
        let parser = (self.entry.make)(&connection(self.side, true), self.settings);
        let mut player = Player::with(parser, self.side, self.settings.clone());
        let mut exchanges = 0;
        for piece in &self.pieces {
            player.play(piece);
            // The agent takes events from the parser as they come.
            exchanges += finished(&mut player.events);
        }
        player.end(EndReason::Closed);
        exchanges + finished(&mut player.events)
    }
}

fn measure(recordings: &[Recording<'_>]) -> Cost {
    let counters = || [&ALLOCATIONS, &BYTES].map(|counter| counter.load(Ordering::Relaxed));
    let (begun, before) = (used(), counters());
    let mut cost = Cost::default();
    while cost.time < TIME {
        cost.exchanges += recordings.iter().map(Recording::play).sum::<u64>();
        cost.time = used() - begun;
    }
    let after = counters();
    cost.allocations = after[0] - before[0];
    cost.bytes = after[1] - before[1];
    cost
}

/// Processor time of this thread so far.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn finished(events: &mut Vec<ParserEvent>) -> u64 {
    let is_end = |event: &ParserEvent| matches!(event, ParserEvent::Finished(_));
    let count = events.drain(..).filter(is_end).count();
    count as u64
}
