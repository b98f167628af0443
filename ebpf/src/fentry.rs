//! The backend for kernels that lack the socket tracepoints but let programs run at the beginning and
//! end of functions (5.10 and later): the functions behind every send and receive of a socket, whichever
//! call made it. No other system call pays.
//!
//! They are given the kernel's description of the buffer, so that this backend also sees what io_uring
//! moves.
//!
//! The agent attaches each program to several functions of the same shape. There are two of each: with
//! the connections' state in the sockets, which programs of this kind may use from 5.12 on, and with the
//! table.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use core::ffi::c_void;

use crate::{
    buffer::Buffer,
    chunk, exchange,
    flow::{Store, Trusted, Untrusted},
    kernel::{offset, read_or_zero},
    socket_tracepoints::{DISCARDED, NOT_FROM_STREAM},
};

/// `int inet_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)` and the like.
#[fexit(function = "inet_sendmsg")]
pub fn sent_storage(ctx: FExitContext) -> i32 {
    sent(&trusted(ctx.arg(0)), &ctx)
}

/// The same with the table.
#[fexit(function = "inet_sendmsg")]
pub fn sent_table(ctx: FExitContext) -> i32 {
    sent(&untrusted(ctx.arg(0)), &ctx)
}

/// `int inet_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)` and the like.
#[fexit(function = "inet_recvmsg")]
pub fn received_storage(ctx: FExitContext) -> i32 {
    received(&trusted(ctx.arg(0)), &ctx)
}

/// The same with the table.
#[fexit(function = "inet_recvmsg")]
pub fn received_table(ctx: FExitContext) -> i32 {
    received(&untrusted(ctx.arg(0)), &ctx)
}

/// `ssize_t inet_sendpage(struct socket *sock, struct page *page, int offset, size_t size, int flags)` and
/// the like: sendfile(2) and splice(2), until 6.4.
#[fexit(function = "inet_sendpage")]
pub fn page_sent_storage(ctx: FExitContext) -> i32 {
    unseen(&trusted(ctx.arg(0)), true, ctx.arg(5))
}

/// The same with the table.
#[fexit(function = "inet_sendpage")]
pub fn page_sent_table(ctx: FExitContext) -> i32 {
    unseen(&untrusted(ctx.arg(0)), true, ctx.arg(5))
}

/// `ssize_t tcp_splice_read(struct socket *sock, loff_t *ppos, struct pipe_inode_info *pipe, size_t len,
/// unsigned int flags)` and the like.
#[fexit(function = "tcp_splice_read")]
pub fn spliced_storage(ctx: FExitContext) -> i32 {
    unseen(&trusted(ctx.arg(0)), false, ctx.arg(5))
}

/// The same with the table.
#[fexit(function = "tcp_splice_read")]
pub fn spliced_table(ctx: FExitContext) -> i32 {
    unseen(&untrusted(ctx.arg(0)), false, ctx.arg(5))
}

/// The functions of [`sent_storage`], before a request is sent, on kernels where nothing later may ask
/// who is sending it.
#[fentry(function = "inet_sendmsg")]
pub fn sending_storage(ctx: FEntryContext) -> i32 {
    sending(&trusted(ctx.arg(0)))
}

/// The same with the table.
#[fentry(function = "inet_sendmsg")]
pub fn sending_table(ctx: FEntryContext) -> i32 {
    sending(&untrusted(ctx.arg(0)))
}

#[inline(always)]
fn trusted(socket: *const c_void) -> Trusted {
    // SAFETY: the verifier knows the pointer as a `struct socket` and the offset as a constant, so this is
    // a plain load, and its result is known as a `struct sock`.
    unsafe {
        Trusted(
            socket
                .cast::<u8>()
                .add(offset!(socket_sk))
                .cast::<*const c_void>()
                .read(),
        )
    }
}

#[inline(always)]
fn untrusted(socket: *const c_void) -> Untrusted<true> {
    // SAFETY: null is a pointer, and 0 a number.
    unsafe {
        Untrusted {
            address: read_or_zero(socket, offset!(socket_sk)),
            inode: read_or_zero(socket, offset!(socket_inode)),
        }
    }
}

#[inline(always)]
fn sent(store: &impl Store, ctx: &FExitContext) -> i32 {
    let result: i32 = ctx.arg(3);
    if result > 0 {
        chunk::moved(
            store,
            true,
            result as u32,
            bpf_get_current_pid_tgid(),
            || Buffer::behind(ctx.arg(1), result as u32),
        );
    }
    0
}

#[inline(always)]
fn received(store: &impl Store, ctx: &FExitContext) -> i32 {
    let (size, flags, result): (u64, u32, i32) = (ctx.arg(2), ctx.arg(3), ctx.arg(4));
    // Of no bytes asked for, 0 is not the end of the stream.
    if result >= 0 && flags & NOT_FROM_STREAM == 0 && (result > 0 || size > 0) {
        chunk::moved(
            store,
            false,
            result as u32,
            bpf_get_current_pid_tgid(),
            || {
                if flags & DISCARDED == 0 {
                    Buffer::behind(ctx.arg(1), result as u32)
                } else {
                    Buffer::UNREADABLE
                }
            },
        );
    }
    0
}

/// Bytes that are in no one's memory.
#[inline(always)]
fn unseen(store: &impl Store, sent: bool, result: i64) -> i32 {
    if result > 0 || (result == 0 && !sent) {
        chunk::moved(
            store,
            sent,
            result as u32,
            bpf_get_current_pid_tgid(),
            || Buffer::UNREADABLE,
        );
    }
    0
}

#[inline(always)]
fn sending(store: &impl Store) -> i32 {
    if let Some(flow) = store.get() {
        let position = store.field(offset!(tcp_write_seq));
        // SAFETY: just found.
        unsafe { exchange::sending(store.address(), flow, bpf_get_current_pid_tgid(), position) };
    }
    0
}
