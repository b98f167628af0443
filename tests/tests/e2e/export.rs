//! OTLP as the OpenTelemetry Collector receives it, and what happens when it does not.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use clew_testbed::Deadline;
use clew_tests::collector::{self, Collector};
use clew_tests::plan::Hop;
use clew_tests::require::{self, Need};
use clew_tests::score::Score;
use clew_tests::service::{self, CURL, NGINX, WRK};
use clew_tests::stage::{lone_hop, with};
use clew_tests::store::Which;
use clew_tests::{Backend, Span, Stage, report};

on_each_backend!(over_grpc, over_http);

const PORT: u16 = 8080;
const HELLO: &str = "server { listen 127.0.0.1:8080; return 200 'hello\n'; }";
const REQUESTS: usize = 50;

/// Waits until the Collector has `count` spans of the stage's requests named so.
fn received(stage: &Stage, output: &Path, what: &str, count: usize, within: Duration) -> Vec<Span> {
    let name = stage.request(what);
    let look = || collector::read(output).unwrap().of(Which::Named(&name));
    let enough = || Some(look()).filter(|spans| spans.len() >= count);
    Deadline::after(within).poll(enough).unwrap_or_else(look)
}

fn over_grpc(backend: Backend) {
    check(
        backend,
        "grpc",
        |collector| collector.grpc,
        &["--compression", "zstd"],
    );
}

fn over_http(backend: Backend) {
    check(
        backend,
        "http/protobuf",
        |collector| collector.http,
        &["--compression", "gzip"],
    );
}

/// What the Collector has received is what the agent has printed, span by span, and the agent has
/// not traced its own export.
fn check(
    backend: Backend,
    protocol: &str,
    address: fn(&Collector) -> SocketAddr,
    options: &[&str],
) {
    let test = format!("export-{}", protocol.replace('/', "-"));
    let needs = [CURL, NGINX, Need::Collector];
    if !require::met(&test, &needs) {
        return;
    }
    let mut collector = Collector::new().unwrap();
    let (_collector, output) = collector.start(None).unwrap();
    let endpoint = format!("http://{}", address(&collector));
    let export = [
        "--output",
        "otlp",
        "--endpoint",
        &endpoint,
        "--protocol",
        protocol,
    ];
    let arguments = [&export, options].concat();
    let Some(stage) = Stage::own(&test, backend, &needs, &arguments) else {
        return;
    };
    let _nginx = service::nginx(&stage, "nginx", HELLO, PORT).unwrap();
    let hops = drive(&stage, "request");
    let sent = received(&stage, &output, "request", hops.len() * 2, Stage::SOON);
    Score::of(&sent, &hops).assert_exact();
    assert_eq!(texts(&sent), texts(&stage.spans(hops.len() * 2)));

    let agent = Some(stage.agent().process().pid());
    // By port, not by path: other cases' agents export at the same time, and those are traced.
    let port = address(&collector).port().to_string();
    let of_its_export = stage
        .agent()
        .spans()
        .all(|span| span.pid() == agent || span.attribute("server.port") == port);
    assert!(of_its_export.is_empty(), "{of_its_export:#?}");
}

fn texts(spans: &[Span]) -> BTreeSet<String> {
    spans.iter().map(|span| format!("{span:?}")).collect()
}

fn drive(stage: &Stage, what: &str) -> Vec<Hop> {
    let paths: Vec<String> = (0..REQUESTS)
        .map(|n| stage.path(&format!("{what}{n}")))
        .collect();
    let urls: Vec<String> = paths
        .iter()
        .map(|path| format!("http://127.0.0.1:{PORT}{path}"))
        .collect();
    stage.curl(&urls.iter().map(String::as_str).collect::<Vec<_>>());
    paths.iter().map(|path| lone_hop(path)).collect()
}

/// How long the Collector stays away: `CLEW_TEST_OUTAGE` in seconds (CI: 60), or 10.
fn outage() -> Duration {
    let given = std::env::var("CLEW_TEST_OUTAGE").ok();
    Duration::from_secs(given.map_or(10, |text| text.parse().expect("seconds")))
}

/// The agent's memory while nobody takes its spans. Its queue, ring and tables are full then.
const MEMORY: u64 = 128 << 20;

#[test]
fn an_outage_under_load() {
    let needs = [CURL, NGINX, WRK, Need::Collector];
    if !require::met("outage", &needs) {
        return;
    }
    let mut collector = Collector::new().unwrap();
    let (first, output) = collector.start(None).unwrap();
    let endpoint = format!("http://{}", collector.grpc);
    let arguments = [
        "--output",
        "otlp",
        "--endpoint",
        &endpoint,
        "--protocol",
        "grpc",
    ];
    let Some(stage) = Stage::alone("outage", Backend::Socket, &needs, &arguments) else {
        return;
    };
    let _nginx = service::nginx(&stage, "nginx", HELLO, PORT).unwrap();
    let hops = drive(&stage, "before");
    let before = received(&stage, &output, "before", hops.len() * 2, Stage::SOON);
    Score::of(&before, &hops).assert_exact();

    drop(first);
    let duration = outage();
    let seconds = format!("{}s", duration.as_secs());
    let url = format!("http://127.0.0.1:{PORT}{}", stage.path("load"));
    let load = with(
        Command::new("wrk"),
        &[
            "--threads",
            "1",
            "--connections",
            "8",
            "--duration",
            &seconds,
            &url,
        ],
    );
    let mut load = stage.start("wrk", load).unwrap();
    let end = Instant::now() + duration + Duration::from_secs(30);
    let mut most = 0;
    while !load.has_ended() && Instant::now() < end {
        most = most.max(stage.agent().resident().expect("the agent lives"));
        let _a_moment = Deadline::after(Duration::from_millis(200)).poll(|| None::<()>);
    }
    assert!(load.wait(Duration::from_secs(1)).unwrap().success());
    report(&format!(
        "outage of {}: agent at most {} MiB; {}",
        seconds,
        most >> 20,
        load.output().lines().last().unwrap_or_default()
    ));
    assert!(most < MEMORY, "{most} bytes resident");
    let lost = |stage: &Stage| {
        let metrics = stage.agent().metrics();
        metrics.sum("clew_drops_total", ("place", "export"))
    };
    assert!(
        lost(&stage) > 0.0,
        "more was lost than the queue holds, and none is counted"
    );

    let (_second, output) = collector.start(None).unwrap();
    // Between two attempts the agent waits up to its longest back-off. Until the first succeeds,
    // its full queue goes on dropping.
    let back = Duration::from_secs(120);
    let hello = received_after_back_off(&stage, &output, back);
    assert!(
        hello,
        "nothing has arrived within {back:?} of the Collector's return"
    );
    let hops = drive(&stage, "after");
    let after = received(&stage, &output, "after", hops.len() * 2, back);
    Score::of(&after, &hops).assert_exact();
}

/// Sends requests until one's spans arrive.
fn received_after_back_off(stage: &Stage, output: &Path, within: Duration) -> bool {
    let end = Instant::now() + within;
    (0..)
        .take_while(|_| Instant::now() < end)
        .any(|attempt: u32| {
            let path = stage.path(&format!("hello{attempt}"));
            stage.curl(&[&format!("http://127.0.0.1:{PORT}{path}")]);
            !received(stage, output, "hello", 1, Duration::from_secs(2)).is_empty()
        })
}
