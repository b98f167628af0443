//! Inserts a `traceparent` header into plaintext HTTP/1 requests while they are sent.
//!
//! Two kinds of program. The one on socket operations puts a connection into `HEADER_SOCKETS` when
//! it is established, if the process that connects it was chosen. The one on that map's messages
//! runs before each piece of data is sent, under the socket's lock, in the sender's context.
//!
//! # Where a request begins
//!
//! The message program knows by construction, never by looking for something that resembles a
//! request: the first byte of a connection, or the byte after a request whose length is known. The
//! place is a sequence number, so data that took another way, or a send that was carried out in
//! part, is noticed. Where the length is not known nothing is inserted until the agent's parser has
//! told the next boundary ([`clew_common::control::REQUEST_AT`]).
//!
//! # Why nothing is inserted when a send might fail
//!
//! The kernel computes a failed send's result as if all unsent bytes were the application's. That is
//! right once the header has left, and wrong before. So a header is inserted only where the bytes up
//! to its end cannot but go: an established connection with next to nothing unsent, room in the
//! buffer, and no shortage of memory.

use aya_ebpf::{
    bindings::{
        BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, bpf_sock, sk_msg_md,
    },
    btf_maps::{HashMap, SkStorage},
    helpers::generated::{
        bpf_msg_apply_bytes, bpf_msg_pop_data, bpf_msg_pull_data, bpf_msg_push_data,
        bpf_sk_storage_get, bpf_skc_to_tcp_sock,
    },
    macros::{btf_map, map, sk_msg, sock_ops},
    maps::SockHash,
    programs::{SkMsgContext, SockOpsContext},
};
use clew_common::{
    connection::tcp_state::ESTABLISHED,
    control::{IGNORE, REQUEST_AT},
    counter::Counter,
    inject::{
        AT_KNOWN, AT_START, BEGUN, Body, Doubt, HEAD_MAX, HEADER_LENGTH, Injection, OVER, Request,
        SELF_TEST, SOCKETS_MAX, TEST_SPAN_ID, TEST_TRACE_ID, Variable, Window, header, scan,
    },
};
use core::ffi::c_void;

use crate::{
    counter::count,
    exchange,
    flow::{
        BOUNDARY_UNKNOWN, EXCLUDED_PROCESS, Flow, GETS_HEADER, address_of, control, in_storage,
        in_table,
    },
    kernel::{offset, passes_state, read_kernel, read_pointer},
    message::{STATE_MAX, STATES},
};

/// The verdict of every message: it is sent. (`SK_PASS`, include/uapi/linux/bpf.h.)
const PASS: u32 = 1;

/// What must be free in the socket's send buffer, bytes: several times what the segments up to the
/// header's end take with all that the kernel keeps for them.
const ROOM: i32 = 8192;

/// Bytes before the request that may still wait to be sent.
const UNSENT_MAX: u32 = 4096;

/// Sockets whose messages are looked at, by socket cookie.
#[map]
static HEADER_SOCKETS: SockHash<u64> = SockHash::with_max_entries(SOCKETS_MAX, 0);

/// Processes whose new connections get headers.
#[btf_map]
static HEADER_PROCESSES: HashMap<u32, u32, 16384> = HashMap::new();

/// What is remembered of each socket.
#[btf_map]
static INJECTIONS: SkStorage<Injection> = SkStorage::new();

/// Whether the connections of this process get headers.
#[inline(always)]
pub fn is_chosen(pid: u32) -> bool {
    // SAFETY: only its presence matters.
    unsafe { HEADER_PROCESSES.get(pid) }.is_some()
}

/// A forked process connects at once; the agent will look at it only later.
#[inline(always)]
pub fn inherit(parent: u32, pid: u32) {
    if is_chosen(parent) {
        // Full: the process gets no headers.
        let _ = HEADER_PROCESSES.insert(pid, 1, 0);
    }
}

/// Socket operations (`BPF_PROG_TYPE_SOCK_OPS`) on every cgroup, where the connections' state is in
/// the sockets.
#[sock_ops]
pub fn enrol_storage(ctx: SockOpsContext) -> u32 {
    established(&ctx, |socket| in_storage(socket));
    PASS
}

