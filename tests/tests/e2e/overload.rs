//! More than the agent can take: what is lost is counted, and what is left is right.

use std::process::Command;

use clew_testbed::Deadline;
use clew_tests::plan::Hop;
use clew_tests::score::Score;
use clew_tests::service::{self, CURL, NGINX, WRK};
use clew_tests::stage::lone_hop;
use clew_tests::store::Which;
use clew_tests::{Backend, Stage, report};
use nix::sys::signal::Signal;

use crate::protocol::after_all_else;

on_each_backend!(a_reader_that_stops);

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
