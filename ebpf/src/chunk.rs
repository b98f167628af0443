//! One send or receive: is it wanted, where does it lie, which bytes go to user space. Shared by
//! both backends.

use aya_ebpf::{btf_maps::PerCpuArray, helpers::generated::bpf_ktime_get_ns, macros::btf_map};
use clew_common::{
    connection::{
        ACCEPTED, CONNECTED, OWN, UDP, UDP_TOLD_AFTER_NANOS,
        tcp_state::{CLOSE, CLOSE_WAIT, CLOSING, LAST_ACK},
    },
    context::Carried,
    control::{
        CAPTURE, IGNORE, IS_CLIENT, IS_SERVER, SKIP_RECEIVED, SKIP_SENT, SKIP_THRESHOLD, UNDECIDED,
    },
    counter::Counter,
    event::{
        CAPTURE_MAX, CHUNK_BOUNDARY_UNKNOWN, CHUNK_INSERTED_SHIFT, CHUNK_PERHAPS_FIN,
        CHUNK_RELATIVE, CHUNK_SENT, CHUNK_UNREADABLE, Chunk, Kind,
    },
};

use crate::{
    buffer::Buffer,
    connection::{Positions, announce},
    context::{self, Shared},
    counter::count,
    exchange::{self, Moved},
    flow::{
        ANNOUNCED, BOUNDARY_UNKNOWN, EXCLUDED_PROCESS, Fields as _, Flow, Store, UNIX, control,
        is_excluded,
    },
    kernel::{capture_bytes, follows, is_preemptible, offset, own_pid},
    message::Bytes,
    output, pieces, socket,
};

/// Room for one record. Twice the capture maximum, because the verifier bounds the place and the
/// length of a copied piece one by one, not their sum.
#[repr(C)]
pub struct Record {
    /// A context that is told together with the chunk, if [`Self::carries`].
    pub carried: Carried,
    pub header: Chunk,
    pub data: [u8; 2 * CAPTURE_MAX],
    /// Where the bytes of the call are.
    pub buffer: Buffer,
    makers: Shared,
    /// 1 or 0.
    pub carries: u32,
    /// Padding, always 0.
    reserved: u32,
}

impl Record {
    /// Whether this program may use the record; others may be making theirs where programs are
    /// preemptible, and in an interrupt.
    ///
    /// One step, so that of two programs at most one is told so. Where an interrupt is all that can come in
    /// between, it need not be one: that is over before this goes on. A step that other processors see waits
    /// for all that was written before, the ring's pages among it.
    #[inline(always)]
    fn take(&self) -> bool {
        if is_preemptible() {
            self.makers.add(1);
            if self.makers.load() == 1 {
                return true;
            }
            self.makers.add(1u64.wrapping_neg());
            return false;
        }
        if self.makers.load() != 0 {
            return false;
        }
        self.makers.store(1);
        true
    }

    /// Ends a use.
    #[inline(always)]
    fn give(&self) {
        if is_preemptible() {
            self.makers.add(1u64.wrapping_neg());
        } else {
            self.makers.store(0);
        }
    }
}

/// Tells of a context: with the chunk that is being made, where one is, and else by itself. It is the
/// ring's toll that is saved thereby, which is paid by record.
#[inline(always)]
pub fn tell(carried: &Carried) {
    // Another task's chunk may be in the making otherwise.
    if !is_preemptible()
        && let Some(record) = RECORD.get_ptr_mut(0)
    {
        // SAFETY: the slot is this processor's own.
        unsafe {
            if (*record).makers.load() != 0 && (*record).carries == 0 {
                (*record).carried = *carried;
                (*record).carries = 1;
                return;
            }
        }
    }
    output::event(carried);
}

/// The record that is being made on this processor.
#[btf_map]
pub static RECORD: PerCpuArray<Record, 1> = PerCpuArray::new();

/// Where this processor's record has its captured bytes.
#[inline(always)]
pub fn record_data() -> Option<*mut u8> {
    let record = RECORD.get_ptr_mut(0)?;
    // SAFETY: the slot is this processor's own.
    Some(unsafe { (&raw mut (*record).data).cast() })
}

/// Records one call that moved `length` bytes, or met the end of the stream (0).
///
/// `caller` is who did it, process and thread id; `buffer` is asked for only when bytes are to be captured.
#[inline(always)]
pub fn moved(
    store: &impl Store,
    sent: bool,
    length: u32,
    caller: u64,
    buffer: impl FnOnce() -> Buffer,
) {
    let Some(flow) = store.get().or_else(|| adopt(store)) else {
        return;
    };
    // SAFETY: just found; it lives as long as the program runs.
    unsafe { of_flow(store, flow, sent, length, caller, buffer) }
}

