//! Every way in and out of a socket gives the same spans and the same body sizes.

use std::process::Command;

use clew_testbed::Process;
use clew_tests::otlp::{Kind, Span};
use clew_tests::service::{self, CURL};
use clew_tests::stage::with;
use clew_tests::{Backend, Stage};

on_each_backend!(each_way_in, each_way_out, io_uring);

/// More than one buffer of the server's, and more than the agent captures of a chunk.
const BODY: usize = 20_000;

fn each_way_in(backend: Backend) {
    let ways = [
        "read", "readv", "recv", "recvfrom", "recvmsg", "recvmmsg", "peek", "splice",
    ];
    check(backend, "in", &ways.map(|way| (way, "write")));
}

fn each_way_out(backend: Backend) {
    let ways = [
        "write", "writev", "send", "sendmsg", "sendmmsg", "sendfile", "splice",
    ];
    check(backend, "out", &ways.map(|way| ("read", way)));
}

/// What the server's side cannot show on a backend.
struct Unseen {
    request_body: bool,
    response: bool,
}

/// The socket tracepoints are not reached by splice from a socket, and do not say which of several
/// messages of one sendmmsg they stand for. Then the span must lack what was not seen, not guess.
fn unseen(backend: Backend, receive: &str, send: &str, span: &Span) -> Unseen {
    let server_on_tracepoints = backend == Backend::Socket && span.kind == Kind::Server;
    Unseen {
        request_body: server_on_tracepoints && receive == "splice",
        response: server_on_tracepoints && send == "sendmmsg",
    }
}

/// Starts a server, and makes one exchange with it.
#[track_caller]
fn exchange(stage: &Stage, receive: &str, send: &str, port: u16) -> (Process, String) {
    let body = stage.directory().join("body");
    std::fs::write(&body, vec![b'.'; BODY]).unwrap();
    let server = Command::new(env!("CARGO_BIN_EXE_calls"));
    let arguments = [&port.to_string(), receive, send];
    let server = stage.start(&format!("{receive}-{send}"), with(server, &arguments));
    let server = service::listening(server.unwrap(), port).unwrap();
    let path = stage.path(&format!("{receive}-{send}"));
    let answer = stage.curl(&[
        "--upload-file",
        &body.display().to_string(),
        &format!("http://127.0.0.1:{port}{path}"),
    ]);
    assert_eq!(answer.len(), BODY, "{receive}, {send}");
    (server, path)
}

/// Where the kernel's own description of the buffer is at hand, what io_uring moves is seen as anything
/// else is. From the tracepoints only lengths are known, and from system calls nothing: then there must
/// be no span of the server's rather than half of one.
fn io_uring(backend: Backend) {
    if backend == Backend::Fentry {
        return check(backend, "ring", &[("io_uring", "io_uring")]);
    }
    let Some(stage) = Stage::shared("calls-ring", backend, &[CURL]) else {
        return;
    };
    let (_server, path) = exchange(&stage, "io_uring", "io_uring", 8001);
    let (_other, fence) = exchange(&stage, "read", "write", 8002);
    stage.pair(&fence);
    let spans = stage.spans_of(&path, 1);
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!(spans[0].kind, Kind::Client, "{spans:#?}");
    assert_eq!(spans[0].attribute("http.response.status_code"), "200");
}

#[track_caller]
fn check(backend: Backend, direction: &str, ways: &[(&str, &str)]) {
    let test = format!("calls-{direction}");
    let Some(stage) = Stage::shared(&test, backend, &[CURL]) else {
        return;
    };
    for ((receive, send), port) in ways.iter().zip(8001..) {
        let (server, path) = exchange(&stage, receive, send, port);
        let (client, server_span) = stage.pair(&path);
        for span in [&client, &server_span] {
            let unseen = unseen(backend, receive, send, span);
            let whole = Some(BODY as u64);
            let seen = |is_unseen| if is_unseen { None } else { whole };
            assert_eq!(
                [
                    span.number("http.request.body.size"),
                    span.number("http.response.body.size")
                ],
                [seen(unseen.request_body), seen(unseen.response)],
                "{receive}, {send}: {span:#?}"
            );
            assert_eq!(span.attribute("http.request.method"), "PUT");
            let status = if unseen.response { "" } else { "200" };
            assert_eq!(span.attribute("http.response.status_code"), status);
            let noted = !span.attribute("clew.notes").is_empty();
            assert_eq!(
                noted,
                unseen.request_body || unseen.response,
                "what is not seen is said: {span:#?}"
            );
        }
        assert_eq!(server_span.pid(), Some(server.pid()), "{receive}, {send}");
    }
}
