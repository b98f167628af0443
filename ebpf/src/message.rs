//! What the head of an HTTP/1 message says that must be known while its bytes are moving: the
//! context that a request carries, and where a response ends. All else is the agent's.

use aya_ebpf::{
    btf_maps::{LruHashMap, PerCpuArray},
    helpers::generated::bpf_probe_read_kernel,
    macros::btf_map,
};
use clew_common::{context::SAMPLED, event::CAPTURE_MAX};

use crate::{chunk::RECORD, context::Trace, kernel::opaque};

/// How much of a head is looked at, in bytes.
const HEAD_MAX: u32 = 2048;
const WORDS: u32 = HEAD_MAX / 8;

/// The captured bytes of a message, in a buffer of twice [`CAPTURE_MAX`] bytes that begins at an
/// address divisible by 8.
#[derive(Clone, Copy)]
pub struct Bytes {
    pub start: *const u8,
    pub length: u32,
}

impl Bytes {
    /// No bytes were captured.
    #[inline(always)]
    pub const fn none() -> Self {
        Self {
            start: core::ptr::null(),
            length: 0,
        }
    }

    /// The bytes of the record that is being made, of which `length` were captured.
    #[inline(always)]
    pub fn of_record(length: u32) -> Option<Self> {
        let record = RECORD.get_ptr(0)?;
        // SAFETY: the slot is this processor's own.
        let start = unsafe { (&raw const (*record).data).cast() };
        Some(Self { start, length })
    }

    /// The byte at `at`; what lies behind the captured ones is left from before.
    #[inline(always)]
    fn at(&self, at: u32) -> u8 {
        // SAFETY: the mask keeps it inside the buffer.
        unsafe { *self.start.add(at as usize & (CAPTURE_MAX - 1)) }
    }

    #[inline(always)]
    fn word(&self, index: u32) -> u64 {
        // SAFETY: as above; aligned, promised by the type.
        unsafe {
            self.start
                .add((index as usize * 8) & (CAPTURE_MAX - 8))
                .cast::<u64>()
                .read()
        }
    }
}

/// Where a head's lines of interest begin, 0 where there is none.
#[derive(Clone, Copy)]
#[repr(C)]
struct Lines {
    /// The line that begins with the first name.
    first: u32,
    /// The one that begins with the second.
    second: u32,
    /// The first name occurred twice.
    repeated: u32,
    /// The second did.
    second_repeated: u32,
    /// Length of the head, with the empty line; 0 if its end was not seen.
    length: u32,
}

/// What is found goes to memory of which the verifier knows nothing, so that it need not follow every
/// combination of lines through the loop.
#[btf_map]
static LINES: PerCpuArray<Lines, 1> = PerCpuArray::new();

/// The same byte eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Finds lines by the first nine and the first eight bytes of their names, which are given in lower
/// case.
///
/// A word at a time: a head has one line end in some thirty bytes.
#[inline(always)]
fn lines(bytes: Bytes, first: [u8; 8], ninth: u8, second: [u8; 8]) -> Option<Lines> {
    let (first, second) = (u64::from_ne_bytes(first), u64::from_ne_bytes(second));
    let found = LINES.get_ptr_mut(0)?;
    // SAFETY: the slot is this processor's own. Volatile: see `LINES`.
    unsafe {
        found.write_volatile(Lines {
            first: 0,
            second: 0,
            repeated: 0,
            second_repeated: 0,
            length: 0,
        });
        for index in 0..WORDS {
            if index * 8 >= bytes.length || (&raw const (*found).length).read_volatile() != 0 {
                break;
            }
            let word = bytes.word(index);
            let other = word ^ eight(b'\n');
            // The highest bit of each byte that is a line end.
            let ends = !(((other & eight(0x7f)) + eight(0x7f)) | other | eight(0x7f));
            if ends == 0 {
                continue;
            }
            let next = bytes.word(index + 1);
            // A word holds at most two that matter: those of the last line and of the empty one.
            let lowest = ends & ends.wrapping_neg();
            let after = ends ^ lowest;
            look_at(
                bytes,
                found,
                index,
                [word, next],
                lowest,
                first,
                ninth,
                second,
            );
            // What follows the empty line is the body, or left from before: no line of the head.
            if after != 0 && (&raw const (*found).length).read_volatile() == 0 {
                let lowest = after & after.wrapping_neg();
                look_at(
                    bytes,
                    found,
                    index,
                    [word, next],
                    lowest,
                    first,
                    ninth,
                    second,
                );
            }
        }
        let mut lines = found.read_volatile();
        if lines.length > bytes.length {
            lines.length = 0;
        }
        Some(lines)
    }
}

