//! What no peer should do. The agent must live, leak nothing and go on being right.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use clew_testbed::Deadline;
use clew_tests::service::{self, CURL, NGINX, Runtime};
use clew_tests::stage::with;
use clew_tests::{Backend, Kind, Stage, raw};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::protocol::after_all_else;

on_each_backend!(
    garbage_on_an_http_port,
    ten_megabytes_of_head,
    answers_that_nobody_asked_for,
    a_client_that_leaves,
    a_server_that_stops_short,
    a_server_killed_before_and_amid_its_answer,
    ten_thousand_connections_dropped,
);

const PORT: u16 = 8080;
const HELLO: &str = "server {
    listen 127.0.0.1:8080 backlog=4096;
    location ~ /slow$ { limit_rate 20k; try_files /file =404; }
    location ~ /big$ { try_files /file =404; }
    location / { return 200 'hello\n'; }
}";

fn nginx(stage: &Stage) -> clew_testbed::Process {
    let nginx = service::nginx(stage, "nginx", HELLO, PORT).unwrap();
    let file = std::fs::File::create(stage.directory().join("nginx/www/file")).unwrap();
    file.set_len(64 << 20).unwrap();
    nginx
}

fn garbage_on_an_http_port(backend: Backend) {
    let Some(stage) = Stage::shared("garbage", backend, &[CURL, NGINX]) else {
        return;
    };
    let _nginx = nginx(&stage);
    // Repeatable noise (xorshift), and noise that begins like a request.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        let bytes = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        });
        bytes.take(5000).collect::<Vec<u8>>()
    };
    for begin in [
        "",
        "GET ",
        "GET / HTTP/1.1\r\nHost",
        "HTTP/1.1 200 OK\r\n",
        "\r\n\r\n\0",
    ] {
        for _ in 0..10 {
            let bytes = [begin.as_bytes(), &noise(), b"\r\n\r\n"].concat();
            let mut stream = raw::connect(&stage, PORT).unwrap();
            // Whatever nginx says to that, and whenever it has had enough.
            let _refused = stream.write_all(&bytes);
            let _closed = stream.shutdown(std::net::Shutdown::Write);
            let _ended_or_reset = stream.read_to_end(&mut Vec::new());
        }
    }
    after_all_else(&stage, PORT);
}

/// nginx refuses such a head; a server that takes it answers when all of it has come.
fn ten_megabytes_of_head(backend: Backend) {
    let Some(stage) = Stage::shared("long-head", backend, &[CURL, NGINX]) else {
        return;
    };
    let line = format!("X-Long: {}\r\n", ".".repeat(8000));
    let lines = line.repeat((10 << 20) / line.len());
    let head = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");

    let _nginx = nginx(&stage);
    let refused = stage.path("refused");
    let answer = raw::exchange(&stage, PORT, head(&refused).as_bytes(), 1 << 20).unwrap();
    let expected = b"HTTP/1.1 400 ";
    assert!(
        answer.is_empty() || answer.starts_with(expected),
        "nginx refuses it"
    );
    let server = |span: &&clew_tests::Span| span.kind == Kind::Server;
    let spans = stage.spans_of(&refused, 2);
    let span = spans.iter().find(server).expect("nginx's span");
    assert_eq!(
        span.attribute("http.response.status_code"),
        "400",
        "{span:#?}"
    );

    let taken = stage.path("taken");
    let calls = with(
        Command::new(env!("CARGO_BIN_EXE_calls")),
        &["8081", "read", "write"],
    );
    let _calls = service::listening(stage.start("calls", calls).unwrap(), 8081).unwrap();
    let mut stream = raw::connect(&stage, 8081).unwrap();
    stream.write_all(head(&taken).as_bytes()).unwrap();
    raw::read_until(&mut stream, "\r\n\r\n").unwrap();
    drop(stream);
    let (client, server) = stage.pair(&taken);
    for span in [&client, &server] {
        assert_eq!(
            span.attribute("http.response.status_code"),
            "200",
            "{span:#?}"
        );
    }
    after_all_else(&stage, PORT);
}

