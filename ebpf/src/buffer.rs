//! From a system call's arguments, or the kernel's own description of its buffer, to the bytes that it
//! moved.

use aya_ebpf::{
    btf_maps::PerCpuArray,
    helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user},
    macros::btf_map,
};
use clew_common::event::CAPTURE_MAX;
use core::{ffi::c_void, mem::MaybeUninit};

use crate::{
    chunk::record_data,
    kernel::{iterators, offset, opaque, read_kernel, read_or_zero, read_user, zero},
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
/// captured in part. (gRPC's C core sends each frame in two or more.)
const VECTORS_MAX: u32 = 32;
/// How many of them are read at once. Most calls have two or three.
const VECTORS_AT_ONCE: u32 = 4;

/// The buffer of a call that moves bytes through a socket.
///
/// Plain numbers: which kind it is becomes a branch in [`copy_of_call`], which the verifier looks at by
/// itself.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Buffer {
    /// The call's number, or one of those below.
    call: u64,
    /// Its second and third argument.
    second: u64,
    third: u64,
}

/// [`Buffer::call`], which is none: the first message of a sendmmsg or recvmmsg that has ended.
const FIRST_MESSAGE: u64 = 1 << 32;
/// [`Buffer::call`]: none at all.
const NO_CALL: u64 = 1 << 33;
/// [`Buffer::call`]: descriptions in the kernel's memory (`second`), from this byte (`third`) of the
/// first piece on.
const VECTORS: u64 = 1 << 34;

impl Buffer {
    /// Not in the caller's memory, or not to be found.
    pub const UNREADABLE: Self = Self::new(NO_CALL, 0, 0);

    /// The buffer of a call, from its number, second and third argument.
    #[inline(always)]
    pub const fn new(call: u64, second: u64, third: u64) -> Self {
        Self {
            call,
            second,
            third,
        }
    }

    /// The buffer of a call.
    #[inline(always)]
    pub const fn of(call: &Call) -> Self {
        Self::new(call.number, call.arguments[1], call.arguments[2])
    }

    /// That of the first message of a sendmmsg or recvmmsg which has ended, from its vector.
    #[inline(always)]
    pub const fn of_first_message(vector: u64) -> Self {
        Self::new(FIRST_MESSAGE, vector, 0)
    }

    /// The buffer in which the last `moved` bytes were, from the kernel's `struct msghdr` of a call that
    /// has ended.
    ///
    /// The kernel's iterator stands behind those bytes. It can be turned back
    /// (include/linux/uio.h: iov_iter_revert), so nothing need be kept from the call's beginning.
    #[inline(always)]
    pub fn behind(message: *const c_void, moved: u32) -> Self {
        let iterator = message
            .cast::<u8>()
            .wrapping_add(offset!(msghdr_iterator))
            .cast();
        let known = iterators();
        // SAFETY: 0 is a number.
        let (kind, into, start) = unsafe {
            (
                u32::from(read_or_zero::<u8>(iterator, offset!(iterator_kind))) & known.mask,
                read_or_zero::<u64>(iterator, offset!(iterator_into)),
                read_or_zero::<u64>(iterator, offset!(iterator_vectors)),
            )
        };
        if kind == known.plain {
            let address = start.wrapping_add(into).wrapping_sub(u64::from(moved));
            return Self::new(number::READ, address, 0);
        }
        if kind != known.scattered {
            // Pages: of a file, of another socket, or registered with io_uring.
            return Self::UNREADABLE;
        }
        match clew_turn_back(start, into, moved) {
            TOO_FAR => Self::UNREADABLE,
            place => {
                let passed = (place >> 32) * size_of::<IoVec>() as u64;
                Self::new(VECTORS, start.wrapping_sub(passed), place & 0xffff_ffff)
            }
        }
    }

    /// Copies the first `wanted` bytes to this processor's record, whose room for them is at `target`, as
    /// far as they can be read, and returns how many were.
    ///
    /// The common case without a call: one piece.
    ///
    /// # Safety
    ///
    /// The record must be this processor's.
    #[inline(always)]
    pub unsafe fn copy_first(self, target: *mut [u8; 2 * CAPTURE_MAX], wanted: u32) -> u32 {
        match self.call {
            number::READ | number::WRITE | number::SENDTO | number::RECVFROM => {
                // SAFETY: the record has room for twice the maximum.
                let copied = unsafe { copy_piece(target.cast(), wanted, self.second) };
                if copied { wanted } else { 0 }
            }
            _ => self.copy(wanted, 0),
        }
    }