/// Looks at the line behind the line end that `bit` marks.
#[expect(
    clippy::too_many_arguments,
    reason = "one loop's body, in a function for its second copy"
)]
#[inline(always)]
unsafe fn look_at(
    bytes: Bytes,
    found: *mut Lines,
    index: u32,
    [word, next]: [u64; 2],
    bit: u64,
    first: u64,
    ninth: u8,
    second: u64,
) {
    // SAFETY: promised by the caller.
    unsafe {
        let place = byte_of(bit);
        // Two shifts: one by 64 would be none.
        let shift = place * 8;
        let line = word >> shift >> 8 | next << (56 - shift);
        let at = index * 8 + place + 1;
        if line & 0xffff == 0x0a0d {
            (&raw mut (*found).length).write_volatile(at + 2);
        } else if line & 0xff == 0x0a {
            (&raw mut (*found).length).write_volatile(at + 1);
        } else if line | eight(0x20) == first && bytes.at(at + 8) | 0x20 == ninth {
            note(&raw mut (*found).first, &raw mut (*found).repeated, at);
        } else if line | eight(0x20) == second {
            note(
                &raw mut (*found).second,
                &raw mut (*found).second_repeated,
                at,
            );
        }
    }
}

#[inline(always)]
unsafe fn note(place: *mut u32, repeated: *mut u32, at: u32) {
    // SAFETY: promised by the caller.
    unsafe {
        if place.read_volatile() != 0 {
            repeated.write_volatile(1);
        }
        place.write_volatile(at);
    }
}

/// Which byte of a word a bit lies in that is the highest of its byte. Without branches, which the
/// verifier would follow one by one.
#[inline(always)]
const fn byte_of(bit: u64) -> u32 {
    // The bit is 2^(8 * place + 7); a de Bruijn-like product brings each place to the top byte.
    ((bit >> 7).wrapping_mul(0x0001_0203_0405_0607) >> 56) as u32
}

/// Whether a connection's first bytes are the preface of HTTP/2 (RFC 9113, section 3.4).
#[inline(always)]
pub fn begins_http2(bytes: Bytes) -> bool {
    bytes.length >= 16
        && bytes.word(0) == u64::from_ne_bytes(*b"PRI * HT")
        && bytes.word(1) == u64::from_ne_bytes(*b"TP/2.0\r\n")
}

/// What a request's head says about its context.
pub enum Context {
    /// It belongs to this trace.
    Of(Trace),
    /// It names none.
    None,
    /// The head could not be seen to its end.
    Unseen,
}

/// The longest `traceparent` line that is understood: name and colon, four blanks, a value of version 00.
const LINE_MAX: u32 = 12 + 4 + 55;

/// Reads `traceparent` (W3C Trace Context, section 3.2).
///
/// A global function: the verifier looks at it once, by itself, whoever calls it. Those take and give
/// only numbers, so the trace comes back through [`FOUND`].
#[inline(always)]
pub fn context(bytes: Bytes) -> Context {
    match clew_request_context(bytes.length) {
        NAMED => match FOUND.get_ptr(0) {
            // SAFETY: the slot is this processor's own.
            Some(trace) => Context::Of(unsafe { *trace }),
            None => Context::None,
        },
        NAMES_NONE => Context::None,
        _ => Context::Unseen,
    }
}

/// Results of [`clew_request_context`].
const NAMED: u32 = 0;
const NAMES_NONE: u32 = 1;
const UNSEEN: u32 = 2;

/// The trace that the last request named.
#[btf_map]
static FOUND: PerCpuArray<Trace, 1> = PerCpuArray::new();

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn clew_request_context(captured: u32) -> u32 {
    let Some(bytes) = Bytes::of_record(captured) else {
        return UNSEEN;
    };
    let Some(found) = FOUND.get_ptr_mut(0) else {
        return UNSEEN;
    };
    match request_context(bytes) {
        Context::Of(trace) => {
            // SAFETY: the slot is this processor's own.
            unsafe { *found = trace };
            NAMED
        }
        Context::None => NAMES_NONE,
        Context::Unseen => UNSEEN,
    }
}

