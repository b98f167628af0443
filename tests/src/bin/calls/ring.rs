//! Sends and receives through io_uring: the kernel moves the bytes, in no system call of the program's that
//! names them.

use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use io_uring::{IoUring, opcode, squeue, types};

/// Receives once.
pub fn receive(stream: &std::net::TcpStream, buffer: &mut [u8]) -> Result<usize> {
    let length = buffer.len().try_into()?;
    let socket = types::Fd(stream.as_raw_fd());
    let entry = opcode::Recv::new(socket, buffer.as_mut_ptr(), length).build();
    // SAFETY: the buffer is borrowed until this returns.
    unsafe { wait_for(&entry) }
}

/// Sends once.
pub fn send(stream: &std::net::TcpStream, bytes: &[u8]) -> Result<usize> {
    let length = bytes.len().try_into()?;
    let socket = types::Fd(stream.as_raw_fd());
    let entry = opcode::Send::new(socket, bytes.as_ptr(), length).build();
    // SAFETY: as above.
    unsafe { wait_for(&entry) }
}

/// Hands one operation to the kernel and waits for its end.
///
/// # Safety
///
/// What it points to must stay as it is until this returns.
unsafe fn wait_for(entry: &squeue::Entry) -> Result<usize> {
    let mut ring = IoUring::new(2).context("io_uring")?;
    // SAFETY: promised by the caller: the operation has ended when this returns.
    unsafe { ring.submission().push(entry) }.context("io_uring")?;
    ring.submit_and_wait(1)?;
    let result = ring.completion().next().context("no completion")?.result();
    usize::try_from(result).map_err(|_| std::io::Error::from_raw_os_error(-result).into())
}
