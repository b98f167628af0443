//! TCP sockets that are older than the agent: what a connection asks of the kernel when it begins
//! (`option.rs`) is asked for them here, once. Kernel 6.12 and later: older ones take the program, but
//! refuse the request.

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, seq_file,
    },
    helpers::generated::{bpf_seq_write, bpf_setsockopt, bpf_skc_to_tcp_sock},
};
use clew_common::connection::tcp_state::{CLOSE_WAIT, ESTABLISHED, LISTEN};
use core::ffi::c_void;

use crate::kernel::offset;

/// `IPPROTO_TCP` and `TCP_BPF_SOCK_OPS_CB_FLAGS` (include/uapi/linux/bpf.h).
const SOL_TCP: i32 = 6;
const CB_FLAGS: i32 = 1008;

/// `struct bpf_iter__tcp` (net/ipv4/tcp_ipv4.c).
#[repr(C)]
pub struct Context {
    meta: *mut Meta,
    socket: *mut c_void,
    uid: u32,
}

/// The beginning of `struct bpf_iter_meta` (include/linux/bpf.h).
#[repr(C)]
pub struct Meta {
    seq: *mut seq_file,
}

/// Called for every socket of the reader's network namespace. The reader gets a byte for each that the
/// kernel did not do it for.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn existing_sockets(context: *mut Context) -> i32 {
    // SAFETY: the verifier knows the context, and each pointer after its check.
    unsafe {
        let socket = (*context).socket;
        if socket.is_null() {
            return 0;
        }
        let state = *socket.cast::<u8>().add(offset!(sock_state));
        let mut flags = match u32::from(state) {
            LISTEN => BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG,
            ESTABLISHED | CLOSE_WAIT => {
                BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG
            }
            _ => return 0,
        };
        let tcp = bpf_skc_to_tcp_sock(socket);
        if !tcp.is_null()
            && bpf_setsockopt(tcp.cast(), SOL_TCP, CB_FLAGS, (&raw mut flags).cast(), 4) != 0
        {
            let mut refused = 1u8;
            bpf_seq_write((*(*context).meta).seq, (&raw mut refused).cast(), 1);
        }
    }
    0
}
