//! Which request caused which: chains of services, alone and many at a time.

use std::net::Ipv4Addr;
use std::process::Command;

use clew_testbed::{Host, Network, Process};
use clew_tests::plan::Call;
use clew_tests::score::Score;
use clew_tests::service::{self, CURL, HAPROXY, NGINX, Runtime};
use clew_tests::stage::with;
use clew_tests::{Backend, Stage, report};

on_each_backend!(
    each_runtime_calls_each,
    threads_decide_at_any_concurrency,
    others_assert_nothing_false,
    proxies_in_a_row,
    a_chain_of_all,
    between_network_namespaces,
);

const ALONE: usize = 1;
/// How many requests there are at a time.
pub const LEVELS: [usize; 3] = [1, 8, 64];

/// A call to a port of the loopback.
pub fn local(port: u16) -> Call {
    Call::to(&format!("http://127.0.0.1:{port}"))
}

fn each_runtime_calls_each(backend: Backend) {
    let Some(stage) = Stage::shared("each-calls-each", backend, Runtime::NEEDS) else {
        return;
    };
    let ports = 8001..;
    let services: Vec<_> = Runtime::ALL
        .iter()
        .zip(ports)
        .map(|(runtime, port)| (port, runtime.start(&stage, port).unwrap()))
        .collect();
    let all = services
        .iter()
        .fold(Call::to("http://127.0.0.1:8001"), |all, (from, _)| {
            let calls = services
                .iter()
                .fold(local(*from), |call, (to, _)| call.calling(local(*to)));
            all.calling(calls)
        });
    stage.load("all", &all, 5, ALONE).unwrap().assert_exact();
}

fn threads_decide_at_any_concurrency(backend: Backend) {
    let Some(stage) = Stage::shared("threads", backend, Runtime::NEEDS) else {
        return;
    };
    for (runtime, port) in Runtime::ALL.iter().zip(8001..) {
        if !runtime.has_thread_per_request() {
            continue;
        }
        let _leaf = Runtime::Python.start(&stage, port + 100).unwrap();
        let _service = runtime.start(&stage, port).unwrap();
        let leaf = || local(port + 100).working(2);
        let call = local(port).working(3).calling(leaf()).calling(leaf());
        for threads in LEVELS {
            let what = format!("{runtime:?}");
            let score = stage
                .load(&what, &call, 4 * threads.max(25), threads)
                .unwrap();
            report(&format!(
                "{backend:?}: {what}, {threads} at a time: {}",
                score.figures()
            ));
            score.assert_exact();
        }
    }
}

/// Event loops, and schedulers that move a request between threads.
fn others_assert_nothing_false(backend: Backend) {
    let Some(stage) = Stage::shared("event-loops", backend, Runtime::NEEDS) else {
        return;
    };
    let _leaf = Runtime::Java.start(&stage, 8100).unwrap();
    for (runtime, port) in Runtime::ALL.iter().zip(8001..) {
        if runtime.has_thread_per_request() {
            continue;
        }
        let _service = runtime.start(&stage, port).unwrap();
        let leaf = || local(8100).working(2);
        let call = local(port).working(3).calling(leaf()).calling(leaf());
        check_others(&stage, &format!("{runtime:?}"), &call);
    }
}

fn proxies_in_a_row(backend: Backend) {
    let needs = [Runtime::NEEDS, &[NGINX, HAPROXY]].concat();
    let Some(stage) = Stage::shared("proxies", backend, &needs) else {
        return;
    };
    let _service = Runtime::Python.start(&stage, 8003).unwrap();
    let _nginx = service::nginx(&stage, "nginx", &service::nginx_proxy(8002, 8003), 8002).unwrap();
    let _haproxy = service::haproxy(&stage, 8001, 8002).unwrap();
    let call = local(8001).through("haproxy").through("nginx").working(2);
    check_others(&stage, "haproxy-nginx", &call);
}

fn a_chain_of_all(backend: Backend) {
    let needs = [Runtime::NEEDS, &[NGINX]].concat();
    let Some(stage) = Stage::shared("chain", backend, &needs) else {
        return;
    };
    let _nginx = service::nginx(&stage, "nginx", &service::nginx_proxy(8000, 8001), 8000).unwrap();
    let _services: Vec<_> = Runtime::ALL
        .iter()
        .zip(8001..)
        .map(|(runtime, port)| runtime.start(&stage, port).unwrap())
        .collect();
    let [gunicorn, waitress, node, go, java] = [8002, 8003, 8004, 8005, 8006].map(local);
    // What nginx passes on goes to Python.
    let call = local(8000)
        .through("nginx")
        .calling(go.calling(java.clone().working(5)))
        .calling(node.calling(java))
        .calling(waitress.calling(gunicorn));
    check_others(&stage, "nginx-and-all", &call);
}

/// Three hosts on one link, each with a network stack of its own: curl, a proxy, a server.
fn between_network_namespaces(backend: Backend) {
    let Some(stage) = Stage::shared("hosts", backend, &[CURL, NGINX]) else {
        return;
    };
    let mut network = Network::new().unwrap();
    let [client, proxy, server] = [(); 3].map(|()| network.host().unwrap());
    let start = |host: &Host, name: &str, http: &str| {
        let command = service::nginx_command(&stage, name, http).unwrap();
        let namespace = Some(&host.namespace);
        let mut nginx = Process::start(name, command, namespace, stage.directory()).unwrap();
        let address = (Ipv4Addr::LOCALHOST, 80).into();
        nginx.wait_listening(address, Stage::SOON).unwrap();
        nginx
    };
    let _server = start(
        &server,
        "server",
        "server { listen [::]:80 ipv6only=off; return 200 'a'; }",
    );
    let behind = format!(
        "server {{ listen [::]:80 ipv6only=off;          location / {{ proxy_pass http://[{}]:80/nginx/; }} }}",
        server.ipv6
    );
    let _proxy = start(&proxy, "proxy", &behind);
    for (what, base) in [
        ("v4", format!("http://{}", proxy.ipv4)),
        ("v6", format!("http://[{}]", proxy.ipv6)),
    ] {
        let name = stage.request(what);
        let request = Call::to(&base).through("nginx").request(&name);
        let curl = with(
            Command::new("curl"),
            &["--silent", "--max-time", "30", &request.url],
        );
        let namespace = Some(&client.namespace);
        let mut curl = Process::start("curl", curl, namespace, stage.directory()).unwrap();
        assert!(
            curl.wait(Stage::SOON).unwrap().success(),
            "{}",
            curl.output()
        );
        Score::of(&stage.spans_of_request(&name, 4), &request.hops).assert_exact();
    }
}

/// Alone, everything is found; many at a time, what is asserted is right.
fn check_others(stage: &Stage, what: &str, call: &Call) {
    for threads in LEVELS {
        let score = stage
            .load(what, call, 2 * threads.max(25), threads)
            .unwrap();
        report(&format!("{what}, {threads} at a time: {}", score.figures()));
        match threads {
            ALONE => Score::assert_exact(&score),
            _ => Score::assert_true(&score),
        }
    }
}
