//! From the kernel's events to exchanges: which connection, in which order, spoken how.
//!
//! Pure: what is to be told to the kernel comes back as [`Command`]s, and what is to be known of
//! processes is asked through [`Scope`].

mod connection;
mod datagrams;
mod stream;
pub mod task;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};

use clew_common::{
    connection::{Changed, tcp_state},
    control::{Control, IGNORE},
    event::{
        CHUNK_BOUNDARY_UNKNOWN, CHUNK_INSERTED_SHIFT, CHUNK_PERHAPS_FIN, CHUNK_RELATIVE,
        CHUNK_SENT, Chunk as KernelChunk,
    },
};

use self::connection::{RawChunk, Tracked};
use self::datagrams::DatagramSockets;
use crate::{
    metrics::{Count, Drop, Gauge, Metrics},
    model::{
        Address, Carried, Connection, ConnectionEnd, ConnectionId, Direction, EndReason,
        ParserEvent, Span, Timestamp,
    },
    protocol::Settings,
    stitch::Stitcher,
};

/// How long a TCP connection must have been quiet after its end before it is let go: what was
/// received before can still be read.
const TCP_LINGER_NANOS: u64 = 250_000_000;
/// The same for a Unix socket, whose end is only guessed from the other side's reading it: that
/// may have been a half-close.
const UNIX_LINGER_NANOS: u64 = 5_000_000_000;

/// Something that the kernel should be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// What is wanted of a connection.
    Set(ConnectionId, Control),
    /// A connection is over. `socket`: address of its kernel socket.
    Remove {
        /// Which.
        connection: ConnectionId,
        /// The kernel socket's address.
        socket: u64,
    },
}

/// What comes out of ingest.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For the kernel.
    pub commands: Vec<Command>,
    /// Finished spans.
    pub spans: Vec<Span>,
}

/// Whether a connection is to be traced.
pub trait Scope {
    /// Asked once, when it is first seen.
    fn covers(&mut self, connection: &Connection) -> bool;
}

/// Connections and their parsers, feeding the stitcher.
pub struct Ingest {
    connections: HashMap<ConnectionId, Tracked>,
    /// Unix sockets by the address of their kernel socket, to find the other end.
    unix: HashMap<u64, ConnectionId>,
    /// UDP sockets, whose end is never told.
    udp: DatagramSockets,
    /// Ended connections that may have chunks to come, and when they were last looked at.
    closing_tcp: VecDeque<(Timestamp, ConnectionEnd)>,
    closing_unix: VecDeque<(Timestamp, ConnectionEnd)>,
    /// The agent's own connections: their other ends are left alone.
    own: HashMap<ConnectionId, Connection>,
    max_connections: usize,
    max_memory: usize,
    settings: Settings,
    metrics: Metrics,
    events: Vec<ParserEvent>,
}

impl Ingest {
    /// An empty table for at most `max_connections`, whose parsers hold `max_memory` bytes.
    #[must_use]
    pub fn new(
        max_connections: usize,
        max_memory: usize,
        settings: Settings,
        metrics: Metrics,
    ) -> Self {
        Self {
            connections: HashMap::new(),
            unix: HashMap::new(),
            udp: DatagramSockets::default(),
            closing_tcp: VecDeque::new(),
            closing_unix: VecDeque::new(),
            own: HashMap::new(),
            max_connections,
            max_memory,
            settings,
            metrics,
            events: Vec::new(),
        }
    }

    /// A connection is seen for the first time.
    pub fn opened(
        &mut self,
        connection: Connection,
        own: bool,
        socket: u64,
        scope: &mut impl Scope,
        stitcher: &mut Stitcher,
        out: &mut Outcome,
    ) {
        self.metrics.count(Count::Connections, 1);
        let id = connection.id;
        if own {
            if connection.address.end_is_told() {
                self.ignore_other_end(&connection, out);
                self.own.insert(id, connection);
            }
            return;
        }
        if connection.address.has_datagrams() && self.connections.contains_key(&id) {
            // Told again after it was quiet, but not for so long that it was let go of.
            return;
        }
        if self.connections.len() >= self.max_connections {
            self.evict(stitcher, out);
        }
        let wanted = !self.faces_agent(&connection) && scope.covers(&connection);
        let mut tracked = Tracked::new(connection, socket);
        if wanted {
            match tracked.connection.address {
                Address::Unix { socket, .. } => {
                    self.unix.insert(socket, id);
                }
                Address::Udp { .. } => self.udp.add(&tracked.connection),
                Address::Tcp { .. } => {}
            }
        } else {
            tracked.ignore();
            out.commands.push(ignore(id));
            if !tracked.connection.address.end_is_told() {
                // Nobody would tell its end.
                return;
            }
        }
        self.connections.insert(id, tracked);
    }

