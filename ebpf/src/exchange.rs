//! Requests and responses as the kernel sees them: by turns. On a connection that its process
//! accepted, what is received after something was sent begins a request; what is sent then, its
//! response. The agent's parsers know better, but later.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use clew_common::{
    connection::{ACCEPTED, CONNECTED, UDP},
    context::{AMBIGUOUS, BEGUN, Carried, FROM_OPTION, SAMPLED},
    counter::Counter,
    event::Kind,
};

use core::ffi::c_void;

use crate::{
    chunk,
    context::{self, Decision, Served, Trace},
    counter::count,
    flow::{Flow, Store, UNIX},
    kernel::{offset, passes_state},
    message::{self, Bytes, Context, Ending},
    socket,
};

/// What moved last on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Turn {
    Nothing = 0,
    Received = 1,
    Sent = 2,
}

/// How far the response of an open exchange has come: bytes left, or one of these.
const NOT_BEGUN: u64 = 0;
const CHUNKED: u64 = u64::MAX;
const UNKNOWN: u64 = u64::MAX - 1;

/// What is remembered of the exchanges on a connection.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Exchanges {
    /// What the process serves on this connection, if `task` is not 0.
    served: Served,
    /// Who received it: process and thread id.
    task: u64,
    /// How far its response has come.
    response: u64,
    /// What is being sent on this connection.
    pub outgoing: Outgoing,
    /// Contexts that arrived and whose messages have not been read yet.
    pub arrived: [Arrived; ARRIVED_MAX],
    pub turn: Turn,
    /// Where the next of `arrived` goes.
    pub next: u32,
    /// A request with a context has arrived without being sent again.
    pub confirmed: u32,
    /// Sequence number from which on what is sent is the open exchange's response.
    answer_from: u32,
}

/// Requests whose contexts may wait to be read at a time; of more, the oldest is overwritten.
pub const ARRIVED_MAX: usize = 2;

/// The context of the request that was sent last.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Outgoing {
    pub trace_id: [u64; 2],
    pub span_id: u64,
    pub cause: u64,
    /// Sequence number of the request's first byte.
    pub position: u32,
    pub trace_flags: u32,
    pub origin: u32,
    pub state: OutgoingState,
    /// How often its segment has been sent again.
    pub copies: u32,
    pub reserved: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum OutgoingState {
    /// Nothing has been decided in this turn.
    None = 0,
    /// It has a context, which the agent does not know yet.
    Decided = 1,
    /// The agent has been told.
    Told = 2,
    /// As [`Self::Decided`], and the context has been written into the message: it stays.
    Written = 3,
}

/// A context that came with a segment.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Arrived {
    pub trace_id: [u64; 2],
    pub span_id: u64,
    /// Sequence number of the request's first byte.
    pub position: u32,
    /// [`SAMPLED`], [`WAITS`]; 0: nothing is here.
    pub flags: u32,
}

/// [`Arrived::flags`]: its message has not been read.
pub const WAITS: u32 = 1 << 8;

impl Exchanges {
    pub const NONE: Self = Self {
        served: Served::NONE,
        task: 0,
        response: NOT_BEGUN,
        outgoing: Outgoing {
            trace_id: [0; 2],
            span_id: 0,
            cause: 0,
            position: 0,
            trace_flags: 0,
            origin: 0,
            state: OutgoingState::None,
            copies: 0,
            reserved: 0,
        },
        arrived: [Arrived {
            trace_id: [0; 2],
            span_id: 0,
            position: 0,
            flags: 0,
        }; ARRIVED_MAX],
        turn: Turn::Nothing,
        next: 0,
        confirmed: 0,
        answer_from: 0,
    };
}

/// Where a chunk lies, and who moved it.
#[derive(Clone, Copy)]
pub struct Moved {
    pub sent: bool,
    pub position: u32,
    pub length: u32,
    /// Process and thread id.
    pub caller: u64,
}

/// Follows the exchanges on a connection through one chunk, of which `bytes` were captured.
///
/// # Safety
///
/// `flow` must point to a flow that the verifier knows.
#[inline(always)]
pub unsafe fn moved(store: &impl Store, flow: *mut Flow, moved: Moved, bytes: Bytes) {
    // SAFETY: promised by the caller.
    unsafe {
        if (*flow).flags & UDP != 0 {
            // No context goes with a datagram, and what answers which is the agent's to find out.
            return;
        }
        if (*flow).flags & UNIX != 0 {
            if !moved.sent && (*flow).exchanges.turn == Turn::Nothing {
                // It brings requests, and their contexts cannot be seen.
                context::is_opaque((moved.caller >> 32) as u32);
            }
            (*flow).exchanges.turn = Turn::Sent;
            return;
        }
        if moved.sent {
            sent(flow, moved, bytes);
        } else {
            received(store, flow, moved, bytes);
        }
    }
}

