//! A socket as one side sees it.

use std::net::SocketAddr;

use super::Timestamp;

/// The identity of a connection: its socket cookie, unique within a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// How the socket came to be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It was accepted from a listener.
    Accepted,
    /// Its owner connected it.
    Connected,
    /// It is older than the agent, or of a kind whose birth the kernel does not report.
    Unknown,
}

/// The two ends of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP over IPv4 or IPv6. IPv4-mapped IPv6 addresses are given as IPv4, so that both ends of
    /// one connection have the same pair.
    Tcp {
        /// This end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// A UDP socket over IPv4 or IPv6: of datagrams, which may come from many and go to many.
    Udp {
        /// This end, as it is bound: perhaps to no particular address.
        local: SocketAddr,
        /// The other end of a connected socket.
        remote: Option<SocketAddr>,
    },
    /// A Unix stream socket.
    Unix {
        /// The listener's path; empty where neither end is bound; an abstract name begins with
        /// `@`.
        path: String,
        /// The kernel address of this end's socket: an identity, never followed.
        socket: u64,
        /// The kernel address of the other end's socket.
        peer: u64,
    },
}

impl Address {
    /// Whether each chunk is a message, and stands by itself.
    #[must_use]
    pub const fn has_datagrams(&self) -> bool {
        matches!(self, Self::Udp { .. })
    }

    /// Whether the kernel programs tell when it ends.
    #[must_use]
    pub const fn end_is_told(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }
}

/// What is known of a connection when it is first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its identity.
    pub id: ConnectionId,
    /// Both ends.
    pub address: Address,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// How it began.
    pub role: Role,
    /// Its first byte was seen: it is not older than the agent.
    pub from_start: bool,
    /// Its file was in non-blocking mode when it was first used: an event loop or a runtime with
    /// its own scheduler may be at work. A blocking socket proves that the thread which serves it
    /// does nothing else meanwhile.
    pub nonblocking: bool,
    /// Where its streams stood when it was first seen, received and sent: offsets of the next
    /// bytes, as in [`super::Chunk::position`].
    pub positions: [u64; 2],
    /// Where its streams stand now, received and sent: offsets after the last bytes that were seen.
    pub now: [u64; 2],
    /// The process that used it first (0: unknown).
    pub pid: u32,
    /// When it was first seen.
    pub time: Timestamp,
}

/// Why no more chunks of a connection (or of one of its directions) will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The peer has closed its sending side: what is received ends here.
    PeerClosed,
    /// This side has closed its sending side: what is sent ends here.
    LocalClosed,
    /// The socket is gone; nothing was pending.
    Closed,
    /// The connection was reset, or failed with this errno.
    Failed(u32),
    /// The process that owned it has exited.
    ProcessExited,
    /// Nothing was heard of it for so long, or there were so many, that the agent let it go.
    Forgotten,
}

/// A connection, or one direction of it, has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionEnd {
    /// Which one.
    pub connection: ConnectionId,
    /// Why.
    pub reason: EndReason,
    /// When.
    pub time: Timestamp,
}