    /// Whether the other end is one of the agent's own connections.
    fn faces_agent(&self, connection: &Connection) -> bool {
        let mut own = self.own.values();
        own.any(|own| are_ends_of_one(own, connection))
    }

    fn ignore_other_end(&mut self, own: &Connection, out: &mut Outcome) {
        for tracked in self.connections.values_mut() {
            if are_ends_of_one(own, &tracked.connection) && !tracked.is_ignored() {
                tracked.ignore();
                out.commands.push(ignore(tracked.connection.id));
            }
        }
    }

    /// A chunk was captured.
    pub fn chunk(
        &mut self,
        chunk: &KernelChunk,
        data: &[u8],
        stitcher: &mut Stitcher,
        out: &mut Outcome,
    ) {
        self.metrics.count(Count::Chunks, 1);
        let id = ConnectionId(chunk.connection);
        let Some(tracked) = self.connections.get_mut(&id) else {
            // Of an ignored Unix or UDP socket some come until the kernel has read the verdict.
            if chunk.flags & CHUNK_RELATIVE == 0 {
                self.metrics.drop(Drop::StrayChunk, 1);
            }
            return;
        };
        if tracked.is_ignored() {
            return;
        }
        if chunk.result <= 0 {
            let end = ConnectionEnd {
                connection: id,
                reason: EndReason::PeerClosed,
                time: Timestamp(chunk.time),
            };
            self.direction_ended(&end, stitcher, out);
            return;
        }
        let length = u64::from(chunk.result.unsigned_abs());
        self.metrics.count(Count::CapturedBytes, data.len() as u64);
        self.metrics.count(
            Count::UncapturedBytes,
            length.saturating_sub(data.len() as u64),
        );
        let raw = RawChunk {
            direction: if chunk.flags & CHUNK_SENT != 0 {
                Direction::Sent
            } else {
                Direction::Received
            },
            position: chunk.position,
            perhaps_fin: chunk.flags & CHUNK_PERHAPS_FIN != 0,
            inserted: u64::from(chunk.flags >> CHUNK_INSERTED_SHIFT),
            boundary_unknown: chunk.flags & CHUNK_BOUNDARY_UNKNOWN != 0,
            length,
            data,
            time: Timestamp(chunk.time),
            task: task::of_chunk(chunk),
        };
        tracked.chunk(&raw, &self.settings, &self.metrics, &mut self.events);
        if let Some(control) = tracked.control(&raw) {
            out.commands.push(Command::Set(id, control));
        }
        for mut event in self.events.drain(..) {
            if let ParserEvent::Started(started) = &mut event {
                tracked.started(started);
            }
            stitcher.event(&tracked.connection, event, &mut out.spans);
        }
        if tracked.is_ignored() && !tracked.connection.address.end_is_told() {
            // Nobody would tell its end.
            if let Some(tracked) = self.connections.remove(&id) {
                self.forget_socket(&tracked.connection);
            }
        }
    }

    /// The kernel told a message's context, ahead of its chunk.
    pub fn carried(&mut self, connection: ConnectionId, position: u32, carried: Carried) {
        if let Some(tracked) = self.connections.get_mut(&connection) {
            tracked.carried(position, carried);
        }
    }

    /// One direction has ended; the parser may wait for that.
    fn direction_ended(&mut self, end: &ConnectionEnd, stitcher: &mut Stitcher, out: &mut Outcome) {
        let Some(tracked) = self.connections.get_mut(&end.connection) else {
            return;
        };
        tracked.ended(end, &mut self.events);
        for event in self.events.drain(..) {
            stitcher.event(&tracked.connection, event, &mut out.spans);
        }
        // The kernel does not report the end of a Unix socket, but its other end has just read it.
        if end.reason == EndReason::PeerClosed
            && let Address::Unix { peer, .. } = tracked.connection.address
            && let Some(&other) = self.unix.get(&peer)
        {
            for connection in [other, end.connection] {
                let end = ConnectionEnd {
                    connection,
                    reason: EndReason::Closed,
                    time: end.time,
                };
                self.closing_unix.push_back((end.time, end));
            }
        }
    }

