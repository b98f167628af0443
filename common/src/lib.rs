//! What Clew's kernel programs and its agent tell each other.
//!
//! Every type here crosses the boundary between the kernel and user space as plain bytes. So all
//! are `repr(C)` with no implicit padding, their sizes are asserted at compile time, and nothing
//! here needs `std`. Files mirror those in `ebpf/src` and `agent/src/kernel`.

#![no_std]
#![forbid(unsafe_code)]

pub mod connection;
pub mod context;
pub mod control;
pub mod counter;
pub mod event;
pub mod inject;
pub mod offsets;
pub mod process;
pub mod sampling;

/// Asserts the size of a type that crosses the boundary, at compile time.
macro_rules! assert_size {
    ($type:ty, $size:expr) => {
        const _: () = assert!(
            ::core::mem::size_of::<$type>() == $size,
            concat!(
                "the size of ",
                stringify!($type),
                " is part of the kernel boundary"
            )
        );
    };
}
pub(crate) use assert_size;
