//! What there is to load: each kernel program, where it attaches, what it is for, what it needs of the
//! kernel. The loader, `clew doctor` and the documentation's table come from here.

use std::fmt;

/// How sends and receives are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The tracepoints at the end of every socket send and receive (kernel 6.3 and later).
    Socket,
    /// The ends of the functions behind them (kernel 5.10 and later, where it lets programs attach to
    /// functions).
    Fentry,
    /// The tracepoint at the end of every system call (kernel 5.10 and later).
    Syscall,
}

impl Backend {
    /// All, the best first.
    pub const ALL: [Self; 3] = [Self::Socket, Self::Fentry, Self::Syscall];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Fentry => "fentry",
            Self::Syscall => "syscall",
        }
    }

    /// Where its programs may keep the state of connections, the best first. `has`: whether the kernel has
    /// a function.
    pub(super) fn flows(self, has: impl Fn(&str) -> bool) -> impl Iterator<Item = Flows> {
        let may: &[Flows] = match self {
            Self::Socket => &[Flows::Storage],
            Self::Fentry if FOR_STORAGE.into_iter().all(has) => &[Flows::Storage, Flows::Table],
            Self::Fentry | Self::Syscall => &[Flows::Table],
        };
        may.iter().copied()
    }
}

/// What programs at functions call for a socket's storage and for its cookie, from Linux 5.11 and 5.12 on
/// (net/core/bpf_sk_storage.c, net/core/filter.c).
const FOR_STORAGE: [&str; 2] = ["bpf_sk_storage_get_tracing", "bpf_get_socket_ptr_cookie"];

/// Where the kernel programs keep the state of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flows {
    /// In the sockets.
    Storage,
    /// In a table, by the socket's address.
    Table,
}

/// Where a program attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// A tracepoint.
    Tracepoint(&'static str),
    /// The beginning of a function.
    Entry(&'static str),
    /// Its end.
    Exit(&'static str),
    /// The TCP sockets of a cgroup and those below it.
    SocketsOfCgroup,
}

impl fmt::Display for Hook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tracepoint(name) => out.write_str(name),
            Self::Entry(function) => write!(out, "fentry/{function}"),
            Self::Exit(function) => write!(out, "fexit/{function}"),
            Self::SocketsOfCgroup => out.write_str("sock_ops"),
        }
    }
}

/// A program's name in the object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name {
    /// There is one.
    One(&'static str),
    /// There is one for each place of the connections' state: in sockets, in the table.
    Two(&'static str, &'static str),
}

impl Name {
    pub(super) const fn with(self, flows: Flows) -> &'static str {
        match (self, flows) {
            (Self::One(name) | Self::Two(name, _), Flows::Storage)
            | (Self::One(name) | Self::Two(_, name), Flows::Table) => name,
        }
    }
}

/// When a program is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Always.
    Always,
    /// Where contexts leave in TCP options.
    Option,
    /// Likewise, but only if the program that does that by itself is refused, or there is none.
    OptionTold,
}

/// What it means that a program cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing is traced.
    Required,
    /// What it says is lost.
    Useful,
    /// As [`Self::Useful`]; but kernels without the hook have nothing to be seen there.
    IfThere,
}

/// A kernel program and why it is there.
pub(super) struct Description {
    pub(super) name: Name,
    pub(super) hook: Hook,
    /// Only with these backends.
    pub(super) backends: &'static [Backend],
    /// Only with this place of the connections' state.
    pub(super) flows: Option<Flows>,
    pub(super) when: When,
    pub(super) need: Need,
    /// What it needs of the kernel, for people. Whether that is there is found out by loading it.
    pub(super) kernel: &'static str,
    pub(super) purpose: &'static str,
    pub(super) lost: &'static str,
}

impl Description {
    /// Whether it belongs to a backend that keeps its state there.
    pub(super) fn is_for(&self, backend: Backend, flows: Flows) -> bool {
        self.backends.contains(&backend) && self.flows.is_none_or(|only| only == flows)
    }
}

/// Any of the others.
const USUAL: Description = Description {
    name: Name::One(""),
    hook: Hook::SocketsOfCgroup,
    backends: &Backend::ALL,
    flows: None,
    when: When::Always,
    need: Need::Useful,
    kernel: "5.10",
    purpose: "",
    lost: "",
};

