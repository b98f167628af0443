//! The TCP option that carries a context from host to host (`common/src/context.rs: option`).
//!
//! A connection that its process opens says in its SYN that it understands the option; the other end,
//! if it does too, answers in its SYN-ACK. Only then do contexts leave on it, each on the segment
//! that carries its request's first byte, and again when that is retransmitted. What the kernel asks
//! before a segment is made is answered for the whole connection, so that the segment's size stays
//! within the path's.
//!
//! Sockets that are older than the agent have shaken hands without it. Their first requests ask, and
//! the other end answers on its next segment.
//!
//! **A packet that is dropped for its option is sent again without it**: the second SYN has none, nor
//! has a segment's third copy, or the first of one that asks. An address to which three SYNs in a row were lost is left alone for a
//! while.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB,
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB, BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG,
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_TCP_CONNECT_CB,
        BPF_SOCK_OPS_TCP_LISTEN_CB, BPF_SOCK_OPS_WRITE_HDR_OPT_CB,
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG,
    },
    btf_maps::LruHashMap,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_ktime_get_ns, bpf_load_hdr_opt, bpf_reserve_hdr_opt, bpf_store_hdr_opt},
    },
    macros::{btf_map, sock_ops},
    programs::SockOpsContext,
};
use clew_common::{
    connection::{ACCEPTED, CONNECTED, OWN},
    context::{SAMPLED, option},
    control::IGNORE,
    counter::Counter,
};
use core::ffi::c_void;

use crate::{
    counter::count,
    exchange::{self, Arrived, OutgoingState, WAITS},
    flow::{EXCLUDED_PROCESS, Flow, OfContext, Store, Trusted, Untrusted, address_of},
    kernel::offset,
};

const PARSE: u32 = BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG;
const WRITE: u32 = BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;

/// `BPF_LOAD_HDR_OPT_TCP_SYN` (include/uapi/linux/bpf.h): search the SYN that is being answered.
const OF_SYN: u64 = 1;

/// `AF_INET`.
const AF_INET: u32 = 2;

/// `tcp_flags` (RFC 9293, section 3.1).
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// [`Flow::options`]: the other end understands the option.
const UNDERSTOOD: u32 = 1 << 0;
/// [`Flow::options`]: the other end asks whether this one does.
const ASKED: u32 = 1 << 1;
/// [`Flow::options`]: something does not let the option pass.
const NOT_PASSED: u32 = 1 << 2;
/// [`Flow::options`]: requests that have asked are counted from this bit on.
const ASKS_SHIFT: u32 = 8;

/// Requests that ask on a connection older than the agent.
const ASKS_MAX: u32 = 3;
/// Copies of a segment that carry the option, where it is understood.
const COPIES_MAX: u32 = 2;

/// SYNs with the option that were sent to an address and had to be sent again, since the last that
/// had not.
#[repr(C)]
struct Lost {
    number: u64,
    /// When the last was, nanoseconds.
    time: u64,
}

/// After so many in a row the option is taken for the cause. Packets get lost without it too.
const LOST_MAX: u64 = 3;
/// For how long, nanoseconds.
const AVOID_FOR: u64 = 600_000_000_000;

/// Remote addresses to which SYNs with the option were sent in vain.
#[btf_map]
static NOT_PASSING: LruHashMap<[u32; 4], Lost, 1024> = LruHashMap::new();

/// The whole option as it goes over the wire. Words, though it has no order of bytes: arrays of bytes are
/// copied one by one.
#[repr(C)]
struct WireOption {
    kind: u8,
    length: u8,
    packed: [u8; 2],
    trace_id: [u32; 4],
    span_id: [u32; 2],
}

/// The two words of an id's half, as they lie in memory.
#[inline(always)]
const fn words(half: u64) -> [u32; 2] {
    [half as u32, (half >> 32) as u32]
}

