//! Records of the ring buffer, decoded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytemuck::AnyBitPattern;
use clew_common::{
    connection::{
        ACCEPTED, AF_INET, AF_INET6, AF_UNIX, CONNECTED, Changed, FROM_START, NONBLOCKING, OWN,
        Opened, UDP,
    },
    context::{self, Carried as RawCarried, Followed},
    event::{Chunk, Kind},
    process::{Exec, Exit, Fork},
};

use crate::model::{
    Address, Carried, Cause, Connection, ConnectionId, NoParent, Provenance, Role, SpanId,
    Timestamp, TraceFlags, TraceId,
};

/// What the kernel programs tell.
#[derive(Debug)]
pub enum KernelEvent<'a> {
    /// A connection is seen for the first time.
    ConnectionOpened {
        /// What is known of it.
        connection: Connection,
        /// It belongs to the agent itself.
        own: bool,
        /// Address of its kernel socket.
        socket: u64,
    },
    /// The state of a TCP connection changed.
    ConnectionChanged(Changed),
    /// A send or a receive, with its captured bytes.
    Chunk(Chunk, &'a [u8]),
    /// A process has started a program.
    ProcessExec {
        /// The fixed part.
        exec: Exec,
        /// NUL-separated arguments, possibly cut.
        arguments: &'a [u8],
        /// NUL-separated environment, possibly cut.
        environment: &'a [u8],
    },
    /// A process or a thread has begun.
    ProcessFork(Fork),
    /// A process or a thread has ended.
    ProcessExit(Exit),
    /// The context of a message.
    Carried {
        /// The message's connection.
        connection: ConnectionId,
        /// Sequence number of its first byte.
        position: u32,
        /// The context.
        carried: Carried,
    },
    /// The kernel follows what a process serves.
    ProcessFollowed(Followed),
}

/// Decodes a record's first event, and returns what follows it: a context is told together with the chunk
/// that it belongs to. `None` for a record that no kernel program of this version writes.
#[must_use]
pub fn decode(record: &[u8]) -> Option<(KernelEvent<'_>, &[u8])> {
    let kind = Kind::from_raw(u32::from_ne_bytes(record.get(..4)?.try_into().ok()?))?;
    let mut rest: &[u8] = &[];
    let event = match kind {
        Kind::ConnectionOpened => {
            let (opened, _) = split::<Opened>(record)?;
            KernelEvent::ConnectionOpened {
                connection: connection(&opened)?,
                own: opened.flags & OWN != 0,
                socket: opened.socket,
            }
        }
        Kind::ConnectionChanged => KernelEvent::ConnectionChanged(split(record)?.0),
        Kind::Chunk => {
            let (chunk, data) = split::<Chunk>(record)?;
            KernelEvent::Chunk(chunk, data.get(..chunk.captured as usize)?)
        }
        Kind::ProcessExec => {
            let (exec, strings) = split::<Exec>(record)?;
            let arguments = strings.get(..exec.arguments_len as usize)?;
            let environment = strings
                .get(arguments.len()..)?
                .get(..exec.environment_len as usize)?;
            KernelEvent::ProcessExec {
                exec,
                arguments,
                environment,
            }
        }
        Kind::ProcessFork => KernelEvent::ProcessFork(split(record)?.0),
        Kind::ProcessExit => KernelEvent::ProcessExit(split(record)?.0),
        Kind::Carried => {
            let (raw, next) = split::<RawCarried>(record)?;
            rest = next;
            KernelEvent::Carried {
                connection: ConnectionId(raw.connection),
                position: raw.position,
                carried: carried(&raw)?,
            }
        }
        Kind::ProcessFollowed => KernelEvent::ProcessFollowed(split(record)?.0),
    };
    Some((event, rest))
}

fn split<T: AnyBitPattern>(record: &[u8]) -> Option<(T, &[u8])> {
    let (head, rest) = record.split_at_checked(size_of::<T>())?;
    Some((bytemuck::pod_read_unaligned(head), rest))
}

