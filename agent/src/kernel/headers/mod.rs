//! Headers in requests that are sent: loading the programs of `ebpf/src/inject.rs`, finding out
//! whether this kernel keeps traced programs safe, choosing processes.

mod selftest;

use std::fs::File;
use std::path::PathBuf;

use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError, SkStorage, SockHash},
    programs::{CgroupAttachMode, ProgramError, SkMsg, SockOps},
};
use clew_common::inject::{Injection, VARIABLES};
use thiserror::Error;
use tracing::debug;

use super::{btf::BtfError, cgroup, description::Flows};

pub use selftest::Unsafe;

/// An [`Injection`] as the map takes it.
type State = [u32; 6 + VARIABLES];

/// Why no request gets a header.
#[derive(Debug, Error)]
pub enum HeadersError {
    /// A program is refused.
    #[error("{program} refused: {reason}")]
    Program {
        /// Its name.
        program: &'static str,
        /// Why, in one line.
        reason: String,
        /// The verifier's log where it was the verifier, possibly empty.
        log: String,
    },
    /// A map is not usable.
    #[error("the map `{map}`: {source}")]
    Map {
        /// Its name.
        map: &'static str,
        /// Why.
        source: MapError,
    },
    /// Socket operations are attached to the root of the cgroup v2 tree.
    #[error("no cgroup v2 tree is mounted")]
    NoCgroup,
    /// It cannot be opened.
    #[error("opening {path}: {source}")]
    Cgroup {
        /// Where it is mounted.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A kernel field is missing.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel's handling of such sockets would harm programs.
    #[error("{0}")]
    Unsafe(#[from] Unsafe),
}

/// The programs that insert headers. Dropping [`super::Kernel`] takes them out of the kernel; the
/// sockets in the map go on as ordinary ones.
pub struct Headers {
    processes: HashMap<MapData, u32, u32>,
    sockets: SockHash<MapData, u64>,
    /// What the self-test found wrong; headers are inserted only where that was accepted.
    pub flaw: Option<Unsafe>,
}

impl Headers {
    /// Loads the programs, tests this kernel, and attaches. Where the test fails
    /// nothing is attached unless that is `accepted`.
    ///
    /// # Errors
    ///
    /// [`HeadersError`]: no headers.
    pub(super) fn start(
        ebpf: &mut Ebpf,
        flows: Flows,
        accepted: bool,
    ) -> Result<Self, HeadersError> {
        let path = cgroup::root().ok_or(HeadersError::NoCgroup)?;
        let (message, enrol) = match flows {
            Flows::Storage => ("header_storage", "enrol_storage"),
            Flows::Table => ("header_table", "enrol_table"),
        };
        let sockets = take::<SockHash<MapData, u64>>(ebpf, "HEADER_SOCKETS")?;
        let mut states = take::<SkStorage<MapData, State>>(ebpf, "INJECTIONS")?;
        let processes = take::<HashMap<MapData, u32, u32>>(ebpf, "HEADER_PROCESSES")?;
        let refused = |name| move |error| refusal(name, &error);
        let program: &mut SkMsg = program(ebpf, message)?;
        program.load().map_err(refused(message))?;
        program.attach(sockets.fd()).map_err(refused(message))?;
        let mut headers = Self {
            processes,
            sockets,
            flaw: None,
        };
        if let Err(flaw) = selftest::run(&mut headers.sockets, &mut states) {
            if !accepted {
                return Err(flaw.into());
            }
            headers.flaw = Some(flaw);
        }
        let cgroup = File::open(&path).map_err(|source| HeadersError::Cgroup { path, source })?;
        let program: &mut SockOps = self::program(ebpf, enrol)?;
        program.load().map_err(refused(enrol))?;
        // A link goes beside those of others in any case, and takes no flag that says so.
        program
            .attach(cgroup, CgroupAttachMode::Single)
            .map_err(refused(enrol))?;
        Ok(headers)
    }

    /// Inserts headers into requests on connections that a process opens from now on, or no more.
    pub fn choose(&mut self, pid: u32, chosen: bool) {
        if !chosen {
            // Most processes are not there.
            let _ = self.processes.remove(&pid);
        } else if let Err(error) = self.processes.insert(pid, 1, 0) {
            debug!(pid, "choosing a process for headers: {error}");
        }
    }

    /// Lets a connection go on as an ordinary socket: nothing more will be inserted into it.
    pub fn release(&mut self, connection: u64) {
        // Most connections are not there.
        let _ = self.sockets.remove(&connection);
    }
}

fn refusal(program: &'static str, error: &ProgramError) -> HeadersError {
    let (reason, log) = super::program::reason(error);
    HeadersError::Program {
        program,
        reason,
        log,
    }
}

fn state(injection: &Injection) -> State {
    let mut words = [0; 6 + VARIABLES];
    words[..6].copy_from_slice(&[
        injection.flags,
        injection.next,
        injection.begun,
        injection.inserted,
        injection.late,
        injection.zero,
    ]);
    words
}

fn program<'e, P>(ebpf: &'e mut Ebpf, name: &'static str) -> Result<&'e mut P, HeadersError>
where
    &'e mut P: TryFrom<&'e mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or(ProgramError::NotLoaded)
        .and_then(TryInto::try_into)
        .map_err(|error| refusal(name, &error))
}

fn take<M>(ebpf: &mut Ebpf, map: &'static str) -> Result<M, HeadersError>
where
    M: TryFrom<aya::maps::Map, Error = MapError>,
{
    ebpf.take_map(map)
        .ok_or_else(|| MapError::InvalidName {
            name: map.to_owned(),
        })
        .and_then(M::try_from)
        .map_err(|source| HeadersError::Map { map, source })
}
