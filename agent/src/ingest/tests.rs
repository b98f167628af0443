//! Connections without a kernel.

use super::*;
use crate::{
    model::Role,
    stitch::{SequentialIds, StitchConfig},
};

struct Everything;

impl Scope for Everything {
    fn covers(&mut self, _: &Connection) -> bool {
        true
    }
}

fn connection(id: u64, local: &str, remote: &str, positions: [u64; 2]) -> Connection {
    Connection {
        id: ConnectionId(id),
        address: Address::Tcp {
            local: local.parse().expect("an address"),
            remote: remote.parse().expect("an address"),
        },
        netns: 1,
        role: Role::Unknown,
        from_start: true,
        nonblocking: false,
        positions,
        now: positions,
        pid: 1,
        time: Timestamp(0),
    }
}

/// The ends of the agent's own traffic, told in either order; a virtual address lies between.
#[test]
fn what_the_agent_sends_is_not_traced_where_it_arrives() {
    let agent = connection(1, "10.0.0.1:40000", "10.96.0.10:4318", [7, 9]);
    let others = [
        ("10.78.2.2:4318", "10.0.0.1:40000", [9, 7], true),
        ("10.96.0.10:4318", "10.0.0.1:40000", [1, 1], true),
        ("10.78.2.2:4318", "10.0.0.1:40000", [9, 8], false),
        ("10.78.2.2:4318", "10.0.0.1:40000", [7, 9], false),
    ];
    for (local, remote, positions, ignored) in others {
        for agent_first in [true, false] {
            let metrics = Metrics::default();
            let config = StitchConfig::default();
            let ids = Box::new(SequentialIds::default());
            let mut stitcher = Stitcher::new(config, ids, metrics.clone());
            let mut ingest = Ingest::new(9, 1 << 20, Settings::default(), metrics);
            let mut out = Outcome::default();
            let other = connection(2, local, remote, positions);
            let mut told = [(agent.clone(), true), (other, false)];
            if !agent_first {
                told.reverse();
            }
            for (connection, own) in told {
                ingest.opened(connection, own, 0, &mut Everything, &mut stitcher, &mut out);
            }
            let expected = match ignored {
                true => vec![ignore(ConnectionId(2))],
                false => Vec::new(),
            };
            assert_eq!(
                out.commands, expected,
                "{local} {positions:?} {agent_first}"
            );
        }
    }
}

/// A UDP socket that asks for names.
struct Resolver {
    ingest: Ingest,
    stitcher: Stitcher,
    out: Outcome,
    moved: [u64; 2],
}

impl Resolver {
    const ID: ConnectionId = ConnectionId(5);

    fn new() -> Self {
        let metrics = Metrics::default();
        let ids = Box::new(SequentialIds::default());
        Self {
            stitcher: Stitcher::new(StitchConfig::default(), ids, metrics.clone()),
            ingest: Ingest::new(9, 1 << 20, Settings::default(), metrics),
            out: Outcome::default(),
            moved: [0; 2],
        }
    }

    /// The kernel tells of it.
    fn tell(&mut self, milliseconds: u64) {
        let connection = Connection {
            id: Self::ID,
            address: Address::Udp {
                local: "0.0.0.0:40000".parse().expect("an address"),
                remote: None,
            },
            from_start: false,
            time: Timestamp(milliseconds * 1_000_000),
            ..connection(5, "0.0.0.0:1", "0.0.0.0:1", self.moved)
        };
        let (stitcher, out) = (&mut self.stitcher, &mut self.out);
        self.ingest
            .opened(connection, false, 0, &mut Everything, stitcher, out);
    }

    fn datagram(&mut self, milliseconds: u64, sent: bool, data: &[u8]) {
        let moved = &mut self.moved[usize::from(sent)];
        let chunk = KernelChunk {
            kind: 0,
            captured: u32::try_from(data.len()).expect("few"),
            connection: Self::ID.0,
            time: milliseconds * 1_000_000,
            pid: 1,
            tid: 1,
            position: *moved,
            result: i32::try_from(data.len()).expect("few"),
            flags: CHUNK_RELATIVE | if sent { CHUNK_SENT } else { 0 },
        };
        *moved += data.len() as u64;
        let (stitcher, out) = (&mut self.stitcher, &mut self.out);
        self.ingest.chunk(&chunk, data, stitcher, out);
    }

    fn ask(&mut self, milliseconds: u64, id: u8) {
        let question = [&[0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], NAME].concat();
        self.datagram(milliseconds, true, &question);
    }

