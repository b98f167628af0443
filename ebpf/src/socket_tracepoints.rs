//! The backend for kernel 6.3 and later: the tracepoints at the end of every socket send and
//! receive, whichever system call made it. No other system call pays.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

use crate::{
    buffer::Buffer,
    chunk, datagram,
    flow::Trusted,
    kernel::offset,
    registers::{Call, Registers},
};

/// Flags of recv(2) whose bytes are not, or not yet, taken from the stream: `MSG_OOB`,
/// `MSG_PEEK`, `MSG_ERRQUEUE`.
pub const NOT_FROM_STREAM: u32 = 0x1 | 0x2 | 0x2000;

/// `MSG_TRUNC`: on TCP the bytes are taken from the stream and thrown away (tcp(7)); what the buffer
/// holds is something else.
pub const DISCARDED: u32 = 0x20;

/// `sock_send_length(struct sock *sk, int ret, int flags)` (include/trace/events/sock.h).
#[btf_tracepoint(function = "sock_send_length")]
pub fn socket_sent(ctx: BtfTracePointContext) -> i32 {
    let result: i32 = ctx.arg(1);
    if datagram::is_of(ctx.arg(0)) {
        datagram::moved(&Trusted(ctx.arg(0)), true, result);
    } else if result > 0 {
        let task = Task::current();
        chunk::moved(
            &Trusted(ctx.arg(0)),
            true,
            result as u32,
            task.ids(),
            || task.buffer(),
        );
    }
    0
}

/// `sock_recv_length(struct sock *sk, int ret, int flags)`.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn socket_received(ctx: BtfTracePointContext) -> i32 {
    let result: i32 = ctx.arg(1);
    let flags: u32 = ctx.arg(2);
    if datagram::is_of(ctx.arg(0)) {
        // What was only looked at is not told.
        if result < 0 || flags & NOT_FROM_STREAM == 0 {
            datagram::moved(&Trusted(ctx.arg(0)), false, result);
        }
        return 0;
    }
    // Failures are most often EAGAIN, and say nothing that the connection's state does not say.
    if result >= 0 && flags & NOT_FROM_STREAM == 0 {
        let task = Task::current();
        if result == 0 && matches!(task.call(), Some(call) if call.asks_for_nothing()) {
            return 0;
        }
        chunk::moved(
            &Trusted(ctx.arg(0)),
            false,
            result as u32,
            task.ids(),
            || {
                if flags & DISCARDED == 0 {
                    task.buffer()
                } else {
                    Buffer::UNREADABLE
                }
            },
        );
    }
    0
}

/// The task in whose system call a program runs. Asked for once: in these programs it is calls of helpers
/// that cost.
#[derive(Clone, Copy)]
pub struct Task(*mut c_void);

impl Task {
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the helper has no conditions.
        Self(unsafe { bpf_get_current_task_btf() }.cast())
    }

    /// Process and thread id, as [`bpf_get_current_pid_tgid`](aya_ebpf::helpers::bpf_get_current_pid_tgid)
    /// gives them.
    #[inline(always)]
    pub fn ids(self) -> u64 {
        // SAFETY: the verifier knows the pointer as a `struct task_struct` and the offsets as constants, so
        // these are plain loads.
        unsafe {
            let field = |offset| self.0.cast::<u8>().add(offset).cast::<u32>().read();
            u64::from(field(offset!(task_tgid))) << 32 | u64::from(field(offset!(task_pid)))
        }
    }

    /// The system call that it is in.
    #[inline(always)]
    pub fn call(self) -> Option<Call> {
        // SAFETY: the helper returns a pointer that the verifier knows. A kernel thread has no
        // registers of a call, but also no user memory: reading it fails.
        unsafe { Call::of(bpf_task_pt_regs(self.0.cast()) as *const Registers) }
    }

    /// Its buffer.
    #[inline(always)]
    fn buffer(self) -> Buffer {
        match self.call() {
            Some(call) => Buffer::of(&call),
            None => Buffer::UNREADABLE,
        }
    }
}