#[inline(always)]
const fn half(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// The short one.
#[repr(C)]
struct Hello {
    kind: u8,
    length: u8,
    word: [u8; 2],
}

const HELLO: Hello = Hello {
    kind: option::KIND,
    length: option::HELLO_LENGTH,
    word: option::HELLO,
};

/// Where the kernel lets it ask who is sending (6.10 or so and later), and the connections' state is in
/// the sockets.
#[sock_ops]
pub fn tcp_option_storage(ctx: SockOpsContext) -> u32 {
    in_storage(&ctx, true)
}

/// Where it does not: the beginning of the send has told (`fentry.rs: sending_storage`).
#[sock_ops]
pub fn tcp_option_told_storage(ctx: SockOpsContext) -> u32 {
    in_storage(&ctx, false)
}

/// The same with the table.
#[sock_ops]
pub fn tcp_option_told_table(ctx: SockOpsContext) -> u32 {
    if is_syn_ack(&ctx) {
        answer(&ctx);
    } else if let Some(socket) = socket_of(&ctx) {
        let store = Untrusted::<false> {
            address: address_of(socket),
            inode: 0,
        };
        handle(&ctx, socket, &store, false);
    }
    1
}

#[inline(always)]
fn in_storage(ctx: &SockOpsContext, knows_sender: bool) -> u32 {
    if is_syn_ack(ctx) {
        answer(ctx);
    } else if let Some(socket) = socket_of(ctx) {
        let store = OfContext {
            socket,
            context: ctx.as_ptr(),
        };
        handle(ctx, socket, &store, knows_sender);
    }
    1
}

/// Whether a listener's answer is being made. Its socket is no full one yet, and has no state.
#[inline(always)]
fn is_syn_ack(ctx: &SockOpsContext) -> bool {
    // SAFETY: the verifier knows the context's fields.
    let flags = unsafe { (*ctx.ops).skb_tcp_flags };
    matches!(
        ctx.op(),
        BPF_SOCK_OPS_HDR_OPT_LEN_CB | BPF_SOCK_OPS_WRITE_HDR_OPT_CB
    ) && flags & (SYN | ACK) == SYN | ACK
}

/// Answers a SYN that says hello.
#[inline(always)]
fn answer(ctx: &SockOpsContext) {
    if ctx.op() == BPF_SOCK_OPS_WRITE_HDR_OPT_CB {
        store_option(ctx, &HELLO);
    } else if says_hello(ctx, OF_SYN) {
        ask_for_room(ctx, option::HELLO_LENGTH);
    }
}

#[inline(always)]
fn socket_of(ctx: &SockOpsContext) -> Option<*const c_void> {
    // SAFETY: the verifier knows the context's fields.
    let socket = unsafe { (*ctx.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        None
    } else {
        Some(socket.cast_const().cast())
    }
}

#[inline(always)]
fn handle(ctx: &SockOpsContext, socket: *const c_void, store: &impl Store, knows_sender: bool) {
    match ctx.op() {
        BPF_SOCK_OPS_HDR_OPT_LEN_CB => reserve(ctx, socket, store, knows_sender),
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB => write(ctx, store),
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB => arrived(ctx, store),
        BPF_SOCK_OPS_TCP_CONNECT_CB => connecting(ctx, store),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => connected(ctx, store),
        // What the listener asked for is inherited; an accepted connection has nothing to write.
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => listen_for(ctx, PARSE),
        BPF_SOCK_OPS_TCP_LISTEN_CB => listen_for(ctx, WRITE),
        _ => {}
    }
}

/// Chooses about what the kernel asks for this socket.
#[inline(always)]
fn listen_for(ctx: &SockOpsContext, flags: u32) {
    // It fails only for sockets that are no full ones, which have no callbacks.
    let _ = ctx.set_cb_flags(flags as i32);
}

#[inline(always)]
fn remote(ctx: &SockOpsContext) -> [u32; 4] {
    // SAFETY: the verifier knows the context's fields; each is read by itself.
    // Volatile, and all of them: the verifier wants each field at its own fixed place.
    unsafe {
        let v4 = (&raw const (*ctx.ops).remote_ip4).read_volatile();
        let v6 = &raw const (*ctx.ops).remote_ip6;
        let v6 = [
            v6.cast::<u32>().read_volatile(),
            v6.cast::<u32>().add(1).read_volatile(),
            v6.cast::<u32>().add(2).read_volatile(),
            v6.cast::<u32>().add(3).read_volatile(),
        ];
        if ctx.family() == AF_INET {
            [v4, 0, 0, 0]
        } else {
            v6
        }
    }
}

#[inline(always)]
fn connecting(ctx: &SockOpsContext, store: &impl Store) {
    let Some(flow) = store.get() else { return };
    // SAFETY: just found.
    let (flags, pid) = unsafe { ((*flow).flags, (*flow).pid) };
    if flags & (OWN | EXCLUDED_PROCESS) != 0 || pid == 0 {
        return;
    }
    if let Some(lost) = NOT_PASSING.get_ptr(remote(ctx)) {
        // SAFETY: entries are not freed while a program runs.
        let (number, since) = unsafe { ((*lost).number, bpf_ktime_get_ns() - (*lost).time) };
        if number >= LOST_MAX && since < AVOID_FOR {
            count(Counter::OptionNotPassed);
            return;
        }
    }
    listen_for(ctx, WRITE | PARSE);
}

/// A SYN has to be sent again.
#[inline(always)]
fn lost(address: [u32; 4]) {
    // SAFETY: the helper has no conditions.
    let time = unsafe { bpf_ktime_get_ns() };
    match NOT_PASSING.get_ptr_mut(address) {
        // SAFETY: entries are not freed while a program runs; one more or less does not matter.
        Some(lost) => unsafe {
            (*lost).number += 1;
            (*lost).time = time;
        },
        None => {
            // Full: the least recently used goes.
            let _ = NOT_PASSING.insert(address, Lost { number: 1, time }, 0);
        }
    }
}

/// The SYN-ACK has come.
#[inline(always)]
fn connected(ctx: &SockOpsContext, store: &impl Store) {
    let Some(flow) = store.get() else { return };
    // SAFETY: the verifier knows the context's fields.
    if unsafe { (*ctx.ops).total_retrans } != 0 {
        // The handshake lost a packet, and with it perhaps a word: requests ask again, as on a
        // connection that is older than the agent.
        return;
    }
    // Most often it is not there.
    let _ = NOT_PASSING.remove(remote(ctx));
    if says_hello(ctx, 0) {
        // SAFETY: just found.
        unsafe { (*flow).options |= UNDERSTOOD };
    } else {
        listen_for(ctx, 0);
    }
}

/// Whether the packet (or, with [`OF_SYN`], the SYN that it answers) carries the short option.
#[inline(always)]
fn says_hello(ctx: &SockOpsContext, where_to_look: u64) -> bool {
    let mut found = Hello {
        kind: option::KIND,
        length: 0,
        word: [0; 2],
    };
    // SAFETY: the helper fills at most the size given.
    let length = unsafe {
        bpf_load_hdr_opt(
            ctx.ops,
            (&raw mut found).cast(),
            size_of::<Hello>() as u32,
            where_to_look,
        )
    };
    length == i64::from(option::HELLO_LENGTH) && found.word == option::HELLO
}

#[inline(always)]
fn ask_for_room(ctx: &SockOpsContext, length: u8) -> bool {
    // SAFETY: the helper has no conditions.
    unsafe { bpf_reserve_hdr_opt(ctx.ops, u32::from(length), 0) == 0 }
}

/// The kernel asks how many bytes of options a segment needs, or, without a segment, the next ones of
/// this connection.
#[inline(always)]
fn reserve(ctx: &SockOpsContext, socket: *const c_void, store: &impl Store, knows_sender: bool) {
    // SAFETY: the verifier knows the context's fields.
    let (segment_flags, length) = unsafe { ((*ctx.ops).skb_tcp_flags, (*ctx.ops).skb_len) };
    if segment_flags & SYN != 0 {
        // SAFETY: as above.
        if unsafe { (*ctx.ops).total_retrans } == 0 {
            ask_for_room(ctx, option::HELLO_LENGTH);
        } else {
            lost(remote(ctx));
        }
        return;
    }
    let Some(flow) = store.get() else { return };
    // SAFETY: just found.
    unsafe {
        if (*flow).verdict == IGNORE || (*flow).flags & (OWN | EXCLUDED_PROCESS) != 0 {
            return;
        }
        if (*flow).options & ASKED != 0 && (*flow).flags & CONNECTED == 0 {
            ask_for_room(ctx, option::HELLO_LENGTH);
            return;
        }
        let asked_in_vain =
            (*flow).options & UNDERSTOOD == 0 && (*flow).options >> ASKS_SHIFT >= ASKS_MAX;
        if (*flow).options & NOT_PASSED != 0 || asked_in_vain || (*flow).flags & ACCEPTED != 0 {
            // Nothing is going to be written.
            listen_for(ctx, PARSE);
            return;
        }
        let write_seq = write_seq(socket);
        if segment_flags == 0 {
            if knows_sender {
                exchange::sending(store.address(), flow, bpf_get_current_pid_tgid(), write_seq);
            }
            if is_unacknowledged(ctx, flow) {
                ask_for_room(ctx, option::LENGTH);
            }
        } else if length != 0
            && is_unacknowledged(ctx, flow)
            && may_hold(ctx, flow, length, write_seq)
        {
            if !ask_for_room(ctx, option::LENGTH) {
                count(Counter::OptionNoRoom);
            }
        }
    }
}

/// Whether a request with a context is on its way, or about to be.
#[inline(always)]
unsafe fn is_unacknowledged(ctx: &SockOpsContext, flow: *mut Flow) -> bool {
    // SAFETY: promised by the caller; the verifier knows the context's fields.
    unsafe {
        let outgoing = &(*flow).exchanges.outgoing;
        outgoing.state != OutgoingState::None
            && outgoing.position.wrapping_sub((*ctx.ops).snd_una) as i32 >= 0
    }
}

/// Whether the segment that is being made may hold the request's first byte. Its number is not known
/// yet: a new one begins at `snd_nxt`, a copy before.
#[inline(always)]
unsafe fn may_hold(ctx: &SockOpsContext, flow: *mut Flow, length: u32, write_seq: u32) -> bool {
    // SAFETY: as above.
    unsafe {
        let position = (*flow).exchanges.outgoing.position;
        let next = (*ctx.ops).snd_nxt;
        let ahead = position.wrapping_sub(next);
        if (ahead as i32) >= 0 {
            return ahead < length;
        }
        // With everything sent once, or something known to be lost, this is a copy.
        if write_seq != next && (*ctx.ops).lost_out == 0 {
            return false;
        }
        let outgoing = &mut (*flow).exchanges.outgoing;
        outgoing.copies += 1;
        // One that asks may have been lost for its option: the handshake's was not answered.
        let most = if (*flow).options & UNDERSTOOD == 0 {
            0
        } else {
            COPIES_MAX
        };
        if outgoing.copies <= most {
            return true;
        }
        if outgoing.copies == most + 1 {
            count(Counter::OptionNotPassed);
            if (*flow).exchanges.confirmed == 0 {
                (*flow).options |= NOT_PASSED;
            }
        }
        false
    }
}

#[inline(always)]
fn write_seq(socket: *const c_void) -> u32 {
    Trusted(socket).field(offset!(tcp_write_seq))
}

/// The sequence number and the header's length of the segment at hand.
#[inline(always)]
fn segment(ctx: &SockOpsContext) -> Option<(u32, u32)> {
    // SAFETY: the bounds are checked as the verifier wants it.
    unsafe {
        let start = (*ctx.ops).__bindgen_anon_3.skb_data as usize;
        let end = (*ctx.ops).__bindgen_anon_4.skb_data_end as usize;
        if start + 20 > end {
            return None;
        }
        let sequence = u32::from_be(*((start + 4) as *const u32));
        let header = u32::from(*((start + 12) as *const u8) >> 4) * 4;
        Some((sequence, header))
    }
}

/// Writes the option into the room that was asked for.
#[inline(always)]
fn write(ctx: &SockOpsContext, store: &impl Store) {
    // SAFETY: the verifier knows the context's fields.
    let (segment_flags, length) = unsafe { ((*ctx.ops).skb_tcp_flags, (*ctx.ops).skb_len) };
    if segment_flags & SYN != 0 {
        store_option(ctx, &HELLO);
        return;
    }
    let Some(flow) = store.get() else { return };
    // SAFETY: just found.
    unsafe {
        if (*flow).options & ASKED != 0 && (*flow).flags & CONNECTED == 0 {
            (*flow).options &= !ASKED;
            store_option(ctx, &HELLO);
            listen_for(ctx, PARSE);
            return;
        }
        let Some((sequence, header)) = segment(ctx) else {
            return;
        };
        let outgoing = &(*flow).exchanges.outgoing;
        let into = outgoing.position.wrapping_sub(sequence);
        if into >= length.wrapping_sub(header) || into > option::PLACE_MASK {
            // Room was asked for in vain; the kernel fills it.
            return;
        }
        let asks = (*flow).options & UNDERSTOOD == 0;
        let [[a, b], [c, d]] = [words(outgoing.trace_id[0]), words(outgoing.trace_id[1])];
        let wire = WireOption {
            kind: option::KIND,
            length: option::LENGTH,
            packed: option::pack(outgoing.position, outgoing.trace_flags & SAMPLED != 0, asks),
            trace_id: [a, b, c, d],
            span_id: words(outgoing.span_id),
        };
        if store_option(ctx, &wire) {
            count(Counter::OptionSent);
            if asks {
                (*flow).options += 1 << ASKS_SHIFT;
            }
        }
    }
}

#[inline(always)]
fn store_option<T>(ctx: &SockOpsContext, option: &T) -> bool {
    // SAFETY: readable for its size.
    unsafe {
        bpf_store_hdr_opt(
            ctx.ops,
            core::ptr::from_ref(option).cast(),
            size_of::<T>() as u32,
            0,
        ) == 0
    }
}

/// A segment has come with an option that the kernel does not know.
#[inline(always)]
fn arrived(ctx: &SockOpsContext, store: &impl Store) {
    let mut wire = WireOption {
        kind: option::KIND,
        length: 0,
        packed: [0; 2],
        trace_id: [0; 4],
        span_id: [0; 2],
    };
    // SAFETY: the helper fills at most the size given.
    let length = unsafe {
        bpf_load_hdr_opt(
            ctx.ops,
            (&raw mut wire).cast(),
            size_of::<WireOption>() as u32,
            0,
        )
    };
    let Some(flow) = store.get().or_else(|| store.create(0)) else {
        return;
    };
    if length == i64::from(option::HELLO_LENGTH) && wire.packed == option::HELLO {
        // SAFETY: just found.
        unsafe { (*flow).options |= UNDERSTOOD };
        return;
    }
    let Some((sequence, _)) = segment(ctx) else {
        return;
    };
    if length != i64::from(option::LENGTH) {
        return;
    }
    // SAFETY: just found.
    unsafe {
        if wire.packed[0] & option::ASKS != 0 {
            (*flow).options |= ASKED;
            listen_for(ctx, WRITE | PARSE);
        }
        let position = option::place(wire.packed, sequence);
        let span_id = half(wire.span_id[0], wire.span_id[1]);
        let exchanges = &mut (*flow).exchanges;
        for earlier in &mut exchanges.arrived {
            if earlier.span_id == span_id {
                // A copy; or a large segment was cut on its way, and each piece has the option: the
                // first byte is in the first.
                if (position.wrapping_sub(earlier.position) as i32) < 0 {
                    earlier.position = position;
                }
                return;
            }
        }
        let slot = exchanges.next as usize & (exchange::ARRIVED_MAX - 1);
        exchanges.next = exchanges.next.wrapping_add(1);
        exchanges.arrived[slot] = Arrived {
            trace_id: [
                half(wire.trace_id[0], wire.trace_id[1]),
                half(wire.trace_id[2], wire.trace_id[3]),
            ],
            span_id,
            position,
            flags: WAITS
                | if wire.packed[0] & option::SAMPLED != 0 {
                    SAMPLED
                } else {
                    0
                },
        };
    }
}
