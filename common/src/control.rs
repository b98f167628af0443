//! What user space tells the kernel programs about a connection, in the map `CONTROL`, keyed by
//! the connection's socket cookie.

use crate::assert_size;

/// [`Control::verdict`]: nothing decided yet; chunks are captured.
pub const UNDECIDED: u32 = 0;
/// [`Control::verdict`]: a parser understands this connection; chunks are captured.
pub const CAPTURE: u32 = 1;
/// [`Control::verdict`]: no parser wants this connection, or it is out of scope; nothing more of
/// it is sent to user space.
pub const IGNORE: u32 = 2;

/// [`Control::flags`]: `received_until` is valid.
pub const SKIP_RECEIVED: u32 = 1 << 0;
/// [`Control::flags`]: `sent_until` is valid.
pub const SKIP_SENT: u32 = 1 << 1;
/// [`Control::flags`]: the process sends requests on this connection. Told where the kernel does not
/// know, because the connection is older than the agent.
pub const IS_CLIENT: u32 = 1 << 2;
/// [`Control::flags`]: the process receives requests on it.
pub const IS_SERVER: u32 = 1 << 3;

/// Size in 64-bit words of the kernel's state of a connection, of which the first is its identity.
pub const FLOW_WORDS: usize = 32;
/// Which of these words is the inode number of the socket's file, where that is known.
pub const FLOW_INODE: usize = 3;

/// [`Control::flags`]: `request_at` is valid.
pub const REQUEST_AT: u32 = 1 << 4;
/// [`Control::flags`]: HTTP/2. Of a call that moves more than is captured, also the frames that begin
/// behind that are told, by further chunks.
pub const FRAMES: u32 = 1 << 5;
/// [`Control::flags`]: of a call that moves more than is captured, also the last bytes are told.
pub const TAIL: u32 = 1 << 6;

/// Chunks of at least this many bytes ask `CONTROL` whether they may be skipped. Smaller ones are
/// cheaper to send than to ask about.
pub const SKIP_THRESHOLD: u32 = 2048;

/// A connection's control record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Control {
    /// [`UNDECIDED`], [`CAPTURE`] or [`IGNORE`].
    pub verdict: u32,
    /// [`SKIP_RECEIVED`], [`SKIP_SENT`], [`IS_CLIENT`], [`IS_SERVER`], [`REQUEST_AT`], [`FRAMES`], [`TAIL`].
    pub flags: u32,
    /// Received chunks that end before this position (TCP sequence number, or the low half of a
    /// Unix position) are not sent to user space: they lie inside a body whose length is known.
    /// Less than 2^31 ahead, because positions are compared by distance; the agent keeps to 2^30.
    pub received_until: u32,
    /// The same for sent chunks.
    pub sent_until: u32,
    /// TCP sequence number of the first byte of a request that is still to be sent: everything
    /// before it has been sent and answered.
    pub request_at: u32,
}
assert_size!(Control, 20);
