//! The floors: the hooks of the agent's backends with empty programs (ebpf/src/floor.rs).

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::programs::fentry::FEntryLink;
use aya::programs::fexit::FExitLink;
use aya::programs::{BtfTracePoint, FEntry, FExit, ProgramError, ProgramType, loaded_programs};
use aya::{Btf, Ebpf};
use clew_tests::Backend;

/// A backend's hooks (agent/src/kernel/description.rs), but for those of [`OF_ALL`], for what the agent does
/// at sock_ops, and for sendfile's functions of kernels before 6.5.
const fn hooks(backend: Backend) -> &'static [(&'static str, Hook)] {
    match backend {
        Backend::Socket => &[
            ("floor_sent", Hook::Tracepoint("sock_send_length")),
            ("floor_received", Hook::Tracepoint("sock_recv_length")),
        ],
        Backend::Fentry => &[
            ("floor_entry", Hook::Entry("inet_sendmsg")),
            ("floor_entry", Hook::Entry("inet6_sendmsg")),
            ("floor_end", Hook::End("inet_sendmsg")),
            ("floor_end", Hook::End("inet6_sendmsg")),
            ("floor_end", Hook::End("unix_stream_sendmsg")),
            ("floor_end", Hook::End("inet_recvmsg")),
            ("floor_end", Hook::End("inet6_recvmsg")),
            ("floor_end", Hook::End("unix_stream_recvmsg")),
            ("floor_end", Hook::End("tcp_splice_read")),
            ("floor_end", Hook::End("unix_stream_splice_read")),
        ],
        Backend::Syscall => &[
            ("floor_call_enter", Hook::Tracepoint("sys_enter")),
            ("floor_call_exit", Hook::Tracepoint("sys_exit")),
        ],
    }
}

/// What the tables call a backend's hooks.
pub const fn title(backend: Backend) -> &'static str {
    match backend {
        Backend::Socket => "socket tracepoints",
        Backend::Fentry => "functions (fentry)",
        Backend::Syscall => "system call tracepoints",
    }
}

/// Where an empty program is attached.
#[derive(Clone, Copy)]
enum Hook {
    Tracepoint(&'static str),
    /// The beginning of a function.
    Entry(&'static str),
    /// Its end.
    End(&'static str),
}

/// The hooks of every backend.
const OF_ALL: [(&str, Hook); 4] = [
    ("floor_state", Hook::Tracepoint("inet_sock_set_state")),
    ("floor_exec", Hook::Tracepoint("sched_process_exec")),
    ("floor_fork", Hook::Tracepoint("sched_process_fork")),
    ("floor_exit", Hook::Tracepoint("sched_process_exit")),
];

/// The attached programs; they go when this does.
pub struct Floor {
    programs: Ebpf,
    /// One program of the object becomes several in the kernel, of which the object keeps the last.
    held: Vec<Link>,
}

/// An attachment that lasts until this is dropped.
enum Link {
    Entry(#[expect(dead_code, reason = "dropping it detaches")] FEntryLink),
    End(#[expect(dead_code, reason = "dropping it detaches")] FExitLink),
}

/// Loads a program for a function and attaches it. aya's two kinds have the same methods and no trait
/// for them.
macro_rules! attach_to_function {
    ($program:expr, $kind:ty, $function:expr, $btf:expr) => {{
        let program: &mut $kind = $program.try_into()?;
        if program.fd().is_ok() {
            program.unload()?;
        }
        program.load($function, $btf)?;
        let link = program.attach()?;
        program.take_link(link)?
    }};
}

impl Floor {
    /// Attaches all of a backend's.
    ///
    /// # Errors
    /// When the kernel refuses one: a floor with fewer hooks would flatter nobody.
    pub fn attach(object: &Path, backend: Backend) -> Result<Self> {
        let programs =
            Ebpf::load_file(object).with_context(|| format!("loading {}", object.display()))?;
        let btf = Btf::from_sys_fs().context("reading the kernel's BTF")?;
        let mut floor = Self {
            programs,
            held: Vec::new(),
        };
        for &(name, hook) in hooks(backend).iter().chain(&OF_ALL) {
            let (Hook::Tracepoint(place) | Hook::Entry(place) | Hook::End(place)) = hook;
            floor
                .attach_one(name, hook, &btf)
                .with_context(|| format!("attaching to {place}"))?;
        }
        Ok(floor)
    }

    fn attach_one(&mut self, name: &str, hook: Hook, btf: &Btf) -> Result<(), ProgramError> {
        let program = self.programs.program_mut(name);
        let program = program.ok_or(ProgramError::NotLoaded)?;
        match hook {
            Hook::Tracepoint(tracepoint) => {
                let program: &mut BtfTracePoint = program.try_into()?;
                program.load(tracepoint, btf)?;
                program.attach()?;
            }
            Hook::Entry(function) => {
                let link = attach_to_function!(program, FEntry, function, btf);
                self.held.push(Link::Entry(link));
            }
            Hook::End(function) => {
                let link = attach_to_function!(program, FExit, function, btf);
                self.held.push(Link::End(link));
            }
        }
        Ok(())
    }

    /// Whether this kernel lets all of a backend's be attached; if not, why, in one line.
    pub fn refusal(object: &Path, backend: Backend) -> Option<String> {
        let error = Self::attach(object, backend).err()?;
        let cause = error.root_cause().to_string();
        let line = cause.lines().next().unwrap_or_default();
        Some(format!("{error}: {line}"))
    }
}

/// The kernel programs of this kind that are attached by now: not ours, before ours are. Another
/// agent's would make all variants dearer, and the ratios between them smaller.
pub fn strangers() -> usize {
    // A kernel that does not list them has said nothing about them; none are assumed.
    loaded_programs()
        .filter_map(std::result::Result::ok)
        .filter(|program| program.program_type() == ProgramType::Tracing.into())
        .count()
}