#[inline(always)]
fn request_context(bytes: Bytes) -> Context {
    if bytes.length < 3 {
        return Context::Unseen;
    }
    // All methods are in upper case (RFC 9110, section 9.1), and none has fewer than three letters;
    // other protocols are no text, or have no headers.
    let start = [bytes.at(0), bytes.at(1), bytes.at(2)];
    if !start.iter().all(u8::is_ascii_uppercase) {
        return Context::None;
    }
    let Some(found) = lines(bytes, *b"tracepar", b'e', *b"tracesta") else {
        return Context::Unseen;
    };
    if found.first == 0 || found.repeated != 0 {
        return if found.length == 0 {
            Context::Unseen
        } else {
            Context::None
        };
    }
    // Behind what was captured lies what is left from before. The line may be in two reads (Rust's
    // `read_to_end` begins with one of 32 bytes).
    if found.length == 0 && found.first + LINE_MAX > bytes.length {
        return Context::Unseen;
    }
    let mut at = found.first + 8;
    let rest = [
        bytes.at(at) | 0x20,
        bytes.at(at + 1) | 0x20,
        bytes.at(at + 2) | 0x20,
    ];
    if rest != *b"ent" || bytes.at(at + 3) != b':' {
        return Context::None;
    }
    at += 4;
    for _ in 0..4 {
        if bytes.at(at) != b' ' && bytes.at(at) != b'\t' {
            break;
        }
        at += 1;
    }
    // A value that is not complete, or not like this, is no context; the agent judges it with more
    // care, and a process where they differ is soon left to the agent.
    if at + 55 > bytes.length || bytes.at(at + 2) != b'-' || bytes.at(at + 35) != b'-' {
        return Context::None;
    }
    let mut id = [0u64; 2];
    for half in 0..2u32 {
        let mut value: u64 = 0;
        for digit in 0..16u32 {
            let byte = bytes.at(at + 3 + half * 16 + digit);
            let number = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return Context::None,
            };
            value = value << 4 | u64::from(number);
        }
        id[half as usize] = value.to_be();
    }
    if id[0] | id[1] == 0 {
        return Context::None;
    }
    let flags = u32::from(bytes.at(at + 54)) & SAMPLED;
    Context::Of(Trace::inherited(id, flags))
}

/// `tracestate` lines are passed on that are shorter than this, in bytes with the line end. A state is
/// passed on whole or not at all (W3C Trace Context, section 3.3.1.5, leaves the length to us).
pub const STATE_MAX: u32 = 256;

/// The `tracestate` of the request that a connection brought last.
#[repr(C)]
pub struct State {
    /// The trace that it belongs to.
    pub trace_id: [u64; 2],
    /// Bytes of `line`; less than [`STATE_MAX`].
    pub length: u32,
    pub reserved: u32,
    /// The whole line, as it came.
    pub line: [u8; STATE_MAX as usize],
}

/// By connection.
#[btf_map]
pub static STATES: LruHashMap<u64, State, 1> = LruHashMap::new();

/// The one that is being read on this processor.
#[btf_map]
static STATE: PerCpuArray<State, 1> = PerCpuArray::new();

/// Remembers the `tracestate` of the request whose context [`context`] has just found, which
/// `connection` brought, or forgets the one before.
#[inline(always)]
pub fn keep_state(bytes: Bytes, connection: u64) {
    clew_keep_state(bytes.length, connection);
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn clew_keep_state(captured: u32, connection: u64) -> u32 {
    let kept = match state(captured) {
        // Full: the one idle for longest goes.
        Some(state) => STATES.insert(connection, state, 0).is_ok(),
        // Most often there is none.
        None => STATES.remove(connection).is_ok(),
    };
    u32::from(kept)
}

#[inline(always)]
fn state(captured: u32) -> Option<&'static State> {
    let bytes = Bytes::of_record(captured)?;
    let lines = LINES.get_ptr(0)?;
    let trace = FOUND.get_ptr(0)?;
    let state = STATE.get_ptr_mut(0)?;
    // SAFETY: the slots are this processor's own.
    unsafe {
        let at = (&raw const (*lines).second).read_volatile();
        let head = (&raw const (*lines).length).read_volatile();
        // There may be another line in what was not seen.
        if head == 0 || head > bytes.length {
            return None;
        }
        // Several lines are one list (section 3.3.1): to pass on a part of it would be to change it.
        if at == 0 || (&raw const (*lines).second_repeated).read_volatile() != 0 {
            return None;
        }
        let rest = [
            bytes.at(at + 8) | 0x20,
            bytes.at(at + 9) | 0x20,
            bytes.at(at + 10),
        ];
        if rest != *b"te:" {
            return None;
        }
        let mut length = 0;
        for index in 11..STATE_MAX - 2 {
            let byte = bytes.at(at + index);
            if byte == b'\r' && bytes.at(at + index + 1) == b'\n' {
                length = index + 2;
                break;
            }
            if byte != b'\t' && !(0x20..0x7f).contains(&byte) {
                return None;
            }
        }
        let length = opaque(length) & (STATE_MAX - 1);
        if length == 0 || at + length > bytes.length {
            return None;
        }
        let source = bytes.start.add(at as usize & (CAPTURE_MAX - 1));
        let target = (&raw mut (*state).line).cast();
        if bpf_probe_read_kernel(target, length, source.cast()) != 0 {
            return None;
        }
        (*state).trace_id = (*trace).id;
        (*state).length = length;
        Some(&*state)
    }
}

