//! A request's `tracestate` goes along with the header that is inserted into what it causes.
//!
//! A program of its own, without the agents that other tests share: beside another agent that passes
//! contexts on, one that inserts headers did not know the cause of these requests. Why is not known.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use clew_tests::{Agent, Backend, require};

const TRACE: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-";
const PARENT: &str = "b7ad6b7169203331-01\r\n";

/// In one line of printable characters, and not longer than what is kept.
#[test]
fn goes_along() {
    if !require::met("tracestate", &[]) {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let program = program.to_str().unwrap();
    for backend in [Backend::Socket, Backend::Syscall] {
        let scope = ["--propagate-header=force", "--include-exe", program];
        let agent = Agent::start(backend, &scope).unwrap();
        // It has to see first that this process is there.
        let deadline = Instant::now() + Duration::from_secs(20);
        while !called_by("").contains(TRACE) {
            assert!(Instant::now() < deadline, "no headers: {}", agent.log());
        }
        let long = format!("tracestate: a={}\r\n", "x".repeat(300));
        for (fields, expected) in [
            ("tracestate: a=1,b=2\r\n", "tracestate: a=1,b=2\r\n"),
            ("TraceState:a=1\r\n", "TraceState:a=1\r\n"),
            ("", ""),
            ("tracestate: a=1\r\ntracestate: b=2\r\n", ""),
            ("tracestate: a=\x01\r\n", ""),
            (&long, ""),
            ("tracestates: a=1\r\n", ""),
        ] {
            let text = called_by(fields);
            let rest = text.strip_prefix("GET /called HTTP/1.1\r\n").unwrap();
            let rest = rest.strip_prefix(TRACE).expect(&text);
            let (_, rest) = rest.split_once("\r\n").unwrap();
            assert_eq!(rest, format!("{expected}Host: b\r\n\r\n"), "{fields}");
        }
    }
}

/// Serves a request with a context and these fields on a thread of its own, and gives what arrives at
/// the server that is called meanwhile.
fn called_by(fields: &str) -> String {
    let [called, serving] = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let address = called.local_addr().unwrap();
    let receiver = std::thread::spawn(move || {
        let mut text = String::new();
        let (mut stream, _) = called.accept().unwrap();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let mut calling = TcpStream::connect(address).unwrap();
    let mut client = TcpStream::connect(serving.local_addr().unwrap()).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = serving.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        let request = b"GET /called HTTP/1.1\r\nHost: b\r\n\r\n";
        calling.write_all(request).unwrap();
        calling.shutdown(Shutdown::Write).unwrap();
    });
    let request = format!("GET / HTTP/1.1\r\n{TRACE}{PARENT}{fields}Host: a\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    server.join().unwrap();
    receiver.join().unwrap()
}
