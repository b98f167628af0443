//! A task's registers at its system call, and what they say about the buffer.
//!
//! x86-64 only so far. The layout of `pt_regs` and the call numbers are part of the kernel's ABI.

/// `struct pt_regs` (arch/x86/include/asm/ptrace.h).
#[repr(C)]
pub struct Registers {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    bp: u64,
    bx: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    ax: u64,
    cx: u64,
    dx: u64,
    si: u64,
    di: u64,
    orig_ax: u64,
    ip: u64,
    cs: u64,
}

/// `__USER_CS`: 64-bit user code. A 32-bit program's calls have other numbers and layouts.
const USER_CS_64: u64 = 0x33;

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
        unsafe {
            if (*registers).cs & 0xffff != USER_CS_64 {
                return None;
            }
            Some(Self {
                number: (*registers).orig_ax,
                arguments: [
                    (*registers).di,
                    (*registers).si,
                    (*registers).dx,
                    (*registers).r10,
                ],
            })
        }
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

/// Numbers of the system calls that move bytes through sockets (arch/x86/entry/syscalls/
/// syscall_64.tbl).
pub mod number {
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const READV: u64 = 19;
    pub const WRITEV: u64 = 20;
    pub const SENDFILE: u64 = 40;
    pub const SENDTO: u64 = 44;
    pub const RECVFROM: u64 = 45;
    pub const SENDMSG: u64 = 46;
    pub const RECVMSG: u64 = 47;
    pub const SPLICE: u64 = 275;
    pub const RECVMMSG: u64 = 299;
    pub const SENDMMSG: u64 = 307;
    pub const PREADV2: u64 = 327;
    pub const PWRITEV2: u64 = 328;
}
