//! What a socket says of itself.

use clew_common::connection::{AF_INET, AF_INET6, AF_UNIX, Opened, UNIX_PATH_MAX};
use core::ffi::c_void;

use crate::kernel::{offset, read_kernel, read_pointer};

const SOCK_STREAM: u16 = 1;
const IPPROTO_TCP: u16 = 6;
/// `O_NONBLOCK` (include/uapi/asm-generic/fcntl.h).
const O_NONBLOCK: u32 = 0o4000;

/// The kinds of socket that are traced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    Unix,
}

/// Tells whether a socket is one that is traced.
#[inline(always)]
pub fn kind(socket: *const c_void) -> Option<Kind> {
    let family = read_kernel::<u16>(socket, offset!(sock_family))?;
    if family != AF_INET && family != AF_INET6 && family != AF_UNIX {
        return None;
    }
    if read_kernel::<u16>(socket, offset!(sock_type))? != SOCK_STREAM {
        return None;
    }
    if family == AF_UNIX {
        return Some(Kind::Unix);
    }
    if read_kernel::<u16>(socket, offset!(sock_protocol))? != IPPROTO_TCP {
        return None;
    }
    Some(Kind::Tcp)
}

/// The socket's pending error, a positive errno.
#[inline(always)]
pub fn error(socket: *const c_void) -> u32 {
    read_kernel::<u32>(socket, offset!(sock_error)).unwrap_or(0)
}

/// Whether the socket's file is in non-blocking mode.
#[inline(always)]
pub fn is_nonblocking(socket: *const c_void) -> bool {
    let flags = read_pointer(socket, offset!(sock_socket))
        .and_then(|inner| read_pointer(inner, offset!(socket_file)))
        .and_then(|file| read_kernel::<u32>(file, offset!(file_flags)));
    matches!(flags, Some(flags) if flags & O_NONBLOCK != 0)
}

/// Fills in addresses, namespace and peer.
#[inline(always)]
pub fn describe(socket: *const c_void, event: &mut Opened) {
    event.socket = socket as u64;
    event.family = read_kernel::<u16>(socket, offset!(sock_family)).unwrap_or(0);
    if let Some(net) = read_pointer(socket, offset!(sock_net)) {
        event.netns = read_kernel::<u32>(net, offset!(net_inum)).unwrap_or(0);
    }
    if event.family == AF_UNIX {
        describe_unix(socket, event);
        return;
    }
    event.local_port = read_kernel::<u16>(socket, offset!(sock_local_port)).unwrap_or(0);
    event.remote_port =
        u16::from_be(read_kernel::<u16>(socket, offset!(sock_remote_port)).unwrap_or(0));
    if event.family == AF_INET6 {
        event.local_address = read_kernel(socket, offset!(sock_local_v6)).unwrap_or([0; 16]);
        event.remote_address = read_kernel(socket, offset!(sock_remote_v6)).unwrap_or([0; 16]);
    } else {
        let local: [u8; 4] = read_kernel(socket, offset!(sock_local_v4)).unwrap_or([0; 4]);
        let remote: [u8; 4] = read_kernel(socket, offset!(sock_remote_v4)).unwrap_or([0; 4]);
        event.local_address[..4].copy_from_slice(&local);
        event.remote_address[..4].copy_from_slice(&remote);
    }
}

#[inline(always)]
fn describe_unix(socket: *const c_void, event: &mut Opened) {
    let peer = read_pointer(socket, offset!(unix_peer));
    if let Some(peer) = peer {
        event.peer_socket = peer as u64;
    }
    // An accepted socket carries its listener's address; a connected one has rarely one of its
    // own, but its peer was accepted.
    let address = read_pointer(socket, offset!(unix_address))
        .or_else(|| peer.and_then(|peer| read_pointer(peer, offset!(unix_address))));
    let Some(address) = address else { return };
    // `len` counts the two bytes of `sun_family` too.
    let length = read_kernel::<i32>(address, offset!(unix_address_len)).unwrap_or(0) - 2;
    if length <= 0 {
        return;
    }
    let length = if length > UNIX_PATH_MAX as i32 {
        UNIX_PATH_MAX as u32
    } else {
        length as u32
    };
    // SAFETY: `length` is at most the array's size, and the helper checks the source.
    let status = unsafe {
        aya_ebpf::helpers::generated::bpf_probe_read_kernel(
            event.path.as_mut_ptr().cast(),
            length,
            address
                .cast::<u8>()
                .wrapping_add(offset!(unix_address_name) + 2)
                .cast(),
        )
    };
    if status == 0 {
        event.path_len = length as u16;
    }
}
