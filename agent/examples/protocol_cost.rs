//! What it costs to parse an exchange of each protocol, from recordings of real clients and servers.
//!
//! ```text
//! cargo xtask bench protocols
//! ```
//!
//! Each recording is played to a new parser again and again, for the client's side and the server's.
//! What is measured is the parsers' work and the making of connections, spread over the exchanges of
//! the recording: short recordings look dearer than long connections are.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clew::model::{EndReason, ParserEvent, Side};
use clew::protocol::recording::{Piece, Player, connection, parse};
use clew::protocol::{Entry, Sample, Settings, identify};

/// For how long each recording is played.
const TIME: Duration = Duration::from_millis(400);

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
    let mut costs: BTreeMap<&str, Cost> = BTreeMap::new();
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
            if let Some(entry) = known(&pieces) {
                let cost = costs.entry(entry.protocol.label()).or_default();
                [Side::Client, Side::Server]
                    .into_iter()
                    .for_each(|side| measure(&entry, &pieces, side, cost));
            }
        }
    }
    println!(
        "| protocol | exchanges/s on one core | ns an exchange | allocations | bytes allocated |"
    );
    println!("|---|---|---|---|---|");
    for (protocol, cost) in costs {
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

fn measure(entry: &Entry, pieces: &[Piece], side: Side, cost: &mut Cost) {
    let settings = Settings::default();
    let connection = connection(side, true);
    let play = || {
        let mut player = Player::new((entry.make)(&connection, &settings), side);
        let mut exchanges = 0;
        for piece in pieces {
            player.play(piece);
            // The agent takes events from the parser as they come.
            exchanges += finished(&mut player.events);
        }
        player.end(EndReason::Closed);
        exchanges + finished(&mut player.events)
    };
    if play() == 0 {
        return;
    }
    let begun = Instant::now();
    let counters = [&ALLOCATIONS, &BYTES];
    let before = counters.map(|counter| counter.load(Ordering::Relaxed));
    while begun.elapsed() < TIME {
        cost.exchanges += (0..16).map(|_| play()).sum::<u64>();
    }
    cost.time += begun.elapsed();
    let after = counters.map(|counter| counter.load(Ordering::Relaxed));
    cost.allocations += after[0] - before[0];
    cost.bytes += after[1] - before[1];
}

fn finished(events: &mut Vec<ParserEvent>) -> u64 {
    let is_end = |event: &ParserEvent| matches!(event, ParserEvent::Finished(_));
    let count = events.drain(..).filter(is_end).count();
    count as u64
}
