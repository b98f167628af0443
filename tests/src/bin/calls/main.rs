//! A server that receives and sends by the system calls that it is told: there are many ways in
//! and out of a socket, and each must be seen alike.
//!
//! Usage: `calls PORT RECEIVE SEND`. It answers requests with a `Content-Length`, one connection
//! after another, with a body as long as the request's.

mod ring;

use std::io::{IoSlice, IoSliceMut, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result, bail, ensure};
use nix::fcntl::{SpliceFFlags, splice};
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, recv, recvfrom, recvmmsg, recvmsg, send, sendmmsg, sendmsg,
};
use nix::sys::uio::{readv, writev};
use nix::unistd::{pipe, read, write};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, receive, send] = arguments.as_slice() else {
        bail!("usage: calls PORT RECEIVE SEND");
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?))?;
    for stream in listener.incoming() {
        let served = serve(&stream?, receive, send);
        if let Err(error) = served {
            eprintln!("{error:#}");
        }
    }
    Ok(())
}

fn serve(stream: &TcpStream, receive: &str, send: &str) -> Result<()> {
    let mut buffer = vec![0; 8192];
    let mut request = Vec::new();
    let mut searched = 0;
    let head = loop {
        let new = &request[searched..];
        if let Some(end) = new.windows(4).position(|four| four == b"\r\n\r\n") {
            break searched + end + 4;
        }
        searched = request.len().saturating_sub(3);
        // A pipe cannot be searched for the end of a head.
        let by = if receive == "splice" { "read" } else { receive };
        let length = receive_some(stream, by, &mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..length]);
    };
    let length = content_length(&String::from_utf8_lossy(&request[..head]))?;
    let mut received = request.len() - head;
    while received < length {
        let more = receive_some(stream, receive, &mut buffer)?;
        ensure!(more > 0, "the request ended early");
        received += more;
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    answer(stream, send, head.as_bytes(), &vec![b'.'; length])
}

fn content_length(head: &str) -> Result<usize> {
    let value = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .unwrap_or("0");
    value.trim().parse().context("Content-Length")
}

fn receive_some(stream: &TcpStream, by: &str, buffer: &mut [u8]) -> Result<usize> {
    let fd = stream.as_raw_fd();
    // What scatters gets a first buffer that is smaller than any head.
    let (first, rest) = buffer.split_at_mut(7);
    let mut scattered = [IoSliceMut::new(first), IoSliceMut::new(rest)];
    Ok(match by {
        "read" => read(stream.as_fd(), buffer)?,
        "readv" => readv(stream.as_fd(), &mut scattered)?,
        "recv" => recv(fd, buffer, MsgFlags::empty())?,
        "recvfrom" => recvfrom::<()>(fd, buffer)?.0,
        "recvmsg" => recvmsg::<()>(fd, &mut scattered, None, MsgFlags::empty())?.bytes,
        "recvmmsg" => {
            let mut headers = MultiHeaders::<()>::preallocate(1, None);
            let mut messages = [scattered];
            // One message; on a stream, further ones would wait for further bytes.
            let mut received = recvmmsg(fd, &mut headers, &mut messages, MsgFlags::empty(), None)?;
            received.next().map_or(0, |message| message.bytes)
        }
        "peek" => {
            recv(fd, buffer, MsgFlags::MSG_PEEK)?;
            recv(fd, buffer, MsgFlags::empty())?
        }
        "splice" => {
            let (out, into) = pipe()?;
            let moved = splice(stream, None, into, None, 8192, SpliceFFlags::empty())?;
            let mut left = moved;
            while left > 0 {
                left -= read(&out, buffer)?;
            }
            moved
        }
        "io_uring" => ring::receive(stream, buffer)?,
        other => bail!("no way of receiving is called {other}"),
    })
}

fn answer(stream: &TcpStream, by: &str, head: &[u8], body: &[u8]) -> Result<()> {
    let whole = [head, body].concat();
    match by {
        "write" => all(&whole, |rest| Ok(write(stream, rest)?)),
        "send" => all(&whole, |rest| {
            Ok(send(stream.as_raw_fd(), rest, MsgFlags::empty())?)
        }),
        "writev" => all(&whole, |rest| Ok(writev(stream, &in_two(rest))?)),
        "sendmsg" => all(&whole, |rest| {
            let fd = stream.as_raw_fd();
            Ok(sendmsg::<()>(
                fd,
                &in_two(rest),
                &[],
                MsgFlags::empty(),
                None,
            )?)
        }),
        "sendmmsg" => all(&whole, |rest| {
            let mut headers = MultiHeaders::<SockaddrIn>::preallocate(2, None);
            let (one, two) = rest.split_at(rest.len() / 2);
            let messages = [[IoSlice::new(one)], [IoSlice::new(two)]];
            let sent = sendmmsg(
                stream.as_raw_fd(),
                &mut headers,
                &messages,
                [None, None],
                [],
                MsgFlags::empty(),
            )?;
            Ok(sent.map(|message| message.bytes).sum())
        }),
        "sendfile" => {
            all(head, |rest| Ok(write(stream, rest)?))?;
            let mut file = tempfile::tempfile()?;
            file.write_all(body)?;
            file.seek(SeekFrom::Start(0))?;
            all(body, |rest| Ok(sendfile(stream, &file, None, rest.len())?))
        }
        "splice" => {
            all(head, |rest| Ok(write(stream, rest)?))?;
            let (out, into) = pipe()?;
            all(body, |rest| {
                let mut left = write(&into, rest)?;
                let written = left;
                while left > 0 {
                    left -= splice(&out, None, stream, None, left, SpliceFFlags::empty())?;
                }
                Ok(written)
            })
        }
        "io_uring" => all(&whole, |rest| ring::send(stream, rest)),
        other => bail!("no way of sending is called {other}"),
    }
}

/// Calls `some` until all is sent.
fn all(mut rest: &[u8], some: impl Fn(&[u8]) -> Result<usize>) -> Result<()> {
    while !rest.is_empty() {
        let sent = some(rest)?;
        rest = &rest[sent..];
    }
    Ok(())
}

fn in_two(bytes: &[u8]) -> [IoSlice<'_>; 2] {
    let (one, two) = bytes.split_at(bytes.len().min(9));
    [IoSlice::new(one), IoSlice::new(two)]
}
