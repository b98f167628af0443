//! Connections: the first sight of one, and changes of its state.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_ktime_get_ns},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use clew_common::{
    connection::{
        ACCEPTED, CONNECTED, Changed, FROM_START, NONBLOCKING, OWN, Opened, UDP,
        tcp_state::{CLOSE, ESTABLISHED, FIN_WAIT1, LAST_ACK, SYN_RECV, SYN_SENT},
    },
    control::IGNORE,
    event::Kind,
};
use core::mem::MaybeUninit;

use crate::{
    chunk, context, exchange,
    flow::{ANNOUNCED, Flow, GETS_HEADER, Store, Trusted, Untrusted},
    inject::is_chosen,
    kernel::{follows, offset, own_pid, zero},
    output, socket,
};

/// Where the two streams of a connection stand.
pub struct Positions {
    pub received: u64,
    pub sent: u64,
}

/// Tells user space of a connection, once.
///
/// # Safety
///
/// `flow` must point to a flow that the verifier knows.
//
// A function of its own, for its stack: together with its callers' frame and those of what they call
// next, the record would pass the kernel's limit of 512 bytes.
#[inline(never)]
pub unsafe fn announce(store: &impl Store, flow: *mut Flow, pid: u32, tid: u32, at: &Positions) {
    let mut event = MaybeUninit::<Opened>::uninit();
    zero(&mut event);
    // SAFETY: it consists of plain numbers.
    let event = unsafe { event.assume_init_mut() };
    event.kind = Kind::ConnectionOpened as u32;
    // SAFETY: the helper has no conditions.
    event.time = unsafe { bpf_ktime_get_ns() };
    event.pid = pid;
    event.tid = tid;
    event.received = at.received;
    event.sent = at.sent;
    let address = store.address();
    socket::describe(address, event);
    // SAFETY: promised by the caller.
    unsafe {
        event.connection = (*flow).id;
        event.flags = (*flow).flags & (ACCEPTED | CONNECTED | FROM_START | OWN | UDP);
    }
    if event.flags & (ACCEPTED | CONNECTED) == 0 {
        // The flow's own flags stay: where its requests begin is not known yet.
        event.flags |= match socket::kind(address) {
            Some(socket::Kind::Tcp) => socket::origin(address),
            Some(socket::Kind::Unix) => socket::unix_origin(address),
            _ => 0,
        };
    }
    if socket::is_nonblocking(address) {
        event.flags |= NONBLOCKING;
    }
    // SAFETY: as above.
    unsafe {
        if output::event(event) {
            (*flow).flags |= ANNOUNCED;
        } else {
            // What moves until it can be told will not have been seen.
            (*flow).flags &= !FROM_START;
        }
    }
}

/// `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
/// (include/trace/events/sock.h).
///
/// Connections that begin while the agent runs get their role here. Of the two programs the one is
/// loaded that keeps its state where the backend in use does.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn tcp_state_storage(ctx: BtfTracePointContext) -> i32 {
    state_changed(&Trusted(ctx.arg(0)), ctx.arg(1), ctx.arg(2));
    0
}

/// The same with the table.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn tcp_state_table(ctx: BtfTracePointContext) -> i32 {
    let store = Untrusted::<false> {
        address: ctx.arg(0),
        inode: 0,
    };
    state_changed(&store, ctx.arg(1), ctx.arg(2));
    0
}

#[inline(always)]
fn state_changed(store: &impl Store, old: i32, new: i32) {
    match new as u32 {
        // connect(): still in its caller's context.
        SYN_SENT => opened(store, CONNECTED | FROM_START),
        ESTABLISHED if old as u32 == SYN_RECV => opened(store, ACCEPTED | FROM_START),
        ESTABLISHED if old as u32 == SYN_SENT => connected(store),
        // The peer's FIN is left out: what counts is when the process reads the end, and that is
        // a chunk of length 0.
        FIN_WAIT1 | LAST_ACK | CLOSE => closing(store, new as u32),
        _ => {}
    }
}

#[inline(always)]
fn opened(store: &impl Store, flags: u32) {
    if socket::kind(store.address()) != Some(socket::Kind::Tcp) {
        return;
    }
    // An address that is in the table still belonged to a socket whose end was not seen.
    store.remove();
    if flags & CONNECTED == 0 {
        let _ = store.create(flags);
        return;
    }
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let more = if pid == own_pid() {
        OWN
    } else if is_chosen(pid) {
        GETS_HEADER
    } else {
        0
    };
    if let Some(flow) = store.create(flags | more)
        && more != OWN
        && follows()
    {
        // SAFETY: just made.
        unsafe { chunk::judge_process(flow, pid) };
        context::connects(pid);
    }
}

/// Our own connections are told as soon as their addresses are known, before any byte of theirs
/// can be seen at the other end: that end's traffic is not to be traced either. Their positions are
/// told too, because addresses may be translated on the way.
#[inline(always)]
fn connected(store: &impl Store) {
    if let Some(flow) = store.get() {
        // SAFETY: just found.
        unsafe {
            if (*flow).flags & OWN != 0 {
                let at = Positions {
                    received: u64::from(store.field::<u32>(offset!(tcp_copied_seq))),
                    sent: u64::from(store.field::<u32>(offset!(tcp_write_seq))),
                };
                announce(store, flow, own_pid(), 0, &at);
                (*flow).verdict = IGNORE;
            }
        }
    }
}

#[inline(always)]
fn closing(store: &impl Store, state: u32) {
    let Some(flow) = store.get() else { return };
    // SAFETY: just found.
    let (id, flags, verdict) = unsafe { ((*flow).id, (*flow).flags, (*flow).verdict) };
    if flags & ANNOUNCED != 0 && (state == CLOSE || verdict != IGNORE) {
        output::event(&Changed {
            kind: Kind::ConnectionChanged as u32,
            state,
            connection: id,
            // SAFETY: the helper has no conditions.
            time: unsafe { bpf_ktime_get_ns() },
            error: socket::error(store.address()),
            reserved: 0,
        });
    }
    if follows() && (state == CLOSE || state == FIN_WAIT1 || state == LAST_ACK) {
        // A response that lasts until its connection closes ends here too.
        // SAFETY: as above.
        unsafe { exchange::end(flow) };
    }
    if state == CLOSE {
        store.remove();
    }
}