#[inline(always)]
unsafe fn received(store: &impl Store, flow: *mut Flow, moved: Moved, bytes: Bytes) {
    // SAFETY: promised by the caller.
    unsafe {
        let exchanges = &mut (*flow).exchanges;
        // It has a value in every case: kernels before 6.3 refuse to copy what was never written.
        let (mut came, mut came_with) = (false, Trace::NONE);
        for arrived in &mut exchanges.arrived {
            if arrived.flags & WAITS == 0 {
                continue;
            }
            let into = arrived.position.wrapping_sub(moved.position);
            if into < moved.length {
                let trace = Trace::inherited(arrived.trace_id, arrived.flags & SAMPLED);
                let (at, span) = (arrived.position, arrived.span_id);
                tell_received((*flow).id, at, &trace, span, FROM_OPTION);
                arrived.flags = 0;
                if into == 0 {
                    (came, came_with) = (true, trace);
                }
            } else if into > i32::MAX as u32 {
                // What it came with has been passed over.
                arrived.flags = 0;
            }
        }
        if exchanges.turn == Turn::Received || moved.length == 0 {
            return;
        }
        exchanges.turn = Turn::Received;
        // A request that was sent before has been answered, and so has arrived.
        if exchanges.outgoing.state == OutgoingState::Told && exchanges.outgoing.copies == 0 {
            exchanges.confirmed = 1;
        }
        exchanges.outgoing.state = OutgoingState::None;
        if (*flow).flags & ACCEPTED == 0 {
            return;
        }
        end(flow);
        let pid = (moved.caller >> 32) as u32;
        if message::begins_http2(bytes) {
            // Its requests do not take turns, and their contexts cannot be seen.
            context::is_opaque(pid);
        }
        let unfollowed = context::unfollowed();
        if (*flow).unfollowed == unfollowed {
            return;
        }
        match context::is_followed(pid) {
            Some(true) => {}
            Some(false) => {
                (*flow).unfollowed = unfollowed;
                return;
            }
            None => return,
        }
        let nonblocking = socket::is_nonblocking(store.address());
        let id = (*flow).id;
        let served = match (message::context(bytes), came) {
            (Context::Of(trace), _) => {
                if passes_state() {
                    message::keep_state(bytes, id);
                }
                Served::new(trace, id, nonblocking)
            }
            (_, true) => Served::new(came_with, id, nonblocking),
            (Context::None, false) => {
                let trace = Trace::begun();
                tell_received(id, moved.position, &trace, 0, BEGUN);
                Served::new(trace, id, nonblocking)
            }
            (Context::Unseen, false) => Served::unseen(id),
        };
        (*flow).exchanges.served = served;
        (*flow).exchanges.task = moved.caller;
        (*flow).exchanges.response = NOT_BEGUN;
        (*flow).exchanges.answer_from = store.field(offset!(tcp_write_seq));
        context::begin(moved.caller, &served);
    }
}

#[inline(always)]
unsafe fn sent(flow: *mut Flow, moved: Moved, bytes: Bytes) {
    // SAFETY: promised by the caller.
    unsafe {
        if (*flow).flags & CONNECTED != 0 {
            tell_outgoing(flow);
            (*flow).exchanges.turn = Turn::Sent;
            return;
        }
        if (*flow).exchanges.task != 0
            && (moved.position.wrapping_sub((*flow).exchanges.answer_from) as i32) < 0
        {
            // The hook of a send fires after it. The client has had this one, and another thread has
            // read its next request meanwhile: these are the last answer's bytes.
            return;
        }
        let left = (*flow).exchanges.response;
        if (*flow).exchanges.task == 0 || left == UNKNOWN {
            (*flow).exchanges.turn = Turn::Sent;
            return;
        }
        let length = u64::from(moved.length);
        let left = match left {
            NOT_BEGUN => match message::ending(bytes, moved.length) {
                // The request's turn goes on: its body may be what is waited for.
                Ending::Interim => return,
                Ending::After(left) => left,
                Ending::Chunked => CHUNKED,
                Ending::Unknown => UNKNOWN,
            },
            CHUNKED if message::is_last_chunk(bytes, moved.length) => 0,
            CHUNKED => CHUNKED,
            left if left > length => left - length,
            _ => 0,
        };
        (*flow).exchanges.turn = Turn::Sent;
        (*flow).exchanges.response = left;
        if left == 0 {
            end(flow);
        }
    }
}

/// What is being served on a connection is over.
///
/// # Safety
///
/// `flow` must point to a flow that the verifier knows.
#[inline(always)]
pub unsafe fn end(flow: *mut Flow) {
    // SAFETY: promised by the caller.
    unsafe {
        let task = (*flow).exchanges.task;
        if task != 0 {
            (*flow).exchanges.task = 0;
            let served = (*flow).exchanges.served;
            context::end(task, &served);
        }
    }
}

