//! The kernel programs: what each is for, loading them one by one.

use std::fs::File;

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, CgroupAttachMode, ProgramError, SockOps},
};

/// How sends and receives are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The tracepoints at the end of every socket send and receive (kernel 6.3 and later).
    Socket,
    /// The tracepoint at the end of every system call (kernel 5.10 and later).
    Syscall,
}

impl Backend {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Syscall => "syscall",
        }
    }
}

/// Where a program attaches.
#[derive(Clone, Copy, Debug)]
enum Hook {
    /// A tracepoint.
    Tracepoint(&'static str),
    /// The TCP sockets of a cgroup and those below it.
    SocketsOfCgroup,
}

impl Hook {
    const fn name(self) -> &'static str {
        match self {
            Self::Tracepoint(name) => name,
            Self::SocketsOfCgroup => "sock_ops",
        }
    }
}

/// A kernel program and why it is there.
struct Description {
    name: &'static str,
    hook: Hook,
    /// Only with this backend; `None`: with each.
    backend: Option<Backend>,
    /// Without it nothing is traced.
    required: bool,
    /// Only where contexts leave in TCP options.
    option: bool,
    purpose: &'static str,
    lost: &'static str,
}

const PROGRAMS: &[Description] = &[
    Description {
        name: "socket_sent",
        hook: Hook::Tracepoint("sock_send_length"),
        backend: Some(Backend::Socket),
        required: true,
        option: false,
        purpose: "sees every send on a socket",
        lost: "the `socket` backend",
    },
    Description {
        name: "socket_received",
        hook: Hook::Tracepoint("sock_recv_length"),
        backend: Some(Backend::Socket),
        required: true,
        option: false,
        purpose: "sees every receive on a socket",
        lost: "the `socket` backend",
    },
    Description {
        name: "syscall_exit",
        hook: Hook::Tracepoint("sys_exit"),
        backend: Some(Backend::Syscall),
        required: true,
        option: false,
        purpose: "sees sends and receives at the end of system calls",
        lost: "the `syscall` backend",
    },
    Description {
        name: "tcp_state_socket",
        hook: Hook::Tracepoint("inet_sock_set_state"),
        backend: Some(Backend::Socket),
        required: false,
        option: false,
        purpose: "sees connections begin and end",
        lost: "exact ends of responses that last until their connection closes; resets",
    },
    Description {
        name: "tcp_state_syscall",
        hook: Hook::Tracepoint("inet_sock_set_state"),
        backend: Some(Backend::Syscall),
        required: false,
        option: false,
        purpose: "sees connections begin and end",
        lost: "exact ends of responses that last until their connection closes; resets",
    },
    Description {
        name: "tcp_option_socket",
        hook: Hook::SocketsOfCgroup,
        backend: Some(Backend::Socket),
        required: false,
        option: true,
        purpose: "sends and receives trace contexts in TCP options",
        lost: "traces that go on at other hosts, but for requests that carry a header",
    },
    Description {
        name: "tcp_option_syscall",
        hook: Hook::SocketsOfCgroup,
        backend: Some(Backend::Syscall),
        required: false,
        option: true,
        purpose: "sends and receives trace contexts in TCP options",
        lost: "traces that go on at other hosts, but for requests that carry a header",
    },
    Description {
        name: "syscall_enter",
        hook: Hook::Tracepoint("sys_enter"),
        backend: Some(Backend::Syscall),
        required: false,
        option: true,
        purpose: "sees who is about to send a request",
        lost: "contexts in TCP options",
    },
    Description {
        name: "process_exec",
        hook: Hook::Tracepoint("sched_process_exec"),
        backend: None,
        required: false,
        option: false,
        purpose: "sees programs start",
        lost: "names of programs that end before the agent can look at them",
    },
    Description {
        name: "process_fork",
        hook: Hook::Tracepoint("sched_process_fork"),
        backend: None,
        required: false,
        option: false,
        purpose: "sees processes fork and threads begin",
        lost: "names of forked processes that end before the agent can look at them; \
               what a request's own threads and commands send",
    },
    Description {
        name: "process_exit",
        hook: Hook::Tracepoint("sched_process_exit"),
        backend: None,
        required: false,
        option: false,
        purpose: "sees processes and threads end",
        lost: "prompt release of what is kept per process; \
               what a request's own threads and commands send, among other requests",
    },
];

