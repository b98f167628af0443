//! Every way in and out of a socket gives the same spans and the same body sizes.

use std::process::Command;

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
            let sizes = ["http.request.body.size", "http.response.body.size"];
            let sizes = sizes.map(|size| span.number(size));
            assert_eq!(
                sizes,
                [Some(BODY as u64); 2],
                "{receive}, {send}: {span:#?}"
            );
            assert_eq!(span.attribute("http.request.method"), "PUT");
            assert_eq!(span.attribute("http.response.status_code"), "200");
        }
        assert_eq!(server_span.pid(), Some(server.pid()), "{receive}, {send}");
    }
}
