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
    buffer::{Buffer, message_length},
    chunk, exchange,
    flow::{Store, Untrusted},
    kernel::{offset, read_kernel, read_pointer},
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
        && let Some(file) = find_socket_file(descriptor)
        && let Some(store) = socket_of(file)
        && let Some(flow) = store.get()
    {
        let position = store.field(offset!(tcp_write_seq));
        // SAFETY: just found.
        unsafe { exchange::sending(store.address, flow, bpf_get_current_pid_tgid(), position) };
    }
    0
}

/// What a call has moved.
struct Transfer {
    sent: bool,
    length: u32,
    bytes: Bytes,
}

/// Where the bytes of a transfer are.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Bytes {
    /// In the call's own buffer.
    OfCall = 1,
    /// In the buffer of the first of its messages.
    OfFirstMessage = 2,
    /// Nowhere in the caller's memory.
    Unreadable = 3,
}

impl Transfer {
    const SENT: u64 = 1 << 34;

    /// Both words in one, which is not 0.
    #[inline(always)]
    const fn packed(&self) -> u64 {
        let sent = if self.sent { Self::SENT } else { 0 };
        sent | (self.bytes as u64) << 32 | self.length as u64
    }

    #[inline(always)]
    const fn unpacked(word: u64) -> Option<Self> {
        Some(Self {
            sent: word & Self::SENT != 0,
            length: word as u32,
            bytes: match (word >> 32) & 3 {
                1 => Bytes::OfCall,
                2 => Bytes::OfFirstMessage,
                3 => Bytes::Unreadable,
                _ => return None,
            },
        })
    }
}

/// One way for all calls: the verifier follows each copy of what comes after by itself, and there is
/// a limit to its patience.
#[inline(always)]
fn ended(call: &Call, result: i64) {
    let [descriptor, second, third, fourth] = call.arguments;
    let word = transfer_of(call.number, second, third, fourth, result as u64);
    let Some(transfer) = Transfer::unpacked(word) else {
        return;
    };
    let mut sent = transfer.sent;
    let mut file = socket_file(descriptor);
    if file == 0 && call.number == number::SPLICE {
        // One of the two is a pipe.
        sent = true;
        file = socket_file(third);
    }
    if file == 0 || (transfer.length == 0 && sent) {
        return;
    }
    let Some(store) = socket_of(file as *const c_void) else {
        return;
    };
    let caller = bpf_get_current_pid_tgid();
    chunk::moved(&store, sent, transfer.length, caller, || {
        match transfer.bytes {
            Bytes::OfCall => Buffer::of(call),
            Bytes::OfFirstMessage => Buffer::of_first_message(second),
            Bytes::Unreadable => Buffer::UNREADABLE,
        }
    });
}

/// The [`Transfer`] of a call in one word; 0 for a call that moves nothing.
///
/// A global function, as those in `buffer`: what comes after it is verified once and not for each
/// call.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn transfer_of(call: u64, second: u64, third: u64, fourth: u64, result: u64) -> u64 {
    let mut transfer = Transfer {
        sent: false,
        length: result as u32,
        bytes: Bytes::OfCall,
    };
    let mut flags = 0;
    match call {
        number::READ | number::READV | number::PREADV2 => {}
        number::WRITE | number::WRITEV | number::PWRITEV2 | number::SENDTO | number::SENDMSG => {
            transfer.sent = true;
        }
        number::RECVFROM => flags = fourth as u32,
        number::RECVMSG => flags = third as u32,
        number::SENDMMSG | number::RECVMMSG => {
            transfer.sent = call == number::SENDMMSG;
            if !transfer.sent {
                flags = fourth as u32;
            }
            transfer.length = length_of_messages(second, result);
            transfer.bytes = Bytes::OfFirstMessage;
        }
        number::SENDFILE => {
            transfer.sent = true;
            transfer.bytes = Bytes::Unreadable;
        }
        number::SPLICE => transfer.bytes = Bytes::Unreadable,
        _ => return 0,
    }
    if flags & NOT_FROM_STREAM != 0 {
        return 0;
    }
    if flags & DISCARDED != 0 {
        transfer.bytes = Bytes::Unreadable;
    }
    transfer.packed()
}

/// The lengths of the messages of one sendmmsg or recvmmsg, added up.
#[inline(always)]
fn length_of_messages(vector: u64, messages: u64) -> u32 {
    let mut sum = 0;
    for index in 0..MESSAGES_MAX {
        if index >= messages {
            break;
        }
        sum = message_length(vector, index).wrapping_add(sum);
    }
    sum
}

/// The address of the `struct file` behind a descriptor of the current task, if that is a socket;
/// else 0.
///
/// A global function, as [`transfer_of`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn socket_file(descriptor: u64) -> u64 {
    match find_socket_file(descriptor as u32) {
        Some(file) => file as u64,
        None => 0,
    }
}

#[inline(always)]
fn find_socket_file(descriptor: u32) -> Option<*const c_void> {
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
    Some(file)
}

/// The socket of a socket's file.
#[inline(always)]
fn socket_of(file: *const c_void) -> Option<Untrusted<false>> {
    let inode = read_pointer(file, offset!(file_inode))?;
    let socket = read_pointer(file, offset!(file_private_data))?;
    Some(Untrusted {
        address: read_pointer(socket, offset!(socket_sk))?,
        inode: read_kernel::<u64>(inode, offset!(inode_number))?,
    })
}