const SOCKET: Description = Description {
    backends: &[Backend::Socket],
    need: Need::Required,
    kernel: "6.3",
    lost: "the `socket` backend",
    ..USUAL
};

const FUNCTIONS: &str = "5.10, with programs at functions";

const SENT: Description = Description {
    name: Name::Two("sent_storage", "sent_table"),
    backends: &[Backend::Fentry],
    kernel: FUNCTIONS,
    purpose: "sees what is sent on sockets",
    ..USUAL
};

const RECEIVED: Description = Description {
    name: Name::Two("received_storage", "received_table"),
    backends: &[Backend::Fentry],
    kernel: FUNCTIONS,
    purpose: "sees what is received on sockets",
    ..USUAL
};

const PAGE_SENT: Description = Description {
    name: Name::Two("page_sent_storage", "page_sent_table"),
    backends: &[Backend::Fentry],
    need: Need::IfThere,
    kernel: "5.10 to 6.4, with programs at functions",
    purpose: "sees how much sendfile and splice send",
    lost: "answers that end with a file",
    ..USUAL
};

const SPLICED: Description = Description {
    name: Name::Two("spliced_storage", "spliced_table"),
    backends: &[Backend::Fentry],
    kernel: FUNCTIONS,
    purpose: "sees how much splice receives",
    lost: "messages of programs that splice from sockets",
    ..USUAL
};

const SENDING: Description = Description {
    name: Name::Two("sending_storage", "sending_table"),
    backends: &[Backend::Socket, Backend::Fentry],
    when: When::OptionTold,
    kernel: FUNCTIONS,
    purpose: "sees who is about to send a request",
    lost: "contexts in TCP options",
    ..USUAL
};

const OPTION: Description = Description {
    hook: Hook::SocketsOfCgroup,
    purpose: "sends and receives trace contexts in TCP options",
    lost: "traces that go on at other hosts, but for requests that carry a header",
    ..USUAL
};

const IPV6: &str = "all IPv6 connections";
const UNIX: &str = "all Unix sockets";
const FENTRY: &str = "the `fentry` backend";

