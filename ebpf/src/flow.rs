//! What the kernel side remembers of a connection.
//!
//! Two places hold it. With the socket tracepoints, and at functions that are given a socket, the kernel
//! knows the socket as such, so it lives in the socket itself (`FLOWS`) and goes with it. From a system
//! call the socket is only an address, and before Linux 5.12 programs at functions may not ask for its
//! storage: then it lives in a table (`FLOW_TABLE`), which the programs and the agent clear.

use aya_ebpf::{
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    btf_maps::{HashMap, LruHashMap, PerCpuArray, SkStorage},
    helpers::generated::{
        bpf_get_smp_processor_id, bpf_get_socket_cookie, bpf_sk_storage_get, bpf_skc_to_tcp_sock,
    },
    macros::btf_map,
};
use clew_common::{
    control::{Control, FLOW_INODE, FLOW_WORDS, UNDECIDED},
    counter::Counter,
};
use core::{ffi::c_void, mem::offset_of};

use crate::{
    counter::count,
    exchange::{self, Exchanges, Moved},
    kernel::read_kernel,
    message::Bytes,
};

/// State of a connection. Its fields are written without locks: a connection is rarely used by
/// two threads in the same direction at the same time, and what could go wrong then is a verdict
/// looked up twice or a Unix position that is off, which user space notices as a gap.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Flow {
    /// The connection's identity: its socket cookie, or a number of our own where no cookie can be
    /// had.
    pub id: u64,
    /// Bytes received and sent so far (Unix and UDP sockets; TCP has sequence numbers).
    pub received: u64,
    pub sent: u64,
    /// Inode number of the socket's file, where the address alone is not an identity.
    pub inode: u64,
    /// When the last datagram moved (UDP sockets).
    pub last: u64,
    /// The process for which `excluded` was found out.
    pub pid: u32,
    /// The verdict on the connection ([`clew_common::control`]).
    pub verdict: u32,
    /// `connection::ACCEPTED`, `CONNECTED`, `FROM_START`, `OWN`, `UDP`, and the flags below.
    pub flags: u32,
    /// What is known about TCP options on this connection (`option.rs`).
    pub options: u32,
    /// Bytes inserted into the sent stream since the last chunk of it.
    pub inserted: u32,
    /// Where the next frame begins in each stream (`pieces.rs`).
    pub next_received: u32,
    pub next_sent: u32,
    /// What `context::unfollowed` said when `Flow::pid` was not followed; 0 else.
    pub unfollowed: u32,
    /// Requests and responses.
    pub exchanges: Exchanges,
}

const _: () = assert!(size_of::<Flow>() == FLOW_WORDS * size_of::<u64>());
const _: () = assert!(offset_of!(Flow, inode) == FLOW_INODE * size_of::<u64>());

/// [`Flow::flags`]: the connection has been told to user space.
pub const ANNOUNCED: u32 = 1 << 16;
/// [`Flow::flags`]: a Unix socket.
pub const UNIX: u32 = 1 << 17;
/// [`Flow::flags`]: the process `Flow::pid` is out of scope.
pub const EXCLUDED_PROCESS: u32 = 1 << 18;

/// [`Flow::flags`]: its requests get a header once it is established.
pub const GETS_HEADER: u32 = 1 << 19;
/// [`Flow::flags`]: they would, but nobody knows where the next one begins.
pub const BOUNDARY_UNKNOWN: u32 = 1 << 20;
/// [`Flow::flags`]: HTTP/2.
pub const HTTP2: u32 = 1 << 21;
/// [`Flow::flags`]: `Flow::next_received` is known.
pub const NEXT_RECEIVED: u32 = 1 << 22;
/// [`Flow::flags`]: `Flow::next_sent` is known.
pub const NEXT_SENT: u32 = 1 << 23;
/// [`Flow::flags`]: the last bytes of long calls are wanted.
pub const WANTS_TAIL: u32 = 1 << 24;

impl Flow {
    /// All zero: what a socket's storage is before it is filled.
    const NEW: Self = Self {
        id: 0,
        received: 0,
        sent: 0,
        inode: 0,
        last: 0,
        pid: 0,
        verdict: UNDECIDED,
        flags: 0,
        options: 0,
        inserted: 0,
        next_received: 0,
        next_sent: 0,
        unfollowed: 0,
        exchanges: Exchanges::NONE,
    };
}