/// A task is about to send on a connection whose next byte has the number `position`: decides about
/// the context of the request that begins with it, if one does.
///
/// # Safety
///
/// `flow` must point to a flow that the verifier knows.
#[inline(always)]
pub unsafe fn sending(socket: *const c_void, flow: *mut Flow, caller: u64, position: u32) {
    // SAFETY: promised by the caller.
    unsafe {
        if (*flow).flags & CONNECTED == 0 || (*flow).exchanges.turn == Turn::Sent {
            return;
        }
        let outgoing = &mut (*flow).exchanges.outgoing;
        if outgoing.state == OutgoingState::Written
            || outgoing.state == OutgoingState::Decided && outgoing.position != position
        {
            // The request has been begun. Where it has not, the last word counts: what was decided
            // before may have been for another task, at whose cost the kernel worked on this socket,
            // or for a call that has sent nothing.
            return;
        }
        decide(socket, flow, caller, position, false);
    }
}

/// Decides about the context of the request that begins at `position`. With `always` it gets one even
/// where the kernel cannot say what caused it: it begins a trace then.
#[inline(always)]
unsafe fn decide(socket: *const c_void, flow: *mut Flow, caller: u64, position: u32, always: bool) {
    let decision = match context::decide(caller, || socket::is_nonblocking(socket)) {
        None if always => Some(Decision::nothing(AMBIGUOUS)),
        decision => decision,
    };
    // SAFETY: promised by the caller.
    let outgoing = unsafe { &mut (*flow).exchanges.outgoing };
    match decision {
        Some(Decision {
            trace,
            origin,
            cause,
        }) => {
            *outgoing = Outgoing {
                trace_id: trace.id,
                span_id: context::random() | 1,
                cause,
                position,
                trace_flags: trace.flags,
                origin,
                state: OutgoingState::Decided,
                copies: 0,
                reserved: 0,
            };
        }
        None => outgoing.state = OutgoingState::None,
    }
}

/// Tells the agent of the context that a request left with, unless it knows.
///
/// A function by itself, as the next one: the event is large, and not on the stack any more when other
/// functions are called. Before Linux 6.13 a chain of functions has 512 bytes together.
#[inline(never)]
unsafe fn tell_outgoing(flow: *mut Flow) {
    // SAFETY: promised by the caller.
    unsafe {
        let outgoing = &mut (*flow).exchanges.outgoing;
        if matches!(
            outgoing.state,
            OutgoingState::Decided | OutgoingState::Written
        ) {
            outgoing.state = OutgoingState::Told;
            let trace = Trace {
                id: outgoing.trace_id,
                flags: outgoing.trace_flags,
            };
            let (origin, cause) = (outgoing.origin, outgoing.cause);
            tell(
                (*flow).id,
                outgoing.position,
                trace,
                outgoing.span_id,
                origin,
                cause,
            );
        }
    }
}

/// The context that is to be written into the request which begins at `position`, by the task that is
/// sending it. Where the message says itself that a request begins, turns do not matter.
///
/// # Safety
///
/// `flow` must point to a flow that the verifier knows.
#[inline(always)]
pub unsafe fn writing(socket: *const c_void, flow: *mut Flow, position: u32) -> Outgoing {
    // SAFETY: promised by the caller.
    unsafe {
        let before = (*flow).exchanges.outgoing;
        if before.state == OutgoingState::Written && before.position != position {
            // Another request of the same call.
            tell_outgoing(flow);
        }
        decide(socket, flow, bpf_get_current_pid_tgid(), position, true);
        (*flow).exchanges.outgoing.state = OutgoingState::Written;
        (*flow).exchanges.outgoing
    }
}

/// Tells the agent of the context that a request came with, or got.
#[inline(never)]
fn tell_received(connection: u64, position: u32, trace: &Trace, span_id: u64, origin: u32) {
    tell(connection, position, *trace, span_id, origin, 0);
}

#[inline(always)]
fn tell(connection: u64, position: u32, trace: Trace, span_id: u64, origin: u32, cause: u64) {
    if origin == FROM_OPTION {
        count(Counter::OptionReceived);
    }
    chunk::tell(&Carried {
        kind: Kind::Carried as u32,
        origin,
        connection,
        position,
        trace_flags: trace.flags,
        trace_id: bytes_of(trace.id),
        span_id: span_id.to_ne_bytes(),
        cause,
    });
}

/// An id's bytes in the order of the wire.
#[inline(always)]
pub fn bytes_of(id: [u64; 2]) -> [u8; 16] {
    // SAFETY: plain bytes of the same size.
    unsafe { core::mem::transmute(id) }
}