/// Where a response ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is only an interim response (1xx).
    Interim,
    /// After this many bytes more.
    After(u64),
    /// With the chunk of length 0.
    Chunked,
    /// It cannot be told.
    Unknown,
}

/// Reads the head of a response of which `length` bytes are being sent at once.
#[inline(always)]
pub fn ending(bytes: Bytes, length: u32) -> Ending {
    match clew_response_ending(bytes.length, length) {
        INTERIM => Ending::Interim,
        CHUNKED => Ending::Chunked,
        UNKNOWN => Ending::Unknown,
        left => Ending::After(left),
    }
}

/// Results of [`clew_response_ending`], which is a global function too; others are bytes.
const INTERIM: u64 = u64::MAX;
const CHUNKED: u64 = u64::MAX - 1;
const UNKNOWN: u64 = u64::MAX - 2;

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn clew_response_ending(captured: u32, length: u32) -> u64 {
    let Some(bytes) = Bytes::of_record(captured) else {
        return UNKNOWN;
    };
    match response_ending(bytes, length) {
        Ending::Interim => INTERIM,
        Ending::Chunked => CHUNKED,
        Ending::Unknown => UNKNOWN,
        Ending::After(left) => left,
    }
}

#[inline(always)]
fn response_ending(bytes: Bytes, length: u32) -> Ending {
    // "HTTP/1.x nnn"
    if bytes.length < 16 || bytes.at(0) != b'H' || bytes.at(4) != b'/' {
        return Ending::Unknown;
    }
    if bytes.at(9) == b'1' {
        return Ending::Interim;
    }
    let Some(found) = lines(bytes, *b"content-", b'l', *b"transfer") else {
        return Ending::Unknown;
    };
    if found.length == 0 {
        return Ending::Unknown;
    }
    let status = [bytes.at(9), bytes.at(10), bytes.at(11)];
    if status == *b"204" || status == *b"304" {
        return Ending::After(0);
    }
    if found.second != 0 {
        return if is_last_chunk(bytes, length) {
            Ending::After(0)
        } else {
            Ending::Chunked
        };
    }
    if found.first == 0 || found.repeated != 0 {
        return Ending::Unknown;
    }
    match content_length(bytes, found.first + 15) {
        Some(body) => {
            let here = u64::from(length - found.length);
            Ending::After(if body > here { body - here } else { 0 })
        }
        None => Ending::Unknown,
    }
}

/// Reads the number at `at`, behind the colon.
#[inline(always)]
fn content_length(bytes: Bytes, mut at: u32) -> Option<u64> {
    for _ in 0..4 {
        if bytes.at(at) != b' ' && bytes.at(at) != b'\t' {
            break;
        }
        at += 1;
    }
    let mut value: u64 = 0;
    for place in 0..12 {
        let digit = bytes.at(at).wrapping_sub(b'0');
        if digit > 9 {
            return if place == 0 { None } else { Some(value) };
        }
        value = value * 10 + u64::from(digit);
        at += 1;
    }
    None
}

/// Whether a send of `length` bytes ends with the chunk that ends a body (RFC 9112, section 7.1).
#[inline(always)]
pub fn is_last_chunk(bytes: Bytes, length: u32) -> bool {
    if length != bytes.length || length < 5 {
        return false;
    }
    let last = length - 5;
    let tail = [
        bytes.at(last),
        bytes.at(last + 1),
        bytes.at(last + 2),
        bytes.at(last + 3),
        bytes.at(last + 4),
    ];
    tail == *b"0\r\n\r\n" && (last == 0 || bytes.at(last - 1) == b'\n')
}
