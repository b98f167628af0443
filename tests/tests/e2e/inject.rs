//! Headers that are inserted into requests: what arrives is what was sent, plus the header.
//!
//! The requests are this process's own, over the loopback: the agent inserts headers for this
//! program only. Forced, because some of the kernels that the tests run on do not pass the agent's
//! own test; what that is about does not concern these programs.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clew_tests::require::{self, Need};
use clew_tests::{Agent, Backend};
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};

mod cases;

on_each_backend!(
    what_arrives,
    random_splits,
    hundreds_on_one_connection,
    after_a_chunked_body,
    large_bodies,
    sent_from_a_file,
    held_back,
    an_agent_that_is_killed,
    a_state_goes_along,
);

/// Long enough for a machine whose processors are busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Length of the header's line.
const LINE: usize = 70;

/// Only one agent can have a socket in its map.
static TURN: Mutex<()> = Mutex::new(());

/// An agent that inserts headers into this process's requests, for one test at a time.
fn agent(test: &str, backend: Backend) -> Option<(Agent, MutexGuard<'static, ()>)> {
    if !require::met(test, &[Need::CgroupV2]) {
        return None;
    }
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let program = std::env::current_exe().unwrap();
    let program = program.to_str().unwrap();
    let scope = ["--propagate-header=force", "--include-exe", program];
    let agent = Agent::start(backend, &scope).unwrap();
    // It has to see first that this process is there.
    let deadline = Instant::now() + PATIENCE;
    let request = b"GET /warm HTTP/1.1\r\nHost: a\r\n\r\n";
    while headers(&exchange(&[request])).is_empty() {
        assert!(Instant::now() < deadline, "no headers: {}", agent.log());
    }
    Some((agent, turn))
}

/// Reads a connection to its end.
struct Sink {
    address: SocketAddr,
    reader: JoinHandle<Vec<u8>>,
}

impl Sink {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            listener
                .accept()
                .unwrap()
                .0
                .read_to_end(&mut received)
                .unwrap();
            received
        });
        Self { address, reader }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn finish(self, stream: &TcpStream) -> Vec<u8> {
        stream.shutdown(Shutdown::Write).unwrap();
        self.reader.join().unwrap()
    }
}

/// Lets time pass in which others work.
#[expect(
    clippy::disallowed_methods,
    reason = "the time is what is tested, and nothing has to interrupt it"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Sends pieces on a connection of their own, one write each; returns what arrives.
fn exchange(pieces: &[&[u8]]) -> Vec<u8> {
    let sink = Sink::start();
    let mut stream = sink.connect();
    for piece in pieces {
        stream.write_all(piece).unwrap();
    }
    sink.finish(&stream)
}

/// Where inserted headers are.
fn headers(received: &[u8]) -> Vec<usize> {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && bytes.iter().any(|byte| *byte != b'0')
    };
    let is_header = |line: &[u8]| {
        line.starts_with(b"traceparent: 00-")
            && hex(&line[16..48])
            && line[48] == b'-'
            && hex(&line[49..65])
            && line[65] == b'-'
            && line[68..70] == *b"\r\n"
    };
    let mut places = Vec::new();
    let mut at = 0;
    for line in received.split_inclusive(|byte| *byte == b'\n') {
        if line.len() == LINE && is_header(line) {
            places.push(at);
        }
        at += line.len();
    }
    places
}

/// What was received without the headers.
fn without(received: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(received.len());
    let mut from = 0;
    for at in headers(received) {
        rest.extend_from_slice(&received[from..at]);
        from = at + LINE;
    }
    rest.extend_from_slice(&received[from..]);
    rest
}

/// What was sent arrives, with as many headers, each after a request line.
#[track_caller]
fn check(name: &str, sent: &[&[u8]], received: &[u8], wanted: usize) {
    let sent = sent.concat();
    assert!(
        without(received) == sent,
        "{name}: {}",
        received.escape_ascii()
    );
    let places = headers(received);
    assert_eq!(places.len(), wanted, "{name}: {}", received.escape_ascii());
    for at in places {
        assert!(
            received[..at].ends_with(b" HTTP/1.1\r\n")
                || received[..at].ends_with(b" HTTP/1.0\r\n")
        );
    }
}

