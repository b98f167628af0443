//! The ring buffer.

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP, btf_maps::RingBuf, helpers::generated::bpf_ringbuf_output,
    macros::btf_map,
};
use clew_common::counter::Counter;

use crate::counter::count;

/// Set to the configured size by the agent before loading.
const DEFAULT_RING_BYTES: usize = 8 << 20;

#[btf_map]
static EVENTS: RingBuf<u8, DEFAULT_RING_BYTES> = RingBuf::new();

/// Copies a record into the ring, and counts it as `lost` where the ring is full.
///
/// It never wakes the reader: waking costs the traced program more than the rest of the capture,
/// so the agent looks at the ring by itself every few milliseconds.
#[inline(always)]
pub fn output(record: *const u8, length: u32, lost: Counter) -> bool {
    // SAFETY: callers pass a record that is readable for `length` bytes; the verifier checks it.
    let status = unsafe {
        bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            record.cast_mut().cast(),
            u64::from(length),
            u64::from(BPF_RB_NO_WAKEUP),
        )
    };
    if status != 0 {
        count(lost);
    }
    status == 0
}

/// Copies a plain event into the ring.
#[inline(always)]
pub fn event<T: Copy>(event: &T) -> bool {
    output(
        core::ptr::from_ref(event).cast(),
        size_of::<T>() as u32,
        Counter::EventRingFull,
    )
}
