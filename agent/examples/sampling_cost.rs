//! What an exchange costs the agent between the ring buffer and the exporter, kept and dropped. See
//! `docs/decisions/0008-sampling.md`.
//!
//! ```text
//! cargo run --release -p clew --example sampling_cost
//! ```
//!
//! Processor time of this thread, the best of several rounds. A server's side of HTTP/1 exchanges
//! that come from another host on one kept connection.

use std::error::Error;

use clew::metrics::{Count, Metrics};
use clew::model::{
    Address, Chunk, Connection, ConnectionId, Direction, ParserEvent, Role, Task, Timestamp,
};
use clew::protocol::{Parser, Settings, http1};
use clew::sample::{Root, Sampler};
use clew::stitch::{RandomIds, StitchConfig, Stitcher};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 9;
const EXCHANGES: u32 = 100_000;
/// Between two exchanges, by the clock of the events, in nanoseconds.
const PACE: u64 = 20_000;

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Mon, 06 Oct 2025 10:00:00 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}";

fn request(context: &str) -> Vec<u8> {
    format!(
        "GET /accounts/42/entries?from=2025-01-01&to=2025-02-01 HTTP/1.1\r\n\
         Host: ledger.example.com:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
         Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\n{context}\
         X-Forwarded-For: 203.0.113.7\r\nX-Request-Id: 4f2c9b1e7a\r\n\r\n"
    )
    .into_bytes()
}

struct Feed {
    parser: Box<dyn Parser>,
    connection: Connection,
    received: u64,
    sent: u64,
    now: u64,
    events: Vec<ParserEvent>,
}

impl Feed {
    fn new() -> Self {
        let connection = Connection {
            id: ConnectionId(1),
            address: Address::Tcp {
                local: ([10, 0, 0, 1], 8080).into(),
                remote: ([10, 0, 0, 2], 40_000).into(),
            },
            netns: 1,
            role: Role::Accepted,
            from_start: true,
            nonblocking: false,
            positions: [0; 2],
            now: [0; 2],
            pid: 1,
            time: Timestamp(0),
        };
        Self {
            parser: (http1::ENTRY.make)(&connection, &Settings::default()),
            connection,
            received: 0,
            sent: 0,
            now: 0,
            events: Vec::new(),
        }
    }

    fn exchange(&mut self, request: &[u8]) {
        self.now += PACE;
        let received = self.chunk(Direction::Received, self.received, request);
        let sent = self.chunk(Direction::Sent, self.sent, RESPONSE);
        (self.received, self.sent) = (received, sent);
    }

    fn chunk(&mut self, direction: Direction, position: u64, data: &[u8]) -> u64 {
        let chunk = Chunk {
            connection: self.connection.id,
            direction,
            position,
            gap: 0,
            length: data.len() as u64,
            data,
            time: Timestamp(self.now),
            task: Task::thread(1, 1),
        };
        self.parser.chunk(&chunk, &mut self.events);
        chunk.end()
    }
}

/// Nanoseconds of processor time.
fn used() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds per exchange; the spans that were kept.
fn measure(request: &[u8], sampler: Option<Root>) -> Result<(f64, u64), Box<dyn Error>> {
    let mut best = f64::INFINITY;
    let mut kept = 0;
    for _ in 0..ROUNDS {
        let metrics = Metrics::default();
        let config = StitchConfig {
            sampler: Sampler {
                root: sampler.unwrap_or(Root::AlwaysOn),
                parent_based: true,
            },
            ..StitchConfig::default()
        };
        let ids = Box::new(RandomIds::from_system()?);
        let mut stitcher = Stitcher::new(config, ids, metrics.clone());
        let mut feed = Feed::new();
        let mut spans = Vec::new();
        let before = used();
        for _ in 0..EXCHANGES {
            feed.exchange(request);
            for event in feed.events.drain(..) {
                if sampler.is_some() {
                    stitcher.event(&feed.connection, event, &mut spans);
                }
            }
            if spans.len() > 512 {
                spans.clear();
            }
        }
        stitcher.flush(&mut spans);
        spans.clear();
        best = best.min((used() - before) as f64 / f64::from(EXCHANGES));
        kept = metrics.counted(Count::Spans);
    }
    Ok((best, kept))
}

fn main() -> Result<(), Box<dyn Error>> {
    let none = request("");
    let context = |flags| {
        let ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        request(&format!("traceparent: 00-{ids}-{flags}\r\n"))
    };
    let (sampled, unsampled) = (context("01"), context("00"));
    println!("nanoseconds per exchange, spans kept of {EXCHANGES}");
    for (what, request, sampler) in [
        ("parsed, no more (no header)", &none, None),
        ("begins here, kept", &none, Some(Root::AlwaysOn)),
        ("begins here, dropped", &none, Some(Root::AlwaysOff)),
        ("parsed, no more (traceparent)", &sampled, None),
        ("kept by its caller", &sampled, Some(Root::AlwaysOn)),
        ("dropped by its caller", &unsampled, Some(Root::AlwaysOn)),
    ] {
        let (nanoseconds, kept) = measure(request, sampler)?;
        println!("{what:30} {nanoseconds:6.0} {kept:7}");
    }
    Ok(())
}
