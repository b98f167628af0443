//! Which connections there still are: asked when the kernel programs could not tell of ends, because the
//! ring buffer was full, and now and then for the ends of Unix sockets that nobody tells.
//!
//! Where the kernel's state of connections is in the sockets, it is there for as long as they are. In the
//! table, that of a TCP connection is there until the kernel programs see it close, told or not; for that
//! of others, one looks whether a process has the socket.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read as _},
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    path::Path,
};

use aya::{
    Btf, Ebpf,
    maps::{HashMap, Map, MapData},
    programs::{Iter, ProgramError},
};
use clew_common::control::{FLOW_INODE, FLOW_WORDS};
use tracing::debug;

use super::{
    description::Flows,
    program::{self, Loaded, ProgramReport},
};

/// Whoever looks while others come and go may miss one that stays, but not in each of so many looks.
const LOOKS: usize = 2;

/// What there is.
#[derive(Debug, Default)]
pub struct Census {
    /// The identities of all connections that there are.
    pub living: HashSet<u64>,
    /// Of those that are no more, the ones of which the kernel programs still keep a state: identity, and
    /// address of the socket.
    pub left: Vec<(u64, u64)>,
}

/// A way to find out.
pub enum Living {
    /// The kernel's iterator of the sockets that have a state.
    Sockets(OwnedFd),
    /// The table.
    Table(Table),
}

/// The state of connections by the address of their socket.
type Table = HashMap<MapData, u64, [u64; FLOW_WORDS]>;

impl Living {
    /// Loads what it takes, and what became of that; with the table, that is nothing.
    pub(super) fn start(
        ebpf: &mut Ebpf,
        flows: Flows,
        btf: &Btf,
    ) -> (Option<Self>, Option<ProgramReport>) {
        match flows {
            Flows::Storage => {
                let sockets = sockets(ebpf, btf);
                let report = ProgramReport {
                    name: "living_connections",
                    hook: "iter/bpf_sk_storage_map".to_owned(),
                    kernel: "5.9",
                    purpose: "finds out which connections there still are",
                    lost: "connections whose end is not told, because the ring buffer is full, are \
                           followed until there are too many",
                    required: false,
                    verified: None,
                    loaded: match &sockets {
                        Ok(_) => Loaded::Attached,
                        Err(error) => program::refusal(error),
                    },
                };
                (sockets.ok().map(Self::Sockets), Some(report))
            }
            Flows::Table => {
                let table = table(ebpf)
                    .inspect_err(|error| debug!("a second access to the table: {error}"));
                (table.ok().map(Self::Table), None)
            }
        }
    }

    /// Looks around. With the table, at every descriptor of every process.
    ///
    /// # Errors
    ///
    /// What cannot be read: then nothing is known of any connection.
    pub fn look(&self) -> io::Result<Census> {
        match self {
            Self::Sockets(link) => {
                let mut living = HashSet::new();
                for _ in 0..LOOKS {
                    let mut ids = Vec::new();
                    iterate(link)?.read_to_end(&mut ids)?;
                    let (ids, _) = ids.as_chunks::<8>();
                    living.extend(ids.iter().map(|id| u64::from_ne_bytes(*id)));
                }
                Ok(Census {
                    living,
                    left: Vec::new(),
                })
            }
            Self::Table(table) => {
                // Before the processes: what comes into the table meanwhile is not in question.
                let flows: Vec<(u64, [u64; FLOW_WORDS])> = table
                    .iter()
                    .collect::<Result<_, _>>()
                    .map_err(io::Error::other)?;
                let mut held = HashSet::new();
                for _ in 0..LOOKS {
                    sockets_of_processes(Path::new("/proc"), &mut held)?;
                }
                Ok(judge(&flows, &held))
            }
        }
    }
}

/// Which of the flows in the table are of sockets that a process has. Before its first bytes, the inode of
/// a connection is not known (0).
fn judge(flows: &[(u64, [u64; FLOW_WORDS])], held: &HashSet<u64>) -> Census {
    let mut census = Census::default();
    for &(socket, flow) in flows {
        let (id, inode) = (flow[0], flow[FLOW_INODE]);
        if inode == 0 || held.contains(&inode) {
            census.living.insert(id);
        } else {
            census.left.push((id, socket));
        }
    }
    census
}

/// Adds the inode numbers of the sockets that the processes have open (proc_pid_fd(5)).
fn sockets_of_processes(proc: &Path, held: &mut HashSet<u64>) -> io::Result<()> {
    for process in fs::read_dir(proc)?.flatten() {
        if !process.file_name().as_encoded_bytes()[0].is_ascii_digit() {
            continue;
        }
        // It may end meanwhile.
        let descriptors = fs::read_dir(process.path().join("fd"));
        for descriptor in descriptors.into_iter().flatten().flatten() {
            let inode = fs::read_link(descriptor.path()).ok().and_then(|target| {
                let number = target.to_str()?.strip_prefix("socket:[")?;
                number.strip_suffix(']')?.parse::<u64>().ok()
            });
            held.extend(inode);
        }
    }
    Ok(())
}