/// The same with the table.
#[sock_ops]
pub fn enrol_table(ctx: SockOpsContext) -> u32 {
    established(&ctx, |socket| in_table(socket));
    PASS
}

#[inline(always)]
fn established(ctx: &SockOpsContext, find: impl FnOnce(*mut bpf_sock) -> Option<*mut Flow>) {
    if ctx.op() != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        return;
    }
    // SAFETY: the verifier checks the context's fields and the socket.
    unsafe {
        let socket = (*ctx.ops).__bindgen_anon_2.sk;
        if socket.is_null() {
            return;
        }
        let Some(flow) = find(socket) else { return };
        if (*flow).flags & GETS_HEADER == 0 {
            return;
        }
        let Some(sent) = tcp_field::<u32>(socket, offset!(tcp_snd_nxt)) else {
            return;
        };
        // Data that left with the SYN (TCP Fast Open), or waits already, went unseen.
        if (*ctx.ops).data_segs_out != 0
            || tcp_field::<u32>(socket, offset!(tcp_write_seq)) != Some(sent)
        {
            return;
        }
        let mut first = Injection::new(AT_KNOWN, sent);
        if injection(socket, &raw mut first).is_none() {
            count(Counter::SocketStateFull);
            return;
        }
        let mut key = aya_ebpf::helpers::generated::bpf_get_socket_cookie(ctx.ops.cast());
        let status = aya_ebpf::helpers::generated::bpf_sock_hash_update(
            ctx.ops,
            (&raw const HEADER_SOCKETS).cast_mut().cast(),
            (&raw mut key).cast(),
            0,
        );
        if status != 0 {
            count(Counter::SocketStateFull);
        }
    }
}

/// Messages of the sockets in `HEADER_SOCKETS`, where the connections' state is in the sockets.
#[sk_msg]
pub fn header_storage(ctx: SkMsgContext) -> u32 {
    // SAFETY: the verifier knows the context's socket.
    let _ = unsafe { message(ctx.msg, |socket| in_storage(socket)) };
    PASS
}

/// The same with the table.
#[sk_msg]
pub fn header_table(ctx: SkMsgContext) -> u32 {
    // SAFETY: as above.
    let _ = unsafe { message(ctx.msg, |socket| in_table(socket)) };
    PASS
}

/// Looks at one message.
#[inline(always)]
unsafe fn message(
    msg: *mut sk_msg_md,
    find: impl FnOnce(*mut bpf_sock) -> Option<*mut Flow>,
) -> Option<()> {
    // SAFETY: the verifier checks every access; the state is used under the socket's lock.
    unsafe {
        let socket = (*msg).__bindgen_anon_3.sk;
        if socket.is_null() {
            return None;
        }
        let state = injection(socket, core::ptr::null_mut())?;
        if (*state).flags & OVER != 0 {
            return None;
        }
        let flow = find(socket)?;
        let at = tcp_field::<u32>(socket, offset!(tcp_write_seq))?;
        find_boundary(state, flow, at);
        if (*state).flags & AT_KNOWN == 0 {
            tally(Counter::HeaderBoundaryUnknown);
            return None;
        }
        let distance = (*state).next.wrapping_sub(at);
        if distance == 0 {
            request(msg, socket, state, flow, at);
        } else if (distance as i32) < 0 {
            // Something was sent past this program.
            (*state).flags &= !AT_KNOWN;
        } else if distance < (*msg).size {
            // The program runs again for what comes after the boundary.
            bpf_msg_apply_bytes(msg, distance);
        }
        if (*state).flags & AT_KNOWN == 0 {
            (*flow).flags |= BOUNDARY_UNKNOWN;
        } else {
            (*flow).flags &= !BOUNDARY_UNKNOWN;
        }
        Some(())
    }
}

