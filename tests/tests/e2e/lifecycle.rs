//! Processes that come and go, and connections that were there before the agent.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;

use clew_tests::plan::Hop;
use clew_tests::require::{self, Need};
use clew_tests::score::Score;
use clew_tests::service::{self, CURL, NGINX, Runtime};
use clew_tests::stage::{lone_hop, with};
use clew_tests::store::Which;
use clew_tests::{Agent, Backend, Kind, Stage, raw};

on_each_backend!(
    connections_older_than_the_agent,
    a_hundred_short_processes,
    a_server_that_forks,
    a_service_that_names_itself,
    a_host_without_cgroup_v2,
);

const PORT: u16 = 8080;
const HELLO: &str = "server { listen 127.0.0.1:8080; return 200 'hello\n'; }";

fn connections_older_than_the_agent(backend: Backend) {
    let Some(stage) = Stage::shared("older", backend, &[NGINX]) else {
        return;
    };
    let _nginx = service::nginx(&stage, "nginx", HELLO, PORT).unwrap();
    let mut stream = raw::connect(&stage, PORT).unwrap();
    let mut get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        raw::read_until(&mut stream, "hello\n").unwrap();
    };
    get(&stage.path("before"));
    let agent = Agent::start(backend, &[]).unwrap();
    let paths = ["one", "two", "three"].map(|what| stage.path(what));
    paths.iter().for_each(|path| get(path));

    let hops: Vec<Hop> = paths.iter().map(|path| lone_hop(path)).collect();
    let all = stage.request("");
    let spans = agent.spans().wait(Which::Named(&all), 6, Stage::SOON);
    Score::of(&spans, &hops).assert_exact();
}

fn a_hundred_short_processes(backend: Backend) {
    const PROCESSES: usize = 100;
    let Some(stage) = Stage::shared("short", backend, &[CURL, NGINX]) else {
        return;
    };
    let _nginx = service::nginx(&stage, "nginx", HELLO, PORT).unwrap();
    // Ten at a time: each is gone a few milliseconds after its only request.
    let script = format!(
        "for i in $(seq {PROCESSES}); do \
           curl --silent http://127.0.0.1:{PORT}/s/{}$i.1 & \
           if [ $((i % 10)) = 0 ]; then wait; fi; \
         done; wait",
        stage.request("")
    );
    stage
        .run(with(Command::new("sh"), &["-c", &script]))
        .unwrap();
    let paths = (1..=PROCESSES).map(|n| stage.path(&n.to_string()));
    let hops: Vec<Hop> = paths.map(|path| lone_hop(&path)).collect();
    let spans = stage.spans(2 * PROCESSES);
    Score::of(&spans, &hops).assert_exact();
    let clients = || spans.iter().filter(|span| span.kind == Kind::Client);
    for client in clients() {
        assert_eq!(client.service(), "curl", "{client:#?}");
    }
    let pids: BTreeSet<_> = clients().map(|span| span.pid()).collect();
    assert_eq!(pids.len(), PROCESSES);
    assert!(!pids.contains(&None));
}

fn a_server_that_forks(backend: Backend) {
    let needs = [Runtime::NEEDS, &[CURL]].concat();
    let Some(stage) = Stage::shared("forking", backend, &needs) else {
        return;
    };
    let command = service::python_program("service.py", &["8080", "forking"]).unwrap();
    let server = service::listening(stage.start("forking", command).unwrap(), PORT).unwrap();
    let _leaf = Runtime::Python.start(&stage, 8081).unwrap();
    let call = clew_tests::plan::Call::to("http://127.0.0.1:8080");
    let call = call.calling(clew_tests::plan::Call::to("http://127.0.0.1:8081"));
    let mut pids = BTreeSet::new();
    for number in 0..10 {
        let name = stage.request(&number.to_string());
        let request = call.request(&name);
        stage.curl(&[
            "--header",
            &format!("X-Plan: {}", request.plan),
            &request.url,
        ]);
        let spans = stage.spans_of_request(&name, 4);
        Score::of(&spans, &request.hops).assert_exact();
        let served = |span: &&clew_tests::Span| {
            span.kind == Kind::Server && span.path() == request.hops[0].path
        };
        pids.extend(spans.iter().find(served).and_then(clew_tests::Span::pid));
    }
    assert_eq!(pids.len(), 10, "a process per connection");
    assert!(!pids.contains(&server.pid()));
}

fn a_service_that_names_itself(backend: Backend) {
    let needs = [Runtime::NEEDS, &[CURL]].concat();
    let Some(stage) = Stage::shared("named", backend, &needs) else {
        return;
    };
    for (port, (variable, value)) in (8001..).zip([
        ("OTEL_SERVICE_NAME", "payments"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=payments,service.version=1.2",
        ),
    ]) {
        let mut command = service::python_program("service.py", &[&port.to_string()]).unwrap();
        command.env(variable, value);
        let server = stage.start(&format!("named-{port}"), command).unwrap();
        let _server = service::listening(server, port).unwrap();
        let path = stage.path(variable);
        stage.curl(&[&format!("http://127.0.0.1:{port}{path}")]);
        let (_, server) = stage.pair(&path);
        assert_eq!(server.service(), "payments", "by {variable}: {server:#?}");
    }
}

fn a_host_without_cgroup_v2(backend: Backend) {
    let needs = [CURL, NGINX, Need::Program("unshare")];
    let Some(stage) = Stage::without_agent("cgroup-v1", backend, &needs) else {
        return;
    };
    // As such a host, the agent sees the tree nowhere.
    let script = format!(
        "#!/bin/sh\n\
         exec unshare --mount sh -c 'umount --lazy --all --types cgroup2; exec \"$0\" \"$@\"' '{}' \"$@\"\n",
        require::agent().unwrap().display()
    );
    let program = stage.directory().join("clew");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let arguments = ["--backend", backend.name(), "--propagate-header=force"];
    let agent = Agent::start_into(&Arc::default(), &program, &arguments).unwrap();
    let log = agent.log();
    for lost in [
        "no cgroup v2 tree is mounted; lost: contexts in TCP options",
        "no request gets a header: no cgroup v2 tree is mounted",
    ] {
        assert!(log.contains(lost), "{log}");
    }

    let _nginx = service::nginx(&stage, "nginx", HELLO, PORT).unwrap();
    let path = stage.path("only");
    stage.curl(&[&format!("http://127.0.0.1:{PORT}{path}")]);
    let spans = agent
        .spans()
        .wait(Which::Named(&stage.request("")), 2, Stage::SOON);
    Score::of(&spans, &[lone_hop(&path)]).assert_exact();
}