    /// A TCP connection's state changed.
    pub fn changed(&mut self, changed: &Changed, stitcher: &mut Stitcher, out: &mut Outcome) {
        let id = ConnectionId(changed.connection);
        let end = |reason| ConnectionEnd {
            connection: id,
            reason,
            time: Timestamp(changed.time),
        };
        match changed.state {
            tcp_state::FIN_WAIT1 | tcp_state::LAST_ACK => {
                self.direction_ended(&end(EndReason::LocalClosed), stitcher, out);
            }
            tcp_state::CLOSE => {
                self.own.remove(&id);
                let end = end(match changed.error {
                    0 => EndReason::Closed,
                    errno => EndReason::Failed(errno),
                });
                self.closing_tcp.push_back((end.time, end));
            }
            _ => {}
        }
    }

    /// A process has ended, and its Unix and UDP sockets with it.
    pub fn process_exited(&mut self, pid: u32, time: Timestamp) {
        let orphans = self
            .unix
            .values()
            .filter(|id| {
                self.connections
                    .get(id)
                    .is_some_and(|tracked| tracked.last_pid == pid)
            })
            .map(|&connection| ConnectionEnd {
                connection,
                reason: EndReason::ProcessExited,
                time,
            })
            .map(|end| (time, end));
        self.closing_unix.extend(orphans);
        for connection in self.udp.take_of(pid) {
            let end = ConnectionEnd {
                connection,
                reason: EndReason::ProcessExited,
                time,
            };
            match self.connections.get(&connection) {
                Some(tracked) if tracked.last_pid == pid => self.closing_tcp.push_back((time, end)),
                // Another has it now; when that one is quiet it goes.
                _ => {}
            }
        }
    }

    /// Lets go of connections whose end is long enough ago.
    pub fn tick(&mut self, now: Timestamp, stitcher: &mut Stitcher, out: &mut Outcome) {
        while let Some(end) = self.due(now) {
            self.remove(&end, stitcher, out);
        }
        for end in self.udp.quiet(now, &self.connections) {
            self.remove(&end, stitcher, out);
        }
        self.metrics
            .gauge(Gauge::OpenConnections, self.connections.len() as u64);
    }

    /// The next connection whose end is over; one that is still used waits again.
    fn due(&mut self, now: Timestamp) -> Option<ConnectionEnd> {
        for (closing, linger) in [
            (&mut self.closing_tcp, TCP_LINGER_NANOS),
            (&mut self.closing_unix, UNIX_LINGER_NANOS),
        ] {
            while let Some(&(since, end)) = closing.front()
                && now.since(since) >= linger
            {
                closing.pop_front();
                match self.connections.get(&end.connection) {
                    Some(tracked) if tracked.last_seen > since => {
                        closing.push_back((tracked.last_seen, end));
                    }
                    _ => return Some(end),
                }
            }
        }
        None
    }

    /// Ends connections that are no more, though no event told their end. `living`: those that there were
    /// at `looked`. Like others that have ended, they are let go of when what was received is read.
    pub fn keep_living(&mut self, living: &HashSet<u64>, looked: Timestamp, now: Timestamp) {
        let is_gone = |id: &ConnectionId, time: Timestamp| time < looked && !living.contains(&id.0);
        self.own
            .retain(|id, connection| !is_gone(id, connection.time));
        let before = self.closing_tcp.len();
        for (&id, tracked) in &self.connections {
            // UDP sockets are let go of when they are quiet.
            if tracked.connection.address.has_datagrams() || !is_gone(&id, tracked.connection.time)
            {
                continue;
            }
            let end = ConnectionEnd {
                connection: id,
                reason: EndReason::Closed,
                time: tracked.last_seen,
            };
            self.closing_tcp.push_back((now, end));
        }
        let gone = self.closing_tcp.len() - before;
        self.metrics
            .count(Count::ConnectionsFoundEnded, gone as u64);
    }

