//! The backend for kernels without the socket tracepoints: the end of every system call.
//!
//! Every call of every process pays for the look at its number, so it is the last choice.

use aya_ebpf::{
    helpers::generated::bpf_get_current_task, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use core::ffi::c_void;

use crate::{
    buffer::Buffer,
    chunk,
    flow::Untrusted,
    kernel::{offset, read_kernel, read_pointer, read_user},
    registers::{Call, Registers, number},
    socket_tracepoints::{DISCARDED, NOT_FROM_STREAM},
};

/// `S_IFMT` and `S_IFSOCK` (include/uapi/linux/stat.h).
const FILE_TYPE: u16 = 0o170_000;
const SOCKET: u16 = 0o140_000;

/// Messages of one sendmmsg or recvmmsg that are added up.
const MESSAGES_MAX: u64 = 32;

/// `sys_exit(struct pt_regs *regs, long ret)` (include/trace/events/syscalls.h). The argument
/// registers still hold what the call was made with.
#[btf_tracepoint(function = "sys_exit")]
pub fn syscall_exit(ctx: BtfTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if result < 0 {
        return 0;
    }
    // SAFETY: the verifier knows the first argument as `struct pt_regs`.
    match unsafe { Call::of(ctx.arg::<*const Registers>(0)) } {
        Some(call) if result > 0 || !call.asks_for_nothing() => ended(&call, result),
        _ => {}
    }
    0
}

#[inline(always)]
fn ended(call: &Call, result: i64) {
    let [first, _, third, fourth] = call.arguments;
    match call.number {
        number::READ | number::READV | number::PREADV2 => moved(call, first, false, result),
        number::WRITE | number::WRITEV | number::PWRITEV2 | number::SENDTO | number::SENDMSG => {
            moved(call, first, true, result);
        }
        number::RECVFROM if fourth as u32 & NOT_FROM_STREAM == 0 => {
            received(call, fourth as u32, result);
        }
        number::RECVMSG if third as u32 & NOT_FROM_STREAM == 0 => {
            received(call, third as u32, result);
        }
        number::SENDMMSG => messages_moved(call, true, result),
        number::RECVMMSG if fourth as u32 & NOT_FROM_STREAM == 0 => {
            messages_moved(call, false, result);
        }
        number::SENDFILE => moved(call, first, true, result),
        number::SPLICE => {
            // One of the two is a pipe; `moved` leaves it alone.
            moved(call, first, false, result);
            moved(call, third, true, result);
        }
        _ => {}
    }
}

/// sendmmsg and recvmmsg: the lengths of all messages are added up, the bytes are those of the
/// first.
#[inline(always)]
fn messages_moved(call: &Call, sent: bool, messages: i64) {
    let [descriptor, vector, ..] = call.arguments;
    let mut sum = 0i64;
    for index in 0..MESSAGES_MAX {
        if index as i64 >= messages {
            break;
        }
        sum += i64::from(message_length(vector, index));
    }
    moved_from(descriptor, sent, sum, || {
        Buffer::of_message(vector, message_length(vector, 0))
    });
}

/// `msg_len` of a `struct mmsghdr` in an array.
#[inline(always)]
fn message_length(vector: u64, index: u64) -> u32 {
    /// `sizeof(struct mmsghdr)` and the offset of its `msg_len`.
    const SIZE: u64 = 64;
    const LENGTH: u64 = 56;
    read_user::<u32>(vector + index * SIZE + LENGTH).unwrap_or(0)
}

#[inline(always)]
fn received(call: &Call, flags: u32, result: i64) {
    moved_from(call.arguments[0], false, result, || {
        if flags & DISCARDED == 0 {
            Buffer::of(call)
        } else {
            Buffer::Unreadable
        }
    });
}

#[inline(always)]
fn moved(call: &Call, descriptor: u64, sent: bool, result: i64) {
    moved_from(descriptor, sent, result, || Buffer::of(call));
}

#[inline(always)]
fn moved_from(descriptor: u64, sent: bool, result: i64, buffer: impl FnOnce() -> Buffer) {
    if result == 0 && sent {
        return;
    }
    if let Some(store) = socket_of(descriptor as u32) {
        chunk::moved(&store, sent, result as u32, buffer);
    }
}

/// The socket behind a file descriptor of the current task.
#[inline(always)]
fn socket_of(descriptor: u32) -> Option<Untrusted> {
    // SAFETY: the helper has no conditions.
    let task = unsafe { bpf_get_current_task() } as *const c_void;
    let files = read_pointer(task, offset!(task_files))?;
    let table = read_pointer(files, offset!(files_fdt))?;
    if descriptor >= read_kernel::<u32>(table, offset!(fdtable_max_fds))? {
        return None;
    }
    let array = read_pointer(table, offset!(fdtable_fd))?;
    let file = read_pointer(array, descriptor as usize * size_of::<usize>())?;
    let inode = read_pointer(file, offset!(file_inode))?;
    if read_kernel::<u16>(inode, offset!(inode_mode))? & FILE_TYPE != SOCKET {
        return None;
    }
    let socket = read_pointer(file, offset!(file_private_data))?;
    Some(Untrusted {
        address: read_pointer(socket, offset!(socket_sk))?,
        inode: read_kernel::<u64>(inode, offset!(inode_number))?,
    })
}
