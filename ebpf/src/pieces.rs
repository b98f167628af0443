//! Calls that move more than is captured of them: what else of them is told.
//!
//! A record holds the first bytes of a call. In some streams what matters lies behind those: the frames of
//! other calls in HTTP/2, or how a statement ended, after its rows. There a call is told in pieces, each a
//! chunk of the stream with its own first bytes: user space need not know that it was one call.
//!
//! Only what is captured depends on this. A place that was guessed wrongly costs bytes that are of no use,
//! since user space finds the frames by itself.

use clew_common::{
    connection::UDP,
    context::Carried,
    control::{Control, FRAMES, TAIL, UNDECIDED},
    counter::Counter,
    event::{CAPTURE_MAX, CHUNK_INSERTED_SHIFT, CHUNK_SENT, CHUNK_UNREADABLE, Chunk},
};

use crate::{
    chunk::{RECORD, Record, record_data},
    counter::count,
    flow::{Flow, HTTP2, NEXT_RECEIVED, NEXT_SENT, WANTS_TAIL},
    kernel::{capture_bytes, opaque},
    output,
};

/// Length of a frame's header (RFC 9113, section 4.1), and of what it begins with: the frame's length.
const HEADER: u32 = 9;
const LENGTH: u32 = 3;
/// The longest frame that is believed, and the highest type (RFC 9218, section 7.1). Nobody sends longer
/// ones unless he was asked to.
const LENGTH_MAX: u32 = 1 << 20;
const KIND_MAX: u8 = 0x10;
/// `DATA` and `HEADERS` are the first two; they are always on a stream.
const ON_STREAM_MAX: u8 = 1;
/// What a client sends first (RFC 9113, section 3.4): its first eight bytes, and its length.
const PREFACE: u64 = u64::from_le_bytes(*b"PRI * HT");
const PREFACE_LENGTH: u32 = 24;

/// Pieces of one call at most, and frames that are passed in one of them.
const PIECES_MAX: u32 = 16;
const FRAMES_MAX: u32 = 32;
/// What is captured of a piece after the first: a header block most often, or the beginning of data.
const PIECE_BYTES: u32 = 1024;
/// How much of a call's end is told.
const TAIL_BYTES: u32 = 512;

/// Where the next frame begins is not known.
const UNKNOWN: u32 = u32::MAX;

/// Takes over what user space says of a connection.
///
/// # Safety
///
/// `flow` must point to a flow that the verifier knows.
#[inline(always)]
pub unsafe fn learn(flow: *mut Flow, control: &Control) {
    // SAFETY: promised by the caller.
    unsafe {
        if control.flags & FRAMES != 0 {
            (*flow).flags |= HTTP2;
        } else if control.flags & TAIL != 0 {
            (*flow).flags |= WANTS_TAIL;
        }
    }
}

/// Whether a call of a connection is told as it is, whatever it moved.
///
/// # Safety
///
/// As for [`learn`].
#[inline(always)]
pub unsafe fn is_one(flow: *mut Flow, length: u32, captured: u32) -> bool {
    // SAFETY: promised by the caller.
    unsafe {
        (*flow).verdict != UNDECIDED
            && (*flow).flags & HTTP2 == 0
            && ((*flow).flags & WANTS_TAIL == 0 || length == captured)
    }
}

/// Tells the call of which the record has the first bytes.
///
/// A function by itself: the stack of the one that follows every system call has no room for it.
///
/// # Safety
///
/// As for [`learn`]; this processor's record must be taken, and hold the whole chunk.
#[inline(never)]
pub unsafe fn tell(flow: *mut Flow) {
    let Some(record) = RECORD.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: promised by the caller; the slot is this processor's own.
    unsafe {
        let header = &raw const (*record).header;
        let length = (*header).result as u32;
        let undecided = (*flow).verdict == UNDECIDED && (*flow).flags & UDP == 0;
        if undecided {
            notice_preface(flow, record);
        }
        if (*flow).flags & HTTP2 != 0 {
            let (known, next) = if (*header).flags & CHUNK_SENT != 0 {
                (NEXT_SENT, &raw mut (*flow).next_sent)
            } else {
                (NEXT_RECEIVED, &raw mut (*flow).next_received)
            };
            let position = (*header).position as u32;
            let ahead = if (*flow).flags & known != 0 {
                (*next).wrapping_sub(position)
            } else {
                UNKNOWN
            };
            let ahead = clew_frames(ahead);
            *next = position.wrapping_add(ahead);
            if ahead == UNKNOWN {
                (*flow).flags &= !known;
            } else {
                (*flow).flags |= known;
            }
        } else if (undecided || (*flow).flags & WANTS_TAIL != 0) && length > (*header).captured {
            // The first answer can be over before user space has looked at what was asked.
            clew_tail();
        } else {
            rest(record, 0, length);
        }
    }
}

/// Notices that a client begins to speak HTTP/2, ahead of user space: its first request may be long.
#[inline(always)]
unsafe fn notice_preface(flow: *mut Flow, record: *const Record) {
    // SAFETY: promised by the caller; the record's bytes begin at an address divisible by 8.
    unsafe {
        let begins = (&raw const (*record).data).cast::<u64>().read() == PREFACE;
        if begins && (*record).header.captured >= PREFACE_LENGTH {
            (*flow).flags |= HTTP2;
        }
    }
}

