//! Datagrams of UDP sockets: each is a chunk. What one call sends or receives as several messages is
//! found one by one.
//!
//! Only with the socket tracepoints, which fire for each message. Which one it is they do not say:
//! the messages of a call are counted, per thread. A call ends with its last message or with one that
//! fails, and both are seen here. (A recvmmsg whose own timeout ends it is not: what the next call of
//! that thread receives is read from the wrong buffers then. Hardly any program gives it one.)

use aya_ebpf::{btf_maps::LruHashMap, helpers::bpf_get_current_pid_tgid, macros::btf_map};
use core::ffi::c_void;

use crate::{
    buffer::Buffer,
    chunk,
    flow::Store,
    kernel::offset,
    registers::{Call, number},
    socket::SOCK_DGRAM,
    socket_tracepoints::Task,
};

/// `sizeof(struct mmsghdr)`, which begins with its `struct msghdr`.
const MESSAGE_SIZE: u64 = 64;

/// A sendmmsg or recvmmsg under way.
#[derive(Clone, Copy)]
#[repr(C)]
struct Progress {
    /// Its call's number and vector.
    call: u64,
    vector: u64,
    /// How many messages have moved.
    moved: u64,
}

/// The calls under way, by thread.
#[btf_map]
static PROGRESS: LruHashMap<u64, Progress, 4096> = LruHashMap::new();

/// Whether a socket is one for datagrams, of whatever family.
#[inline(always)]
pub fn is_of(socket: *const c_void) -> bool {
    // SAFETY: the verifier knows the pointer as a `struct sock` and the offset as a constant, so this
    // is a plain load.
    unsafe {
        socket
            .cast::<u8>()
            .add(offset!(sock_type))
            .cast::<u16>()
            .read()
            == SOCK_DGRAM
    }
}

/// A datagram has moved, or could not (`result` is negative).
#[inline(always)]
pub fn moved(store: &impl Store, sent: bool, result: i32) {
    if result < 0 {
        // Of a call with several messages it is the end; others are not in the table.
        let _ = PROGRESS.remove(bpf_get_current_pid_tgid());
        return;
    }
    chunk::moved(store, sent, result as u32, Task::current().ids(), buffer);
}

/// The buffer of the datagram that has just moved.
#[inline(always)]
fn buffer() -> Buffer {
    let Some(call) = Task::current().call() else {
        return Buffer::UNREADABLE;
    };
    match call.number {
        number::SENDMMSG | number::RECVMMSG if call.arguments[2] > 1 => of_messages(&call),
        _ => Buffer::of(&call),
    }
}

/// The buffer of the next message of a call with several.
#[inline(always)]
fn of_messages(call: &Call) -> Buffer {
    let thread = bpf_get_current_pid_tgid();
    let [_, vector, messages, _] = call.arguments;
    let before = match PROGRESS.get_ptr(thread) {
        // SAFETY: entries are not freed while a program runs, and this one is this thread's own.
        Some(progress) => unsafe { *progress },
        None => Progress {
            call: call.number,
            vector,
            moved: 0,
        },
    };
    let at = if before.call == call.number && before.vector == vector {
        before.moved
    } else {
        0
    };
    if at + 1 >= messages {
        let _ = PROGRESS.remove(thread);
    } else {
        let progress = Progress {
            call: call.number,
            vector,
            moved: at + 1,
        };
        if PROGRESS.insert(thread, &progress, 0).is_err() {
            return Buffer::UNREADABLE;
        }
    }
    Buffer::new(
        match call.number {
            number::SENDMMSG => number::SENDMSG,
            _ => number::RECVMSG,
        },
        vector + at * MESSAGE_SIZE,
        0,
    )
}
