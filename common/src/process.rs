//! Processes that start, fork and exit while the agent runs, and their threads.

use crate::assert_size;

/// The most bytes of arguments that an [`Exec`] carries.
pub const ARGUMENTS_MAX: usize = 1024;
/// The most bytes of environment that an [`Exec`] carries.
pub const ENVIRONMENT_MAX: usize = 8192;

/// A process has started a program (execve). `arguments_len` bytes of NUL-separated arguments and
/// then `environment_len` bytes of NUL-separated environment follow, each cut at its maximum.
///
/// Both are read in the kernel because a process may be gone before user space looks at `/proc`.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(bytemuck::AnyBitPattern))]
#[repr(C)]
pub struct Exec {
    /// [`crate::event::Kind::ProcessExec`].
    pub kind: u32,
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Parent's process id.
    pub parent: u32,
    /// Always 0.
    pub reserved: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// The cgroup v2 id (inode number of its folder) of the process.
    pub cgroup: u64,
    /// `comm`, NUL-padded.
    pub name: [u8; 16],
    /// Bytes of arguments that follow.
    pub arguments_len: u32,
    /// Bytes of environment that follow the arguments.
    pub environment_len: u32,
}
assert_size!(Exec, 56);

/// A task has created another: a process (fork), or a thread, whose `tid` is not its `pid`.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(bytemuck::AnyBitPattern))]
#[repr(C)]
pub struct Fork {
    /// [`crate::event::Kind::ProcessFork`].
    pub kind: u32,
    /// The creator's process id.
    pub parent: u32,
    /// The creator's thread id.
    pub parent_tid: u32,
    /// The new task's process id.
    pub pid: u32,
    /// The new task's thread id.
    pub tid: u32,
    /// Always 0.
    pub reserved: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
}
assert_size!(Fork, 32);

/// A task has ended: a process, that is its first thread, or another thread, whose `tid` is not its
/// `pid`.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(bytemuck::AnyBitPattern))]
#[repr(C)]
pub struct Exit {
    /// [`crate::event::Kind::ProcessExit`].
    pub kind: u32,
    /// Its process id.
    pub pid: u32,
    /// Its thread id.
    pub tid: u32,
    /// Always 0.
    pub reserved: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
}
assert_size!(Exit, 24);