/// The table, a second time: the first is in other hands.
fn table(ebpf: &Ebpf) -> io::Result<Table> {
    let Some(Map::HashMap(map)) = ebpf.map("FLOW_TABLE") else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let again = map.fd().as_fd().try_clone_to_owned()?;
    let map = MapData::from_fd(again).map_err(io::Error::other)?;
    HashMap::try_from(Map::HashMap(map)).map_err(io::Error::other)
}

fn sockets(ebpf: &mut Ebpf, btf: &Btf) -> Result<OwnedFd, ProgramError> {
    let Some(Map::SkStorage(flows)) = ebpf.map("FLOWS") else {
        return Err(ProgramError::NotLoaded);
    };
    let flows = flows.fd().as_fd().as_raw_fd();
    let program: &mut Iter = ebpf
        .program_mut("living_connections")
        .ok_or(ProgramError::NotLoaded)?
        .try_into()?;
    program.load("bpf_sk_storage_map", btf)?;
    link(program.fd()?.as_fd().as_raw_fd(), flows).map_err(ProgramError::IOError)
}

/// `BPF_LINK_CREATE` and `BPF_ITER_CREATE` (`enum bpf_cmd`), `BPF_TRACE_ITER` (`enum bpf_attach_type`), all
/// in include/uapi/linux/bpf.h.
const LINK_CREATE: libc::c_int = 28;
const ITER_CREATE: libc::c_int = 33;
const TRACE_ITER: u32 = 28;

/// `link_create` of `union bpf_attr`.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    info: *const u32,
    info_length: u32,
    padding: u32,
}

/// `iter_create` of `union bpf_attr`.
#[repr(C)]
struct IterCreate {
    link: u32,
    flags: u32,
}

/// Binds an iterator to the map whose sockets it goes through, which aya has no way to say.
fn link(program: RawFd, map: RawFd) -> io::Result<OwnedFd> {
    // `union bpf_iter_link_info` begins with `map.map_fd`; what is not given of it is zero.
    let info = map.cast_unsigned();
    let attributes = LinkCreate {
        program: program.cast_unsigned(),
        target: 0,
        attach_type: TRACE_ITER,
        flags: 0,
        info: &raw const info,
        info_length: size_of_val(&info) as u32,
        padding: 0,
    };
    // SAFETY: this command takes these attributes; what they point to lives until it returns.
    unsafe { bpf(LINK_CREATE, &attributes) }
}

/// A file from which to read what the iterator says, once.
fn iterate(link: &OwnedFd) -> io::Result<File> {
    let attributes = IterCreate {
        link: link.as_raw_fd().cast_unsigned(),
        flags: 0,
    };
    // SAFETY: this command takes these attributes.
    unsafe { bpf(ITER_CREATE, &attributes) }.map(File::from)
}

/// A command of bpf(2) that gives a descriptor.
///
/// # Safety
///
/// The attributes must be those of the command, and valid.
unsafe fn bpf<A>(command: libc::c_int, attributes: &A) -> io::Result<OwnedFd> {
    // SAFETY: promised by the caller; the kernel only reads them.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            &raw const *attributes,
            size_of::<A>(),
        )
    };
    match RawFd::try_from(descriptor) {
        // SAFETY: new, and nobody else's.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_left_of_sockets_that_nobody_has() {
        let flow = |id: u64, inode| {
            let mut flow = [0; FLOW_WORDS];
            (flow[0], flow[FLOW_INODE]) = (id, inode);
            (0xffff_0000 + id, flow)
        };
        let flows = [flow(1, 71), flow(2, 72), flow(3, 0), flow(4, 74)];
        let census = judge(&flows, &HashSet::from([71, 74, 75]));
        assert_eq!(census.living, HashSet::from([1, 3, 4]));
        assert_eq!(census.left, [(2, 0xffff_0002)]);
    }

    #[test]
    fn open_sockets_have_an_inode() {
        use std::os::unix::{fs::MetadataExt as _, net::UnixStream};
        let (one, other) = UnixStream::pair().unwrap();
        let inode = |socket: &UnixStream| {
            let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
            fs::metadata(path).unwrap().ino()
        };
        let (kept, closed) = (inode(&one), inode(&other));
        drop(other);
        let mut held = HashSet::new();
        sockets_of_processes(Path::new("/proc"), &mut held).unwrap();
        assert!(held.contains(&kept));
        assert!(!held.contains(&closed));
    }
}
