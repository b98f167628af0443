//! The context that a request takes along.
//!
//! At present each request gets fresh ids, remembered by its place in the stream, so that one that
//! is sent again after a failure gets the same ones.

use aya_ebpf::{
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    btf_maps::SkStorage,
    helpers::generated::{bpf_get_prandom_u32, bpf_sk_storage_get},
    macros::btf_map,
};

/// A context that leaves with a request.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Outgoing {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    /// W3C trace flags.
    pub flags: u8,
    /// Padding, always 0.
    pub reserved: [u8; 3],
    /// Sequence number of the request's first byte.
    pub position: u32,
}

#[btf_map]
static OUTGOING: SkStorage<Outgoing> = SkStorage::new();

/// The context of the request whose first byte lies at `position`.
///
/// # Safety
///
/// The verifier must know `socket` as a socket.
#[inline(always)]
pub unsafe fn for_send(socket: *mut bpf_sock, position: u32) -> Option<Outgoing> {
    // SAFETY: promised by the caller.
    let kept = unsafe {
        bpf_sk_storage_get(
            (&raw const OUTGOING).cast_mut().cast(),
            socket.cast(),
            core::ptr::null_mut(),
            u64::from(BPF_SK_STORAGE_GET_F_CREATE),
        )
    }
    .cast::<Outgoing>();
    if kept.is_null() {
        return None;
    }
    // SAFETY: just found.
    unsafe {
        if (*kept).position != position || (*kept).flags == 0 {
            let word = || u64::from(bpf_get_prandom_u32()) << 32 | u64::from(bpf_get_prandom_u32());
            (&raw mut (*kept).trace_id)
                .cast::<[u64; 2]>()
                .write([word(), word()]);
            (&raw mut (*kept).span_id).cast::<u64>().write(word() | 1);
            (*kept).flags = 1;
            (*kept).position = position;
        }
        Some(*kept)
    }
}
