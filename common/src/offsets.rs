//! Offsets of kernel fields, resolved from the running kernel's BTF by the agent and handed to the
//! kernel programs as one global. Rust has no CO-RE relocations.

use crate::assert_size;

/// Byte offsets from the start of the named kernel struct.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Offsets {
    /// `sock_common.skc_family`.
    pub sock_family: u32,
    /// `sock.sk_type`.
    pub sock_type: u32,
    /// `sock.sk_protocol`.
    pub sock_protocol: u32,
    /// `sock_common.skc_num`: local port, host order.
    pub sock_local_port: u32,
    /// `sock_common.skc_dport`: remote port, network order.
    pub sock_remote_port: u32,
    /// `sock_common.skc_rcv_saddr`.
    pub sock_local_v4: u32,
    /// `sock_common.skc_daddr`.
    pub sock_remote_v4: u32,
    /// `sock_common.skc_v6_rcv_saddr`.
    pub sock_local_v6: u32,
    /// `sock_common.skc_v6_daddr`.
    pub sock_remote_v6: u32,
    /// `sock_common.skc_net` (a pointer to `struct net`).
    pub sock_net: u32,
    /// `sock_common.skc_cookie`.
    pub sock_cookie: u32,
    /// `sock.sk_socket`.
    pub sock_socket: u32,
    /// `sock.sk_err`.
    pub sock_error: u32,
    /// `net.ns.inum`.
    pub net_inum: u32,
    /// `tcp_sock.copied_seq`.
    pub tcp_copied_seq: u32,
    /// `tcp_sock.write_seq`.
    pub tcp_write_seq: u32,
    /// `unix_sock.peer`.
    pub unix_peer: u32,
    /// `unix_sock.addr`.
    pub unix_address: u32,
    /// `unix_address.len`.
    pub unix_address_len: u32,
    /// `unix_address.name` (a `sockaddr_un`; its path is two bytes further).
    pub unix_address_name: u32,
    /// `socket.file`.
    pub socket_file: u32,
    /// `socket.sk`.
    pub socket_sk: u32,
    /// `file.f_flags`.
    pub file_flags: u32,
    /// `file.private_data`.
    pub file_private_data: u32,
    /// `file.f_op`: tells a socket's file from others.
    pub file_operations: u32,
    /// `task_struct.files`.
    pub task_files: u32,
    /// `files_struct.fdt`.
    pub files_fdt: u32,
    /// `fdtable.fd`.
    pub fdtable_fd: u32,
    /// `fdtable.max_fds`.
    pub fdtable_max_fds: u32,
    /// `task_struct.pid`.
    pub task_pid: u32,
    /// `task_struct.tgid`.
    pub task_tgid: u32,
    /// `task_struct.real_parent`.
    pub task_parent: u32,
    /// `task_struct.mm`.
    pub task_mm: u32,
    /// `mm_struct.arg_start`; `arg_end`, `env_start` and `env_end` follow it in this order.
    pub mm_arg_start: u32,
    /// `mm_struct.arg_end`.
    pub mm_arg_end: u32,
    /// `mm_struct.env_start`.
    pub mm_env_start: u32,
    /// `mm_struct.env_end`.
    pub mm_env_end: u32,
    /// Always 0.
    pub reserved: u32,
}
assert_size!(Offsets, 38 * 4);
