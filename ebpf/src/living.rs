//! Which connections there still are. The agent asks when ends may have been lost, and reads their
//! identities (`agent/src/kernel/living.rs`). Where flows are in a table, it reads that by itself.

use aya_ebpf::{bindings::seq_file, helpers::generated::bpf_seq_write};
use clew_common::connection::{UDP, tcp_state::CLOSE};
use core::ffi::c_void;

use crate::{flow::Flow, kernel::offset};

/// `struct bpf_iter__bpf_sk_storage_map` (net/core/bpf_sk_storage.c).
#[repr(C)]
pub struct Context {
    meta: *mut Meta,
    map: *mut c_void,
    socket: *mut c_void,
    flow: *mut Flow,
}

/// `struct bpf_iter_meta` (include/linux/bpf.h).
#[repr(C)]
struct Meta {
    output: *mut seq_file,
}

/// Called for every socket, of whichever network namespace, that has a flow.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub extern "C" fn living_connections(context: *mut Context) -> i32 {
    // SAFETY: the verifier knows the context, and each pointer after its check.
    unsafe {
        let (socket, flow) = ((*context).socket, (*context).flow);
        if socket.is_null() || flow.is_null() {
            return 0;
        }
        let state = u32::from(*socket.cast::<u8>().add(offset!(sock_state)));
        // What is not closed yet may have no more connection; UDP sockets have none anyway.
        if state == CLOSE && (*flow).flags & UDP == 0 {
            return 0;
        }
        let mut id = (*flow).id;
        bpf_seq_write((*(*context).meta).output, (&raw mut id).cast(), 8);
    }
    0
}
