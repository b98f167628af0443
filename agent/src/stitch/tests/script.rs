//! A compact language for event sequences.
//!
//! ```text
//! link A                  a TCP connection; `nonblocking`, `unix`, `late` (seen late) and `late<`
//!                         (by its server's end only) may follow, `nat` (addresses are translated
//!                         on the way), and `like=B`: it has the addresses of link B
//! 10 1.2 A> start         at 10 µs thread 2 of process 1 begins the next exchange on A's client end
//! 12 3.3 A< start         the same seen by the server; `ctx=T/S`, `ctx=T/S/unsampled` and
//!                         `ctx=T/S/deferred` add a header (`-` for no trace, no span), `pos=N` a
//!                         position that is not the usual one, `answer=N` where the response stream
//!                         stands, if that is not the usual place, `telemetry` that the request
//!                         carries some; `option=T/S` is what came in a TCP option, `sent=T/S` what the
//!                         kernel let leave with a request, and `cause=A<` what it took for its cause
//! 20 3.3 A< end           the oldest exchange on that end is over; `aborted` may follow
//! 21 1.2 begins 1.3       a thread (or with another process's id, a process) is created
//! 22 1.3 ends
//! 90 tick
//! exit 3, close A>, flush
//! ```
//!
//! What comes out is one line a span, in the order in which they leave:
//! `A<0 a 12..20 socket A>0`: the exchange, its trace (a, b, … in the order of appearance, or the
//! header's), its time in µs, its parent or the reason for having none.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

use crate::metrics::Metrics;
use crate::model::{
    Address, Carried, Cause, Connection, ConnectionId, Finished, NoParent, Origin, Outcome, Parent,
    ParserEvent, Provenance, RemoteContext, Role, Side, Span, SpanId, SpanStatus, Started, Task,
    Timestamp, TraceFlags, TraceId,
};
use crate::stitch::{IdSource, SequentialIds, StitchConfig, Stitcher};

/// Header trace ids in scripts are moved up here, away from the sequential ones.
const HEADER_TRACES: u128 = 1 << 64;
const HEADER_SPANS: u64 = 1 << 32;

pub(super) struct Script {
    pub stitcher: Stitcher,
    pub metrics: Metrics,
    pub out: Vec<Span>,
    connections: HashMap<String, Connection>,
    open: HashMap<String, VecDeque<u64>>,
    counts: HashMap<String, u64>,
    /// Names of exchanges in the order of their span ids.
    names: Vec<String>,
}

/// Runs a script and compares what comes out.
#[track_caller]
pub(super) fn check(script: &str, expected: &str) {
    let mut run = Script::new(StitchConfig::default());
    run.lines(script);
    let trim = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    assert_eq!(run.printed(), trim(expected));
}

impl Script {
    pub fn new(config: StitchConfig) -> Self {
        Self::with_ids(config, Box::new(SequentialIds::default()))
    }

    /// Span ids must count from 1.
    pub fn with_ids(config: StitchConfig, ids: Box<dyn IdSource>) -> Self {
        let metrics = Metrics::default();
        Self {
            stitcher: Stitcher::new(config, ids, metrics.clone()),
            metrics,
            out: Vec::new(),
            connections: HashMap::new(),
            open: HashMap::new(),
            counts: HashMap::new(),
            names: Vec::new(),
        }
    }