/// A socket that is seen for the first time: older than the agent, or not TCP.
#[inline(never)]
fn adopt(store: &impl Store) -> Option<*mut Flow> {
    match socket::kind(store.address())? {
        // What is read from a closed socket belongs to a connection that has been told and ended.
        socket::Kind::Tcp if u32::from(store.field::<u8>(offset!(sock_state))) == CLOSE => None,
        socket::Kind::Tcp => store.create(0),
        socket::Kind::Unix => store.create(UNIX),
        socket::Kind::Udp if store.knows_datagrams() => store.create(UDP),
        socket::Kind::Udp => None,
    }
}

#[inline(always)]
unsafe fn of_flow(
    store: &impl Store,
    flow: *mut Flow,
    sent: bool,
    length: u32,
    caller: u64,
    buffer: impl FnOnce() -> Buffer,
) {
    // SAFETY: promised by the caller.
    unsafe {
        let (position, doubt) = position(store, flow, sent, length);
        if (*flow).verdict == IGNORE {
            return;
        }
        let (pid, tid) = ((caller >> 32) as u32, caller as u32);
        if (*flow).pid != pid {
            judge_process(flow, pid);
        }
        if (*flow).flags & EXCLUDED_PROCESS != 0 {
            return;
        }
        let moved = Moved {
            sent,
            position: position as u32,
            length,
            caller,
        };
        if (*flow).flags & UDP != 0 {
            if length == 0 {
                // It says nothing; but the message that it was has been passed.
                buffer();
                return;
            }
            tell_again(flow);
        }
        if (*flow).flags & ANNOUNCED == 0 {
            let at = other_position(store, flow, sent, position);
            announce(store, flow, pid, tid, &at);
            if (*flow).flags & OWN != 0 {
                (*flow).verdict = IGNORE;
                return;
            }
        }
        if ((*flow).verdict == UNDECIDED || length >= SKIP_THRESHOLD)
            && !is_wanted(flow, sent, position, length)
        {
            if follows() {
                if (*flow).verdict == IGNORE {
                    exchange::end(flow);
                } else {
                    store.follow(flow, moved, Bytes::none());
                }
            }
            return;
        }
        let mut flags = doubt;
        if sent {
            flags |= CHUNK_SENT;
        }
        submit(store, flow, flags, moved, position, buffer);
    }
}

/// User space lets go of a UDP socket that is quiet, since nobody tells its end. So it is told anew
/// before the next datagram.
#[inline(always)]
unsafe fn tell_again(flow: *mut Flow) {
    // SAFETY: promised by the caller; the helper has no conditions.
    unsafe {
        let now = bpf_ktime_get_ns();
        if now - (*flow).last > UDP_TOLD_AFTER_NANOS {
            (*flow).flags &= !ANNOUNCED;
        }
        (*flow).last = now;
    }
}

/// Where the bytes lie in their stream, and flags that say how far this can be trusted and what
/// else is in their place.
#[inline(always)]
unsafe fn position(store: &impl Store, flow: *mut Flow, sent: bool, length: u32) -> (u64, u32) {
    // SAFETY: promised by the caller.
    unsafe {
        if (*flow).flags & (UNIX | UDP) != 0 {
            let counter = if sent {
                &raw mut (*flow).sent
            } else {
                &raw mut (*flow).received
            };
            let position = *counter;
            *counter = position + u64::from(length);
            return (position, CHUNK_RELATIVE);
        }
        if sent {
            let end: u32 = store.field(offset!(tcp_write_seq));
            let inserted = (*flow).inserted;
            (*flow).inserted = 0;
            let mut told = inserted << CHUNK_INSERTED_SHIFT;
            if (*flow).flags & BOUNDARY_UNKNOWN != 0 {
                told |= CHUNK_BOUNDARY_UNKNOWN;
            }
            let start = end.wrapping_sub(length).wrapping_sub(inserted);
            return (u64::from(start), told);
        }
        let tcp = store.tcp();
        let end: u32 = tcp.field(offset!(tcp_copied_seq));
        let start = end.wrapping_sub(length);
        // A FIN that came with the last bytes was read with them, and took a number of its own.
        match u32::from(tcp.field::<u8>(offset!(sock_state))) {
            CLOSE_WAIT | LAST_ACK | CLOSING if end == tcp.field(offset!(tcp_rcv_nxt)) => {
                (u64::from(start.wrapping_sub(1)), 0)
            }
            CLOSE if end == tcp.field(offset!(tcp_rcv_nxt)) => {
                (u64::from(start), CHUNK_PERHAPS_FIN)
            }
            _ => (u64::from(start), 0),
        }
    }
}

