//! Connections: what the kernel knows of a socket when it is first seen, and when it ends.

use crate::assert_size;

/// [`Opened::flags`]: the socket was accepted from a listener.
pub const ACCEPTED: u32 = 1 << 0;
/// [`Opened::flags`]: the socket was connected by its owner.
pub const CONNECTED: u32 = 1 << 1;
/// [`Opened::flags`]: its file is in non-blocking mode (`O_NONBLOCK`) at its first chunk.
pub const NONBLOCKING: u32 = 1 << 2;
/// [`Opened::flags`]: the socket belongs to the agent itself. It has no chunks; it is reported so
/// that the other end of the agent's own traffic can be left out too.
pub const OWN: u32 = 1 << 3;
/// [`Opened::flags`]: the connection was seen from its first byte on. Without it the connection
/// may be older than the agent.
pub const FROM_START: u32 = 1 << 4;

/// [`Opened::flags`]: a UDP socket: each send and each receive is a datagram. Its remote address is
/// zero unless it is connected. It is told again after it was quiet for [`UDP_TOLD_AFTER_NANOS`],
/// because the kernel does not tell its end.
pub const UDP: u32 = 1 << 5;

/// How long a UDP socket must have been quiet before its next datagram makes it known again: less
/// than the agent waits before it lets go of one.
pub const UDP_TOLD_AFTER_NANOS: u64 = 2_000_000_000;

/// The longest path of a Unix socket (`sun_path`, unix(7)).
pub const UNIX_PATH_MAX: usize = 108;

/// `AF_UNIX`.
pub const AF_UNIX: u16 = 1;
/// `AF_INET`.
pub const AF_INET: u16 = 2;
/// `AF_INET6`.
pub const AF_INET6: u16 = 10;

/// A connection is seen for the first time.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(bytemuck::AnyBitPattern))]
#[repr(C)]
pub struct Opened {
    /// [`crate::event::Kind::ConnectionOpened`].
    pub kind: u32,
    /// [`ACCEPTED`], [`CONNECTED`], [`NONBLOCKING`], [`OWN`], [`FROM_START`], [`UDP`].
    pub flags: u32,
    /// The connection: its socket cookie.
    pub connection: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// Process that used the socket first; 0 where the kernel reported it outside of a process.
    pub pid: u32,
    /// Its thread.
    pub tid: u32,
    /// The address of the kernel's `struct sock`: an identity within this boot, for Unix peers.
    pub socket: u64,
    /// The peer's `struct sock` (Unix sockets only), else 0.
    pub peer_socket: u64,
    /// The network namespace's inode number.
    pub netns: u32,
    /// [`AF_UNIX`], [`AF_INET`] or [`AF_INET6`].
    pub family: u16,
    /// Bytes used in `path`.
    pub path_len: u16,
    /// Where the received stream stood when the connection was told: position of the next byte, as
    /// in [`crate::event::Chunk::position`]. A first chunk that lies further on was not the first.
    pub received: u64,
    /// The same for the sent stream.
    pub sent: u64,
    /// Local address; IPv4 in the first four bytes.
    pub local_address: [u8; 16],
    /// Remote address; IPv4 in the first four bytes.
    pub remote_address: [u8; 16],
    /// Local port, host byte order.
    pub local_port: u16,
    /// Remote port, host byte order.
    pub remote_port: u16,
    /// Path that a Unix socket is bound to (the listener's, for an accepted one) or, where it has
    /// none, its peer's. An abstract name begins with a zero byte.
    pub path: [u8; UNIX_PATH_MAX],
}
assert_size!(Opened, 216);

/// TCP states as the kernel numbers them (include/net/tcp_states.h).
pub mod tcp_state {
    /// Connected.
    pub const ESTABLISHED: u32 = 1;
    /// The socket's owner called connect().
    pub const SYN_SENT: u32 = 2;
    /// A listener's child before its handshake ends.
    pub const SYN_RECV: u32 = 3;
    /// Waits for others to connect.
    pub const LISTEN: u32 = 10;
    /// This end has closed or shut down its sending side.
    pub const FIN_WAIT1: u32 = 4;
    /// Gone.
    pub const CLOSE: u32 = 7;
    /// The other end has closed its sending side.
    pub const CLOSE_WAIT: u32 = 8;
    /// The other end has closed its sending side, and now this end too.
    pub const LAST_ACK: u32 = 9;
    /// Both ends have closed at the same time.
    pub const CLOSING: u32 = 11;
}

/// The state of a TCP connection changed.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(bytemuck::AnyBitPattern))]
#[repr(C)]
pub struct Changed {
    /// [`crate::event::Kind::ConnectionChanged`].
    pub kind: u32,
    /// [`tcp_state`].
    pub state: u32,
    /// The connection: its socket cookie.
    pub connection: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// The socket's pending error (`sk_err`) as a positive errno, 0 for none: 104 (`ECONNRESET`)
    /// when the peer reset the connection.
    pub error: u32,
    /// Always 0.
    pub reserved: u32,
}
assert_size!(Changed, 32);