    pub fn lines(&mut self, script: &str) {
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            self.line(&words);
        }
    }

    fn line(&mut self, words: &[&str]) {
        match words {
            ["link", name, flags @ ..] => self.link(name, flags),
            ["flush"] => self.stitcher.flush(&mut self.out),
            ["exit", pid] => self.stitcher.process_exited(number(pid)),
            ["close", end] => self.stitcher.connection_ended(self.connections[*end].id),
            [time, "tick"] => self.stitcher.tick(micros(time), &mut self.out),
            [time, creator, "begins", task] => {
                self.stitcher.tick(micros(time), &mut self.out);
                self.stitcher.task_began(thread(creator), thread(task));
            }
            [time, task, "ends"] => {
                self.stitcher.tick(micros(time), &mut self.out);
                self.stitcher.task_ended(thread(task));
            }
            [time, task, end, "start", more @ ..] => self.start(micros(time), task, end, more),
            [time, task, end, "end", more @ ..] => self.end(micros(time), task, end, more),
            _ => panic!("not understood: {words:?}"),
        }
    }

    fn link(&mut self, name: &str, flags: &[&str]) {
        let n = self.connections.len() as u64;
        let like = flags.iter().find_map(|flag| flag.strip_prefix("like="));
        let port = match like.map(|name| &self.connections[&format!("{name}>")].address) {
            Some(Address::Tcp { local, .. }) => local.port().into(),
            _ => 40_000 + n,
        };
        let address = |host: &str, port: u64| format!("{host}:{port}").parse().expect("address");
        let (here, there) = (address("10.0.0.1", port), address("10.0.0.1", 80));
        let nat = flags.contains(&"nat");
        for (side, id) in [('>', n + 1), ('<', n + 2)] {
            let client = side == '>';
            let (local, remote) = match (client, nat) {
                (true, false) => (here, there),
                (true, true) => (here, address("10.96.0.10", 80)),
                (false, false) => (there, here),
                (false, true) => (there, address("10.0.0.254", 61_000 + n)),
            };
            let late = flags.contains(&"late") || !client && flags.contains(&"late<");
            let address = if flags.contains(&"unix") {
                let (socket, peer) = if client {
                    (n + 101, n + 102)
                } else {
                    (n + 102, n + 101)
                };
                let path = "/run/app".to_owned();
                Address::Unix { path, socket, peer }
            } else {
                Address::Tcp { local, remote }
            };
            let connection = Connection {
                id: ConnectionId(id),
                address,
                netns: 1,
                role: if client {
                    Role::Connected
                } else {
                    Role::Accepted
                },
                from_start: !late,
                nonblocking: flags.contains(&"nonblocking"),
                positions: [answers(n); 2],
                now: [answers(n); 2],
                pid: 0,
                time: Timestamp(0),
            };
            self.connections.insert(format!("{name}{side}"), connection);
        }
    }

    fn start(&mut self, time: Timestamp, task: &str, end: &str, more: &[&str]) {
        let count = self.counts.entry(end.to_owned()).or_default();
        let exchange = *count;
        *count += 1;
        self.open
            .entry(end.to_owned())
            .or_default()
            .push_back(exchange);
        self.names.push(format!("{end}{exchange}"));
        let option = |key: &str| more.iter().find_map(|word| word.strip_prefix(key));
        let cause = option("cause=").map(|end| Cause::Thread(self.connections[end].id));
        let sent = |span_id| Provenance::Sent {
            span_id,
            cause: cause.unwrap_or(Cause::None(NoParent::NotServing)),
        };
        let carried = option("option=")
            .map(|named| carried(named, Provenance::Option))
            .or_else(|| option("sent=").map(|named| carried(named, sent)));
        let connection = self.connections.get_mut(end).expect("a link");
        let answers = connection.positions[0] + exchange * 50;
        connection.now = [option("answer=").map_or(answers, number); 2];
        let event = ParserEvent::Started(Started {
            exchange,
            side: if end.ends_with('>') {
                Side::Client
            } else {
                Side::Server
            },
            position: option("pos=").map_or(exchange * 100, number),
            start: time,
            task: thread(task),
            carried,
            context: option("ctx=").map(context),
            overlapping: false,
            telemetry: more.contains(&"telemetry"),
        });
        self.stitcher
            .event(&self.connections[end], event, &mut self.out);
    }

    fn end(&mut self, time: Timestamp, task: &str, end: &str, more: &[&str]) {
        let open = self.open.get_mut(end).and_then(VecDeque::pop_front);
        let event = ParserEvent::Finished(Finished {
            exchange: open.expect("an open exchange"),
            end: time,
            task: Some(thread(task)),
            outcome: if more.contains(&"aborted") {
                Outcome::Aborted
            } else {
                Outcome::Complete
            },
            name: "GET".into(),
            status: SpanStatus::Unset,
            attributes: Vec::new(),
            kind: None,
            links: Vec::new(),
            notes: Vec::new(),
        });
        self.stitcher
            .event(&self.connections[end], event, &mut self.out);
    }

    pub fn connection(&self, end: &str) -> &Connection {
        &self.connections[end]
    }

    pub fn printed(&self) -> String {
        let mut traces: Vec<TraceId> = Vec::new();
        let mut text = String::new();
        for span in &self.out {
            let trace = if span.trace_id.0 >= HEADER_TRACES {
                format!("{}", span.trace_id.0 - HEADER_TRACES)
            } else {
                let known = traces.iter().position(|trace| *trace == span.trace_id);
                let n = known.unwrap_or_else(|| {
                    traces.push(span.trace_id);
                    traces.len() - 1
                });
                char::from(b'a' + u8::try_from(n).expect("few traces")).to_string()
            };
            let parent = match span.parent {
                Parent::Span { id, evidence } => format!("{} {}", evidence.label(), self.name(id)),
                Parent::None(why) => why.label().to_owned(),
            };
            let (name, start, end) = (self.name(span.span_id), span.start.0, span.end.0);
            let (start, end) = (start / 1000, end / 1000);
            writeln!(text, "{name} {trace} {start}..{end} {parent}").expect("a string takes all");
        }
        text
    }

    pub fn name(&self, id: SpanId) -> String {
        match id.0.checked_sub(HEADER_SPANS) {
            Some(header) => format!("{header}"),
            None => self.names[usize::try_from(id.0).expect("small") - 1].clone(),
        }
    }
}

/// Where the response stream of the link begins whose client has this number.
const fn answers(link: u64) -> u64 {
    (link + 1) << 20
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a number")
}

fn micros(text: &str) -> Timestamp {
    Timestamp(number::<u64>(text) * 1000)
}

fn thread(text: &str) -> Task {
    let (pid, tid) = text.split_once('.').expect("process.thread");
    Task::thread(number(pid), number(tid))
}

fn carried(text: &str, origin: impl FnOnce(SpanId) -> Provenance) -> Carried {
    let (trace, span) = text.split_once('/').expect("trace/span");
    Carried {
        trace_id: TraceId(HEADER_TRACES + number::<u128>(trace)),
        flags: TraceFlags::SAMPLED,
        origin: origin(SpanId(HEADER_SPANS + number::<u64>(span))),
    }
}

fn context(text: &str) -> RemoteContext {
    let mut parts = text.split('/');
    let trace = parts.next().filter(|trace| *trace != "-");
    let span = parts.next().filter(|span| *span != "-");
    RemoteContext {
        origin: trace.map(|trace| Origin {
            trace_id: TraceId(HEADER_TRACES + number::<u128>(trace)),
            span_id: span.map(|span| SpanId(HEADER_SPANS + number::<u64>(span))),
        }),
        flags: match parts.next() {
            None => Some(TraceFlags::SAMPLED),
            Some("unsampled") => Some(TraceFlags::NONE),
            Some("deferred") => None,
            Some(other) => panic!("no such decision: {other}"),
        },
        state: Some("vendor=1".into()),
    }
}
