//! Bytes as no well-behaved program sends them. The test process is then one of the ends.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::stage::Stage;

/// No peer of these tests takes longer to say something.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connects to a port of the stage's loopback. Each write leaves as a segment of its own.
///
/// # Errors
/// When nothing listens there.
pub fn connect(stage: &Stage, port: u16) -> Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = stage
        .namespace()
        .enter(|| TcpStream::connect(address))?
        .with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends the bytes in writes of `step` and returns everything that is answered until the server
/// closes. A server that closes before it has read all is no failure.
///
/// # Errors
/// When nothing listens there, or the server keeps silent.
pub fn exchange(stage: &Stage, port: u16, bytes: &[u8], step: usize) -> Result<Vec<u8>> {
    let mut stream = connect(stage, port)?;
    for piece in bytes.chunks(step) {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(error).context("no answer")
        }
        // A reset: what came before it is the answer.
        _ => Ok(answer),
    }
}

/// Reads until the text has come.
///
/// # Errors
/// When the stream ends, or falls silent, before.
pub fn read_until(stream: &mut TcpStream, text: &str) -> Result<String> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(text.as_bytes()) {
        stream
            .read_exact(&mut byte)
            .with_context(|| format!("after {:?}", String::from_utf8_lossy(&read)))?;
        read.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// A server for one connection: waits for the end of a request's head (not at all, if `unasked`),
/// sends the bytes and closes.
///
/// # Errors
/// When the port is taken.
pub fn canned(
    stage: &Stage,
    port: u16,
    bytes: Vec<u8>,
    unasked: bool,
) -> Result<JoinHandle<Result<()>>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = stage.namespace().enter(|| TcpListener::bind(address))??;
    Ok(std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        if !unasked {
            read_until(&mut stream, "\r\n\r\n")?;
        }
        stream.write_all(&bytes)?;
        stream.shutdown(Shutdown::Write)?;
        // The client closes first: nothing that it has sent is left unread, so nothing is reset.
        let mut rest = Vec::new();
        let _ended_or_reset = stream.read_to_end(&mut rest);
        Ok(())
    }))
}
