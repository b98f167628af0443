//! Clew's kernel programs: they see sends, receives, connections and processes, and tell the agent
//! through one ring buffer. The agent's side of each file has the same name in
//! `agent/src/kernel/`, the types between them are in `common/`.
//!
//! Two backends give the same chunks: `socket_tracepoints` (kernel 6.3 and later) and `syscalls`
//! (5.10 and later). Each program loads by itself; the agent loads those of one backend.

#![no_std]
#![no_main]
// Inline assembly for BPF (rust-lang/rust#93335), for instructions that `core` has no name for: see
// `context.rs` and `inject.rs`.
#![feature(asm_experimental_arch)]

mod buffer;
mod chunk;
mod connection;
mod context;
mod counter;
mod datagram;
mod exchange;
mod existing;
mod fentry;
mod flow;
mod inject;
mod kernel;
mod living;
mod message;
mod option;
mod output;
mod pieces;
mod process;
mod registers;
mod socket;
mod socket_tracepoints;
mod syscalls;

/// The kernel checks this string; see the licence note in `Cargo.toml`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic; the verifier would refuse an endless loop that it could reach.
    loop {}
}