pub(super) const PROGRAMS: &[Description] = &[
    Description {
        name: Name::One("socket_sent"),
        hook: Hook::Tracepoint("sock_send_length"),
        purpose: "sees every send on a socket",
        ..SOCKET
    },
    Description {
        name: Name::One("socket_received"),
        hook: Hook::Tracepoint("sock_recv_length"),
        purpose: "sees every receive on a socket",
        ..SOCKET
    },
    Description {
        hook: Hook::Exit("inet_sendmsg"),
        need: Need::Required,
        lost: FENTRY,
        ..SENT
    },
    Description {
        hook: Hook::Exit("inet6_sendmsg"),
        lost: IPV6,
        ..SENT
    },
    Description {
        hook: Hook::Exit("unix_stream_sendmsg"),
        lost: UNIX,
        ..SENT
    },
    Description {
        hook: Hook::Exit("inet_recvmsg"),
        need: Need::Required,
        lost: FENTRY,
        ..RECEIVED
    },
    Description {
        hook: Hook::Exit("inet6_recvmsg"),
        lost: IPV6,
        ..RECEIVED
    },
    Description {
        hook: Hook::Exit("unix_stream_recvmsg"),
        lost: UNIX,
        ..RECEIVED
    },
    Description {
        hook: Hook::Exit("inet_sendpage"),
        ..PAGE_SENT
    },
    Description {
        hook: Hook::Exit("unix_stream_sendpage"),
        ..PAGE_SENT
    },
    Description {
        hook: Hook::Exit("tcp_splice_read"),
        ..SPLICED
    },
    Description {
        hook: Hook::Exit("unix_stream_splice_read"),
        ..SPLICED
    },
    Description {
        name: Name::One("syscall_exit"),
        hook: Hook::Tracepoint("sys_exit"),
        backends: &[Backend::Syscall],
        need: Need::Required,
        purpose: "sees sends and receives at the end of system calls",
        lost: "the `syscall` backend",
        ..USUAL
    },
    Description {
        name: Name::Two("tcp_state_storage", "tcp_state_table"),
        hook: Hook::Tracepoint("inet_sock_set_state"),
        purpose: "sees connections begin and end",
        lost: "exact ends of responses that last until their connection closes; resets",
        ..USUAL
    },
    Description {
        name: Name::One("tcp_option_storage"),
        flows: Some(Flows::Storage),
        when: When::Option,
        kernel: "6.12 or somewhat earlier",
        ..OPTION
    },
    Description {
        name: Name::Two("tcp_option_told_storage", "tcp_option_told_table"),
        when: When::OptionTold,
        ..OPTION
    },
    Description {
        hook: Hook::Entry("inet_sendmsg"),
        ..SENDING
    },
    Description {
        hook: Hook::Entry("inet6_sendmsg"),
        ..SENDING
    },
    Description {
        name: Name::One("syscall_enter"),
        hook: Hook::Tracepoint("sys_enter"),
        backends: &[Backend::Syscall],
        kernel: "5.10",
        ..SENDING
    },
    Description {
        name: Name::One("process_exec"),
        hook: Hook::Tracepoint("sched_process_exec"),
        purpose: "sees programs start",
        lost: "names of programs that end before the agent can look at them",
        ..USUAL
    },
    Description {
        name: Name::One("process_fork"),
        hook: Hook::Tracepoint("sched_process_fork"),
        purpose: "sees processes fork and threads begin",
        lost: "names of forked processes that end before the agent can look at them; \
               what a request's own threads and commands send",
        ..USUAL
    },
    Description {
        name: Name::One("process_exit"),
        hook: Hook::Tracepoint("sched_process_exit"),
        purpose: "sees processes and threads end",
        lost: "prompt release of what is kept per process; \
               what a request's own threads and commands send, among other requests",
        ..USUAL
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the table is.
    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/kernels.md");
    const BEGIN: &str = "<!-- kernel programs: begin -->\n";
    const END: &str = "<!-- kernel programs: end -->\n";

    fn row(program: &Description) -> String {
        let backends = match program.backends {
            all if all.len() == Backend::ALL.len() => "all".to_owned(),
            some => some
                .iter()
                .map(|backend| backend.name())
                .collect::<Vec<_>>()
                .join(", "),
        };
        let lost = match program.need {
            Need::Required | Need::Useful => program.lost.to_owned(),
            Need::IfThere => format!("{} (where the kernel has it)", program.lost),
        };
        let when = match program.when {
            When::Always => "",
            When::Option => ", with contexts in TCP options",
            When::OptionTold => ", likewise, on kernels that do not say there who sends",
        };
        format!(
            "| `{}` | `{}` | {backends}{when} | {} | {} | {lost} |\n",
            program.name.with(Flows::Storage),
            program.hook,
            program.kernel,
            program.purpose,
        )
    }

    #[test]
    fn the_documents_table_is_this_one() {
        let mut table = String::from(
            "| program | where | backend | kernel | what it does | lost without it |\n\
             |---|---|---|---|---|---|\n",
        );
        table.extend(PROGRAMS.iter().map(row));
        let text = std::fs::read_to_string(DOCUMENT).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let wanted = format!("{before}{BEGIN}{table}{END}{after}");
        if std::env::var_os("CLEW_WRITE_DOCS").is_some() {
            std::fs::write(DOCUMENT, &wanted).unwrap();
        }
        assert!(
            wanted == text || std::env::var_os("CLEW_WRITE_DOCS").is_some(),
            "docs/kernels.md is older than the programs: run this test with CLEW_WRITE_DOCS=1"
        );
    }

    #[test]
    fn every_program_is_in_the_object() {
        let object = crate::kernel::OBJECT;
        if object.is_empty() {
            eprintln!("skipped: built without kernel programs");
            return;
        }
        for program in PROGRAMS {
            for flows in [Flows::Storage, Flows::Table] {
                let name = program.name.with(flows);
                let found = memchr::memmem::find(object, format!("\0{name}\0").as_bytes());
                assert!(found.is_some(), "{name}");
            }
        }
    }
}