/// A flow is too large for the stack.
static NEW: Flow = Flow::NEW;

#[btf_map]
static FLOWS: SkStorage<Flow> = SkStorage::new();

/// Set to the configured number of connections by the agent before loading.
#[btf_map]
static FLOW_TABLE: HashMap<u64, Flow, 65536> = HashMap::new();

/// What user space has decided about a connection, by its identity. The least recently used goes
/// when it is full: the end of some connections (Unix sockets) is never told, and a verdict has been
/// copied into the flow by then.
#[btf_map]
static CONTROL: LruHashMap<u64, Control, 65536> = LruHashMap::new();

/// Processes out of scope.
#[btf_map]
static EXCLUDED: HashMap<u32, u32, 16384> = HashMap::new();

/// The last identity given on this processor.
#[btf_map]
static LAST_ID: PerCpuArray<u64, 1> = PerCpuArray::new();

#[inline(always)]
pub fn control(id: u64) -> Option<Control> {
    // SAFETY: a copy is made at once; a torn read costs one chunk too many or too few captured
    // bytes, never memory.
    unsafe { CONTROL.get(id) }.copied()
}

#[inline(always)]
pub fn is_excluded(pid: u32) -> bool {
    // SAFETY: only its presence matters.
    unsafe { EXCLUDED.get(pid) }.is_some()
}

/// The flow of a socket, for programs that are given one: in the socket.
#[inline(always)]
pub fn in_storage(socket: *mut bpf_sock) -> Option<*mut Flow> {
    Trusted(socket.cast_const().cast()).get()
}

/// The same with the table.
#[inline(always)]
pub fn in_table(socket: *mut bpf_sock) -> Option<*mut Flow> {
    let flow = look_up(socket);
    if flow.is_null() { None } else { Some(flow) }
}

/// A function by itself, so that the key is on a stack of its own.
#[inline(never)]
fn look_up(socket: *mut bpf_sock) -> *mut Flow {
    // SAFETY: the verifier checks the socket. The helper gives the kernel's own pointer, whose
    // number is the key.
    let address = unsafe { bpf_skc_to_tcp_sock(socket.cast()) };
    if address.is_null() {
        return core::ptr::null_mut();
    }
    FLOW_TABLE
        .get_ptr_mut(address as u64)
        .unwrap_or(core::ptr::null_mut())
}

/// Where flows are kept, and how a socket is named there.
pub trait Store {
    /// The socket's address.
    fn address(&self) -> *const c_void;
    /// Whether UDP sockets are traced: each of their datagrams is told by itself then.
    #[inline(always)]
    fn knows_datagrams(&self) -> bool {
        false
    }
    /// Finds a flow.
    fn get(&self) -> Option<*mut Flow>;
    /// Makes a flow, or finds the one that another processor made meanwhile.
    fn create(&self, flags: u32) -> Option<*mut Flow>;
    /// Forgets a flow whose socket is closed.
    fn remove(&self);
    /// TCP: the socket, whose fields can be read. Asked for once where several are.
    fn tcp(&self) -> impl Fields;
    /// TCP: reads one field of the socket.
    #[inline(always)]
    fn field<T: Copy + Default>(&self, offset: usize) -> T {
        self.tcp().field(offset)
    }
    /// Follows the exchanges of the connection through a chunk ([`exchange::moved`]).
    ///
    /// # Safety
    ///
    /// `flow` must point to a flow that the verifier knows.
    #[inline(always)]
    unsafe fn follow(&self, flow: *mut Flow, moved: Moved, bytes: Bytes)
    where
        Self: Sized,
    {
        // SAFETY: promised by the caller.
        unsafe { exchange::moved(self, flow, moved, bytes) };
    }
}

/// A TCP socket's fields.
pub trait Fields {
    /// Reads one; zero where it cannot be read.
    fn field<T: Copy + Default>(&self, offset: usize) -> T;
}

/// A `struct tcp_sock` that the verifier knows as such, or null.
struct TcpSocket(*const u8);

