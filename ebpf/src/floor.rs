//! The floors of the overhead measurement: the hooks that each of the agent's backends uses, with nothing
//! behind them.
//!
//! What they cost is the kernel's price for being hooked at all; what Clew costs beyond it is
//! Clew's own. An object of its own, so that the agent does not carry it. Loaded by
//! `cargo xtask bench overhead` (xtask/src/bench/floor.rs).

#![no_std]
#![no_main]

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};

/// Every send on a socket.
#[btf_tracepoint(function = "sock_send_length")]
pub fn floor_sent(_: BtfTracePointContext) -> i32 {
    0
}

/// Every receive on a socket.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn floor_received(_: BtfTracePointContext) -> i32 {
    0
}

/// The beginning of every system call.
#[btf_tracepoint(function = "sys_enter")]
pub fn floor_call_enter(_: BtfTracePointContext) -> i32 {
    0
}

/// The end of every system call.
#[btf_tracepoint(function = "sys_exit")]
pub fn floor_call_exit(_: BtfTracePointContext) -> i32 {
    0
}

/// The beginning of a function; attached to several.
#[fentry(function = "inet_sendmsg")]
pub fn floor_entry(_: FEntryContext) -> i32 {
    0
}

/// The end of a function; attached to several.
#[fexit(function = "inet_sendmsg")]
pub fn floor_end(_: FExitContext) -> i32 {
    0
}

/// Every change of a TCP connection's state.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn floor_state(_: BtfTracePointContext) -> i32 {
    0
}

/// Every program that starts.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn floor_exec(_: BtfTracePointContext) -> i32 {
    0
}

/// Every process and thread that is made.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn floor_fork(_: BtfTracePointContext) -> i32 {
    0
}

/// Every process and thread that ends.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn floor_exit(_: BtfTracePointContext) -> i32 {
    0
}

/// As in the agent's programs, so that both are loaded alike.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic.
    loop {}
}
