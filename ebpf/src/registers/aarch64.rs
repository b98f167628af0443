//! arm64: `struct pt_regs` (arch/arm64/include/asm/ptrace.h) and the numbers of system calls.

/// It begins with `struct user_pt_regs`, which is ABI. The two fields behind that are not, but every
/// kernel that Clew supports has them there.
#[repr(C)]
pub struct Registers {
    x: [u64; 31],
    sp: u64,
    pc: u64,
    pstate: u64,
    /// What `x[0]` held at the call's beginning; by its end the result is there.
    orig_x0: u64,
    /// All ones where there is no call.
    syscallno: u32,
}

/// `PSR_MODE_MASK` and `PSR_MODE32_BIT`: all clear for 64-bit user code (`PSR_MODE_EL0t`). A 32-bit
/// program's calls have other numbers and layouts; the kernel's own threads have none.
const MODE: u64 = 0x1f;

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
            if (*registers).pstate & MODE != 0 {
                return None;
            }
            let arguments = [
                (*registers).orig_x0,
                (*registers).x[1],
                (*registers).x[2],
                (*registers).x[3],
            ];
            Some((u64::from((*registers).syscallno), arguments))
        }
    }
}

/// Numbers of the system calls that move bytes through sockets (include/uapi/asm-generic/unistd.h).
pub mod number {
    pub const READ: u64 = 63;
    pub const WRITE: u64 = 64;
    pub const READV: u64 = 65;
    pub const WRITEV: u64 = 66;
    pub const SENDFILE: u64 = 71;
    pub const SPLICE: u64 = 76;
    pub const SENDTO: u64 = 206;
    pub const RECVFROM: u64 = 207;
    pub const SENDMSG: u64 = 211;
    pub const RECVMSG: u64 = 212;
    pub const RECVMMSG: u64 = 243;
    pub const SENDMMSG: u64 = 269;
    pub const PREADV2: u64 = 286;
    pub const PWRITEV2: u64 = 287;
}