    /// Copies `wanted` bytes, after the first `passed`, to this processor's record, as far as they can be
    /// read, and returns how many were.
    #[inline(always)]
    pub fn copy(self, wanted: u32, passed: u32) -> u32 {
        copy_of_call(self.call, self.second, self.third, wanted, passed)
    }
}

// Exported functions are global ones to the kernel (Linux 5.6 and later): it verifies them once and
// for any arguments, not again for each way that leads to them, and what comes after is verified for
// any result. As part of what calls them they made up most of what the verifier had to follow, and
// for Linux 6.1 it was too much.

/// Copies from a [`Buffer`]: `wanted` bytes after the first `passed`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn copy_of_call(call: u64, second: u64, third: u64, wanted: u32, passed: u32) -> u32 {
    match call {
        number::READ | number::WRITE | number::SENDTO | number::RECVFROM => {
            let Some(target) = record_data() else {
                return 0;
            };
            // SAFETY: the record has room for twice the maximum.
            let copied = unsafe { copy_piece(target, wanted, second + u64::from(passed)) };
            if copied { wanted } else { 0 }
        }
        number::READV | number::WRITEV | number::PREADV2 | number::PWRITEV2 => {
            copy_scattered(second, third, wanted, passed, OF_CALLER)
        }
        number::SENDMSG | number::RECVMSG => copy_of_message(second, wanted, passed),
        // With several messages in one call nothing says which one this is, while it runs.
        number::SENDMMSG | number::RECVMMSG if third == 1 => {
            copy_of_message(second, wanted, passed)
        }
        VECTORS => {
            let passed = passed.wrapping_add(third as u32);
            copy_scattered(second, u64::from(VECTORS_MAX), wanted, passed, OF_KERNEL)
        }
        FIRST_MESSAGE if passed == 0 => {
            let filled = message_length(second, 0);
            copy_of_message(second, if wanted < filled { wanted } else { filled }, 0)
        }
        _ => 0,
    }
}

/// Copies from the buffer of a `struct msghdr`.
#[inline(always)]
fn copy_of_message(header: u64, wanted: u32, passed: u32) -> u32 {
    match read_user::<MessageVectors>(header + MSGHDR_VECTORS) {
        Some(message) => copy_scattered(message.vectors, message.count, wanted, passed, OF_CALLER),
        None => 0,
    }
}

/// `msg_len` of a `struct mmsghdr` in an array.
#[inline(always)]
pub fn message_length(vector: u64, index: u64) -> u32 {
    /// `sizeof(struct mmsghdr)` and the offset of its `msg_len`.
    const SIZE: u64 = 64;
    const LENGTH: u64 = 56;
    read_user::<u32>(vector + index * SIZE + LENGTH).unwrap_or(0)
}

/// How many bytes of a scattered buffer have been copied, and how many are still to be passed. In memory
/// of which the verifier knows nothing: else it would follow each way through the loop with what that way
/// had copied.
#[derive(Clone, Copy)]
#[repr(C)]
struct Copying {
    filled: u32,
    passed: u32,
}

#[btf_map]
static COPYING: PerCpuArray<Copying, 1> = PerCpuArray::new();

/// Where descriptions of pieces are: in the caller's memory, or in the kernel's.
const OF_CALLER: u32 = 0;
const OF_KERNEL: u32 = 1;

/// How many pieces an iterator is turned back.
const BACK_MAX: u64 = 128;
/// Result of [`clew_turn_back`]: it would be more.
const TOO_FAR: u64 = u64::MAX;

/// Turns an iterator back by `moved` bytes, which stands `into` the piece that is described at
/// `vectors`: how many pieces before that one (the high half), and how many bytes into the piece there.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn clew_turn_back(vectors: u64, into: u64, moved: u32) -> u64 {
    let mut left = u64::from(moved);
    if left <= into {
        return into - left;
    }
    left -= into;
    for back in 1..=BACK_MAX {
        let piece = vectors.wrapping_sub(back * size_of::<IoVec>() as u64);
        let Some(IoVec { length, .. }) = read_kernel::<IoVec>(piece as *const c_void, 0) else {
            break;
        };
        if left <= length {
            return back << 32 | (length - left);
        }
        left -= length;
    }
    TOO_FAR
}