fn what_arrives(backend: Backend) {
    let Some(_agent) = agent("what_arrives", backend) else {
        return;
    };
    for (name, pieces, wanted) in cases::all() {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        check(&name, &pieces, &exchange(&pieces), wanted);
    }
}

/// A generator with a seed of its own for each case (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

/// Requests with counted bodies, cut anywhere: a request gets a header if, and only if, its head is
/// in one message, and nothing before it went unfollowed.
fn random_splits(backend: Backend) {
    let Some(_agent) = agent("random_splits", backend) else {
        return;
    };
    for seed in 1..300 {
        let mut random = Random(seed);
        let mut stream = Vec::new();
        let mut heads = Vec::new();
        for number in 0..1 + random.below(6) {
            let body = [0, 1, 300, 5000, 70_000][random.below(5)];
            let begin = stream.len();
            stream.extend_from_slice(
                format!("POST /{seed}.{number} HTTP/1.1\r\nContent-Length: {body}\r\n\r\n")
                    .as_bytes(),
            );
            heads.push(begin..stream.len());
            stream.extend((0..body).map(|at| b"GET / HTTP/1.1\r\n\r\n"[at % 18]));
        }
        let mut cuts: Vec<usize> = (0..random.below(8))
            .map(|_| random.below(stream.len()))
            .collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let wanted = heads
            .iter()
            .take_while(|head| !cuts.iter().any(|cut| head.start < *cut && *cut < head.end))
            .count();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        let received = exchange(&pieces);
        assert!(without(&received) == stream, "seed {seed}");
        // Where earlier bytes still wait to be sent a header is left out.
        let found = headers(&received).len();
        assert!(0 < found || wanted == 0, "seed {seed}: none of {wanted}");
        assert!(found <= wanted, "seed {seed}: {found} of {wanted}");
    }
}

/// A server that answers each request, whose end it knows by its own means.
struct Server {
    address: SocketAddr,
    thread: JoinHandle<Vec<u8>>,
}

impl Server {
    /// Answers whenever `end` is at the end of what has come.
    fn start(end: &'static [u8]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut received = Vec::new();
            let mut buffer = [0; 16384];
            loop {
                match stream.read(&mut buffer).unwrap() {
                    0 => return received,
                    count => received.extend_from_slice(&buffer[..count]),
                }
                if received.ends_with(end) {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        .unwrap();
                }
            }
        });
        Self { address, thread }
    }
}

fn answer(stream: &mut TcpStream) {
    let mut response = [0; 40];
    stream.read_exact(&mut response).unwrap();
    assert!(response.ends_with(b"ok"));
}

fn hundreds_on_one_connection(backend: Backend) {
    let Some((agent, _turn)) = agent("hundreds", backend) else {
        return;
    };
    let server = Server::start(b"\r\n\r\n");
    let mut stream = TcpStream::connect(server.address).unwrap();
    let mut sent = Vec::new();
    for number in 0..500 {
        let request = format!(
            "GET /s/hundreds-{}-{number}.1 HTTP/1.1\r\nHost: a\r\n\r\n",
            backend.name()
        );
        stream.write_all(request.as_bytes()).unwrap();
        sent.extend_from_slice(request.as_bytes());
        answer(&mut stream);
    }
    drop(stream);
    check("hundreds", &[&sent], &server.thread.join().unwrap(), 500);
    // Neither the stream nor the ids have holes: each request is a span of both ends.
    let name = format!("hundreds-{}-", backend.name());
    let spans = agent
        .spans()
        .wait(clew_tests::store::Which::Named(&name), 1000, PATIENCE);
    assert_eq!(spans.len(), 1000);
}