/// Brings the place of the next request up to date, for a message at `at`.
///
/// A function by itself, as others here: the verifier forgets its frame when it returns, instead of
/// following the whole scan again for each way through it.
#[inline(never)]
unsafe fn find_boundary(state: *mut Injection, flow: *mut Flow, at: u32) {
    // SAFETY: promised by the caller.
    unsafe {
        let flags = (*state).flags;
        if flags & AT_START != 0 {
            (*state).flags = flags & !AT_START | AT_KNOWN;
            (*state).next = at;
        } else if flags & BEGUN != 0 && at == (*state).begun {
            // Nothing was sent of it; the application tries again.
            (*flow).inserted = (*flow).inserted.wrapping_sub((*state).inserted);
            (*state).inserted = 0;
            (*state).flags |= AT_KNOWN;
            (*state).next = at;
        } else if flags & AT_KNOWN == 0
            && let Some(told) = control((*flow).id)
            && told.flags & REQUEST_AT != 0
            && told.request_at != (*state).late
        {
            if (told.request_at.wrapping_sub(at) as i32) < 0 {
                (*state).late = told.request_at;
                count(Counter::HeaderBoundaryLate);
            } else {
                (*state).flags |= AT_KNOWN;
                (*state).next = told.request_at;
            }
        }
    }
}

/// A request begins with the message.
#[inline(always)]
unsafe fn request(
    msg: *mut sk_msg_md,
    socket: *mut bpf_sock,
    state: *mut Injection,
    flow: *mut Flow,
    at: u32,
) {
    // SAFETY: promised by the caller.
    unsafe {
        (*state).begun = at;
        (*state).inserted = 0;
        (*state).flags = (*state).flags & !AT_KNOWN | BEGUN;
        let size = (*msg).size;
        let visible = if size < HEAD_MAX { size } else { HEAD_MAX };
        if bpf_msg_pull_data(msg, 0, visible, 0) != 0 {
            tally(Counter::HeaderNoMemory);
            return;
        }
        let found = scan(&Bytes {
            data: (*msg).__bindgen_anon_1.data as usize,
            end: (*msg).__bindgen_anon_2.data_end as usize,
            state,
        });
        let request = match found {
            Ok(request) => request,
            Err(doubt) => {
                if doubt == Doubt::NotHttp {
                    (*state).flags |= OVER;
                }
                tally(reason(doubt, (*msg).size));
                return;
            }
        };
        let inserted = if may_insert(socket, at, &request) {
            insert(msg, socket, state, flow)
        } else {
            0
        };
        (*state).inserted = inserted;
        (*flow).inserted = (*flow).inserted.wrapping_add(inserted);
        if let Body::Length(body) = request.body {
            let length = request.head + body + inserted;
            (*state).next = at.wrapping_add(length);
            (*state).flags |= AT_KNOWN;
            if length < (*msg).size {
                bpf_msg_apply_bytes(msg, length);
            }
        }
    }
}

/// [`count`], with a frame of its own.
#[inline(never)]
fn tally(counter: Counter) {
    count(counter);
}

#[inline(always)]
fn reason(doubt: Doubt, size: u32) -> Counter {
    match doubt {
        Doubt::NotHttp => Counter::HeaderNotHttp,
        Doubt::Incomplete if size < HEAD_MAX => Counter::HeaderSplit,
        Doubt::Incomplete | Doubt::TooLong => Counter::HeaderTooLong,
        Doubt::Malformed => Counter::HeaderMalformed,
    }
}

/// Whether the request is one that gets a header, and surely leaves.
#[inline(always)]
unsafe fn may_insert(socket: *mut bpf_sock, at: u32, request: &Request) -> bool {
    let reason = if request.traceparent {
        Counter::HeaderOwn
    } else if request.tunnel {
        Counter::HeaderTunnel
    // SAFETY: promised by the caller.
    } else if unsafe { surely_leaves(socket, at) } {
        return true;
    } else {
        Counter::HeaderNoRoom
    };
    tally(reason);
    false
}

/// Inserts the header into the request that was scanned last, if there is a context for it; returns
/// how many bytes.
#[inline(never)]
unsafe fn insert(
    msg: *mut sk_msg_md,
    socket: *mut bpf_sock,
    state: *mut Injection,
    flow: *mut Flow,
) -> u32 {
    // SAFETY: promised by the caller.
    unsafe {
        let at = (*state).begun;
        let place = (*state).variables[Variable::Line as usize];
        if (*state).flags & SELF_TEST != 0 {
            write(msg, place, &header(&TEST_TRACE_ID, &TEST_SPAN_ID, 1))
        } else if (*flow).verdict == IGNORE || (*flow).flags & EXCLUDED_PROCESS != 0 {
            count(Counter::HeaderNoContext);
            0
        } else {
            let socket = address_of(socket.cast_const().cast());
            let context = exchange::writing(socket, flow, at);
            let line = header(
                &exchange::bytes_of(context.trace_id),
                &context.span_id.to_ne_bytes(),
                context.trace_flags as u8,
            );
            let written = write(msg, place, &line);
            if written == 0 || !passes_state() {
                return written;
            }
            written + write_state(msg, place + written, context.cause, context.trace_id)
        }
    }
}