impl Fields for TcpSocket {
    #[inline(always)]
    fn field<T: Copy + Default>(&self, offset: usize) -> T {
        if self.0.is_null() {
            return T::default();
        }
        // SAFETY: the verifier knows the offset as a constant, so this is a plain load: no reading helper on
        // the path that every send and receive takes.
        unsafe { self.0.add(offset).cast::<T>().read() }
    }
}

/// One of which only the address is known.
struct AtAddress(*const c_void);

impl Fields for AtAddress {
    #[inline(always)]
    fn field<T: Copy + Default>(&self, offset: usize) -> T {
        read_kernel(self.0, offset).unwrap_or_default()
    }
}

/// A socket that the verifier knows as such.
pub struct Trusted(pub *const c_void);

impl Store for Trusted {
    #[inline(always)]
    fn knows_datagrams(&self) -> bool {
        true
    }

    #[inline(always)]
    fn address(&self) -> *const c_void {
        self.0
    }

    #[inline(always)]
    fn get(&self) -> Option<*mut Flow> {
        // SAFETY: the verifier checks the socket pointer.
        let flow = unsafe { storage(self.0, 0) };
        // SAFETY: just found. One without identity is being made by another processor.
        if flow.is_null() || unsafe { (*flow).id } == 0 {
            None
        } else {
            Some(flow)
        }
    }

    #[inline(always)]
    fn create(&self, flags: u32) -> Option<*mut Flow> {
        // SAFETY: the verifier checks the socket pointer.
        unsafe {
            let cookie = bpf_get_socket_cookie(self.0.cast_mut());
            create_in(self.0, flags, cookie)
        }
    }

    #[inline(always)]
    fn remove(&self) {
        // It goes with the socket.
    }

    #[inline(always)]
    fn tcp(&self) -> impl Fields {
        // SAFETY: the helper checks that it is a TCP socket.
        TcpSocket(unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut()) }.cast())
    }
}

#[inline(always)]
unsafe fn storage(socket: *const c_void, flags: u64) -> *mut Flow {
    // SAFETY: promised by the caller. The wrapper type of aya-ebpf takes another program type's
    // context, hence the plain helper.
    unsafe {
        bpf_sk_storage_get(
            (&raw const FLOWS).cast_mut().cast(),
            socket.cast_mut(),
            core::ptr::null_mut(),
            flags,
        )
        .cast()
    }
}

#[inline(always)]
unsafe fn create_in(socket: *const c_void, flags: u32, cookie: u64) -> Option<*mut Flow> {
    // SAFETY: promised by the caller.
    let flow = unsafe { storage(socket, BPF_SK_STORAGE_GET_F_CREATE as u64) };
    if flow.is_null() {
        count(Counter::SocketStateFull);
        return None;
    }
    // SAFETY: just made, and zero, or made by another processor with the same values.
    unsafe {
        (*flow).flags |= flags;
        (*flow).id = cookie;
    }
    Some(flow)
}

/// The socket of a `sock_ops` program, whose cookie the kernel tells only of the program's context.
pub struct OfContext {
    pub socket: *const c_void,
    pub context: *mut c_void,
}

impl Store for OfContext {
    #[inline(always)]
    fn address(&self) -> *const c_void {
        address_of(self.socket)
    }

    #[inline(always)]
    fn get(&self) -> Option<*mut Flow> {
        Trusted(self.socket).get()
    }

    #[inline(always)]
    fn create(&self, flags: u32) -> Option<*mut Flow> {
        // SAFETY: the verifier checks both pointers.
        unsafe {
            let cookie = bpf_get_socket_cookie(self.context);
            create_in(self.socket, flags, cookie)
        }
    }

    #[inline(always)]
    fn remove(&self) {
        // It goes with the socket.
    }

    #[inline(always)]
    fn tcp(&self) -> impl Fields {
        // SAFETY: as for `Trusted`.
        TcpSocket(unsafe { bpf_skc_to_tcp_sock(self.socket.cast_mut()) }.cast())
    }
}