fn carried(raw: &RawCarried) -> Option<Carried> {
    let span_id = SpanId(u64::from_be_bytes(raw.span_id));
    let cause = match raw.origin {
        context::FROM_OPTION | context::BEGUN => None,
        context::BY_THREAD => Some(Cause::Thread(ConnectionId(raw.cause))),
        context::BY_PROCESS => Some(Cause::Process(ConnectionId(raw.cause))),
        context::NOT_SERVING => Some(Cause::None(NoParent::NotServing)),
        context::AMBIGUOUS => Some(Cause::None(NoParent::Ambiguous)),
        context::SHARED => Some(Cause::None(NoParent::SharedThread)),
        _ => return None,
    };
    Some(Carried {
        trace_id: TraceId(u128::from_be_bytes(raw.trace_id)),
        flags: if raw.trace_flags & context::SAMPLED != 0 {
            TraceFlags::SAMPLED
        } else {
            TraceFlags::default()
        },
        origin: match cause {
            Some(cause) => Provenance::Sent { span_id, cause },
            None if raw.origin == context::FROM_OPTION => Provenance::Option(span_id),
            None => Provenance::Begun,
        },
    })
}

fn connection(opened: &Opened) -> Option<Connection> {
    Some(Connection {
        id: ConnectionId(opened.connection),
        address: address(opened)?,
        netns: opened.netns,
        role: if opened.flags & ACCEPTED != 0 {
            Role::Accepted
        } else if opened.flags & CONNECTED != 0 {
            Role::Connected
        } else {
            Role::Unknown
        },
        from_start: opened.flags & FROM_START != 0,
        nonblocking: opened.flags & NONBLOCKING != 0,
        positions: [opened.received, opened.sent],
        now: [opened.received, opened.sent],
        pid: opened.pid,
        time: Timestamp(opened.time),
    })
}

fn address(opened: &Opened) -> Option<Address> {
    let ip = |bytes: [u8; 16]| match opened.family {
        AF_INET => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        // An IPv4 peer of an IPv6 socket: the peer itself has the plain address.
        _ => Ipv6Addr::from(bytes).to_canonical(),
    };
    match opened.family {
        AF_INET | AF_INET6 => {
            let local = SocketAddr::new(ip(opened.local_address), opened.local_port);
            let remote = SocketAddr::new(ip(opened.remote_address), opened.remote_port);
            Some(if opened.flags & UDP == 0 {
                Address::Tcp { local, remote }
            } else {
                // One that is not connected has port 0 there.
                let remote = (remote.port() != 0).then_some(remote);
                Address::Udp { local, remote }
            })
        }
        AF_UNIX => Some(Address::Unix {
            path: unix_path(opened.path.get(..opened.path_len as usize)?),
            socket: opened.socket,
            peer: opened.peer_socket,
        }),
        _ => None,
    }
}

/// A path as people write it: an abstract name begins with `@`, a path ends before its NUL.
fn unix_path(bytes: &[u8]) -> String {
    match bytes {
        [0, name @ ..] => format!("@{}", String::from_utf8_lossy(name)),
        path => {
            let end = path.iter().position(|&b| b == 0).unwrap_or(path.len());
            String::from_utf8_lossy(&path[..end]).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_and_cut_records_are_refused() {
        for record in [&[][..], &[1], &[9, 0, 0, 0], &[3, 0, 0, 0, 1, 2], &[0; 200]] {
            assert!(decode(record).is_none(), "{record:?}");
        }
        // A chunk that claims more captured bytes than follow.
        let mut record = [0u8; size_of::<Chunk>() + 4];
        record[0] = Kind::Chunk as u8;
        record[4] = 5;
        assert!(decode(&record).is_none());
        record[4] = 4;
        assert!(matches!(
            decode(&record),
            Some((KernelEvent::Chunk(_, [0, 0, 0, 0]), []))
        ));
    }

    #[test]
    fn a_context_comes_with_its_chunk() {
        let mut record = vec![0u8; size_of::<RawCarried>() + size_of::<Chunk>()];
        record[0] = Kind::Carried as u8;
        record[4] = context::BEGUN as u8;
        record[size_of::<RawCarried>()] = Kind::Chunk as u8;
        let Some((KernelEvent::Carried { .. }, rest)) = decode(&record) else {
            panic!("no context");
        };
        assert!(matches!(
            decode(rest),
            Some((KernelEvent::Chunk(_, []), []))
        ));
    }

    #[test]
    fn unix_paths() {
        for (bytes, text) in [
            (&b"/run/a.sock\0"[..], "/run/a.sock"),
            (b"/run/b.sock", "/run/b.sock"),
            (b"\0abstract", "@abstract"),
            (b"", ""),
        ] {
            assert_eq!(unix_path(bytes), text);
        }
    }
}