/// Puts the `tracestate` of the request that `cause` brought at `place`, if there is one and it belongs
/// to this trace; returns its length, or 0.
#[inline(never)]
unsafe fn write_state(msg: *mut sk_msg_md, place: u32, cause: u64, trace_id: [u64; 2]) -> u32 {
    // SAFETY: the verifier checks every access; entries are not freed while a program runs.
    unsafe {
        let Some(kept) = STATES.get_ptr(cause) else {
            return 0;
        };
        let length = (*kept).length & (STATE_MAX - 1);
        if (*kept).trace_id != trace_id || length == 0 {
            return 0;
        }
        if bpf_msg_push_data(msg, place, length, 0) != 0 {
            count(Counter::HeaderNoMemory);
            return 0;
        }
        // See `write`.
        let pulled = bpf_msg_pull_data(msg, place, place + length, 0);
        let data = (*msg).__bindgen_anon_1.data as usize;
        let end = (*msg).__bindgen_anon_2.data_end as usize;
        let mut index = 0;
        while index < STATE_MAX - 1 {
            if index >= length || pulled != 0 || data + index as usize + 1 > end {
                break;
            }
            let byte = (&raw const (*kept).line).cast::<u8>().add(index as usize);
            ((data + index as usize) as *mut u8).write_volatile(byte.read_volatile());
            index += 1;
        }
        if index < length {
            bpf_msg_pop_data(msg, place, length, 0);
            count(Counter::HeaderNoMemory);
            return 0;
        }
        bpf_msg_pull_data(msg, 0, place + length + 1, 0);
        length
    }
}

/// Puts a header line at `place`, and returns its length, or 0 where that was not possible.
#[inline(always)]
unsafe fn write(msg: *mut sk_msg_md, place: u32, line: &[u8; HEADER_LENGTH]) -> u32 {
    const LENGTH: u32 = HEADER_LENGTH as u32;
    // SAFETY: the verifier checks every access.
    unsafe {
        if bpf_msg_push_data(msg, place, LENGTH, 0) != 0 {
            count(Counter::HeaderNoMemory);
            return 0;
        }
        // What was pushed is a piece of its own, so that this copies nothing and cannot fail.
        let pulled = bpf_msg_pull_data(msg, place, place + LENGTH, 0);
        let data = (*msg).__bindgen_anon_1.data as usize;
        let end = (*msg).__bindgen_anon_2.data_end as usize;
        if pulled != 0 || data + HEADER_LENGTH > end {
            bpf_msg_pop_data(msg, place, LENGTH, 0);
            count(Counter::HeaderNoMemory);
            return 0;
        }
        let target = data as *mut u8;
        let mut index = 0;
        while index < HEADER_LENGTH {
            target.add(index).write_volatile(line[index]);
            index += 1;
        }
        // The pieces would be sent one by one, and the first, small one would make the others wait
        // for its acknowledgement (Nagle's algorithm). Where this fails they do.
        bpf_msg_pull_data(msg, 0, place + LENGTH + 1, 0);
        count(Counter::HeaderInserted);
        LENGTH
    }
}

/// Whether the first bytes of a message at `at` cannot but leave.
#[inline(never)]
unsafe fn surely_leaves(socket: *mut bpf_sock, at: u32) -> bool {
    // SAFETY: promised by the caller.
    let Some(tcp) = (unsafe { tcp_of(socket) }) else {
        return false;
    };
    // SAFETY: the verifier knows the type and the offsets.
    unsafe {
        let state: u8 = load(tcp, offset!(sock_state));
        let error: u32 = load(tcp, offset!(sock_error));
        let sent: u32 = load(tcp, offset!(tcp_snd_nxt));
        let queued: i32 = load(tcp, offset!(sock_wmem_queued));
        let limit: i32 = load(tcp, offset!(sock_sndbuf));
        let low_water: u32 = load(tcp, offset!(tcp_notsent_lowat));
        // Requests in one send wait for each other. The system's own default of the low water mark
        // is taken to be higher than this.
        let unsent = at.wrapping_sub(sent);
        if unsent != 0 && (unsent > UNSENT_MAX || low_water != 0) {
            return false;
        }
        if u32::from(state) != ESTABLISHED || error != 0 || limit - queued < ROOM {
            return false;
        }
    }
    let pressure = read_pointer(tcp, offset!(sock_prot))
        .and_then(|proto| read_pointer(proto, offset!(proto_memory_pressure)))
        .and_then(|number| read_kernel::<u64>(number, 0));
    pressure == Some(0)
}

