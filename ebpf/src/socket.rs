//! What a socket says of itself.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use clew_common::connection::{
    ACCEPTED, AF_INET, AF_INET6, AF_UNIX, CONNECTED, Opened, UNIX_PATH_MAX,
};
use core::ffi::c_void;

use crate::kernel::{offset, read_kernel, read_or_zero};

const SOCK_STREAM: u16 = 1;
pub const SOCK_DGRAM: u16 = 2;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
/// `O_NONBLOCK` (include/uapi/asm-generic/fcntl.h).
const O_NONBLOCK: u32 = 0o4000;

/// The kinds of socket that are traced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    Unix,
    Udp,
}

/// Tells whether a socket is one that is traced.
#[inline(always)]
pub fn kind(socket: *const c_void) -> Option<Kind> {
    let family = read_kernel::<u16>(socket, offset!(sock_family))?;
    if family != AF_INET && family != AF_INET6 && family != AF_UNIX {
        return None;
    }
    let kind = read_kernel::<u16>(socket, offset!(sock_type))?;
    if family == AF_UNIX {
        return (kind == SOCK_STREAM).then_some(Kind::Unix);
    }
    match (kind, read_kernel::<u16>(socket, offset!(sock_protocol))?) {
        (SOCK_STREAM, IPPROTO_TCP) => Some(Kind::Tcp),
        (SOCK_DGRAM, IPPROTO_UDP) => Some(Kind::Udp),
        _ => None,
    }
}

/// The socket's pending error, a positive errno.
#[inline(always)]
pub fn error(socket: *const c_void) -> u32 {
    word(socket, offset!(sock_error))
}

/// Whether the socket's file is in non-blocking mode.
#[inline(always)]
pub fn is_nonblocking(socket: *const c_void) -> bool {
    let inner = pointer(socket, offset!(sock_socket));
    let file = pointer(inner, offset!(socket_file));
    word(file, offset!(file_flags)) & O_NONBLOCK != 0
}

/// What a TCP socket shows of how its connection began, where nobody saw that: `ACCEPTED`, `CONNECTED`,
/// or 0 if it shows nothing.
#[inline(always)]
pub fn origin(socket: *const c_void) -> u32 {
    // It is a copy of its listener, this too (sk_clone_lock() in net/core/sock.c).
    if word(socket, offset!(sock_backlog)) > 0 {
        return ACCEPTED;
    }
    // connect() chose its port (__inet_hash_connect() in net/ipv4/inet_hashtables.c).
    let bucket = pointer(socket, offset!(inet_bucket));
    if read_kernel::<i8>(bucket, offset!(bucket_reuse)) == Some(-1) || was_acknowledged(socket) {
        return CONNECTED;
    }
    0
}

/// Whether a TCP socket has got one more sequence number acknowledged than it has sent bytes: its SYN. The
/// one of an accepted socket was acknowledged before there was the socket. Where numbers move while they are
/// read, or data failed to leave, the difference is another.
#[inline(always)]
fn was_acknowledged(socket: *const c_void) -> bool {
    let unacknowledged =
        word(socket, offset!(tcp_snd_nxt)).wrapping_sub(word(socket, offset!(tcp_snd_una)));
    let long = |offset| read_kernel::<u64>(socket, offset).unwrap_or(0);
    let sent = long(offset!(tcp_bytes_sent)).wrapping_sub(long(offset!(tcp_bytes_retrans)));
    let acknowledged = long(offset!(tcp_bytes_acked)).wrapping_add(u64::from(unacknowledged));
    acknowledged.wrapping_sub(sent) == 1
}

/// The same of a Unix socket. Nobody listens without an address, and an accepted socket has its listener's
/// (unix_listen(), unix_stream_connect() in net/unix/af_unix.c). So one without was not accepted. Where both
/// ends have one, the client has bound its own; where none has, socketpair() made them.
#[inline(always)]
pub fn unix_origin(socket: *const c_void) -> u32 {
    let peer = pointer(socket, offset!(unix_peer));
    if peer.is_null() {
        return 0;
    }
    let [own, other] = [socket, peer].map(|end| !pointer(end, offset!(unix_address)).is_null());
    match (own, other) {
        (true, false) => ACCEPTED,
        (false, true) => CONNECTED,
        _ => 0,
    }
}

/// Fills in addresses, namespace and peer, where there is nothing yet but zeros.
#[inline(always)]
pub fn describe(socket: *const c_void, event: &mut Opened) {
    event.socket = socket as u64;
    event.family = half(socket, offset!(sock_family));
    event.netns = word(pointer(socket, offset!(sock_net)), offset!(net_inum));
    if event.family == AF_UNIX {
        describe_unix(socket, event);
        return;
    }
    event.local_port = half(socket, offset!(sock_local_port));
    event.remote_port = u16::from_be(half(socket, offset!(sock_remote_port)));
    let (local, remote, length) = if event.family == AF_INET6 {
        (offset!(sock_local_v6), offset!(sock_remote_v6), 16)
    } else {
        (offset!(sock_local_v4), offset!(sock_remote_v4), 4)
    };
    // SAFETY: `length` is at most the arrays' size, and the helper checks the source.
    unsafe {
        copy(socket, local, event.local_address.as_mut_ptr(), length);
        copy(socket, remote, event.remote_address.as_mut_ptr(), length);
    }
}

#[inline(always)]
fn describe_unix(socket: *const c_void, event: &mut Opened) {
    let peer = pointer(socket, offset!(unix_peer));
    event.peer_socket = peer as u64;
    // An accepted socket carries its listener's address; a connected one has rarely one of its
    // own, but its peer was accepted.
    let mut address = pointer(socket, offset!(unix_address));
    if address.is_null() {
        address = pointer(peer, offset!(unix_address));
    }
    // `len` counts the two bytes of `sun_family` too.
    let length = word(address, offset!(unix_address_len)) as i32 - 2;
    if length <= 0 {
        return;
    }
    let length = if length > UNIX_PATH_MAX as i32 {
        UNIX_PATH_MAX as u32
    } else {
        length as u32
    };
    // SAFETY: `length` is at most the array's size.
    let status = unsafe {
        copy(
            address,
            offset!(unix_address_name) + 2,
            event.path.as_mut_ptr(),
            length,
        )
    };
    if status == 0 {
        event.path_len = length as u16;
    }
}

/// Copies `length` bytes, and returns the helper's status: 0 where they could be read.
///
/// # Safety
///
/// `target` must be writable for `length` bytes.
#[inline(always)]
unsafe fn copy(base: *const c_void, offset: usize, target: *mut u8, length: u32) -> i64 {
    let source = base.cast::<u8>().wrapping_add(offset);
    // SAFETY: promised by the caller; the helper checks the source.
    unsafe { bpf_probe_read_kernel(target.cast(), length, source.cast()) }
}

/// A pointer; null where it cannot be read. A field behind a null pointer cannot, so that a chain
/// of them needs one check at its end or none.
#[inline(always)]
fn pointer(base: *const c_void, offset: usize) -> *const c_void {
    // SAFETY: null is a pointer.
    unsafe { read_or_zero(base, offset) }
}

#[inline(always)]
fn word(base: *const c_void, offset: usize) -> u32 {
    // SAFETY: 0 is a number.
    unsafe { read_or_zero(base, offset) }
}

#[inline(always)]
fn half(base: *const c_void, offset: usize) -> u16 {
    // SAFETY: 0 is a number.
    unsafe { read_or_zero(base, offset) }
}