/// The end of a chunked body is told by the agent, which needs a moment.
fn after_a_chunked_body(backend: Backend) {
    let Some(_agent) = agent("after_a_chunked_body", backend) else {
        return;
    };
    let server = Server::start(b"\r\n\r\n");
    let mut stream = TcpStream::connect(server.address).unwrap();
    let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    stream.write_all(chunked).unwrap();
    answer(&mut stream);
    let mut sent = chunked.to_vec();
    // Each of these passes before the agent has told its beginning, or it gets a header. The time
    // between them grows.
    let deadline = Instant::now() + PATIENCE;
    let plain = b"GET / HTTP/1.1\r\n\r\n";
    for round in 1.. {
        pause(Duration::from_millis(10 * round));
        stream.write_all(plain).unwrap();
        sent.extend_from_slice(plain);
        answer(&mut stream);
        if round == 12 {
            break;
        }
        assert!(Instant::now() < deadline);
    }
    drop(stream);
    let received = server.thread.join().unwrap();
    assert!(without(&received) == sent);
    // The chunked one, and once the agent has caught up all of the others.
    let found = headers(&received).len();
    assert!(found >= 3, "{found} headers");
}

/// Bytes without a pattern that a mistake could hide in.
fn noise(random: &mut u64) -> u8 {
    *random = random
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    (*random >> 56) as u8
}

fn large_bodies(backend: Backend) {
    const BODY: usize = 300 << 20;
    let Some(_agent) = agent("large_bodies", backend) else {
        return;
    };
    let head = format!("PUT /large HTTP/1.1\r\nContent-Length: {BODY}\r\n\r\n");
    let tail = b"GET /after HTTP/1.1\r\n\r\n";
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let head_length = head.len() + LINE;
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut begin = vec![0; head_length];
        stream.read_exact(&mut begin).unwrap();
        let (mut left, mut random) = (BODY, 1);
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            let room = left.min(buffer.len());
            let count = stream.read(&mut buffer[..room]).unwrap();
            assert!(
                count > 0
                    && buffer[..count]
                        .iter()
                        .all(|byte| *byte == noise(&mut random))
            );
            left -= count;
        }
        stream.read_to_end(&mut begin).unwrap();
        begin
    });
    let mut stream = TcpStream::connect(address).unwrap();
    // A nonblocking sender: most of its writes are carried out in part.
    stream.set_nonblocking(true).unwrap();
    let mut random = 1;
    let mut waiting = head.clone().into_bytes();
    let mut made = 0;
    while made < BODY || !waiting.is_empty() {
        if waiting.is_empty() {
            let count = (BODY - made).min(777_777);
            waiting.extend((0..count).map(|_| noise(&mut random)));
            made += count;
            if made == BODY {
                waiting.extend_from_slice(tail);
            }
        }
        match stream.write(&waiting) {
            Ok(count) => drop(waiting.drain(..count)),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                let mut ready = [nix::poll::PollFd::new(
                    stream.as_fd(),
                    nix::poll::PollFlags::POLLOUT,
                )];
                nix::poll::poll(&mut ready, 10_000u16).unwrap();
            }
        }
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let received = reader.join().unwrap();
    let sent: [&[u8]; 2] = [head.as_bytes(), tail];
    assert!(
        without(&received) == sent.concat(),
        "{}",
        received.escape_ascii()
    );
    // The second one lies behind bytes that wait, in most runs.
    assert!(matches!(headers(&received).len(), 1 | 2));
}

fn sent_from_a_file(backend: Backend) {
    let Some(_agent) = agent("sent_from_a_file", backend) else {
        return;
    };
    let body: Vec<u8> = (0..500_000u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&body).unwrap();
    let after = b"GET / HTTP/1.1\r\n\r\n";
    for head_in_file in [false, true] {
        let sink = Sink::start();
        let mut stream = sink.connect();
        let mut whole = tempfile::tempfile().unwrap();
        if head_in_file {
            whole.write_all(head.as_bytes()).unwrap();
        } else {
            stream.write_all(head.as_bytes()).unwrap();
        }
        whole.write_all(&body).unwrap();
        let mut offset = 0;
        let length = whole.metadata().unwrap().len() as usize;
        while (offset as usize) < length {
            let left = length - offset as usize;
            nix::sys::sendfile::sendfile(&stream, &whole, Some(&mut offset), left).unwrap();
        }
        stream.write_all(after).unwrap();
        let received = sink.finish(&stream);
        let sent = [head.as_bytes(), &body, after].concat();
        assert!(
            without(&received) == sent,
            "head in the file: {head_in_file}"
        );
        assert!(
            !headers(&received).is_empty(),
            "head in the file: {head_in_file}"
        );
    }
}