/// What is remembered of a socket; `initial` is put there if it is not null and nothing is.
#[inline(always)]
unsafe fn injection(socket: *mut bpf_sock, initial: *mut Injection) -> Option<*mut Injection> {
    let flags = if initial.is_null() {
        0
    } else {
        BPF_SK_STORAGE_GET_F_CREATE
    };
    // SAFETY: the verifier checks the socket.
    let state = unsafe {
        bpf_sk_storage_get(
            (&raw const INJECTIONS).cast_mut().cast(),
            socket.cast(),
            initial.cast(),
            u64::from(flags),
        )
    }
    .cast::<Injection>();
    if state.is_null() { None } else { Some(state) }
}

#[inline(always)]
unsafe fn tcp_of(socket: *mut bpf_sock) -> Option<*const c_void> {
    // SAFETY: the helper checks that it is a TCP socket.
    let tcp = unsafe { bpf_skc_to_tcp_sock(socket.cast()) };
    if tcp.is_null() {
        None
    } else {
        Some(tcp.cast_const().cast())
    }
}

#[inline(always)]
unsafe fn tcp_field<T: Copy>(socket: *mut bpf_sock, offset: usize) -> Option<T> {
    // SAFETY: the verifier knows the type and the offset.
    unsafe { tcp_of(socket).map(|tcp| load(tcp, offset)) }
}

#[inline(always)]
unsafe fn load<T: Copy>(base: *const c_void, offset: usize) -> T {
    // SAFETY: promised by the caller.
    unsafe { base.cast::<u8>().add(offset).cast::<T>().read() }
}

/// The message's first bytes.
struct Bytes {
    data: usize,
    end: usize,
    state: *mut Injection,
}

impl Bytes {
    /// The address of `length` bytes at `at`, if they are there.
    #[inline(always)]
    fn at(&self, at: u32, length: usize) -> Option<*const u8> {
        // The mask is how the verifier learns that it is small. Forgotten before, because it would
        // remember of each constant place that it was checked, and tell ways apart by that.
        //
        // SAFETY: the socket's state.
        let at = at ^ unsafe { (&raw const (*self.state).zero).read_volatile() };
        let place = self.data + (at & (2 * HEAD_MAX - 1)) as usize;
        if place + length > self.end {
            None
        } else {
            Some(place as *const u8)
        }
    }
}

impl Window for Bytes {
    #[inline(always)]
    fn word(&self, at: u32) -> Option<u64> {
        let place = self.at(at, 8)?;
        let word: u64;
        // SAFETY: the eight bytes are there. The compiler would read them one by one; the kernel
        // takes an unaligned read on every machine that Clew supports.
        unsafe {
            core::arch::asm!(
                "{word} = *(u64 *)({place} + 0)",
                word = out(reg) word,
                place = in(reg) place,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        Some(word)
    }

    #[inline(always)]
    fn byte(&self, at: u32) -> Option<u8> {
        // SAFETY: the byte is there.
        self.at(at, 1).map(|place| unsafe { place.read() })
    }

    #[inline(always)]
    fn get(&self, variable: Variable) -> u32 {
        // SAFETY: the socket's state.
        unsafe {
            let all = (&raw mut (*self.state).variables).cast::<u32>();
            all.add(variable as usize).read_volatile()
        }
    }

    #[inline(always)]
    fn set(&self, variable: Variable, value: u32) {
        // SAFETY: as above.
        unsafe {
            let all = (&raw mut (*self.state).variables).cast::<u32>();
            all.add(variable as usize).write_volatile(value);
        }
    }
}
