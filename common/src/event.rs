//! Events in the ring buffer. Each record starts with [`Kind`] as a `u32`.

use crate::assert_size;

/// What a ring record is; its first four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// [`crate::connection::Opened`]: a connection is seen for the first time.
    ConnectionOpened = 1,
    /// [`crate::connection::Changed`]: the state of a TCP connection changed.
    ConnectionChanged = 2,
    /// [`Chunk`], followed by the captured bytes.
    Chunk = 3,
    /// [`crate::process::Exec`], followed by its strings.
    ProcessExec = 4,
    /// [`crate::process::Fork`], also of a thread.
    ProcessFork = 5,
    /// [`crate::process::Exit`], also of a thread.
    ProcessExit = 6,
    /// [`crate::context::Carried`]: the context of a message.
    Carried = 7,
    /// [`crate::context::Followed`].
    ProcessFollowed = 8,
}

impl Kind {
    /// The kind that a record's first four bytes name, or `None` for a value that no kernel
    /// program of this version writes.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            1 => Self::ConnectionOpened,
            2 => Self::ConnectionChanged,
            3 => Self::Chunk,
            4 => Self::ProcessExec,
            5 => Self::ProcessFork,
            6 => Self::ProcessExit,
            7 => Self::Carried,
            8 => Self::ProcessFollowed,
            _ => return None,
        })
    }
}

/// The largest number of bytes that one chunk carries to user space.
pub const CAPTURE_MAX: usize = 4096;

/// [`Chunk::flags`]: the bytes were sent (else received).
pub const CHUNK_SENT: u32 = 1 << 0;
/// [`Chunk::flags`]: the bytes could not be read (sendfile, splice, io_uring, a fault); only the
/// length is known.
pub const CHUNK_UNREADABLE: u32 = 1 << 1;
/// [`Chunk::flags`]: `position` counts from the first byte that this kernel program saw, because
/// the socket has no sequence numbers (Unix and UDP sockets).
pub const CHUNK_RELATIVE: u32 = 1 << 2;
/// [`Chunk::flags`]: `position` may be one too high. The peer's FIN takes a sequence number, which
/// the kernel counts as read together with the last bytes; on a socket that is closed already
/// nothing tells whether a FIN came or a reset.
pub const CHUNK_PERHAPS_FIN: u32 = 1 << 3;

/// [`Chunk::flags`]: the connection's requests would get a header, but the kernel does not know
/// where the next one begins ([`crate::control::REQUEST_AT`]).
pub const CHUNK_BOUNDARY_UNKNOWN: u32 = 1 << 4;
/// [`Chunk::flags`]: from this bit on, 16 bits: how many bytes were inserted into the stream while
/// these were sent. They are not among `result`, nor among the captured bytes, but they have
/// positions.
pub const CHUNK_INSERTED_SHIFT: u32 = 16;

/// One captured send or receive; `captured` bytes follow it in the record. A
/// [`Carried`](crate::context::Carried) may stand before it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(bytemuck::AnyBitPattern))]
#[repr(C)]
pub struct Chunk {
    /// [`Kind::Chunk`].
    pub kind: u32,
    /// How many bytes follow this header: the first bytes of the chunk.
    pub captured: u32,
    /// The connection: its socket cookie.
    pub connection: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds, when the send or receive had been carried out.
    pub time: u64,
    /// Process (thread group) id of the caller, in the initial pid namespace.
    pub pid: u32,
    /// Thread id of the caller, in the initial pid namespace.
    pub tid: u32,
    /// Where the chunk's first byte lies in its stream. TCP: the sequence number (modulo 2^32).
    /// Unix and UDP: see [`CHUNK_RELATIVE`].
    pub position: u64,
    /// What the call returned: the number of bytes moved; 0 for the end of the stream (receive);
    /// negative: `-errno`.
    pub result: i32,
    /// `CHUNK_*`.
    pub flags: u32,
}
assert_size!(Chunk, 48);