fn answers_that_nobody_asked_for(backend: Backend) {
    let Some(stage) = Stage::shared("unasked", backend, &[CURL, NGINX]) else {
        return;
    };
    let _nginx = nginx(&stage);
    for (port, answers) in (8001..).zip([1, 2, 100]) {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".repeat(answers);
        let server = raw::canned(&stage, port, answer.clone().into_bytes(), true).unwrap();
        let mut stream = raw::connect(&stage, port).unwrap();
        let mut read = vec![0; answer.len()];
        stream.read_exact(&mut read).unwrap();
        // A request after its answer.
        let path = stage.path(&format!("late{answers}"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        drop(stream);
        server.join().unwrap().unwrap();
    }
    after_all_else(&stage, PORT);
}

fn a_client_that_leaves(backend: Backend) {
    let Some(stage) = Stage::shared("leaving", backend, &[CURL, NGINX]) else {
        return;
    };
    let _nginx = nginx(&stage);
    let path = format!("{}/big", stage.path("leaves"));
    let mut stream = raw::connect(&stage, PORT).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    drop(stream);
    for span in stage.spans_of(&path, 2) {
        assert_eq!(
            span.attribute("http.response.status_code"),
            "200",
            "{span:#?}"
        );
        assert_ne!(span.attribute("error.type"), "", "{span:#?}");
        assert!(span.error, "{span:#?}");
    }
    after_all_else(&stage, PORT);
}

/// It promises more than it sends, or nothing at all, and then closes or resets.
fn a_server_that_stops_short(backend: Backend) {
    let Some(stage) = Stage::shared("short-answer", backend, &[]) else {
        return;
    };
    let some = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    for (port, (answer, reset)) in
        (8001..).zip([(some, false), (some, true), ("", false), ("", true)])
    {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let bind = || std::net::TcpListener::bind(address);
        let listener = stage.namespace().enter(bind).unwrap().unwrap();
        let path = stage.path(&port.to_string());
        let mut client = raw::connect(&stage, port).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        raw::read_until(&mut server, "\r\n\r\n").unwrap();
        server.write_all(answer.as_bytes()).unwrap();
        client.read_exact(&mut vec![0; answer.len()]).unwrap();
        if reset {
            // A socket that closes without lingering resets its connection (socket(7)).
            let at_once = nix::libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            nix::sys::socket::setsockopt(&server, nix::sys::socket::sockopt::Linger, &at_once)
                .unwrap();
        }
        drop(server);
        let _ended_or_reset = client.read_to_end(&mut Vec::new());
        drop(client);
        let status = if answer.is_empty() { "" } else { "200" };
        for span in stage.spans_of(&path, 2) {
            let what = format!("{answer:?}, reset {reset}: {span:#?}");
            assert_eq!(
                span.attribute("http.response.status_code"),
                status,
                "{what}"
            );
            let error = span.attribute("error.type");
            // The server's own close is no reset to itself.
            let expected = if reset && span.kind == Kind::Client {
                ["connection_reset"; 2]
            } else {
                ["connection_closed", "connection_reset"]
            };
            assert!(expected.contains(&error), "{what}");
        }
    }
}

fn a_server_killed_before_and_amid_its_answer(backend: Backend) {
    let needs = [Runtime::NEEDS, &[CURL, NGINX]].concat();
    let Some(stage) = Stage::shared("killed", backend, &needs) else {
        return;
    };
    let kill = |server: &clew_testbed::Process| {
        killpg(Pid::from_raw(server.pid().cast_signed()), Signal::SIGKILL).unwrap();
    };

    let amid = format!("{}/slow", stage.path("amid"));
    let server = nginx(&stage);
    let mut stream = raw::connect(&stage, PORT).unwrap();
    let request = format!("GET {amid} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    kill(&server);
    let _ended_or_reset = stream.read_to_end(&mut Vec::new());
    for span in stage.spans_of(&amid, 2) {
        assert_eq!(
            span.attribute("http.response.status_code"),
            "200",
            "{span:#?}"
        );
        assert_ne!(span.attribute("error.type"), "", "{span:#?}");
    }

    let before = stage.path("before");
    let server = Runtime::Python.start(&stage, 8081).unwrap();
    let mut stream = raw::connect(&stage, 8081).unwrap();
    let request = format!("GET {before} HTTP/1.1\r\nX-Plan: {{\"work_ms\": 60000}}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    // The server is at work once it has read the request: nothing waits in its socket.
    let read = Deadline::after(Stage::SOON).poll(|| (unread(&stage, 8081) == 0).then_some(()));
    assert_eq!(read, Some(()), "the server has not read the request");
    kill(&server);
    let _ended_or_reset = stream.read_to_end(&mut Vec::new());
    for span in stage.spans_of(&before, 2) {
        assert_eq!(span.attribute("http.response.status_code"), "", "{span:#?}");
        assert_ne!(span.attribute("error.type"), "", "{span:#?}");
        assert!(span.error, "{span:#?}");
    }
}

/// Bytes that wait in the sockets of a local port (`rx_queue` in /proc/net/tcp, proc_net_tcp).
fn unread(stage: &Stage, port: u16) -> u64 {
    let table = || std::fs::read_to_string("/proc/thread-self/net/tcp");
    let table = stage.namespace().enter(table).unwrap().unwrap();
    let local = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let waiting = fields.get(4)?.split_once(':')?.1;
            fields[1].ends_with(&local).then_some(waiting)
        })
        .filter_map(|waiting| u64::from_str_radix(waiting, 16).ok())
        .sum()
}

fn ten_thousand_connections_dropped(backend: Backend) {
    const CONNECTIONS: usize = 10_000;
    let Some(stage) = Stage::shared("dropped", backend, &[CURL, NGINX]) else {
        return;
    };
    let _nginx = nginx(&stage);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], PORT));
    let connect = || (0..CONNECTIONS).try_for_each(|_| TcpStream::connect(address).map(drop));
    stage.namespace().enter(connect).unwrap().unwrap();
    after_all_else(&stage, PORT);
    // What has ended is let go: other tests hold a few connections, not thousands.
    let open = || {
        stage
            .agent()
            .metrics()
            .sum("clew_open_connections", ("", ""))
    };
    let few = Deadline::after(Duration::from_secs(60))
        .poll(|| Some(open()).filter(|&open| open < 2000.0));
    assert!(few.is_some(), "{} connections are kept", open());
}
