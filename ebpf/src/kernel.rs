//! Reading kernel and user memory, and the constants that the agent sets before loading.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use clew_common::{
    offsets::{Iterators, MISSING, Offsets},
    sampling::{Threshold, randomness},
};
use core::ffi::c_void;
use core::mem::MaybeUninit;

/// Offsets of the running kernel's fields; the agent sets them before loading.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::UNSET;

/// How the running kernel tells buffers apart; the agent sets it before loading.
#[unsafe(no_mangle)]
static ITERATORS: Iterators = Iterators::UNSET;

/// The agent's own process id; the agent sets it before loading.
#[unsafe(no_mangle)]
static OWN_PID: u32 = 0;

/// How many bytes of a chunk are captured at most; the agent sets it before loading.
#[unsafe(no_mangle)]
static CAPTURE_BYTES: u32 = clew_common::event::CAPTURE_MAX as u32;

/// 1 where a program can be interrupted by a task that runs programs too; the agent sets it before loading.
#[unsafe(no_mangle)]
static PREEMPTIBLE: u32 = 1;

/// 1 where the programs follow which requests are being served, so that contexts can leave with what
/// they cause; the agent sets it before loading.
#[unsafe(no_mangle)]
static FOLLOW: u32 = 0;

/// Which traces that begin in the kernel are kept: the value of a
/// [`clew_common::sampling::Threshold`]; the agent sets it before loading.
#[unsafe(no_mangle)]
static SAMPLING: u64 = 0;

/// 1 where that is decided again for traces that come from elsewhere; the agent sets it before
/// loading.
#[unsafe(no_mangle)]
static RESAMPLE: u32 = 0;

/// 1 where `tracestate` is passed on, which only headers can carry; the agent sets it before loading.
#[unsafe(no_mangle)]
static PASS_STATE: u32 = 0;

/// Reads one offset.
///
/// Volatile: the compiler must not use the zero that this object file carries. The verifier does
/// know the value, because the agent freezes the section.
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::read_offset(::core::mem::offset_of!(
            ::clew_common::offsets::Offsets,
            $field
        ))
    };
}
pub(crate) use offset;

#[inline(always)]
pub fn read_offset(at: usize) -> usize {
    /// Added to any pointer, not an address of the kernel's: reading it fails.
    const NOWHERE: usize = 1 << 62;
    // SAFETY: `offset!` gives only places of `u32` fields of the static.
    let offset =
        unsafe { core::ptr::read_volatile((&raw const OFFSETS).byte_add(at).cast::<u32>()) };
    // The verifier knows the value, and takes the branch out.
    if offset == MISSING {
        NOWHERE
    } else {
        offset as usize
    }
}

#[inline(always)]
pub fn iterators() -> Iterators {
    // SAFETY: a static.
    unsafe { core::ptr::read_volatile(&raw const ITERATORS) }
}

#[inline(always)]
pub fn own_pid() -> u32 {
    // SAFETY: a static.
    unsafe { core::ptr::read_volatile(&raw const OWN_PID) }
}

#[inline(always)]
pub fn capture_bytes() -> u32 {
    // SAFETY: a static.
    unsafe { core::ptr::read_volatile(&raw const CAPTURE_BYTES) }
}

/// Decides whether a trace is kept, by the low half of its id.
#[inline(always)]
pub fn keeps(id_low: u64) -> bool {
    // SAFETY: a static.
    let threshold = unsafe { core::ptr::read_volatile(&raw const SAMPLING) };
    Threshold::new(threshold).keeps(randomness(id_low))
}

/// Whether others' decisions do not hold.
#[inline(always)]
pub fn resamples() -> bool {
    // SAFETY: a static.
    unsafe { core::ptr::read_volatile(&raw const RESAMPLE) != 0 }
}

/// Whether `tracestate` is passed on.
#[inline(always)]
pub fn passes_state() -> bool {
    // SAFETY: a static.
    unsafe { core::ptr::read_volatile(&raw const PASS_STATE) != 0 }
}

/// Whether another task can run programs on this processor in the middle of one.
#[inline(always)]
pub fn is_preemptible() -> bool {
    // SAFETY: a static.
    unsafe { core::ptr::read_volatile(&raw const PREEMPTIBLE) != 0 }
}

/// Whether contexts are passed on.
#[inline(always)]
pub fn follows() -> bool {
    // SAFETY: a static.
    unsafe { core::ptr::read_volatile(&raw const FOLLOW) != 0 }
}

/// Reads a kernel field of any plain type.
#[inline(always)]
pub fn read_kernel<T: Copy>(base: *const c_void, offset: usize) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the source and fills exactly the destination's size.
    unsafe {
        let source = base.cast::<u8>().wrapping_add(offset);
        if bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            source.cast(),
        ) == 0
        {
            Some(value.assume_init())
        } else {
            None
        }
    }
}

/// Reads a kernel field of any plain type for which zero is a value; zero where it cannot be read.
///
/// One way instead of two: the verifier follows both ways of each [`read_kernel`], and all that comes
/// after them.
///
/// # Safety
///
/// All zeros must be a value of `T`.
#[inline(always)]
pub unsafe fn read_or_zero<T: Copy>(base: *const c_void, offset: usize) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the source, and fills the destination with zeros where it fails
    // (kernel/trace/bpf_trace.c: bpf_probe_read_kernel_common).
    unsafe {
        let source = base.cast::<u8>().wrapping_add(offset);
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            source.cast(),
        );
        value.assume_init()
    }
}

/// Fills a value with zeros, word by word. The compiler would call `memset`, a loop over bytes.
#[inline(always)]
pub fn zero<T>(value: &mut MaybeUninit<T>) {
    const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) };
    let words = value.as_mut_ptr().cast::<u64>();
    for index in 0..size_of::<T>() / 8 {
        // SAFETY: within the value, and aligned, as asserted. Volatile: so it stays what it is.
        unsafe { words.add(index).write_volatile(0) };
    }
}

/// Reads a kernel pointer field; `None` for a null pointer.
#[inline(always)]
pub fn read_pointer(base: *const c_void, offset: usize) -> Option<*const c_void> {
    match read_kernel::<*const c_void>(base, offset) {
        Some(pointer) if !pointer.is_null() => Some(pointer),
        _ => None,
    }
}

/// Reads a plain value from the current process's memory.
#[inline(always)]
pub fn read_user<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the source and fills exactly the destination's size.
    unsafe {
        if bpf_probe_read_user(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const c_void,
        ) == 0
        {
            Some(value.assume_init())
        } else {
            None
        }
    }
}

/// The same number, of which the compiler forgets all it has proved.
///
/// The verifier does not follow a proof through other variables, so a bound that the compiler
/// moved to one of those is lost to it. A check after this stays a check of the very register.
#[inline(always)]
pub fn opaque(number: u32) -> u32 {
    // SAFETY: a local.
    unsafe { core::ptr::read_volatile(&raw const number) }
}
