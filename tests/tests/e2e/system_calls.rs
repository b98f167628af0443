//! Every way in and out of a socket gives the same spans and the same body sizes.

use std::process::Command;

use clew_tests::otlp::{Kind, Span};
use clew_tests::service::{self, CURL};
use clew_tests::stage::with;
use clew_tests::{Backend, Stage};

on_both_backends!(each_way_in, each_way_out);

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

#[track_caller]
fn check(backend: Backend, direction: &str, ways: &[(&str, &str)]) {
    let test = format!("calls-{direction}");
    let Some(stage) = Stage::shared(&test, backend, &[CURL]) else {
        return;
    };
    let body = stage.directory().join("body");
    std::fs::write(&body, vec![b'.'; BODY]).unwrap();
    for ((receive, send), port) in ways.iter().zip(8001..) {
        let server = Command::new(env!("CARGO_BIN_EXE_calls"));
        let arguments = [&port.to_string(), *receive, *send];
        let server = stage.start(&format!("{receive}-{send}"), with(server, &arguments));
        let server = service::listening(server.unwrap(), port).unwrap();
        let path = stage.path(&format!("{receive}-{send}"));
        let answer = stage.curl(&[
            "--upload-file",
            &body.display().to_string(),
            &format!("http://127.0.0.1:{port}{path}"),
        ]);
        assert_eq!(answer.len(), BODY, "{receive}, {send}");

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
