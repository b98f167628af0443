//! Offsets of kernel fields, resolved from the running kernel's BTF by the agent and handed to the
//! kernel programs as one global. Rust has no CO-RE relocations.

/// The offset of a field that the running kernel lacks: the kernel programs cannot read it, whatever
/// they do.
pub const MISSING: u32 = u32::MAX;

macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident = $owner:literal . $path:literal),+ $(,)?) => {
        /// Byte offsets from the start of the named kernel struct.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct Offsets {
            $($(#[$doc])* pub $field: u32),+
        }

        impl Offsets {
            /// What the kernel programs are built with, before the agent sets the real ones.
            pub const UNSET: Self = Self { $($field: 0),+ };

            /// Fills every field by asking `lookup` for the offset of a struct's field. A field that
            /// has had several names is asked for by all of them, with `|` between.
            ///
            /// # Errors
            ///
            /// The first error of `lookup`: the running kernel lacks the field.
            pub fn resolve<E>(mut lookup: impl FnMut(&str, &str) -> Result<u32, E>) -> Result<Self, E> {
                Ok(Self { $($field: lookup($owner, $path)?),+ })
            }

            /// The offsets in the order in which they lie in memory.
            #[must_use]
            pub const fn words(&self) -> [u32; Self::COUNT] {
                [$(self.$field),+]
            }

            /// Number of fields.
            pub const COUNT: usize = [$($owner),+].len();
        }
    };
}

