//! A `traceparent` header for requests that are being sent: what the kernel program remembers of a
//! socket, how it finds the place, what it writes there.
//!
//! The finding and the writing are plain functions, so that user space tests them.

mod header;
mod request;

pub use header::{HEADER_LENGTH, header};
pub use request::{Body, Doubt, HEAD_MAX, Request, VARIABLES, Variable, Window, scan};

use crate::assert_size;

/// Sockets with the program at most: what `HEADER_SOCKETS` holds. Odd on purpose: the agent finds
/// the map's definition in the object by these bytes, see `agent/src/kernel/object.rs`.
pub const SOCKETS_MAX: u32 = 65_521;

/// [`Injection::flags`]: `next` is the sequence number of the next request's first byte.
pub const AT_KNOWN: u32 = 1 << 0;
/// [`Injection::flags`]: what is sent next begins a request, wherever it lies; `next` is set then.
pub const AT_START: u32 = 1 << 1;
/// [`Injection::flags`]: nothing is inserted any more: what was sent is no HTTP/1, or cannot be
/// followed.
pub const OVER: u32 = 1 << 2;
/// [`Injection::flags`]: the agent's own test at its start: the header has fixed ids.
pub const SELF_TEST: u32 = 1 << 3;
/// [`Injection::flags`]: `begun` is the place of a request's first byte.
pub const BEGUN: u32 = 1 << 4;

/// What is remembered of a socket whose requests get a header. Positions are TCP sequence numbers
/// of the stream that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Injection {
    /// [`AT_KNOWN`] and so on.
    pub flags: u32,
    /// First byte of the next request.
    pub next: u32,
    /// First byte of the request that was looked at last.
    pub begun: u32,
    /// Bytes inserted into it.
    pub inserted: u32,
    /// The boundary that user space told too late, so that each is counted once.
    pub late: u32,
    /// Always 0: a number that the kernel's verifier does not know.
    pub zero: u32,
    /// Of [`scan`]; the socket's lock protects them.
    pub variables: [u32; VARIABLES],
}
assert_size!(Injection, 52);

impl Injection {
    /// A socket of which nothing is known but these flags.
    #[must_use]
    pub const fn new(flags: u32, next: u32) -> Self {
        Self {
            flags,
            next,
            begun: 0,
            inserted: 0,
            late: 0,
            zero: 0,
            variables: [0; VARIABLES],
        }
    }
}

/// Trace id of the header that the self-test expects.
pub const TEST_TRACE_ID: [u8; 16] = *b"clew's self-test";
/// Its span id.
pub const TEST_SPAN_ID: [u8; 8] = *b"loopback";
