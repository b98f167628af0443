//! A tenth of every limit, and more than that asked for: what is lost is counted, and the agent goes
//! on being right.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use clew_testbed::Deadline;
use clew_tests::service::{self, CURL, NGINX, WRK};
use clew_tests::stage::with;
use clew_tests::{Backend, Stage, raw};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::protocol::after_all_else;

on_each_backend!(a_tenth_of_each);

const PORT: u16 = 8080;
const HELLO: &str = "server { listen 127.0.0.1:8080; return 200 'hello\n'; }";

/// A tenth of the defaults (agent/src/config/limits.rs).
const LIMITS: &str = "limits:
  connections: 6553
  open_exchanges: 6553
  pipelined_exchanges: 25
  head_bytes: 1638
  parser_memory: 3355443
  held_spans: 1638
  processes: 1638
  export_queue_bytes: 3355443
";

/// More than such an agent needs by far, and less than what has no limit would take.
const MEMORY_MAX: u64 = 128 << 20;

fn a_tenth_of_each(backend: Backend) {
    let directory = clew_testbed::temp_dir().unwrap();
    let file = directory.path().join("clew.yaml");
    std::fs::write(&file, LIMITS).unwrap();
    let arguments = [
        ["--config", file.to_str().unwrap()],
        // Nobody is there to take what is exported.
        ["--output", "otlp"],
        ["--endpoint", "http://127.0.0.1:1"],
        // What wrk asks has only one end that is seen.
        ["--exclude-exe", "wrk"],
    ];
    let needs = [CURL, NGINX, WRK];
    // What others would do at the same time would use the budgets up.
    let Some(stage) = Stage::alone("tenth", backend, &needs, arguments.as_flattened()) else {
        return;
    };
    let _nginx = service::nginx(&stage, "nginx", HELLO, PORT).unwrap();
    after_all_else(&stage, PORT);
    connections(&stage);
    open_exchanges(&stage);
    parser_memory(&stage);
    pipelined_exchanges(&stage);
    head_bytes(&stage);
    held_spans_and_processes(&stage);
    counted(&stage, "queue_full");

    after_all_else(&stage, PORT);
    let agent = stage.agent();
    let resident = agent.resident().unwrap();
    assert!(resident < MEMORY_MAX, "{resident} bytes");
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

/// Waits until something was lost for this reason.
#[track_caller]
fn counted(stage: &Stage, reason: &str) {
    counted_beyond(stage, reason, 0.0);
}

#[track_caller]
fn counted_beyond(stage: &Stage, reason: &str, before: f64) {
    let metrics = || stage.agent().metrics();
    let some = || (metrics().drops(reason) > before).then_some(());
    assert!(
        Deadline::after(Stage::SOON).poll(some).is_some(),
        "no {reason}: {}",
        metrics().text()
    );
}

#[track_caller]
fn at_most(stage: &Stage, name: &str, most: f64) {
    let now = stage.agent().metrics().sum(name, ("", ""));
    assert!(now <= most, "{name}: {now}");
}

/// Connections on each of which this was sent, and nothing is answered; both ends of each.
fn silent(stage: &Stage, connections: usize, sent: &str) -> Vec<[TcpStream; 2]> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let enough = hard.max(3 * connections as u64);
    setrlimit(Resource::RLIMIT_NOFILE, enough, enough).unwrap();
    let open = || -> std::io::Result<Vec<[TcpStream; 2]>> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let mut received = vec![0; sent.len()];
        let mut pair = || {
            let mut client = TcpStream::connect(address)?;
            let (mut server, _) = listener.accept()?;
            client.write_all(sent.as_bytes())?;
            server.read_exact(&mut received)?;
            Ok([client, server])
        };
        (0..connections).map(|_| pair()).collect()
    };
    stage.namespace().enter(open).unwrap().unwrap()
}

/// Each is two to the agent, which sees both ends. Every request stays open.
fn connections(stage: &Stage) {
    let _open = silent(stage, 4000, "GET /open HTTP/1.1\r\nHost: a\r\n\r\n");
    counted(stage, "connection_budget");
    counted(stage, "connection_forgotten");
    at_most(stage, "clew_open_connections", 6553.0);
}

/// Few connections, with many requests on each.
fn open_exchanges(stage: &Stage) {
    let many = "GET /many HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    let _open = silent(stage, 400, &many);
    counted(stage, "exchange_budget");
    at_most(stage, "clew_open_exchanges", 6553.0);
}

/// Heads that never end.
fn parser_memory(stage: &Stage) {
    let before = stage.agent().metrics().drops("connection_budget");
    let head = format!("GET /memory HTTP/1.1\r\nX-Long: {}", "x".repeat(1500));
    let _open = silent(stage, 2500, &head);
    counted_beyond(stage, "connection_budget", before);
    let held = || {
        let held = stage
            .agent()
            .metrics()
            .sum("clew_parser_memory_bytes", ("", ""));
        (held > 1e6 && held <= 3_355_443.0).then_some(())
    };
    assert!(
        Deadline::after(Stage::SOON).poll(held).is_some(),
        "{}",
        stage.agent().metrics().text()
    );
}

/// More requests on one connection than are followed.
fn pipelined_exchanges(stage: &Stage) {
    let path = stage.path("pipelined");
    let many = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(100);
    let close = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    raw::exchange(stage, PORT, format!("{many}{close}").as_bytes(), 1 << 20).unwrap();
    let spans = stage.spans_of_request(&stage.request("pipelined"), 200);
    let abandoned = |span: &&clew_tests::Span| {
        let notes = span.attribute("clew.notes");
        notes.contains("too many requests open")
    };
    assert!(spans.iter().any(|span| abandoned(&span)), "{spans:#?}");
}

/// A head longer than is kept.
fn head_bytes(stage: &Stage) {
    let path = stage.path("long");
    let long = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\nConnection: close\r\n\r\n",
        "x".repeat(3000)
    );
    raw::exchange(stage, PORT, long.as_bytes(), 1 << 20).unwrap();
    for span in stage.spans_of(&path, 2) {
        assert!(
            span.attribute("clew.notes").contains("request head cut"),
            "{span:#?}"
        );
    }
}

/// While the agent stands still, more spans end than are held, and more processes than are remembered: it
/// learns of all of them at once, however slow the machine is.
fn held_spans_and_processes(stage: &Stage) {
    let signal = |signal| stage.agent().process().signal(signal).unwrap();
    signal(Signal::SIGSTOP);
    let log = stage.directory().join("nginx/access.log");
    let logged = || std::fs::read_to_string(&log).map_or(0, |log| log.lines().count());
    let enough = logged() + 2500;
    let load = ["--threads", "1", "--connections", "8", "--duration", "30s"];
    let mut wrk = with(Command::new("wrk"), &load);
    wrk.arg(format!("http://127.0.0.1:{PORT}/held"));
    let load = stage.start("wrk", wrk).unwrap();
    Deadline::after(Stage::SOON)
        .poll(|| (logged() >= enough).then_some(()))
        .expect("load");
    drop(load);
    let forks = "for i in $(seq 2000); do (:); done";
    stage.run(with(Command::new("sh"), &["-c", forks])).unwrap();
    signal(Signal::SIGCONT);
    let cut = || {
        let cut = stage
            .agent()
            .metrics()
            .sum("clew_waits_cut_total", ("", ""));
        (cut > 0.0).then_some(())
    };
    assert!(
        Deadline::after(Stage::SOON).poll(cut).is_some(),
        "{}",
        stage.agent().metrics().text()
    );
    counted(stage, "process_forgotten");
    at_most(stage, "clew_processes", 1638.0);
}
