//! x86-64: `struct pt_regs` (arch/x86/include/asm/ptrace.h) and the numbers of system calls.

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

impl Registers {
    /// The number of the call that they were saved at, and its first four arguments; `None` for a
    /// 32-bit program.
    ///
    /// # Safety
    ///
    /// `registers` must be readable; in a kernel program, a pointer that the verifier knows as
    /// `struct pt_regs`.
    #[inline(always)]
    pub unsafe fn call(registers: *const Self) -> Option<(u64, [u64; 4])> {
        // SAFETY: promised by the caller.
        unsafe {
            if (*registers).cs & 0xffff != USER_CS_64 {
                return None;
            }
            let arguments = [
                (*registers).di,
                (*registers).si,
                (*registers).dx,
                (*registers).r10,
            ];
            Some(((*registers).orig_ax, arguments))
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
