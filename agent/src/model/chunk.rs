//! One captured send or receive.

use super::ConnectionId;

/// Kernel time: `CLOCK_MONOTONIC` in nanoseconds. Converted to wall time only when a span leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Nanoseconds from `earlier` to this time, 0 if it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Which way bytes went, seen from the process that owns the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The process read them.
    Received,
    /// The process wrote them.
    Sent,
}

impl Direction {
    /// The other direction.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Received => Self::Sent,
            Self::Sent => Self::Received,
        }
    }
}

/// What executed a send or a receive.
///
/// `key` tells tasks of one process apart: the thread id today; for runtimes with a scheduler of
/// their own it will be the goroutine or async task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Task {
    /// Process (thread group) id in the initial pid namespace.
    pub pid: u32,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// The task key.
    pub key: u64,
}

impl Task {
    /// The task of a process whose tasks are its threads.
    #[must_use]
    pub const fn thread(pid: u32, tid: u32) -> Self {
        Self {
            pid,
            tid,
            key: tid as u64,
        }
    }
}

/// One captured send or receive, in order and with its place in the stream.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The connection.
    pub connection: ConnectionId,
    /// Which way.
    pub direction: Direction,
    /// Offset of the first byte in this direction's stream. For TCP its low 32 bits are the
    /// sequence number, so both ends of a connection count alike.
    pub position: u64,
    /// Bytes of this direction that were lost or skipped immediately before this chunk: nobody
    /// will ever see them. 0 when the chunk continues where the one before it ended.
    pub gap: u64,
    /// Number of bytes that the call moved; never 0.
    pub length: u64,
    /// The captured bytes: the first `data.len()` of the `length` bytes, possibly none.
    pub data: &'a [u8],
    /// When the call had moved the bytes.
    pub time: Timestamp,
    /// Who called.
    pub task: Task,
}

impl Chunk<'_> {
    /// Offset of the first byte after this chunk.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.position.wrapping_add(self.length)
    }
}
