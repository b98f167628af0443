//! Traffic at a bounded rate, until it is told to end; then what became of it: two numbers, answered and
//! unanswered.
//!
//! It is a process of its own (`cargo xtask soak-client`), because it is traced. Paths are
//! /s/soak-NAME-THREAD-NUMBER.HOP. Answered: a whole answer has come. Unanswered: it was sent, wholly or not,
//! and no answer came. Connections that are refused are tried again later. Whatever else is not as it should
//! be ends the process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::bench::asked::Asked;
use crate::command;

/// For an answer. No longer than the soak waits for this process to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What could not be sent in its time is not sent in a heap afterwards, but for so much.
const LATE: Duration = Duration::from_secs(1);

/// The longest sleep: it may be told to end.
const NAP: Duration = Duration::from_millis(100);

/// What `cargo xtask soak-client` is told.
#[derive(clap::Args)]
pub struct Options {
    /// What it is called in paths.
    name: String,
    /// What is spoken.
    #[arg(value_enum)]
    protocol: Protocol,
    /// Requests a second.
    rate: f64,
    /// Threads, each of which waits for its answers.
    threads: u32,
    /// Requests on a connection.
    requests: u64,
    /// The service.
    service: SocketAddr,
    /// A service that this one shall call.
    called: Option<SocketAddr>,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// Redis.
    Redis,
}

/// What became of requests.
#[derive(Default)]
struct Counts {
    answered: u64,
    unanswered: u64,
}

/// Asks until it is told to end.
///
/// # Errors
/// When a service answers anything unexpected.
pub fn client(options: &Options) -> Result<()> {
    let over = command::told_to_end()?;
    let counts = thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads)
            .map(|number| {
                let over = &over;
                scope.spawn(move || {
                    work(options, number, over).unwrap_or_else(|error| {
                        // It is no outcome to be counted.
                        println!("{error:#}");
                        std::process::exit(1);
                    })
                })
            })
            .collect();
        threads
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect::<Vec<_>>()
    });
    let mut sum = Counts::default();
    for counts in counts {
        let Ok(counts) = counts else {
            bail!("a thread panicked");
        };
        sum.answered += counts.answered;
        sum.unanswered += counts.unanswered;
    }
    println!("{} {}", sum.answered, sum.unanswered);
    Ok(())
}

fn work(options: &Options, thread: u32, over: &AtomicBool) -> Result<Counts> {
    let pause = Duration::from_secs_f64(f64::from(options.threads) / options.rate);
    let mut counts = Counts::default();
    let mut number = 0;
    let mut connection: Option<Connection> = None;
    let mut due = Instant::now();
    loop {
        loop {
            if over.load(Ordering::Relaxed) {
                return Ok(counts);
            }
            let early = due.saturating_duration_since(Instant::now());
            if early.is_zero() {
                break;
            }
            thread::park_timeout(early.min(NAP));
        }
        let now = Instant::now();
        due = (due + pause).max(now.checked_sub(LATE).unwrap_or(now));
        let mut current = match connection.take() {
            Some(connection) => connection,
            None => match Connection::to(options.service) {
                Ok(connection) => connection,
                Err(_refused) => continue,
            },
        };
        number += 1;
        let answer = match options.protocol {
            Protocol::Http => current.get(options, thread, number),
            Protocol::Redis => current.increment(number),
        };
        match answer? {
            Answer::Came => counts.answered += 1,
            Answer::Failed => {
                counts.unanswered += 1;
                continue;
            }
        }
        if !number.is_multiple_of(options.requests) {
            connection = Some(current);
        }
    }
}

enum Answer {
    Came,
    /// The connection broke, or it took too long.
    Failed,
}

struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn to(service: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&service, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends, and reads a line of the answer with its end; `None` when that fails.
    fn ask(&mut self, request: &[u8]) -> Option<String> {
        self.stream.get_mut().write_all(request).ok()?;
        self.line()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        line.ends_with('\n').then_some(line)
    }

    fn get(&mut self, options: &Options, thread: u32, number: u64) -> Result<Answer> {
        let request = format!("soak-{}-{thread}-{number}", options.name);
        let calls = match options.called {
            Some(called) => format!(r#"{{"url":"http://{called}/s/{request}.2"}}"#),
            None => String::new(),
        };
        let service = options.service;
        let head = format!(
            "GET /s/{request}.1 HTTP/1.1\r\nHost: {service}\r\nX-Plan: {{\"calls\":[{calls}]}}\r\n\r\n"
        );
        let Some(mut head) = self.ask(head.as_bytes()) else {
            return Ok(Answer::Failed);
        };
        while !head.ends_with("\r\n\r\n") {
            match self.line() {
                Some(line) => head.push_str(&line),
                None => return Ok(Answer::Failed),
            }
        }
        let length = Asked::Http
            .answer(head.as_bytes())
            .with_context(|| request.clone())?;
        let mut body = vec![0; length.unwrap_or_default().saturating_sub(head.len())];
        ensure!(!body.is_empty(), "{request}: an empty answer");
        Ok(match self.stream.read_exact(&mut body) {
            Ok(()) => Answer::Came,
            Err(_) => Answer::Failed,
        })
    }

    fn increment(&mut self, number: u64) -> Result<Answer> {
        let key = format!("soak:{}", number % 100);
        let request = format!("*2\r\n$4\r\nINCR\r\n${}\r\n{key}\r\n", key.len());
        let Some(answer) = self.ask(request.as_bytes()) else {
            return Ok(Answer::Failed);
        };
        ensure!(answer.starts_with(':'), "Redis answered {answer}");
        Ok(Answer::Came)
    }
}