offsets! {
    /// `sock_common.skc_family`: address family.
    sock_family = "sock_common"."skc_family",
    /// `sock.sk_type`: `SOCK_STREAM` and so on.
    sock_type = "sock"."sk_type",
    /// `sock.sk_protocol`: `IPPROTO_TCP` and so on.
    sock_protocol = "sock"."sk_protocol",
    /// `sock_common.skc_num`: local port, host order.
    sock_local_port = "sock_common"."skc_num",
    /// `sock_common.skc_dport`: remote port, network order.
    sock_remote_port = "sock_common"."skc_dport",
    /// `sock_common.skc_rcv_saddr`: local IPv4 address.
    sock_local_v4 = "sock_common"."skc_rcv_saddr",
    /// `sock_common.skc_daddr`: remote IPv4 address.
    sock_remote_v4 = "sock_common"."skc_daddr",
    /// `sock_common.skc_v6_rcv_saddr`: local IPv6 address.
    sock_local_v6 = "sock_common"."skc_v6_rcv_saddr",
    /// `sock_common.skc_v6_daddr`: remote IPv6 address.
    sock_remote_v6 = "sock_common"."skc_v6_daddr",
    /// `sock_common.skc_net`: pointer to `struct net`.
    sock_net = "sock_common"."skc_net",
    /// `sock.sk_socket`: pointer to `struct socket`.
    sock_socket = "sock"."sk_socket",
    /// `sock_common.skc_state`: the TCP state.
    sock_state = "sock_common"."skc_state",
    /// `sock.sk_err`: pending error, a positive errno.
    sock_error = "sock"."sk_err",
    /// `sock.sk_max_ack_backlog`: how many connections may wait to be accepted.
    sock_backlog = "sock"."sk_max_ack_backlog",
    /// `inet_connection_sock.icsk_bind_hash`: pointer to what is bound to the local port.
    inet_bucket = "inet_connection_sock"."icsk_bind_hash",
    /// `inet_bind_bucket.fastreuse`: -1 where connect() has chosen the port.
    bucket_reuse = "inet_bind_bucket"."fastreuse",
    /// `net.ns.inum`: inode number of the network namespace.
    net_inum = "net"."ns.inum",
    /// `tcp_sock.copied_seq`: next sequence number that the process will read.
    tcp_copied_seq = "tcp_sock"."copied_seq",
    /// `tcp_sock.rcv_nxt`: next sequence number expected from the peer.
    tcp_rcv_nxt = "tcp_sock"."rcv_nxt",
    /// `tcp_sock.write_seq`: sequence number after the last byte written.
    tcp_write_seq = "tcp_sock"."write_seq",
    /// `tcp_sock.snd_nxt`: next sequence number that goes to the network.
    tcp_snd_nxt = "tcp_sock"."snd_nxt",
    /// `tcp_sock.snd_una`: first sequence number that is not acknowledged.
    tcp_snd_una = "tcp_sock"."snd_una",
    /// `tcp_sock.bytes_acked`: how many sequence numbers were acknowledged to the socket.
    tcp_bytes_acked = "tcp_sock"."bytes_acked",
    /// `tcp_sock.bytes_sent`: bytes of data sent, those sent again too.
    tcp_bytes_sent = "tcp_sock"."bytes_sent",
    /// `tcp_sock.bytes_retrans`: bytes of data sent again.
    tcp_bytes_retrans = "tcp_sock"."bytes_retrans",
    /// `tcp_sock.notsent_lowat`: `TCP_NOTSENT_LOWAT`, 0 where the process did not set it.
    tcp_notsent_lowat = "tcp_sock"."notsent_lowat",
    /// `sock.sk_wmem_queued`: memory of what is queued for sending, bytes.
    sock_wmem_queued = "sock"."sk_wmem_queued",
    /// `sock.sk_sndbuf`: its limit.
    sock_sndbuf = "sock"."sk_sndbuf",
    /// `sock_common.skc_prot`: pointer to `struct proto`.
    sock_prot = "sock_common"."skc_prot",
    /// `proto.memory_pressure`: pointer to a number, not 0 while memory for sockets is short.
    proto_memory_pressure = "proto"."memory_pressure",
    /// `unix_sock.peer`: the other end.
    unix_peer = "unix_sock"."peer",
    /// `unix_sock.addr`: pointer to `struct unix_address`.
    unix_address = "unix_sock"."addr",
    /// `unix_address.len`: length of the `sockaddr_un`.
    unix_address_len = "unix_address"."len",
    /// `unix_address.name`: the `sockaddr_un`; its path is two bytes further.
    unix_address_name = "unix_address"."name",
    /// `socket.file`: pointer to `struct file`.
    socket_file = "socket"."file",
    /// `socket.sk`: pointer to `struct sock`.
    socket_sk = "socket"."sk",
    /// `socket_alloc.vfs_inode.i_ino`: inode number of the file of a `struct socket`, which is at the
    /// beginning of a `struct socket_alloc`.
    socket_inode = "socket_alloc"."vfs_inode.i_ino",
    /// `msghdr.msg_iter`: the buffer of a send or receive.
    msghdr_iterator = "msghdr"."msg_iter",
    /// `iov_iter.iter_type` (`type` before 5.14): see [`Iterators`].
    iterator_kind = "iov_iter"."iter_type|type",
    /// `iov_iter.iov_offset`: bytes passed of its present piece.
    iterator_into = "iov_iter"."iov_offset",
    /// `iov_iter.__iov` (`iov` before 6.4): its present piece's description; the address of the buffer
    /// itself, where there is one only, is at the same place.
    iterator_vectors = "iov_iter"."__iov|iov",
    /// `file.f_flags`: `O_NONBLOCK` and so on.
    file_flags = "file"."f_flags",
    /// `file.private_data`: a socket file's `struct socket`.
    file_private_data = "file"."private_data",
    /// `file.f_inode`: pointer to `struct inode`.
    file_inode = "file"."f_inode",
    /// `inode.i_mode`: tells a socket's file from others.
    inode_mode = "inode"."i_mode",
    /// `inode.i_ino`: tells a socket from one that was at the same address before.
    inode_number = "inode"."i_ino",
    /// `task_struct.files`: pointer to `struct files_struct`.
    task_files = "task_struct"."files",
    /// `files_struct.fdt`: pointer to `struct fdtable`.
    files_fdt = "files_struct"."fdt",
    /// `fdtable.fd`: pointer to the array of files.
    fdtable_fd = "fdtable"."fd",
    /// `fdtable.max_fds`: length of that array.
    fdtable_max_fds = "fdtable"."max_fds",
    /// `task_struct.pid`: thread id.
    task_pid = "task_struct"."pid",
    /// `task_struct.tgid`: process id.
    task_tgid = "task_struct"."tgid",
    /// `task_struct.real_parent`: pointer to the parent task.
    task_parent = "task_struct"."real_parent",
    /// `task_struct.mm`: pointer to `struct mm_struct`.
    task_mm = "task_struct"."mm",
    /// `mm_struct.arg_start`: start of the arguments, a user address.
    mm_arg_start = "mm_struct"."arg_start",
    /// `mm_struct.arg_end`: end of the arguments.
    mm_arg_end = "mm_struct"."arg_end",
    /// `mm_struct.env_start`: start of the environment.
    mm_env_start = "mm_struct"."env_start",
    /// `mm_struct.env_end`: end of the environment.
    mm_env_end = "mm_struct"."env_end",
}

/// How the running kernel's `struct iov_iter` says what it goes over (include/linux/uio.h). The numbers
/// have changed several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Iterators {
    /// The bits of the kind that count.
    pub mask: u32,
    /// `ITER_UBUF`: one buffer in user memory. [`MISSING`] before Linux 6.0.
    pub plain: u32,
    /// `ITER_IOVEC`: several, of which descriptions are in the kernel's memory.
    pub scattered: u32,
}

impl Iterators {
    /// None is known.
    pub const UNSET: Self = Self {
        mask: 0,
        plain: MISSING,
        scattered: MISSING,
    };

    /// The numbers in the order in which they lie in memory.
    #[must_use]
    pub const fn words(&self) -> [u32; 3] {
        [self.mask, self.plain, self.scattered]
    }
}