    fn answer(&mut self, milliseconds: u64, id: u8) {
        let answer = [&[0, id, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0][..], NAME].concat();
        self.datagram(milliseconds, false, &answer);
    }

    fn tick(&mut self, milliseconds: u64) {
        let now = Timestamp(milliseconds * 1_000_000);
        self.ingest.tick(now, &mut self.stitcher, &mut self.out);
        self.stitcher.tick(now, &mut self.out.spans);
    }

    fn is_followed(&self) -> bool {
        self.ingest.connections.contains_key(&Self::ID)
    }
}

const NAME: &[u8] = b"\x01a\x04test\0\0\x01\0\x01";

#[test]
fn a_quiet_udp_socket_is_let_go_of_and_told_again() {
    let mut resolver = Resolver::new();
    resolver.tell(0);
    resolver.ask(0, 1);
    resolver.answer(3, 1);
    resolver.tick(3000);
    assert!(resolver.is_followed());
    // Told again meanwhile: nothing is lost.
    resolver.ask(3100, 2);
    resolver.tell(6000);
    resolver.answer(6000, 2);
    resolver.tick(9000);
    assert!(resolver.is_followed());
    resolver.tick(13_100);
    assert!(!resolver.is_followed());
    // What comes before it is told again is passed over.
    resolver.ask(14_000, 3);
    resolver.tell(20_000);
    resolver.ask(20_000, 4);
    resolver.answer(20_001, 4);
    resolver.tick(40_000);
    assert_eq!(resolver.out.spans.len(), 3);
    assert!(resolver.ingest.connections.is_empty());
    assert!(resolver.ingest.udp.is_empty());
    assert_eq!(resolver.out.commands, [], "the kernel need not be told");
}

#[test]
fn a_question_without_an_answer_ends_with_its_socket() {
    let mut resolver = Resolver::new();
    resolver.tell(0);
    resolver.ask(0, 1);
    for seconds in 0..30 {
        resolver.tick(seconds * 1000);
        assert!(resolver.is_followed(), "after {seconds} s");
    }
    resolver.tick(60_000);
    assert!(!resolver.is_followed());

    let mut resolver = Resolver::new();
    resolver.tell(0);
    resolver.ask(0, 1);
    resolver.ingest.process_exited(1, Timestamp(1_000_000));
    resolver.tick(1000);
    assert!(!resolver.is_followed());
}

#[test]
fn a_udp_socket_of_others_is_ignored_after_a_few_datagrams() {
    let mut resolver = Resolver::new();
    resolver.tell(0);
    for number in 0..3 {
        assert_eq!(resolver.out.commands, []);
        resolver.datagram(number, true, b"a.counter:1|c");
    }
    assert_eq!(resolver.out.commands, [ignore(Resolver::ID)]);
    assert!(!resolver.is_followed());
}

/// What is told of a connection that is older than the agent: chunks with their flags.
fn older(role: Role, chunks: &[(u32, &[u8])]) -> Vec<String> {
    let metrics = Metrics::default();
    let ids = Box::new(SequentialIds::default());
    let mut stitcher = Stitcher::new(StitchConfig::default(), ids, metrics.clone());
    let mut ingest = Ingest::new(9, 1 << 20, Settings::default(), metrics);
    let mut out = Outcome::default();
    let older = Connection {
        from_start: false,
        role,
        ..connection(1, "127.0.0.1:5000", "127.0.0.1:40000", [0, 0])
    };
    ingest.opened(older, false, 0, &mut Everything, &mut stitcher, &mut out);
    let mut moved = [0, 0];
    let mut time = 0;
    for &(flags, data) in chunks {
        time += 1_000_000;
        let position = &mut moved[usize::from(flags != 0)];
        let chunk = KernelChunk {
            kind: 0,
            captured: u32::try_from(data.len()).expect("few"),
            connection: 1,
            time,
            pid: 1,
            tid: 1,
            position: *position,
            result: i32::try_from(data.len()).expect("few"),
            flags,
        };
        *position += data.len() as u64;
        ingest.chunk(&chunk, data, &mut stitcher, &mut out);
    }
    ingest.finish(Timestamp(time), &mut stitcher, &mut out);
    stitcher.flush(&mut out.spans);
    out.spans.iter().map(|span| span.name.to_string()).collect()
}