/// Nagle's algorithm, `MSG_MORE`, hardly any room.
fn held_back(backend: Backend) {
    let Some(_agent) = agent("held_back", backend) else {
        return;
    };
    /// include/linux/socket.h
    const MSG_MORE: i32 = 0x8000;
    let head: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\n";
    let pieces = [head, b"foo", b"bar", head, b"foobar"];
    for how in ["nagle", "small buffer", "more"] {
        let sink = Sink::start();
        let stream = sink.connect();
        match how {
            "nagle" => stream.set_nodelay(false).unwrap(),
            "small buffer" => setsockopt(&stream, sockopt::SndBuf, &4096).unwrap(),
            _ => {}
        }
        for piece in pieces {
            let flags = if how == "more" {
                MsgFlags::from_bits_retain(MSG_MORE)
            } else {
                MsgFlags::empty()
            };
            let raw = std::os::fd::AsRawFd::as_raw_fd(&stream);
            assert_eq!(
                nix::sys::socket::send(raw, piece, flags).unwrap(),
                piece.len()
            );
        }
        let received = sink.finish(&stream);
        assert!(without(&received) == pieces.concat(), "{how}");
        assert!(
            how == "small buffer" || !headers(&received).is_empty(),
            "{how}"
        );
    }
}

/// However the agent dies, the connections that it had a hand in go on.
fn an_agent_that_is_killed(backend: Backend) {
    let Some((agent, _turn)) = agent("an_agent_that_is_killed", backend) else {
        return;
    };
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let server = Server::start(b"\r\n\r\n");
            let mut stream = TcpStream::connect(server.address).unwrap();
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let client = std::thread::spawn(move || {
                let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
                let mut count = 0;
                while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    stream.write_all(request).unwrap();
                    answer(&mut stream);
                    count += 1;
                }
                request.repeat(count)
            });
            (stop, client, server)
        })
        .collect();
    let some = Duration::from_millis(300);
    pause(some);
    agent.process().signal(Signal::SIGKILL).unwrap();
    pause(some);
    for (stop, client, server) in clients {
        drop(stop);
        let sent = client.join().unwrap();
        let received = server.thread.join().unwrap();
        assert!(without(&received) == sent);
        assert!(!headers(&received).is_empty());
    }
}

/// A request's `tracestate` goes to what it calls, if it came in one line of printable characters.
fn a_state_goes_along(backend: Backend) {
    let Some(_agent) = agent("a_state_goes_along", backend) else {
        return;
    };
    let long = format!("a={}", "x".repeat(300));
    for (name, fields, expected) in [
        ("one", "tracestate: a=1,b=2\r\n", "tracestate: a=1,b=2\r\n"),
        ("in capitals", "TraceState:a=1\r\n", "TraceState:a=1\r\n"),
        ("none", "", ""),
        ("two lines", "tracestate: a=1\r\ntracestate: b=2\r\n", ""),
        ("no text", "tracestate: a=\x01\r\n", ""),
        ("too long", &format!("tracestate: {long}\r\n"), ""),
        ("another name", "tracestates: a=1\r\n", ""),
    ] {
        let received = called_by(&format!(
            "GET / HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
             {fields}Host: a\r\n\r\n"
        ));
        let text = String::from_utf8(received).unwrap();
        let (line, rest) = text.split_once("\r\n").unwrap();
        assert_eq!(line, "GET /called HTTP/1.1", "{name}");
        let (context, rest) = rest.split_at(LINE);
        let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-";
        assert!(context.starts_with(trace), "{name}: {text}");
        assert_eq!(rest, format!("{expected}Host: b\r\n\r\n"), "{name}");
    }
}

/// Serves a request on a connection of its own, and gives what arrives at the server that is called
/// meanwhile.
fn called_by(request: &str) -> Vec<u8> {
    let sink = Sink::start();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let called = sink.connect();
    let server = std::thread::spawn(move || {
        let mut called = called;
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        assert!(stream.read(&mut head).unwrap() > 0);
        called
            .write_all(b"GET /called HTTP/1.1\r\nHost: b\r\n\r\n")
            .unwrap();
        called
    });
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    let called = server.join().unwrap();
    sink.finish(&called)
}
