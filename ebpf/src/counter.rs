//! Counters: what happened in the kernel and was not told as an event.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use clew_common::counter::{COUNTERS as SLOTS, Counter};

#[btf_map]
static COUNTERS: PerCpuArray<u64, { SLOTS as usize }> = PerCpuArray::new();

/// Counts one more.
#[inline(always)]
pub fn count(counter: Counter) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the slot is this processor's own.
        unsafe { *slot += 1 };
    }
}
