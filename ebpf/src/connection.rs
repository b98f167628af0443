//! Connections: the first sight of one, and changes of its state.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_ktime_get_ns},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use clew_common::{
    connection::{
        ACCEPTED, CONNECTED, Changed, FROM_START, NONBLOCKING, OWN, Opened, UNIX_PATH_MAX,
        tcp_state::{CLOSE, ESTABLISHED, FIN_WAIT1, LAST_ACK, SYN_RECV, SYN_SENT},
    },
    control::IGNORE,
    event::Kind,
};

use crate::{
    flow::{ANNOUNCED, Flow, GETS_HEADER, Store, Trusted, Untrusted},
    inject::is_chosen,
    kernel::own_pid,
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
#[inline(always)]
pub unsafe fn announce(store: &impl Store, flow: *mut Flow, pid: u32, tid: u32, at: Positions) {
    let mut event = Opened {
        kind: Kind::ConnectionOpened as u32,
        flags: 0,
        connection: 0,
        // SAFETY: the helper has no conditions.
        time: unsafe { bpf_ktime_get_ns() },
        pid,
        tid,
        socket: 0,
        peer_socket: 0,
        netns: 0,
        family: 0,
        path_len: 0,
        received: at.received,
        sent: at.sent,
        local_address: [0; 16],
        remote_address: [0; 16],
        local_port: 0,
        remote_port: 0,
        path: [0; UNIX_PATH_MAX],
    };
    let address = store.address();
    socket::describe(address, &mut event);
    // SAFETY: promised by the caller.
    unsafe {
        event.connection = (*flow).id;
        event.flags = (*flow).flags & (ACCEPTED | CONNECTED | FROM_START | OWN);
    }
    if socket::is_nonblocking(address) {
        event.flags |= NONBLOCKING;
    }
    // SAFETY: as above.
    unsafe {
        if output::event(&event) {
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
/// Connections that begin while the agent runs get their role here; the program of the backend in
/// use is loaded.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn tcp_state_socket(ctx: BtfTracePointContext) -> i32 {
    state_changed(&Trusted(ctx.arg(0)), ctx.arg(1), ctx.arg(2));
    0
}

/// The same for the system call backend.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn tcp_state_syscall(ctx: BtfTracePointContext) -> i32 {
    let store = Untrusted {
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
    let mut flags = flags;
    if flags & CONNECTED != 0 {
        let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
        if pid == own_pid() {
            flags |= OWN;
        } else if is_chosen(pid) {
            flags |= GETS_HEADER;
        }
    }
    let _ = store.create(flags);
}

/// Our own connections are told as soon as their addresses are known, before any byte of theirs
/// can be seen at the other end: that end's traffic is not to be traced either.
#[inline(always)]
fn connected(store: &impl Store) {
    if let Some(flow) = store.get() {
        // SAFETY: just found.
        unsafe {
            if (*flow).flags & OWN != 0 {
                let nothing = Positions {
                    received: 0,
                    sent: 0,
                };
                announce(store, flow, own_pid(), 0, nothing);
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
    if state == CLOSE {
        store.remove();
    }
}
