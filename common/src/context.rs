//! Trace context in the kernel: what a message carried, and what the kernel programs decided.

use crate::assert_size;

/// [`Carried::origin`], of a received message: its TCP option named the context.
pub const FROM_OPTION: u32 = 1;
/// [`Carried::origin`], of a received message: it named none that the kernel understands; a trace
/// begins with it. `span_id` is 0.
pub const BEGUN: u32 = 2;
/// [`Carried::origin`], of a sent message: its thread serves exactly one request, and that decides.
pub const BY_THREAD: u32 = 3;
/// [`Carried::origin`], of a sent message: its process serves exactly one request, and that decides.
pub const BY_PROCESS: u32 = 4;
/// [`Carried::origin`], of a sent message: its process serves nothing; a trace begins with it.
pub const NOT_SERVING: u32 = 5;
/// [`Carried::origin`], of a sent message: several requests could have caused it; a trace begins
/// with it.
pub const AMBIGUOUS: u32 = 6;
/// [`Carried::origin`], of a sent message: the thread or process serves one request, but is known to
/// do other work too, or must be feared to; a trace begins with it.
pub const SHARED: u32 = 7;

/// [`Carried::trace_flags`]: the trace is sampled (W3C Trace Context, section 3.2.2.5.1).
pub const SAMPLED: u32 = 1;

/// A message's context. Follows on the [`crate::connection::Opened`] of its connection and comes
/// before the [`crate::event::Chunk`] that begins at or contains `position`.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(bytemuck::AnyBitPattern))]
#[repr(C)]
pub struct Carried {
    /// [`crate::event::Kind::Carried`].
    pub kind: u32,
    /// Where the context comes from: one of the constants above.
    pub origin: u32,
    /// The connection: its socket cookie.
    pub connection: u64,
    /// Sequence number of the message's first byte.
    pub position: u32,
    /// [`SAMPLED`].
    pub trace_flags: u32,
    /// The trace id, in the order of the wire.
    pub trace_id: [u8; 16],
    /// Received: the span that sent the message. Sent: the span that stands for sending it.
    pub span_id: [u8; 8],
    /// Sent, [`BY_THREAD`] and [`BY_PROCESS`]: the connection that brought the request which caused
    /// the message; else 0.
    pub cause: u64,
}
assert_size!(Carried, 56);

/// From now on the kernel follows which requests a process serves, because it has been seen for the
/// first time, or has sent one of its own after long. What it served already is not known there.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(bytemuck::AnyBitPattern))]
#[repr(C)]
pub struct Followed {
    /// [`crate::event::Kind::ProcessFollowed`].
    pub kind: u32,
    /// The process.
    pub pid: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// 1 where it was followed before, and not for a while.
    pub again: u32,
    /// Always 0.
    pub reserved: u32,
}
assert_size!(Followed, 24);

/// What the agent has learned of a process: bits of a value in the map `HABITS`, by process id.
pub mod habit {
    /// Every request that it served when the kernel began to follow it is over.
    pub const SETTLED: u32 = 1 << 0;
    /// It has shown that work for a request stays on the thread that received it, though its sockets
    /// do not block.
    pub const STABLE: u32 = 1 << 1;
    /// It hands requests from one thread to another.
    pub const HANDS_OVER: u32 = 1 << 2;
    /// It has sent requests of its own accord.
    pub const BACKGROUND: u32 = 1 << 3;
    /// A thread of it serves several blocking connections at a time.
    pub const MULTIPLEXES_BLOCKING: u32 = 1 << 4;
    /// The kernel cannot tell in which trace its requests are (contexts in formats that only the
    /// agent understands, connections without options): it decides nothing.
    pub const OPAQUE: u32 = 1 << 5;
    /// The same, when it was followed again.
    pub const SETTLED_AGAIN: u32 = 1 << 8;
    /// Threads that its requests begin end with them.
    pub const THREADS_END: u32 = 1 << 6;
    /// Processes that its requests begin end with them.
    pub const PROCESSES_END: u32 = 1 << 7;
}

/// The TCP option that carries a context.
///
/// ```text
/// | kind 25 | length 28 | flags and place, 16 bits | trace id, 16 bytes | span id, 8 bytes |
/// ```
///
/// `place` is the low 14 bits of the sequence number of the request's first byte: a segment may
/// begin with the rest of something else. With timestamps (12 bytes) the 40 bytes that a TCP header
/// has for options are then full.
///
/// Kind 25 is unassigned (IANA: released in 2000); the experimental kinds of RFC 6994 need two more
/// bytes, which are not there.
pub mod option {
    /// The option's kind.
    pub const KIND: u8 = 25;
    /// Length of an option with a context, kind and length included.
    pub const LENGTH: u8 = 28;
    /// Length of an option that says only that this end understands the other.
    pub const HELLO_LENGTH: u8 = 4;
    /// What stands in place of flags and place in the short one.
    pub const HELLO: [u8; 2] = [0xc1, 0xe3];
    /// In the first byte after the length: the trace is sampled.
    pub const SAMPLED: u8 = 0x80;
    /// In the same byte: the sender does not know whether this end understands it.
    pub const ASKS: u8 = 0x40;
    /// Bits of `place`.
    pub const PLACE_MASK: u32 = 0x3fff;

    /// The option's two bytes of flags and place.
    #[must_use]
    pub const fn pack(sequence: u32, sampled: bool, asks: bool) -> [u8; 2] {
        let place = sequence & PLACE_MASK;
        let flags = if sampled { SAMPLED } else { 0 } | if asks { ASKS } else { 0 };
        [flags | (place >> 8) as u8, place as u8]
    }

    /// The sequence number that `bytes` name in a segment which begins at `segment`.
    #[must_use]
    pub const fn place(bytes: [u8; 2], segment: u32) -> u32 {
        let place = ((bytes[0] as u32) << 8 | bytes[1] as u32) & PLACE_MASK;
        segment.wrapping_add(place.wrapping_sub(segment) & PLACE_MASK)
    }

    #[cfg(test)]
    mod tests {
        use super::{PLACE_MASK, pack, place};

        #[test]
        fn place_is_found_anywhere_in_reach_of_the_segment() {
            for segment in [0, 1, 0x3fff, 0x4000, 0xffff_fff0, u32::MAX] {
                for ahead in [0, 1, 255, 256, 1447, PLACE_MASK] {
                    let sequence = u32::wrapping_add(segment, ahead);
                    for (sampled, asks) in [(false, false), (true, false), (false, true)] {
                        assert_eq!(place(pack(sequence, sampled, asks), segment), sequence);
                    }
                }
            }
        }
    }
}
