//! Asking for options on sockets that are older than the agent, in every network namespace.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read},
    net::{Ipv4Addr, TcpListener},
    os::fd::AsFd,
    thread,
};

use aya::{
    Btf, Ebpf,
    programs::{Iter, ProgramError},
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use super::program::{self, Loaded, ProgramReport};

/// Goes through the sockets of all network namespaces once; as a trial, only through those of a new one.
pub(super) fn ask(ebpf: &mut Ebpf, btf: &Btf, trial: bool) -> ProgramReport {
    ProgramReport {
        name: "existing_sockets",
        hook: "iter/tcp".to_owned(),
        kernel: "6.12, with CAP_SYS_ADMIN",
        purpose: "takes in connections that are older than the agent",
        lost: "contexts in TCP options on connections, and to listeners, that are older than the agent",
        required: false,
        verified: None,
        loaded: match try_ask(ebpf, btf, trial) {
            Ok(walks) => outcome(&walks),
            Err(error) => program::refusal(&error),
        },
    }
}

/// Of how many sockets of a network namespace the kernel did not take what was asked for them, or why it
/// could not be asked.
type Walk = io::Result<usize>;

fn try_ask(ebpf: &mut Ebpf, btf: &Btf, trial: bool) -> Result<Vec<Walk>, ProgramError> {
    let program: &mut Iter = ebpf
        .program_mut("existing_sockets")
        .ok_or(ProgramError::NotLoaded)?
        .try_into()?;
    program.load("tcp", btf)?;
    if trial {
        return Ok(vec![walk(program, new_namespace)?]);
    }
    namespaces()
        .into_iter()
        .map(|namespace| {
            walk(program, move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(io::Error::from)
            })
        })
        .collect()
}

/// Moves this thread into a network namespace with one socket, which is given.
fn new_namespace() -> io::Result<TcpListener> {
    // SAFETY: no thread's file descriptors are affected.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    // Its loopback is down, and has no address.
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))
}

/// Goes through the sockets of the network namespace that a function enters. What that gives stays until
/// the end.
fn walk<Kept>(
    program: &mut Iter,
    enter: impl FnOnce() -> io::Result<Kept> + Send,
) -> Result<Walk, ProgramError> {
    let id = program.attach()?;
    let link = program.take_link(id)?;
    // A thread, because the namespace is a thread's, and this one keeps its own.
    Ok(thread::scope(|scope| {
        scope
            .spawn(|| {
                let _kept = enter()?;
                let mut sockets = link.into_file().map_err(io::Error::other)?;
                sockets.read_to_end(&mut Vec::new())
            })
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the walk ended by a defect")))
    }))
}

fn outcome(walks: &[Walk]) -> Loaded {
    let refused: usize = walks.iter().flatten().sum();
    let failed = walks.iter().filter_map(|walk| walk.as_ref().err());
    let reason = if refused > 0 {
        format!("the kernel does not let it ask for options ({refused} sockets)")
    } else if let Some(error) = failed.clone().next() {
        format!(
            "{} of {} network namespaces cannot be looked at: {error}",
            failed.count(),
            walks.len()
        )
    } else {
        return Loaded::Attached;
    };
    Loaded::Refused {
        reason,
        log: String::new(),
    }
}

/// The network namespaces in which there are processes, each once.
fn namespaces() -> Vec<File> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut seen = HashSet::new();
    processes
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .filter_map(|entry| {
            let path = entry.path().join("ns/net");
            let name = std::fs::read_link(&path).ok()?;
            seen.insert(name).then(|| File::open(path).ok())?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_done_is_told() {
        let forbidden = || Err(io::Error::from_raw_os_error(libc::EPERM));
        for (walks, wanted) in [
            (vec![], None),
            (vec![Ok(0), Ok(0)], None),
            (
                vec![Ok(0), Ok(3), forbidden(), Ok(1)],
                Some("the kernel does not let it ask for options (4 sockets)"),
            ),
            (
                vec![Ok(0), forbidden(), forbidden()],
                Some(
                    "2 of 3 network namespaces cannot be looked at: \
                     Operation not permitted (os error 1)",
                ),
            ),
        ] {
            let loaded = wanted.map_or(Loaded::Attached, |reason| Loaded::Refused {
                reason: reason.to_owned(),
                log: String::new(),
            });
            assert_eq!(outcome(&walks), loaded);
        }
    }
}
