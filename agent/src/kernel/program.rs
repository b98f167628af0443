//! Loading the kernel programs one by one ([`super::description`]).

use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, CgroupAttachMode, FEntry, FExit, ProgramError, ProgramFd, SockOps,
        fentry::FEntryLink, fexit::FExitLink,
    },
};

use super::description::{Backend, Description, Flows, Hook, Need, PROGRAMS, When};

/// Whether a program works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It is attached.
    Attached,
    /// This kernel has not what it attaches to.
    NoHook,
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
    pub hook: String,
    /// What it is for.
    pub purpose: &'static str,
    /// What it needs of the kernel: the first version that has it.
    pub kernel: &'static str,
    /// What is lost without it.
    pub lost: &'static str,
    /// Without it its backend does not work.
    pub required: bool,
    /// The result.
    pub loaded: Loaded,
    /// Instructions that the verifier followed, where it is attached and the kernel tells (5.16 and
    /// later). The limit is a million.
    pub verified: Option<u32>,
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
            Loaded::NoHook => format!("{}: this kernel has no {}", self.name, self.hook),
            Loaded::Refused { reason, .. } => {
                format!("{} on {} refused: {reason}", self.name, self.hook)
            }
        }
    }
}

/// The programs of a backend in the kernel.
pub(super) struct Programs {
    /// What became of each.
    pub(super) reports: Vec<ProgramReport>,
    /// Those that are attached.
    running: Vec<OwnedFd>,
    /// What holds those that are attached to functions. One program in the object becomes several in the
    /// kernel, of which the object keeps only the last.
    held: Vec<Link>,
}

/// An attachment that lasts until this is dropped.
enum Link {
    Entry(#[expect(dead_code, reason = "dropping it detaches")] FEntryLink),
    Exit(#[expect(dead_code, reason = "dropping it detaches")] FExitLink),
}

/// Loads a program for a function and attaches it; of one that was loaded for another function, that
/// stays. aya's two kinds have the same methods and no trait for them.
macro_rules! attach_to_function {
    ($programs:expr, $program:expr, $kind:ty, $link:path, $function:expr, $btf:expr) => {{
        let program: &mut $kind = $program.try_into()?;
        if program.fd().is_ok() {
            program.unload()?;
        }
        program.load($function, $btf)?;
        let link = program.attach()?;
        $programs.held.push($link(program.take_link(link)?));
        copy_of(program.fd()?)?
    }};
}

impl Programs {
    /// Loads and attaches the programs of a backend, one by one. Where `cgroups` are given, contexts
    /// leave in TCP options on the sockets of these.
    pub(super) fn load(
        ebpf: &mut Ebpf,
        backend: Backend,
        flows: Flows,
        btf: &Btf,
        cgroups: &[File],
    ) -> Self {
        let mut programs = Self {
            reports: Vec::new(),
            running: Vec::new(),
            held: Vec::new(),
        };
        let mut has_option = false;
        for description in PROGRAMS.iter().filter(|p| p.is_for(backend, flows)) {
            match description.when {
                When::Always => {}
                When::Option | When::OptionTold if cgroups.is_empty() => continue,
                When::OptionTold if has_option => continue,
                When::Option | When::OptionTold => {}
            }
            let (loaded, verified) = match programs.load_one(ebpf, description, flows, btf, cgroups)
            {
                Ok(verified) => (Loaded::Attached, verified),
                Err(error) => (refusal(&error), None),
            };
            if description.when == When::Option {
                has_option = loaded == Loaded::Attached;
                if !has_option {
                    // What is loaded instead does as much.
                    continue;
                }
            }
            if description.need == Need::IfThere && loaded == Loaded::NoHook {
                continue;
            }
            programs.reports.push(ProgramReport {
                name: description.name.with(flows),
                hook: description.hook.to_string(),
                purpose: description.purpose,
                kernel: description.kernel,
                lost: description.lost,
                required: description.need == Need::Required,
                loaded,
                verified,
            });
            if programs.missing().is_some() {
                break;
            }
        }
        programs
    }

    /// A program without which nothing is traced, and which does not work.
    pub(super) fn missing(&self) -> Option<&ProgramReport> {
        self.reports.iter().find(|p| p.required && !p.works())
    }

    fn load_one(
        &mut self,
        ebpf: &mut Ebpf,
        description: &Description,
        flows: Flows,
        btf: &Btf,
        cgroups: &[File],
    ) -> Result<Option<u32>, ProgramError> {
        let program = ebpf
            .program_mut(description.name.with(flows))
            .ok_or(ProgramError::NotLoaded)?;
        let fd = match description.hook {
            Hook::Tracepoint(name) => {
                let program: &mut BtfTracePoint = program.try_into()?;
                program.load(name, btf)?;
                program.attach()?;
                copy_of(program.fd()?)?
            }
            Hook::Entry(function) => {
                attach_to_function!(self, program, FEntry, Link::Entry, function, btf)
            }
            Hook::Exit(function) => {
                attach_to_function!(self, program, FExit, Link::Exit, function, btf)
            }
            Hook::SocketsOfCgroup => {
                let program: &mut SockOps = program.try_into()?;
                program.load()?;
                for cgroup in cgroups {
                    // A link lets others attach beside it in any case, and takes no flags.
                    program.attach(cgroup, CgroupAttachMode::Single)?;
                }
                copy_of(program.fd()?)?
            }
        };
        self.running.push(fd);
        let info = ebpf
            .program(description.name.with(flows))
            .and_then(|program| program.info().ok());
        Ok(info.and_then(|info| info.verified_instruction_count()))
    }

    /// Adds up the runs that the kernel left out because the program was running on that processor
    /// already (`recursion_misses`, kernel 5.12 and later).
    pub(super) fn missed_runs(&self) -> u64 {
        self.running
            .iter()
            .map(|fd| format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .filter_map(|info| {
                info.lines()
                    .find_map(|line| line.strip_prefix("recursion_misses:"))
                    .and_then(|count| count.trim().parse::<u64>().ok())
            })
            .sum()
    }
}

fn copy_of(fd: &ProgramFd) -> Result<OwnedFd, ProgramError> {
    fd.as_fd()
        .try_clone_to_owned()
        .map_err(ProgramError::IOError)
}

pub(super) fn refusal(error: &ProgramError) -> Loaded {
    match error {
        ProgramError::Btf(_) => Loaded::NoHook,
        other => {
            let (reason, log) = reason(other);
            Loaded::Refused { reason, log }
        }
    }
}

/// Why a program cannot be loaded or attached, in one line, and the verifier's full log where it was the
/// verifier.
pub(super) fn reason(error: &ProgramError) -> (String, String) {
    match error {
        // Not the verifier's word: the kernel's configuration, or this process's capabilities.
        ProgramError::LoadError { io_error, .. }
            if io_error.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            ("the kernel does not permit it".to_owned(), String::new())
        }
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => (
            format!("the kernel's verifier: {io_error}"),
            verifier_log.to_string(),
        ),
        other => (with_causes(other), String::new()),
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
