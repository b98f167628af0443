//! Whether this kernel treats sockets with a message program like others.
//!
//! Putting a socket into a sockhash replaces some of its operations. Kernels have got that wrong in
//! ways that make programs hang: 6.6.128, 6.12.75, 6.18.14 and 6.19 and those after them answer
//! FIONREAD with 0 while data waits. So what programs rely on is tried out, on a connection of the
//! agent's own, before any other socket is touched.

use std::{
    io::{self, ErrorKind, Read, Write},
    mem::size_of_val,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use aya::maps::{MapData, MapError, SkStorage, SockHash};
use clew_common::inject::{
    AT_START, HEADER_LENGTH, Injection, SELF_TEST, TEST_SPAN_ID, TEST_TRACE_ID, header,
};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use thiserror::Error;

use super::{State, state};

/// What loopback needs is microseconds; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a large body, and of a large answer.
const LARGE: usize = 300_000;
/// Keys of the two sockets in the map: no socket cookie is as high.
const CLIENT: u64 = u64::MAX;
const SERVER: u64 = u64::MAX - 1;

/// What goes wrong.
#[derive(Debug, Error)]
pub enum Unsafe {
    /// The sockets could not be made or used at all.
    #[error("the test's own connection failed: {0}")]
    Connection(#[from] io::Error),
    /// They could not be put into the map.
    #[error("the kernel does not take a connection into the map: {0}")]
    Enrolment(#[from] MapError),
    /// `ioctl(FIONREAD)` lies.
    #[error("FIONREAD says {said} while {waiting} bytes wait, so that programs which ask it hang")]
    ReadableLength {
        /// What it said.
        said: u64,
        /// What waits.
        waiting: u64,
    },
    /// `poll(2)` does not say that data waits.
    #[error("poll does not tell of data that waits")]
    Poll,
    /// An edge-triggered `epoll(7)` does not wake for new data.
    #[error("edge-triggered epoll does not tell of new data")]
    EdgeTriggered,
    /// `SO_RCVLOWAT` is not kept.
    #[error("poll tells of less data than SO_RCVLOWAT asks for")]
    LowWater,
    /// Bytes are lost, changed or added.
    #[error("the bytes of {0} arrive changed")]
    Bytes(&'static str),
}

/// Runs the test; takes well below a second where all is well, a few at most.
pub(super) fn run(
    sockets: &mut SockHash<MapData, u64>,
    states: &mut SkStorage<MapData, State>,
) -> Result<(), Unsafe> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    client.set_nonblocking(true)?;
    server.set_nonblocking(true)?;
    let from_start = Injection::new(AT_START | SELF_TEST, 0);
    states.insert(&client, state(&from_start), 0)?;
    sockets.insert(CLIENT, client.as_raw_fd(), 0)?;
    sockets.insert(SERVER, server.as_raw_fd(), 0)?;
    let result = wake_ups(&mut client, &mut server)
        .and_then(|()| large_messages(&mut client, &mut server))
        .and_then(|()| release(&mut client, &mut server, sockets));
    // They may be gone already.
    let _ = sockets.remove(&CLIENT);
    let _ = sockets.remove(&SERVER);
    result
}

/// A request, and how it arrives.
fn request(body: usize) -> (Vec<u8>, Vec<u8>) {
    let line = b"POST /clew HTTP/1.1\r\n";
    let rest = format!("Host: localhost\r\nContent-Length: {body}\r\n\r\n");
    let inserted = header(&TEST_TRACE_ID, &TEST_SPAN_ID, 1);
    let body = pattern(body);
    let sent = [&line[..], rest.as_bytes(), &body].concat();
    let received = [&line[..], &inserted, rest.as_bytes(), &body].concat();
    (sent, received)
}

/// Bytes of which no two stretches are alike.
fn pattern(length: usize) -> Vec<u8> {
    (0u32..)
        .flat_map(|word| word.wrapping_mul(0x9e37_79b1).to_le_bytes())
        .take(length)
        .collect()
}

/// Small messages: what tells a program that data waits, and reading it piece by piece.
fn wake_ups(client: &mut TcpStream, server: &mut TcpStream) -> Result<(), Unsafe> {
    let (sent, wanted) = request(0);
    let edge = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from)?;
    let events = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&edge, &*server, epoll::EventData::new_u64(1), events).map_err(io::Error::from)?;

    client.write_all(&sent)?;
    if !wait_edge(&edge)? {
        return Err(Unsafe::EdgeTriggered);
    }
    if !is_readable(server, PATIENCE)? {
        return Err(Unsafe::Poll);
    }
    arrive(server, wanted.len())?;
    check_readable_length(server, wanted.len())?;
    // In pieces, of which one ends within the header.
    let mut received = vec![0; wanted.len()];
    let pieces = [1, 7, wanted.len() - HEADER_LENGTH];
    let mut at = 0;
    for piece in pieces {
        server.read_exact(&mut received[at..at + piece])?;
        at += piece;
        check_readable_length(server, wanted.len() - at)?;
    }
    // More comes before all is read: that is a new edge.
    while wait_now(&edge)? {}
    client.write_all(&sent)?;
    if !wait_edge(&edge)? {
        return Err(Unsafe::EdgeTriggered);
    }
    server.read_exact(&mut received[at..])?;
    arrive(server, wanted.len())?;
    let mut second = vec![0; wanted.len()];
    server.read_exact(&mut second)?;
    if received != wanted || second != wanted {
        return Err(Unsafe::Bytes("requests"));
    }
    low_water(client, server)
}

/// With `SO_RCVLOWAT` a program is woken when that much waits, not before.
fn low_water(client: &mut TcpStream, server: &mut TcpStream) -> Result<(), Unsafe> {
    let (sent, wanted) = request(100);
    set_low_water(server, wanted.len())?;
    let (first, second) = sent.split_at(sent.len() - 50);
    client.write_all(first)?;
    arrive(server, wanted.len() - 50)?;
    let early = is_readable(server, Duration::ZERO)?;
    client.write_all(second)?;
    if early || !is_readable(server, PATIENCE)? {
        return Err(Unsafe::LowWater);
    }
    set_low_water(server, 1)?;
    let mut received = vec![0; wanted.len()];
    server.read_exact(&mut received)?;
    if received == wanted {
        Ok(())
    } else {
        Err(Unsafe::Bytes("a request in two messages"))
    }
}

/// Large messages both ways, more than the buffers hold.
fn large_messages(client: &mut TcpStream, server: &mut TcpStream) -> Result<(), Unsafe> {
    let (sent, wanted) = request(LARGE);
    if transfer(client, server, &sent, wanted.len())? != wanted {
        return Err(Unsafe::Bytes("a large request"));
    }
    let answer = pattern(LARGE);
    if transfer(server, client, &answer, LARGE)? != answer {
        return Err(Unsafe::Bytes("a large response"));
    }
    Ok(())
}

/// The sockets leave the map while bytes wait at both ends.
fn release(
    client: &mut TcpStream,
    server: &mut TcpStream,
    sockets: &mut SockHash<MapData, u64>,
) -> Result<(), Unsafe> {
    let (sent, wanted) = request(1000);
    client.write_all(&sent)?;
    server.write_all(b"answer")?;
    sockets.remove(&CLIENT)?;
    sockets.remove(&SERVER)?;
    client.write_all(b"more")?;
    server.write_all(b"more")?;
    let requests = transfer(client, server, b"", wanted.len() + 4)?;
    let answers = transfer(server, client, b"", 10)?;
    if requests != [&wanted[..], b"more"].concat() || answers != b"answermore" {
        return Err(Unsafe::Bytes("a connection that leaves the map"));
    }
    Ok(())
}

/// Sends and receives in turns, until `length` bytes have arrived and nothing more does.
fn transfer(
    from: &mut TcpStream,
    to: &mut TcpStream,
    mut bytes: &[u8],
    length: usize,
) -> Result<Vec<u8>, Unsafe> {
    /// Odd sizes, so that the pieces never agree with anything.
    const PIECES: [usize; 4] = [1777, 65_537, 40_009, 333];
    let deadline = Instant::now() + PATIENCE;
    let mut received = Vec::with_capacity(length);
    let mut buffer = vec![0; 30_011];
    for piece in PIECES.into_iter().cycle() {
        if let Some(sent) = unless_busy(from.write(&bytes[..bytes.len().min(piece)]))? {
            bytes = &bytes[sent..];
        }
        if let Some(read) = unless_busy(to.read(&mut buffer))? {
            received.extend_from_slice(&buffer[..read]);
        }
        if received.len() >= length && bytes.is_empty() || Instant::now() > deadline {
            break;
        }
    }
    // Whether there is a byte too many.
    if let Some(read) = unless_busy(to.read(&mut buffer))? {
        received.extend_from_slice(&buffer[..read]);
    }
    Ok(received)
}

fn unless_busy(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}

/// Waits until so many bytes wait, without relying on what is tested.
fn arrive(socket: &TcpStream, length: usize) -> Result<(), Unsafe> {
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = vec![0; length];
    while Instant::now() < deadline {
        if unless_busy(socket.peek(&mut buffer))? == Some(length) {
            return Ok(());
        }
        poll(&mut [], Some(&timeout(Duration::from_micros(200)))).map_err(io::Error::from)?;
    }
    Err(Unsafe::Bytes("a request (some are missing)"))
}

fn check_readable_length(socket: &TcpStream, waiting: usize) -> Result<(), Unsafe> {
    let waiting = waiting as u64;
    let said = rustix::io::ioctl_fionread(socket).map_err(io::Error::from)?;
    if said == waiting {
        Ok(())
    } else {
        Err(Unsafe::ReadableLength { said, waiting })
    }
}

fn is_readable(socket: &TcpStream, patience: Duration) -> io::Result<bool> {
    let mut wanted = [PollFd::new(socket, PollFlags::IN)];
    Ok(poll(&mut wanted, Some(&timeout(patience)))? > 0)
}

fn wait_edge(edge: &impl std::os::fd::AsFd) -> io::Result<bool> {
    wait(edge, PATIENCE)
}

fn wait_now(edge: &impl std::os::fd::AsFd) -> io::Result<bool> {
    wait(edge, Duration::ZERO)
}

fn wait(edge: &impl std::os::fd::AsFd, patience: Duration) -> io::Result<bool> {
    let mut events = Vec::with_capacity(1);
    let events = rustix::buffer::spare_capacity(&mut events);
    Ok(epoll::wait(edge, events, Some(&timeout(patience)))? > 0)
}

fn timeout(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().cast_signed(),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

fn set_low_water(socket: &TcpStream, bytes: usize) -> io::Result<()> {
    let bytes = bytes as libc::c_int;
    // SAFETY: the option takes an int, whose address and size are given.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const bytes).cast(),
            size_of_val(&bytes) as libc::socklen_t,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
