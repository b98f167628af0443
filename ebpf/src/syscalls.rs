//! The backend for kernels without the socket tracepoints: the end of every system call.
//!
//! Every call of every process pays for the look at its number, so it is the last choice.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_get_current_task},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use core::ffi::c_void;

use crate::{
    buffer::Buffer,
    chunk, exchange,
    flow::{Store, Untrusted},
    kernel::{offset, read_kernel, read_pointer, read_user},
    registers::{Call, Registers, number},
    socket_tracepoints::{DISCARDED, NOT_FROM_STREAM},
};

/// `S_IFMT` and `S_IFSOCK` (include/uapi/linux/stat.h).
const FILE_TYPE: u16 = 0o170_000;
const SOCKET: u16 = 0o140_000;

/// Messages of one sendmmsg or recvmmsg that are added up.
const MESSAGES_MAX: u64 = 8;

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

/// `sys_enter(struct pt_regs *regs, long id)`: before a call sends a request, on kernels where
/// nothing later may ask who is sending it.
#[btf_tracepoint(function = "sys_enter")]
pub fn syscall_enter(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the verifier knows the first argument as `struct pt_regs`.
    if let Some(call) = unsafe { Call::of(ctx.arg::<*const Registers>(0)) }
        && let Some(descriptor) = call.sends_on()
        && let Some(store) = socket_of(descriptor)
        && let Some(flow) = store.get()
    {
        let position = store.field(offset!(tcp_write_seq));
        // SAFETY: just found.
        unsafe { exchange::sending(&store, flow, bpf_get_current_pid_tgid(), position) };
    }
    0
}

/// What a call has moved.
struct Transfer {
    descriptor: u64,
    sent: bool,
    length: i64,
    bytes: Bytes,
}

/// Where the bytes of a transfer are.
#[derive(Clone, Copy)]
enum Bytes {
    /// In the call's own buffer.
    OfCall,
    /// In the buffer of the first of its messages.
    OfFirstMessage,
    /// Nowhere in the caller's memory.
    Unreadable,
}

/// One way for all calls: the verifier follows each copy of what comes after by itself, and there is
/// a limit to its patience.
#[inline(always)]
fn ended(call: &Call, result: i64) {
    let Some(transfer) = transfer_of(call, result) else {
        return;
    };
    let mut sent = transfer.sent;
    let mut found = socket_of(transfer.descriptor as u32);
    if found.is_none() && call.number == number::SPLICE {
        // One of the two is a pipe.
        sent = true;
        found = socket_of(call.arguments[2] as u32);
    }
    let Some(store) = found else { return };
    if transfer.length == 0 && sent {
        return;
    }
    chunk::moved(&store, sent, transfer.length as u32, || {
        match transfer.bytes {
            Bytes::OfCall => Buffer::of(call),
            Bytes::OfFirstMessage => {
                let vector = call.arguments[1];
                Buffer::of_message(vector, message_length(vector, 0))
            }
            Bytes::Unreadable => Buffer::Unreadable,
        }
    });
}

#[inline(always)]
fn transfer_of(call: &Call, result: i64) -> Option<Transfer> {
    let [descriptor, vector, third, fourth] = call.arguments;
    let mut transfer = Transfer {
        descriptor,
        sent: false,
        length: result,
        bytes: Bytes::OfCall,
    };
    let mut flags = 0;
    match call.number {
        number::READ | number::READV | number::PREADV2 => {}
        number::WRITE | number::WRITEV | number::PWRITEV2 | number::SENDTO | number::SENDMSG => {
            transfer.sent = true;
        }
        number::RECVFROM => flags = fourth as u32,
        number::RECVMSG => flags = third as u32,
        number::SENDMMSG | number::RECVMMSG => {
            transfer.sent = call.number == number::SENDMMSG;
            if !transfer.sent {
                flags = fourth as u32;
            }
            transfer.length = length_of_messages(vector, result);
            transfer.bytes = Bytes::OfFirstMessage;
        }
        number::SENDFILE => {
            transfer.sent = true;
            transfer.bytes = Bytes::Unreadable;
        }
        number::SPLICE => transfer.bytes = Bytes::Unreadable,
        _ => return None,
    }
    if flags & NOT_FROM_STREAM != 0 {
        return None;
    }
    if flags & DISCARDED != 0 {
        transfer.bytes = Bytes::Unreadable;
    }
    Some(transfer)
}

/// The lengths of the messages of one sendmmsg or recvmmsg, added up.
#[inline(always)]
fn length_of_messages(vector: u64, messages: i64) -> i64 {
    let mut sum = 0i64;
    for index in 0..MESSAGES_MAX {
        if index as i64 >= messages {
            break;
        }
        sum += i64::from(message_length(vector, index));
    }
    sum
}

/// `msg_len` of a `struct mmsghdr` in an array.
#[inline(always)]
fn message_length(vector: u64, index: u64) -> u32 {
    /// `sizeof(struct mmsghdr)` and the offset of its `msg_len`.
    const SIZE: u64 = 64;
    const LENGTH: u64 = 56;
    read_user::<u32>(vector + index * SIZE + LENGTH).unwrap_or(0)
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