/// Whether a program works.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// It is attached.
    Attached,
    /// The kernel refused it: the reason in one line, and the verifier's full log where it was
    /// the verifier.
    Refused {
        /// One line.
        reason: String,
        /// The log, possibly empty.
        log: String,
    },
}

/// What became of a program.
#[derive(Clone, Debug)]
pub struct ProgramReport {
    /// Its name in the object.
    pub name: &'static str,
    /// Where it attaches.
    pub hook: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// What is lost without it.
    pub lost: &'static str,
    /// Without it its backend does not work.
    pub required: bool,
    /// The result.
    pub loaded: Loaded,
}

impl ProgramReport {
    /// Whether it is attached.
    #[must_use]
    pub const fn works(&self) -> bool {
        matches!(self.loaded, Loaded::Attached)
    }

    /// One line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        match &self.loaded {
            Loaded::Attached => format!("{} attached to {}", self.name, self.hook),
            Loaded::Refused { reason, .. } => {
                format!("{} on {} refused: {reason}", self.name, self.hook)
            }
        }
    }
}

/// Loads and attaches the programs of a backend, one by one.
pub(super) fn load_all(
    ebpf: &mut Ebpf,
    backend: Backend,
    btf: &Btf,
    cgroups: &[File],
) -> Vec<ProgramReport> {
    PROGRAMS
        .iter()
        .filter(|p| p.backend.is_none_or(|only| only == backend))
        .filter(|p| !p.option || !cgroups.is_empty())
        .map(|p| ProgramReport {
            name: p.name,
            hook: p.hook.name(),
            purpose: p.purpose,
            lost: p.lost,
            required: p.required,
            loaded: match load(ebpf, p, btf, cgroups) {
                Ok(()) => Loaded::Attached,
                Err(error) => refusal(&error),
            },
        })
        .collect()
}

fn load(
    ebpf: &mut Ebpf,
    description: &Description,
    btf: &Btf,
    cgroups: &[File],
) -> Result<(), ProgramError> {
    let program = ebpf
        .program_mut(description.name)
        .ok_or(ProgramError::NotLoaded)?;
    match description.hook {
        Hook::Tracepoint(name) => {
            let program: &mut BtfTracePoint = program.try_into()?;
            program.load(name, btf)?;
            program.attach()?;
        }
        Hook::SocketsOfCgroup => {
            let program: &mut SockOps = program.try_into()?;
            program.load()?;
            for cgroup in cgroups {
                // A link lets others attach beside it in any case, and takes no flags.
                program.attach(cgroup, CgroupAttachMode::Single)?;
            }
        }
    }
    Ok(())
}

pub(super) fn refusal(error: &ProgramError) -> Loaded {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => Loaded::Refused {
            reason: format!("the kernel's verifier: {io_error}"),
            log: verifier_log.to_string(),
        },
        ProgramError::Btf(_) => Loaded::Refused {
            reason: "this kernel has no such tracepoint".to_owned(),
            log: String::new(),
        },
        other => Loaded::Refused {
            reason: with_causes(other),
            log: String::new(),
        },
    }
}

/// An error with what caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Adds up the runs that the kernel left out because the program was running on that processor
/// already (`recursion_misses`, kernel 5.12 and later).
pub(super) fn missed_runs(ebpf: &Ebpf) -> u64 {
    use std::os::fd::{AsFd, AsRawFd};
    PROGRAMS
        .iter()
        .filter_map(|p| ebpf.program(p.name)?.fd().ok()?.as_fd().as_raw_fd().into())
        .filter_map(|fd| std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok())
        .filter_map(|info| {
            info.lines()
                .find_map(|line| line.strip_prefix("recursion_misses:"))
                .and_then(|count| count.trim().parse::<u64>().ok())
        })
        .sum()
}
