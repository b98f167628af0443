//! Records of the ring buffer to events, and on to spans.

use clew::ingest::{Ingest, Outcome, Scope};
use clew::kernel::{KernelEvent, decode};
use clew::metrics::Metrics;
use clew::model::{Connection, Direction, Side, Span};
use clew::protocol::Settings;
use clew::protocol::recording::{Piece, connection};
use clew::stitch::{SequentialIds, StitchConfig, Stitcher};
use clew_common::event::{CAPTURE_MAX, CHUNK_SENT, Kind};
use divan::Bencher;

use super::recorded::{Exchanges, SAMPLE, WARM_UP};

/// Between two chunks, in nanoseconds.
const PACE: u64 = 500_000;
/// One send of a long body.
const BODY: u64 = 16 * 1024;

/// Everything is traced.
struct Everything;

impl Scope for Everything {
    fn covers(&mut self, _: &Connection) -> bool {
        true
    }
}

/// What the kernel tells of the pieces that a server receives and sends.
struct Ring {
    /// Of the streams that are received and sent.
    positions: [u64; 2],
    now: u64,
}

impl Ring {
    fn new() -> Self {
        Self {
            positions: connection(Side::Server, true).positions,
            now: 0,
        }
    }

    /// The record of a chunk: the fields of [`clew_common::event::Chunk`] and the captured bytes.
    fn record(&mut self, piece: &Piece) -> Vec<u8> {
        self.now += PACE;
        let sent = piece.direction(Side::Server) == Direction::Sent;
        let position = &mut self.positions[usize::from(sent)];
        let data = &piece.data[..piece.data.len().min(CAPTURE_MAX)];
        let (pid, tid) = (2_u32, 2_u32);
        let record = [
            &(Kind::Chunk as u32).to_ne_bytes()[..],
            &(data.len() as u32).to_ne_bytes(),
            &connection(Side::Server, true).id.0.to_ne_bytes(),
            &self.now.to_ne_bytes(),
            &pid.to_ne_bytes(),
            &tid.to_ne_bytes(),
            // A sequence number has 32 bits.
            &u64::from(*position as u32).to_ne_bytes(),
            &(piece.length() as i32).to_ne_bytes(),
            &if sent { CHUNK_SENT } else { 0 }.to_ne_bytes(),
            data,
        ];
        *position += piece.length();
        record.concat()
    }
}

/// Ingest with all that is behind it, and a server's connection.
struct Agent {
    ingest: Ingest,
    stitcher: Stitcher,
    out: Outcome,
}

impl Agent {
    fn new() -> Self {
        let metrics = Metrics::default();
        let settings = Settings::default();
        let ids = Box::new(SequentialIds::default());
        let config = StitchConfig::default();
        let mut agent = Self {
            ingest: Ingest::new(1000, 1 << 30, settings, metrics.clone()),
            stitcher: Stitcher::new(config, ids, metrics),
            out: Outcome::default(),
        };
        let connection = connection(Side::Server, true);
        let (stitcher, out) = (&mut agent.stitcher, &mut agent.out);
        let ingest = &mut agent.ingest;
        ingest.opened(connection, false, 1, &mut Everything, stitcher, out);
        agent
    }

    /// What leaves by these records.
    fn take(&mut self, records: &[Vec<u8>]) -> Vec<Span> {
        for record in records {
            let Some((KernelEvent::Chunk(chunk, data), _)) = decode(record) else {
                unreachable!("records of chunks only");
            };
            let (stitcher, out) = (&mut self.stitcher, &mut self.out);
            self.ingest.chunk(&chunk, data, stitcher, out);
        }
        self.out.commands.clear();
        std::mem::take(&mut self.out.spans)
    }
}

/// A server's connection without end: the records of its exchanges.
fn records() -> impl FnMut() -> Vec<Vec<u8>> {
    let (mut exchanges, mut ring) = (Exchanges::new(Side::Server), Ring::new());
    move || {
        let pieces = exchanges.pieces().iter();
        pieces.map(|piece| ring.record(piece)).collect()
    }
}

/// An agent that has seen exchanges for so long that as many spans leave as come, and those that have.
fn warmed(records: &mut impl FnMut() -> Vec<Vec<u8>>) -> (Vec<Span>, Agent) {
    let mut agent = Agent::new();
    let taken = (0..2 * WARM_UP).flat_map(|_| agent.take(&records()));
    let spans: Vec<_> = taken.collect();
    assert!(spans.len() >= WARM_UP);
    (spans, agent)
}

/// Spans as a server has them, at least [`WARM_UP`].
pub fn spans() -> Vec<Span> {
    warmed(&mut records()).0
}

/// The records of an exchange, read.
#[divan::bench(sample_size = SAMPLE)]
fn decode_records(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(records()).bench_local_refs(|records| {
        for record in records.iter() {
            divan::black_box(decode(record));
        }
    });
}

/// The records of an exchange, on their whole way to a span.
#[divan::bench(sample_size = SAMPLE)]
fn to_spans(bencher: Bencher<'_, '_>) {
    let mut records = records();
    let (_, mut agent) = warmed(&mut records);
    let bencher = bencher.with_inputs(records);
    bencher.bench_local_refs(|records| agent.take(records));
}

/// A chunk in the middle of a long body, which is no event: what finding the connection and the place
/// in its stream costs.
#[divan::bench]
fn body(bencher: Bencher<'_, '_>) {
    let (mut ring, mut agent) = (Ring::new(), Agent::new());
    let text = |from_client, text: &str| Piece {
        from_client,
        data: text.as_bytes().to_vec(),
        hidden: 0,
        gap: 0,
        pause: 0,
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", u64::MAX);
    let heads = [text(true, "GET / HTTP/1.1\r\n\r\n"), text(false, &head)];
    agent.take(&heads.map(|piece| ring.record(&piece)));
    let piece = Piece {
        hidden: BODY - CAPTURE_MAX as u64,
        ..text(false, &"x".repeat(CAPTURE_MAX))
    };
    let bencher = bencher.with_inputs(|| [ring.record(&piece)]);
    bencher.bench_local_refs(|records| agent.take(records));
}