/// A socket of which only the address is known. `UDP`: whether UDP sockets are traced. The program that
/// follows every system call does not: at the end of a sendmmsg or recvmmsg several datagrams have moved,
/// and it is at the limit of the verifier's patience.
pub struct Untrusted<const UDP: bool> {
    pub address: *const c_void,
    /// Inode number of its file, 0 where it is not known.
    pub inode: u64,
}

impl<const UDP: bool> Store for Untrusted<UDP> {
    #[inline(always)]
    fn knows_datagrams(&self) -> bool {
        UDP
    }

    #[inline(always)]
    fn address(&self) -> *const c_void {
        self.address
    }

    #[inline(always)]
    fn get(&self) -> Option<*mut Flow> {
        let flow = FLOW_TABLE.get_ptr_mut(self.address as u64)?;
        // SAFETY: entries are never freed while a program runs, at worst they are reused.
        let inode = unsafe { (*flow).inode };
        if self.inode != 0 && inode != 0 && inode != self.inode {
            // Another socket has been given the address since.
            self.remove();
            return None;
        }
        if inode == 0 {
            // SAFETY: as above.
            unsafe { (*flow).inode = self.inode };
        }
        Some(flow)
    }

    #[inline(always)]
    fn create(&self, flags: u32) -> Option<*mut Flow> {
        if FLOW_TABLE.insert(self.address as u64, &NEW, 0).is_err() {
            count(Counter::SocketStateFull);
            return None;
        }
        let flow = FLOW_TABLE.get_ptr_mut(self.address as u64)?;
        // SAFETY: just made.
        unsafe {
            (*flow).flags = flags;
            (*flow).inode = self.inode;
            (*flow).id = next_id();
        }
        Some(flow)
    }

    #[inline(always)]
    fn remove(&self) {
        // It may be gone already; nothing to do then.
        let _ = FLOW_TABLE.remove(self.address as u64);
    }

    #[inline(always)]
    fn tcp(&self) -> impl Fields {
        AtAddress(self.address)
    }

    #[inline(always)]
    unsafe fn follow(&self, _: *mut Flow, moved: Moved, bytes: Bytes) {
        // The program that follows every system call is at the limit of the verifier's patience.
        clew_follow(
            self.address as u64,
            u64::from(moved.position) << 32 | u64::from(moved.length),
            moved.caller,
            u32::from(moved.sent) << 31 | bytes.length,
        );
    }
}

/// A global function: the verifier looks at it once, by itself. It takes only numbers.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn clew_follow(address: u64, place: u64, caller: u64, sent_captured: u32) -> u32 {
    let store = Untrusted::<false> {
        address: address as *const c_void,
        inode: 0,
    };
    let moved = Moved {
        sent: sent_captured >> 31 != 0,
        position: (place >> 32) as u32,
        length: place as u32,
        caller,
    };
    if let Some(flow) = store.get()
        && let Some(bytes) = Bytes::of_record(sent_captured & !(1 << 31))
    {
        // SAFETY: just found.
        unsafe { exchange::moved(&store, flow, moved, bytes) };
    }
    0
}

/// A socket's address as a number like any other: where the verifier knows it as a socket, it refuses
/// to reckon with it.
#[inline(always)]
pub fn address_of(socket: *const c_void) -> *const c_void {
    let Some(slot) = ADDRESS.get_ptr_mut(0) else {
        return core::ptr::null();
    };
    // SAFETY: the slot is this processor's own. Volatile: the way through memory is the point.
    unsafe {
        slot.write_volatile(socket as u64);
        slot.read_volatile() as *const c_void
    }
}

#[btf_map]
static ADDRESS: PerCpuArray<u64, 1> = PerCpuArray::new();

/// An identity that no other connection has: processor and count. Cookies are counted likewise
/// from small numbers, but the two kinds are never used together.
#[inline(always)]
fn next_id() -> u64 {
    // SAFETY: the helper has no conditions.
    let processor = unsafe { bpf_get_smp_processor_id() };
    match LAST_ID.get_ptr_mut(0) {
        Some(last) => {
            // SAFETY: the slot is this processor's own.
            unsafe {
                *last += 1;
                (u64::from(processor) + 1) << 40 | *last
            }
        }
        None => 0,
    }
}
