//! Load at a constant rate, from one thread, over connections that stay open.
//!
//! Requests are due at fixed times, whether or not earlier ones were answered, and latency counts
//! from the time a request was due: a server that stalls is not spared the requests that would
//! have come meanwhile (no coordinated omission).
//!
//! Why not a ready-made generator: see docs/measurements.md, "Method".

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::asked::Asked;
use super::cpu::Ahead;
use super::statistics::quantile;

/// After the last request was due, for the last answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most of an answer that is kept to find out how long it is.
const HEAD_MAX: usize = 16 << 10;

/// When requests are due.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Requests a second, on average.
    rate: f64,
    /// This many at once.
    bunch: u64,
}

impl Pace {
    /// Requests that are due within this time are due together. Each wake-up, of this generator by
    /// its timer and of a sleeping server by a request, costs some 10 µs where processors are
    /// virtual: at one request at a time, 25 000 a second fill a processor.
    const STEP: Duration = Duration::from_micros(500);

    /// As evenly as can be had.
    pub fn even(rate: f64) -> Self {
        Self::bunched(rate, Self::STEP)
    }

    /// All requests of a time at its beginning.
    pub fn bunched(rate: f64, time: Duration) -> Self {
        let bunch = ((rate * time.as_secs_f64()) as u64).max(1);
        Self { rate, bunch }
    }

    /// From the first request to this one.
    fn due(self, number: u64) -> Duration {
        let bunch = number - number % self.bunch;
        Duration::from_secs_f64(bunch as f64 / self.rate)
    }
}

/// Connections to a server.
pub struct Load {
    asked: Asked,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Requests that were due.
    pub due: u64,
    /// Requests that were answered, in full.
    pub answered: u64,
    /// From when each was due to the last byte of its answer, in seconds, ascending.
    latencies: Vec<f64>,
}

impl Outcome {
    /// The latency that a share of the requests did not exceed, in seconds.
    pub fn latency(&self, share: f64) -> Option<f64> {
        quantile(&self.latencies, share)
    }
}

impl Load {
    /// Opens the connections.
    ///
    /// # Errors
    /// When the server does not accept.
    pub fn connect(server: SocketAddr, asked: Asked, connections: usize) -> Result<Self> {
        // More than any answer here, so that each is one read.
        let mut buffer = vec![0; 256 << 10];
        let mut connect = || -> Result<Connection> {
            let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut connection = Connection {
                stream,
                asked,
                open: None,
                head: Vec::new(),
                missing: None,
            };
            for greeting in asked.greeting() {
                let begin = Instant::now();
                connection.send(&greeting, begin)?;
                while connection.receive(&mut buffer)?.is_none() {
                    ensure!(
                        begin.elapsed() < PATIENCE,
                        "no answer to what a connection begins with"
                    );
                }
            }
            connection.stream.set_nonblocking(true)?;
            Ok(connection)
        };
        let connections: Result<Vec<Connection>> = (0..connections).map(|_| connect()).collect();
        Ok(Self {
            asked,
            connections: connections.with_context(|| format!("connecting to {server}"))?,
            buffer,
        })
    }

    /// Sends requests at a pace for a time (HTTP's for `path`), and waits for the last answers.
    ///
    /// # Errors
    /// When the server closes a connection, or does not answer with a success.
    pub fn run(&mut self, path: &str, pace: Pace, lasting: Duration) -> Result<Outcome> {
        ensure!(pace.rate > 0.0, "no load: {pace:?}");
        let requests = self.asked.requests(path);
        let mut next = requests.iter().cycle();
        let total = (pace.rate * lasting.as_secs_f64()) as u64;
        let mut latencies = Vec::with_capacity(usize::try_from(total)?);
        let mut sent = 0;
        let _ahead = Ahead::of_all()?;
        let start = Instant::now();
        let due = |number| start + pace.due(number);
        let end = start + lasting + PATIENCE;

        loop {
            let mut now = Instant::now();
            for connection in self.connections.iter_mut().filter(|c| c.open.is_none()) {
                if sent == total || due(sent) > now {
                    break;
                }
                let request = next.next().context("nothing to ask")?;
                connection.send(request, due(sent))?;
                sent += 1;
            }
            let open = self.connections.iter().any(|c| c.open.is_some());
            if (sent == total && !open) || now > end {
                break;
            }
            // Awake while an answer is under way: else the server pays for waking this thread, and
            // more where the agent keeps its processor from idling, which needs an interrupt.
            let until = match open {
                true => now,
                false => due(sent),
            };
            for number in self.readable(until.saturating_duration_since(now))? {
                let connection = &mut self.connections[number];
                if let Some(due) = connection.receive(&mut self.buffer)? {
                    now = Instant::now();
                    latencies.push((now - due).as_secs_f64());
                }
            }
        }
        latencies.sort_by(f64::total_cmp);
        Ok(Outcome {
            due: total,
            answered: latencies.len() as u64,
            latencies,
        })
    }

    /// The connections on which something has come; none when the time is over.
    fn readable(&self, within: Duration) -> Result<Vec<usize>> {
        let mut polled: Vec<PollFd<'_>> = self
            .connections
            .iter()
            .map(|connection| PollFd::new(connection.stream.as_fd(), PollFlags::POLLIN))
            .collect();
        match ppoll(&mut polled, Some(TimeSpec::from_duration(within)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("waiting for answers"),
        }
        let ready = polled
            .iter()
            .enumerate()
            .filter(|(_, fd)| fd.any() == Some(true));
        Ok(ready.map(|(number, _)| number).collect())
    }
}

struct Connection {
    stream: TcpStream,
    asked: Asked,
    /// When the request that is not yet answered was due.
    open: Option<Instant>,
    /// Its answer as far as it has come, while its length is not known.
    head: Vec<u8>,
    /// How much of it has not come, once that is known.
    missing: Option<usize>,
}

impl Connection {
    fn send(&mut self, request: &[u8], due: Instant) -> Result<()> {
        // Nothing else is in this socket's buffer, so the request fits.
        let sent = self.stream.write(request).context("sending a request")?;
        ensure!(sent == request.len(), "a request was sent in part");
        self.open = Some(due);
        Ok(())
    }

    /// Reads what has come; returns when the request was due, if its answer is complete.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<Instant>> {
        let length = match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("receiving an answer"),
        };
        let missing = match self.missing {
            Some(missing) => missing.checked_sub(length),
            None => match self.length(&buffer[..length])? {
                Some((all, come)) => all.checked_sub(come),
                None => return Ok(None),
            },
        };
        let missing = missing.context("the server sent more than one answer")?;
        if missing > 0 {
            self.missing = Some(missing);
            return Ok(None);
        }
        self.missing = None;
        self.head.clear();
        Ok(Some(
            self.open.take().context("an answer without a request")?,
        ))
    }

    /// The answer's length with these bytes, once it is known, and what has come of it.
    fn length(&mut self, bytes: &[u8]) -> Result<Option<(usize, usize)>> {
        let before = self.head.len();
        let room = (HEAD_MAX - before).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        let length = self.asked.answer(&self.head)?;
        ensure!(
            length.is_some() || self.head.len() < HEAD_MAX,
            "an answer whose length is not known after {HEAD_MAX} bytes"
        );
        Ok(length.map(|length| (length, before + bytes.len())))
    }
}
