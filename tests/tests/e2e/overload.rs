//! More than the agent can take: what is lost is counted, and what is left is right.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use clew_testbed::Deadline;
use clew_tests::plan::Hop;
use clew_tests::score::Score;
use clew_tests::service::{self, CURL, NGINX, WRK};
use clew_tests::stage::lone_hop;
use clew_tests::store::Which;
use clew_tests::{Backend, Stage, raw, report};
use nix::sys::signal::Signal;

use crate::protocol::after_all_else;

on_each_backend!(a_reader_that_stops, ends_that_are_lost);

const PORT: u16 = 8080;
const HELLO: &str = "server { listen 127.0.0.1:8080; return 200 'hello\n'; }";

/// A stopped agent reads nothing: its ring buffer fills up, and the kernel drops.
fn a_reader_that_stops(backend: Backend) {
    let needs = [CURL, NGINX, WRK];
    let small = ["--ring-size", "1MiB"];
    let Some(stage) = Stage::alone("stopped", backend, &needs, &small) else {
        return;
    };
    let _nginx = service::nginx(&stage, "nginx", HELLO, PORT).unwrap();
    after_all_else(&stage, PORT);

    let signal = |signal| stage.agent().process().signal(signal).unwrap();
    let mut load = Command::new("wrk");
    load.args(["--threads", "1", "--connections", "8", "--duration", "4s"])
        .args(["--script", &service::source("unique.lua")])
        .arg(format!("http://127.0.0.1:{PORT}"))
        .env("CLEW_TOKEN", stage.request("load"));
    let load = stage.start("wrk", load).unwrap();
    // Stopped and continued in the midst of the load, so that exchanges are cut at both ends.
    let log = stage.directory().join("nginx/access.log");
    let answered = || std::fs::metadata(&log).map_or(0, |log| log.len() / 50);
    let wait_for_more = |requests: u64| {
        let enough = answered() + requests;
        let reached = || (answered() >= enough || load.has_ended()).then_some(());
        Deadline::after(Stage::SOON).poll(reached).expect("load");
    };
    wait_for_more(2000);
    signal(Signal::SIGSTOP);
    wait_for_more(20_000);
    signal(Signal::SIGCONT);
    let mut load = load;
    assert!(
        load.wait(Stage::SOON).unwrap().success(),
        "{}",
        load.output()
    );
    after_all_else(&stage, PORT);

    let lost = stage.agent().metrics().drops("chunk_ring_full");
    assert!(lost > 0.0, "the ring was full, and no drop is counted");

    let prefix = stage.request("load");
    let hops: Vec<Hop> = std::fs::read_to_string(&log)
        .unwrap()
        .lines()
        .filter(|path| path.contains(&prefix))
        .map(lone_hop)
        .collect();
    let spans = stage.agent().spans().of(Which::Named(&prefix));
    let score = Score::of(&spans, &hops);
    report(&format!(
        "stopped reader, {lost} chunks lost: {}",
        score.figures()
    ));
    assert!(score.found > 0 && score.found < score.exchanges, "{score}");
    let asserted = score.asserted();
    // Whose parent's own exchange was lost cannot be judged; all others are right.
    assert_eq!(asserted.right + asserted.dangling, asserted.all, "{score}");
    assert_eq!(score.false_merges, 0, "{score}");

    // Afterwards all is seen again.
    let paths: Vec<String> = (0..100).map(|n| stage.path(&format!("after{n}"))).collect();
    let urls: Vec<String> = paths
        .iter()
        .map(|path| format!("http://127.0.0.1:{PORT}{path}"))
        .collect();
    stage.curl(&urls.iter().map(String::as_str).collect::<Vec<_>>());
    for path in &paths {
        stage.pair(path);
    }
}

/// Connections whose end finds the ring full are let go of all the same, and no others.
fn ends_that_are_lost(backend: Backend) {
    const MANY: usize = 200;
    let needs = [CURL, NGINX, WRK];
    let small = ["--ring-size", "256KiB"];
    let Some(stage) = Stage::alone("ends", backend, &needs, &small) else {
        return;
    };
    let _nginx = service::nginx(&stage, "nginx", HELLO, PORT).unwrap();
    after_all_else(&stage, PORT);
    let connect = |what: &str| {
        let mut stream = raw::connect(&stage, PORT).unwrap();
        get(&mut stream, &stage.path(what));
        stream
    };
    let mut kept = connect("kept");
    let mut others: Vec<TcpStream> = (0..MANY).map(|n| connect(&format!("other{n}"))).collect();
    let count = |name: &str| stage.agent().metrics().sum(name, ("", ""));
    let all_seen = || {
        let seen = count("clew_open_connections") >= 2.0 * MANY as f64;
        if !seen {
            // Where the ring was full already, a connection is told with what moves on it next.
            let path = stage.path("once-more");
            others.iter_mut().for_each(|stream| get(stream, &path));
        }
        seen.then_some(())
    };
    Deadline::after(Stage::SOON)
        .poll(all_seen)
        .expect("both ends of each are followed");

    let signal = |signal| stage.agent().process().signal(signal).unwrap();
    signal(Signal::SIGSTOP);
    let mut load = Command::new("wrk");
    load.args(["--threads", "1", "--connections", "8", "--duration", "1s"])
        .arg(format!("http://127.0.0.1:{PORT}"));
    stage.run(load).unwrap();
    drop(others);
    let only_the_kept = || (open_ends(&stage) == 2).then_some(());
    Deadline::after(Stage::SOON)
        .poll(only_the_kept)
        .expect("they are closed at both ends");
    signal(Signal::SIGCONT);

    // The ring has room for some ends behind the last chunk for which it had none.
    let found = || {
        let found = count("clew_connections_found_ended_total");
        (found >= MANY as f64 && count("clew_open_connections") < MANY as f64).then_some(())
    };
    assert!(
        Deadline::after(Stage::SOON).poll(found).is_some(),
        "{}",
        stage.agent().metrics().text()
    );
    assert!(stage.agent().metrics().drops("event_ring_full") > 0.0);

    let path = stage.path("again");
    get(&mut kept, &path);
    stage.pair(&path);
}

fn get(stream: &mut TcpStream, path: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello\n") {
        let mut read = [0; 1024];
        let length = stream.read(&mut read).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&read[..length]);
    }
}

/// Ends of connections with the server's port that are not closed yet (proc_net_tcp(5)).
fn open_ends(stage: &Stage) -> usize {
    /// `TCP_TIME_WAIT` and `TCP_LISTEN` (include/net/tcp_states.h).
    const OTHERS: [&str; 2] = ["06", "0A"];
    let port = format!(":{PORT:04X}");
    let table = stage
        .namespace()
        .enter(|| std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap())
        .unwrap();
    let open = table.lines().skip(1).filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[1].ends_with(&port) || fields[2].ends_with(&port)) && !OTHERS.contains(&fields[3])
    });
    open.count()
}