/// Copies `wanted` bytes, after the first `passed`, of `count` pieces that are described at `vectors`,
/// [`OF_CALLER`] or [`OF_KERNEL`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn copy_scattered(
    vectors: u64,
    count: u64,
    wanted: u32,
    passed: u32,
    place: u32,
) -> u32 {
    let Some(target) = record_data() else {
        return 0;
    };
    let Some(progress) = COPYING.get_ptr_mut(0) else {
        return 0;
    };
    let mut first = MaybeUninit::<[IoVec; VECTORS_AT_ONCE as usize]>::uninit();
    zero(&mut first);
    // SAFETY: it consists of plain numbers.
    let first = unsafe { first.assume_init_mut() };
    read_vectors(vectors, count, place, first);
    // SAFETY: the slot is this processor's own. Volatile, as all that follow: see `Copying`.
    let (filled, to_pass) = unsafe { (&raw mut (*progress).filled, &raw mut (*progress).passed) };
    // SAFETY: as above.
    unsafe {
        filled.write_volatile(0);
        to_pass.write_volatile(passed);
    }
    for index in 0..VECTORS_MAX {
        // SAFETY: as above.
        let (so_far, pass) = unsafe { (filled.read_volatile(), to_pass.read_volatile()) };
        if so_far >= wanted || u64::from(index) >= count {
            break;
        }
        let piece = if index < VECTORS_AT_ONCE {
            first[index as usize]
        } else {
            vector(vectors, index, place)
        };
        let room = wanted - so_far;
        let Some(rest) = piece.length.checked_sub(u64::from(pass)) else {
            // SAFETY: as above.
            unsafe { to_pass.write_volatile(pass - piece.length as u32) };
            continue;
        };
        // SAFETY: as above.
        unsafe { to_pass.write_volatile(0) };
        let length = if rest < u64::from(room) {
            rest as u32
        } else {
            room
        };
        if length == 0 {
            continue;
        }
        // The mask changes nothing (so_far < wanted <= CAPTURE_MAX); it is how the
        // verifier learns it.
        let place = so_far as usize & (CAPTURE_MAX - 1);
        let base = piece.base + u64::from(pass);
        // SAFETY: place < CAPTURE_MAX and length <= CAPTURE_MAX.
        if !unsafe { copy_piece(target.add(place), length, base) } {
            break;
        }
        // SAFETY: as above.
        unsafe { filled.write_volatile(so_far + length) };
    }
    // SAFETY: as above.
    unsafe { filled.read_volatile() }
}

/// Reads the first descriptions of a scattered buffer at once; what is not there stays of length 0.
#[inline(always)]
fn read_vectors(
    vectors: u64,
    count: u64,
    place: u32,
    first: &mut [IoVec; VECTORS_AT_ONCE as usize],
) {
    let number = if count < u64::from(VECTORS_AT_ONCE) {
        count as u32
    } else {
        VECTORS_AT_ONCE
    };
    let length = opaque(number) & (2 * VECTORS_AT_ONCE - 1);
    if length <= VECTORS_AT_ONCE {
        // SAFETY: the array has room for that many; on failure the helper fills it with zeros.
        unsafe {
            let (target, size) = (
                first.as_mut_ptr().cast(),
                length * size_of::<IoVec>() as u32,
            );
            if place == OF_KERNEL {
                bpf_probe_read_kernel(target, size, vectors as *const _);
            } else {
                bpf_probe_read_user(target, size, vectors as *const _);
            }
        }
    }
}

#[inline(always)]
fn vector(vectors: u64, index: u32, place: u32) -> IoVec {
    let address = vectors + u64::from(index) * size_of::<IoVec>() as u64;
    let piece = if place == OF_KERNEL {
        read_kernel(address as *const c_void, 0)
    } else {
        read_user(address)
    };
    piece.unwrap_or(IoVec::NONE)
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
