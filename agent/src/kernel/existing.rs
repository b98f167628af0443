//! Asking for options on sockets that are older than the agent, in every network namespace.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    thread,
};

use aya::{
    Btf, Ebpf,
    programs::{Iter, ProgramError},
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tracing::debug;

use super::program::{self, Loaded, ProgramReport};

/// Goes through the sockets of all network namespaces once; as a trial, only loads the program.
pub(super) fn ask(ebpf: &mut Ebpf, btf: &Btf, trial: bool) -> ProgramReport {
    ProgramReport {
        name: "existing_sockets",
        hook: "iter/tcp".to_owned(),
        kernel: "6.12",
        purpose: "takes in connections that are older than the agent",
        lost: "contexts in TCP options on connections, and to listeners, that are older than the agent",
        required: false,
        verified: None,
        loaded: match try_ask(ebpf, btf, trial) {
            Ok(()) => Loaded::Attached,
            Err(error) => program::refusal(&error),
        },
    }
}

fn try_ask(ebpf: &mut Ebpf, btf: &Btf, trial: bool) -> Result<(), ProgramError> {
    let program: &mut Iter = ebpf
        .program_mut("existing_sockets")
        .ok_or(ProgramError::NotLoaded)?
        .try_into()?;
    program.load("tcp", btf)?;
    if trial {
        return Ok(());
    }
    for namespace in namespaces() {
        let id = program.attach()?;
        let link = program.take_link(id)?;
        // A thread, because the namespace is a thread's, and this one keeps its own.
        let walked = thread::scope(|scope| {
            scope
                .spawn(|| -> io::Result<()> {
                    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                    let mut sockets = link.into_file().map_err(io::Error::other)?;
                    sockets.read_to_end(&mut Vec::new()).map(drop)
                })
                .join()
        });
        match walked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!("sockets of a network namespace: {error}"),
            Err(_) => debug!("sockets of a network namespace: the walk ended by a defect"),
        }
    }
    Ok(())
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