/// Where both streams stood before the present chunk, of which `position` is the start.
#[inline(always)]
unsafe fn other_position(
    store: &impl Store,
    flow: *mut Flow,
    sent: bool,
    position: u64,
) -> Positions {
    // SAFETY: promised by the caller.
    let other = unsafe {
        match ((*flow).flags & (UNIX | UDP) != 0, sent) {
            (true, true) => (*flow).received,
            (true, false) => (*flow).sent,
            (false, true) => u64::from(store.field::<u32>(offset!(tcp_copied_seq))),
            (false, false) => u64::from(store.field::<u32>(offset!(tcp_write_seq))),
        }
    };
    if sent {
        Positions {
            received: other,
            sent: position,
        }
    } else {
        Positions {
            received: position,
            sent: other,
        }
    }
}

/// Finds out whether a connection's present process is in scope.
///
/// # Safety
///
/// `flow` must point to a flow that the verifier knows.
#[inline(always)]
pub unsafe fn judge_process(flow: *mut Flow, pid: u32) {
    // SAFETY: promised by the caller.
    unsafe {
        (*flow).pid = pid;
        (*flow).unfollowed = 0;
        if pid == own_pid() {
            (*flow).flags |= OWN;
        } else if is_excluded(pid) {
            (*flow).flags |= EXCLUDED_PROCESS;
        } else {
            (*flow).flags &= !EXCLUDED_PROCESS;
            // Most UDP sockets belong to clients, and no contexts come through the others.
            if follows() && (*flow).flags & (CONNECTED | UDP) == 0 {
                context::may_serve(pid);
            }
        }
    }
}

/// Asks what user space has decided.
#[inline(always)]
unsafe fn is_wanted(flow: *mut Flow, sent: bool, position: u64, length: u32) -> bool {
    // SAFETY: promised by the caller.
    let id = unsafe { (*flow).id };
    let Some(control) = control(id) else {
        return true;
    };
    if control.verdict == IGNORE || control.verdict == CAPTURE {
        // SAFETY: as above.
        unsafe {
            (*flow).verdict = control.verdict;
            pieces::learn(flow, &control);
            if control.flags & IS_CLIENT != 0 {
                (*flow).flags |= CONNECTED;
            } else if control.flags & IS_SERVER != 0 {
                (*flow).flags |= ACCEPTED;
            }
        }
    }
    if control.verdict == IGNORE {
        return false;
    }
    let (valid, until) = if sent {
        (control.flags & SKIP_SENT, control.sent_until)
    } else {
        (control.flags & SKIP_RECEIVED, control.received_until)
    };
    // Sequence numbers wrap: compare by distance. The chunk that reaches the end is wanted.
    let end = (position as u32).wrapping_add(length);
    if valid != 0 && length > 0 && (until.wrapping_sub(end) as i32) > 0 {
        count(Counter::ChunkSkipped);
        return false;
    }
    true
}

#[inline(always)]
unsafe fn submit(
    store: &impl Store,
    flow: *mut Flow,
    flags: u32,
    moved: Moved,
    position: u64,
    buffer: impl FnOnce() -> Buffer,
) {
    let length = moved.length;
    // Found also where it cannot be used, because messages of one call are counted thereby.
    let buffer = buffer();
    let Some(record) = RECORD.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the slot is this processor's own.
    unsafe {
        if !(*record).take() {
            count(Counter::ChunkPreempted);
            return;
        }
    }
    let wanted = if length < capture_bytes() {
        length
    } else {
        capture_bytes()
    };
    let wanted = if wanted > CAPTURE_MAX as u32 {
        CAPTURE_MAX as u32
    } else {
        wanted
    };
    // SAFETY: the slot is this processor's own, and just taken.
    unsafe {
        (*record).buffer = buffer;
        let captured = if wanted == 0 {
            0
        } else {
            buffer.copy_first(&raw mut (*record).data, wanted)
        };
        let mut flags = flags;
        if captured == 0 && wanted != 0 {
            flags |= CHUNK_UNREADABLE;
            count(Counter::ChunkUnreadable);
        }
        if follows() {
            let bytes = Bytes {
                start: (&raw const (*record).data).cast(),
                length: captured,
            };
            store.follow(flow, moved, bytes);
        }
        // Field by field: a whole one would be made on the stack first.
        let header = &raw mut (*record).header;
        (*header).kind = Kind::Chunk as u32;
        (*header).captured = captured;
        (*header).connection = (*flow).id;
        (*header).time = bpf_ktime_get_ns();
        (*header).pid = (moved.caller >> 32) as u32;
        (*header).tid = moved.caller as u32;
        (*header).position = position;
        (*header).result = length as i32;
        (*header).flags = flags;
        if pieces::is_one(flow, length, captured) {
            pieces::submit(record);
        } else {
            pieces::tell(flow);
        }
        (*record).give();
    }
}