/// Tells a call of HTTP/2. `next`: where a frame begins, counted from the call's first byte, or
/// [`UNKNOWN`]; then the call is taken to begin with one. Returns the place of the first that begins after
/// the call, counted likewise.
///
/// Global functions, as those in `buffer`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn clew_frames(next: u32) -> u32 {
    let Some(record) = RECORD.get_ptr_mut(0) else {
        return UNKNOWN;
    };
    // SAFETY: the slot is this processor's own, and taken by the caller.
    unsafe {
        let length = (*record).header.result as u32;
        let mut next = if next <= length + LENGTH_MAX { next } else { 0 };
        let mut from = 0;
        for _ in 0..PIECES_MAX {
            if next < length {
                let captured = (*record).header.captured;
                let passed = clew_pass_frames(next - from, captured, length - from);
                next = if passed == UNKNOWN {
                    UNKNOWN
                } else {
                    from + passed
                };
            }
            if next == UNKNOWN || next == from || next >= length {
                break;
            }
            if !split(record, from, next) {
                from = next;
                next = UNKNOWN;
                break;
            }
            from = next;
        }
        rest(record, from, length);
        // The first or second byte of a header ends the call, or there are more frames than are followed.
        if next < length { UNKNOWN } else { next }
    }
}

/// Passes the frames whose headers are among the `captured` bytes of the record, from `at` on, and
/// returns the place of the first that is not; [`UNKNOWN`] where there are no frames. `length`: to the end of
/// the call. Of a header that goes on in the next call the frame's length is enough.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn clew_pass_frames(at: u32, captured: u32, length: u32) -> u32 {
    let Some(data) = record_data() else {
        return UNKNOWN;
    };
    let mut at = at;
    let enough = if captured < length { HEADER } else { LENGTH };
    for _ in 0..FRAMES_MAX {
        if at + enough > captured || at >= CAPTURE_MAX as u32 {
            break;
        }
        // SAFETY: the mask keeps it inside the record, which has room for twice as much. Bytes, because
        // a frame begins anywhere.
        let header = unsafe {
            data.add(opaque(at) as usize & (CAPTURE_MAX - 1))
                .cast::<[u8; HEADER as usize]>()
                .read()
        };
        let [a, b, c, kind, _, s, t, u, v] = header;
        let frame = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes([s, t, u, v]);
        let is_whole = at + HEADER <= captured;
        if header[..8] == PREFACE.to_le_bytes() {
            at += PREFACE_LENGTH;
        } else if frame > LENGTH_MAX
            || is_whole
                && (kind > KIND_MAX
                    || stream > i32::MAX as u32
                    || stream == 0 && kind <= ON_STREAM_MAX)
        {
            return UNKNOWN;
        } else {
            at += HEADER + frame;
        }
    }
    at
}

/// Tells a call, and its last bytes as a chunk of their own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn clew_tail() -> u32 {
    let Some(record) = RECORD.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: the slot is this processor's own, and taken by the caller.
    unsafe {
        let length = (*record).header.result as u32;
        let captured = (*record).header.captured;
        let tail = if length > captured + TAIL_BYTES {
            length - TAIL_BYTES
        } else {
            captured
        };
        split(record, 0, tail);
        rest(record, tail, length);
    }
    0
}

/// Tells the piece from `from` to `to`, which is in the record, and puts the next one into the record;
/// says whether its bytes could be read.
#[inline(always)]
unsafe fn split(record: *mut Record, from: u32, to: u32) -> bool {
    // SAFETY: promised by the caller.
    unsafe {
        let header = &raw mut (*record).header;
        let length = (*header).result as u32;
        rest(record, from, to);
        let left = length - to;
        let most = if capture_bytes() < PIECE_BYTES {
            capture_bytes()
        } else {
            PIECE_BYTES
        };
        let wanted = if left < most { left } else { most };
        let captured = (*record).buffer.copy(wanted, to);
        (*header).captured = captured;
        (*header).position += u64::from(to - from);
        (*header).result = length as i32;
        // What was inserted lies before the first piece.
        (*header).flags &= (1 << CHUNK_INSERTED_SHIFT) - 1;
        if captured == 0 {
            (*header).flags |= CHUNK_UNREADABLE;
        }
        captured > 0
    }
}

/// Tells the piece from `from` to `to`.
#[inline(always)]
unsafe fn rest(record: *mut Record, from: u32, to: u32) {
    // SAFETY: promised by the caller.
    unsafe {
        let header = &raw mut (*record).header;
        let length = to - from;
        (*header).result = length as i32;
        let captured = opaque((*header).captured);
        let captured = if captured > length { length } else { captured };
        (*header).captured = captured;
        submit(record);
    }
}

/// Tells what is in the record, and the context that goes with it.
///
/// # Safety
///
/// `record` must be this processor's, and taken.
#[inline(always)]
pub unsafe fn submit(record: *mut Record) {
    // SAFETY: promised by the caller.
    unsafe {
        let captured = opaque((*record).header.captured);
        let captured = if captured > CAPTURE_MAX as u32 {
            CAPTURE_MAX as u32
        } else {
            captured
        };
        let length = size_of::<Chunk>() as u32 + captured;
        if (*record).carries != 0 {
            (*record).carries = 0;
            let both = size_of::<Carried>() as u32 + length;
            if !output::output(record.cast::<u8>(), both, Counter::ChunkRingFull) {
                count(Counter::EventRingFull);
            }
        } else {
            let chunk = (&raw const (*record).header).cast();
            output::output(chunk, length, Counter::ChunkRingFull);
        }
    }
}
