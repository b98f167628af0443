//! From a system call's arguments to the bytes that it moved.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use clew_common::event::CAPTURE_MAX;

use crate::{
    kernel::{opaque, read_user},
    registers::{Call, number},
};

/// `struct iovec` in user memory.
#[derive(Clone, Copy)]
#[repr(C)]
struct IoVec {
    base: u64,
    length: u64,
}

impl IoVec {
    const NONE: Self = Self { base: 0, length: 0 };
}

/// The part of `struct msghdr` that names the buffers (offset 16).
#[derive(Clone, Copy)]
#[repr(C)]
struct MessageVectors {
    vectors: u64,
    count: u64,
}

const MSGHDR_VECTORS: u64 = 16;

/// How many buffers of a scattered call are looked at; a message head in more pieces than this is
/// captured in part.
const VECTORS_MAX: u32 = 8;
/// How many of them are read at once. Most calls have two or three.
const VECTORS_AT_ONCE: u32 = 4;

/// Where a call's bytes are in user memory.
#[derive(Clone, Copy)]
pub enum Buffer {
    /// One piece, at this address.
    Flat(u64),
    /// `count` pieces, described at `vectors`, of which the first `filled` bytes were moved.
    Scattered {
        vectors: u64,
        count: u64,
        filled: u32,
    },
    /// Not in the caller's memory, or not to be found.
    Unreadable,
}

impl Buffer {
    /// The buffer of a call that moves bytes through a socket.
    #[inline(always)]
    pub fn of(call: &Call) -> Self {
        match call.number {
            number::READ | number::WRITE | number::SENDTO | number::RECVFROM => {
                Self::Flat(call.arguments[1])
            }
            number::READV | number::WRITEV | number::PREADV2 | number::PWRITEV2 => {
                Self::Scattered {
                    vectors: call.arguments[1],
                    count: call.arguments[2],
                    filled: u32::MAX,
                }
            }
            number::SENDMSG | number::RECVMSG => Self::of_message(call.arguments[1], u32::MAX),
            // With several messages in one call nothing says which one this is, while it runs.
            number::SENDMMSG | number::RECVMMSG if call.arguments[2] == 1 => {
                Self::of_message(call.arguments[1], u32::MAX)
            }
            _ => Self::Unreadable,
        }
    }

    /// The buffer of a `struct msghdr` of which `filled` bytes were moved.
    #[inline(always)]
    pub fn of_message(header: u64, filled: u32) -> Self {
        match read_user::<MessageVectors>(header + MSGHDR_VECTORS) {
            Some(message) => Self::Scattered {
                vectors: message.vectors,
                count: message.count,
                filled,
            },
            None => Self::Unreadable,
        }
    }

    /// Copies the first `wanted` bytes to `target`, as far as they can be read, and returns how
    /// many were.
    ///
    /// # Safety
    ///
    /// `target` must be writable for twice `CAPTURE_MAX` bytes, `wanted` at most `CAPTURE_MAX`.
    #[inline(always)]
    pub unsafe fn copy(self, target: *mut u8, wanted: u32) -> u32 {
        match self {
            Self::Flat(address) => {
                // SAFETY: promised by the caller.
                if unsafe { copy_piece(target, wanted, address) } {
                    wanted
                } else {
                    0
                }
            }
            Self::Scattered {
                vectors,
                count,
                filled: moved,
            } => {
                let wanted = if wanted < moved { wanted } else { moved };
                let mut filled: u32 = 0;
                let first = first_vectors(vectors, count);
                for index in 0..VECTORS_MAX {
                    if filled >= wanted || u64::from(index) >= count {
                        break;
                    }
                    let piece = if index < VECTORS_AT_ONCE {
                        first[index as usize]
                    } else {
                        vector(vectors, index)
                    };
                    let room = wanted - filled;
                    let length = if piece.length < u64::from(room) {
                        piece.length as u32
                    } else {
                        room
                    };
                    if length == 0 {
                        continue;
                    }
                    // The mask changes nothing (filled < wanted <= CAPTURE_MAX); it is how the
                    // verifier learns it.
                    let place = filled as usize & (CAPTURE_MAX - 1);
                    // SAFETY: place < CAPTURE_MAX and length <= CAPTURE_MAX.
                    if !unsafe { copy_piece(target.add(place), length, piece.base) } {
                        break;
                    }
                    filled += length;
                }
                filled
            }
            Self::Unreadable => 0,
        }
    }
}

/// The first descriptions of a scattered buffer, in one read; what is not there has length 0.
#[inline(always)]
fn first_vectors(vectors: u64, count: u64) -> [IoVec; VECTORS_AT_ONCE as usize] {
    let mut first = [IoVec::NONE; VECTORS_AT_ONCE as usize];
    let number = if count < u64::from(VECTORS_AT_ONCE) {
        count as u32
    } else {
        VECTORS_AT_ONCE
    };
    let length = opaque(number) & (2 * VECTORS_AT_ONCE - 1);
    if length <= VECTORS_AT_ONCE {
        // SAFETY: the array has room for that many; on failure the helper fills it with zeros.
        unsafe {
            bpf_probe_read_user(
                first.as_mut_ptr().cast(),
                length * size_of::<IoVec>() as u32,
                vectors as *const _,
            );
        }
    }
    first
}

#[inline(always)]
fn vector(vectors: u64, index: u32) -> IoVec {
    read_user(vectors + u64::from(index) * size_of::<IoVec>() as u64).unwrap_or(IoVec::NONE)
}

/// # Safety
///
/// `target` must be writable for `CAPTURE_MAX` bytes.
#[inline(always)]
unsafe fn copy_piece(target: *mut u8, length: u32, address: u64) -> bool {
    let length = opaque(length);
    if length > CAPTURE_MAX as u32 {
        return false;
    }
    // SAFETY: promised by the caller; the helper checks the source.
    unsafe { bpf_probe_read_user(target.cast(), length, address as *const _) == 0 }
}
