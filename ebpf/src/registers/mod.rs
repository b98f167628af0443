//! A task's registers at its system call, and what they say about the buffer.
//!
//! One file per architecture: the layout of `pt_regs` and the call numbers are part of the kernel's
//! ABI (agent/tests/registers.rs compares the numbers with the kernel's headers). Which one is chosen
//! when the object is built (xtask/src/ebpf.rs).

#[cfg_attr(feature = "aarch64", path = "aarch64.rs")]
#[cfg_attr(not(feature = "aarch64"), path = "x86_64.rs")]
mod architecture;

pub use architecture::{Registers, number};

/// A system call and its first four arguments.
#[derive(Clone, Copy)]
pub struct Call {
    pub number: u64,
    pub arguments: [u64; 4],
}

impl Call {
    /// The call that `registers` were saved at; `None` for a 32-bit program.
    ///
    /// # Safety
    ///
    /// `registers` must be a pointer that the verifier knows as `struct pt_regs`.
    #[inline(always)]
    pub unsafe fn of(registers: *const Registers) -> Option<Self> {
        // SAFETY: promised by the caller.
        let (number, arguments) = unsafe { Registers::call(registers) }?;
        Some(Self { number, arguments })
    }
}

impl Call {
    /// Whether it asked for no bytes at all: its result 0 is not the end of the stream.
    #[inline(always)]
    pub fn asks_for_nothing(&self) -> bool {
        matches!(self.number, number::READ | number::RECVFROM) && self.arguments[2] == 0
    }
}

impl Call {
    /// The descriptor on which it sends, if it sends on one.
    #[inline(always)]
    pub fn sends_on(&self) -> Option<u32> {
        match self.number {
            number::WRITE
            | number::WRITEV
            | number::PWRITEV2
            | number::SENDTO
            | number::SENDMSG
            | number::SENDMMSG
            | number::SENDFILE => Some(self.arguments[0] as u32),
            number::SPLICE => Some(self.arguments[2] as u32),
            _ => None,
        }
    }
}