    /// Ends everything: the agent is leaving.
    pub fn finish(&mut self, now: Timestamp, stitcher: &mut Stitcher, out: &mut Outcome) {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for connection in ids {
            let end = ConnectionEnd {
                connection,
                reason: EndReason::Forgotten,
                time: now,
            };
            self.remove(&end, stitcher, out);
        }
    }

    /// Holds the parsers to their budget. Looks at every connection: for once in a while.
    pub fn keep_budget(&mut self, stitcher: &mut Stitcher, out: &mut Outcome) {
        let mut held = self.memory();
        while held > self.max_memory && !self.connections.is_empty() {
            self.evict(stitcher, out);
            held = self.memory();
        }
        self.metrics.gauge(Gauge::ParserMemory, held as u64);
    }

    fn memory(&self) -> usize {
        self.connections.values().map(Tracked::memory).sum()
    }

    fn remove(&mut self, end: &ConnectionEnd, stitcher: &mut Stitcher, out: &mut Outcome) {
        let Some(mut tracked) = self.connections.remove(&end.connection) else {
            // Let go of before; what the kernel was told then is still there.
            out.commands.push(Command::Remove {
                connection: end.connection,
                socket: 0,
            });
            return;
        };
        tracked.ended(end, &mut self.events);
        if end.reason == EndReason::Forgotten {
            let open = self
                .events
                .iter()
                .filter(|e| matches!(e, ParserEvent::Finished(_)));
            self.metrics
                .drop(Drop::ConnectionForgotten, open.count() as u64);
        }
        for event in self.events.drain(..) {
            stitcher.event(&tracked.connection, event, &mut out.spans);
        }
        stitcher.connection_ended(end.connection);
        self.forget_socket(&tracked.connection);
        if tracked.is_told() || !tracked.connection.address.has_datagrams() {
            out.commands.push(Command::Remove {
                connection: end.connection,
                socket: tracked.socket,
            });
        }
    }

    /// Takes a connection out of what leads to it.
    fn forget_socket(&mut self, connection: &Connection) {
        match connection.address {
            // Another socket may have the address by now.
            Address::Unix { socket, .. } if self.unix.get(&socket) == Some(&connection.id) => {
                self.unix.remove(&socket);
            }
            Address::Udp { .. } => self.udp.remove(connection),
            _ => {}
        }
    }

    /// A budget is used up: the connection that was idle for longest goes, and one in sixteen with
    /// it, so that the search for them is not repeated for each new one.
    fn evict(&mut self, stitcher: &mut Stitcher, out: &mut Outcome) {
        let mut by_age: Vec<_> = self
            .connections
            .iter()
            .map(|(&id, tracked)| (tracked.last_seen, id))
            .collect();
        by_age.sort_unstable();
        let many = (by_age.len() / 16).max(1);
        for &(time, connection) in by_age.iter().take(many) {
            let end = ConnectionEnd {
                connection,
                reason: EndReason::Forgotten,
                time,
            };
            let told_again = self
                .connections
                .get(&connection)
                .is_some_and(|tracked| tracked.connection.address.has_datagrams());
            self.remove(&end, stitcher, out);
            // The kernel goes on knowing it; without an entry here its chunks would be strays.
            if !told_again {
                out.commands.push(ignore(connection));
            }
        }
        self.metrics.drop(Drop::ConnectionBudget, many as u64);
    }
}

const fn ignore(connection: ConnectionId) -> Command {
    Command::Set(
        connection,
        Control {
            verdict: IGNORE,
            flags: 0,
            received_until: 0,
            sent_until: 0,
            request_at: 0,
        },
    )
}

/// Whether two connections are the two ends of one. TCP: by their addresses, or, where those are
/// translated on the way, by where their streams began.
fn are_ends_of_one(one: &Connection, other: &Connection) -> bool {
    match (&one.address, &other.address) {
        (
            Address::Tcp { local, remote },
            Address::Tcp {
                local: other_local,
                remote: other_remote,
            },
        ) => {
            let [received, sent] = one.positions;
            let began = one.from_start && other.from_start && other.positions == [sent, received];
            began || local == other_remote && remote == other_local
        }
        (
            Address::Unix { socket, .. },
            Address::Unix {
                peer: other_peer, ..
            },
        ) => socket == other_peer,
        _ => false,
    }
}