/// A server that reads a message's head by itself, as MariaDB's does, or byte by byte, as Mosquitto does.
#[test]
fn a_head_that_is_read_by_itself_tells_the_protocol() {
    let commit: [(u32, &[u8]); 3] = [
        (0, b"\x09\0\0\0"),
        (0, b"\x03COMMIT 1"),
        (CHUNK_SENT, b"\x07\0\0\x01\0\0\0\x02\0\0\0"),
    ];
    let twice = [commit, commit].concat();
    assert_eq!(older(Role::Unknown, &twice), ["COMMIT", "COMMIT"]);

    let topic = "t".repeat(200);
    let publish = [b"\0\xc8", topic.as_bytes(), b"\0\x01hello"].concat();
    let publish: [(u32, &[u8]); 5] = [
        (0, b"\x32"),
        (0, b"\xd1"),
        (0, b"\x01"),
        (0, &publish),
        (CHUNK_SENT, b"@\x02\0\x01"),
    ];
    // Behind the end of another, in which there is nothing to be known.
    let twice = [&[(0, &b"end"[..])], &publish[..], &publish].concat();
    let name = format!("publish {topic}");
    assert_eq!(older(Role::Accepted, &twice), [&*name, &name]);
}

/// Connections of which the kernel could not tell the end: with a request under way, with nothing, of another
/// kind, our own; and, of the same, ones that there still are.
#[test]
fn what_is_no_more_is_let_go_of_without_being_told() {
    const GONE: [u64; 3] = [1, 2, 3];
    const LIVES: u64 = 4;
    const UDP: u64 = 5;
    const NEWER: u64 = 6;
    const OWN: [u64; 2] = [7, 8];
    let metrics = Metrics::default();
    let ids = Box::new(SequentialIds::default());
    let mut stitcher = Stitcher::new(StitchConfig::default(), ids, metrics.clone());
    let mut ingest = Ingest::new(99, 1 << 20, Settings::default(), metrics.clone());
    let mut out = Outcome::default();
    let second = |seconds: u64| Timestamp(seconds * 1_000_000_000);
    let tcp = |id| connection(id, "10.0.0.1:80", "10.0.0.2:40000", [1, 2]);
    let connections = [
        (tcp(1), false),
        (tcp(2), false),
        (
            Connection {
                address: Address::Unix {
                    path: String::new(),
                    socket: 0x1000,
                    peer: 0x2000,
                },
                ..tcp(3)
            },
            false,
        ),
        (tcp(LIVES), false),
        (
            Connection {
                address: Address::Udp {
                    local: "0.0.0.0:40000".parse().expect("an address"),
                    remote: None,
                },
                ..tcp(UDP)
            },
            false,
        ),
        (
            Connection {
                time: second(11),
                ..tcp(NEWER)
            },
            false,
        ),
        // Nobody's other end: that would not be traced.
        (connection(7, "10.0.0.9:1", "10.0.0.9:2", [3, 4]), true),
        (connection(8, "10.0.0.9:3", "10.0.0.9:4", [5, 6]), true),
    ];
    for (connection, own) in connections {
        ingest.opened(connection, own, 0, &mut Everything, &mut stitcher, &mut out);
    }
    let request = b"GET /open HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunk = KernelChunk {
        kind: 0,
        captured: request.len() as u32,
        connection: 1,
        time: second(9).0,
        pid: 1,
        tid: 1,
        position: 2,
        result: request.len() as i32,
        flags: CHUNK_SENT,
    };
    ingest.chunk(&chunk, request, &mut stitcher, &mut out);

    let living = HashSet::from([LIVES, OWN[1]]);
    ingest.keep_living(&living, second(10), second(12));
    ingest.tick(second(12), &mut stitcher, &mut out);
    let followed = |ingest: &Ingest, id| ingest.connections.contains_key(&ConnectionId(id));
    // Chunks may still be in the ring.
    assert!(GONE.iter().all(|id| followed(&ingest, *id)));
    ingest.tick(second(13), &mut stitcher, &mut out);
    assert!(!GONE.iter().any(|id| followed(&ingest, *id)));
    assert!(followed(&ingest, LIVES) && followed(&ingest, NEWER));
    assert!(!ingest.own.contains_key(&ConnectionId(OWN[0])));
    assert!(ingest.own.contains_key(&ConnectionId(OWN[1])));
    assert_eq!(metrics.counted(Count::ConnectionsFoundEnded), 3);
    stitcher.flush(&mut out.spans);
    let ended: Vec<_> = out
        .spans
        .iter()
        .map(|span| (span.start, span.end))
        .collect();
    assert_eq!(ended, [(second(9), second(9))]);
}
