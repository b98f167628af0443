//! More than chains: requests that are repeated, calls at once, fixed pools, hosts with an agent each.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clew_testbed::{Cgroup, Network, Process};
use clew_tests::plan::{Call, Order, Request};
use clew_tests::require::{self, Need};
use clew_tests::score::Score;
use clew_tests::service::{self, Runtime};
use clew_tests::stage::with;
use clew_tests::store::{Store, Which};
use clew_tests::{Agent, Backend, Kind, Stage, report};

use crate::chains::{LEVELS, local};

on_each_backend!(
    pools_and_processes_decide_at_any_concurrency,
    calls_at_once_and_retries,
    each_host_has_its_agent,
);

/// More than one load has connections, and a few for looks whether it listens.
const WORKERS: u16 = 80;

fn pools_and_processes_decide_at_any_concurrency(backend: Backend) {
    let Some(stage) = Stage::shared("pools", backend, Runtime::NEEDS) else {
        return;
    };
    let runtimes = [
        Runtime::AcceptingThreads(WORKERS),
        Runtime::AcceptingProcesses(WORKERS),
    ];
    for (runtime, port) in runtimes.into_iter().zip(8001..) {
        let _leaf = Runtime::Python.start(&stage, port + 100).unwrap();
        let _service = runtime.start(&stage, port).unwrap();
        let leaf = || local(port + 100).working(2);
        let call = local(port).calling(leaf().failing_first()).calling(leaf());
        for threads in LEVELS {
            let what = format!("{runtime:?}");
            let count = 2 * threads.max(25);
            let score = stage.load(&what, &call, count, threads).unwrap();
            report(&format!("{what}, {threads} at a time: {}", score.figures()));
            score.assert_exact();
        }
    }
}

/// A thread that sends two requests before it reads an answer is the parent of both. What is handed
/// to other threads is found by no evidence yet, or rightly.
fn calls_at_once_and_retries(backend: Backend) {
    let Some(stage) = Stage::shared("at-once", backend, Runtime::NEEDS) else {
        return;
    };
    let _leaf = Runtime::Python.start(&stage, 8100).unwrap();
    let runtimes = [
        Runtime::Python,
        Runtime::HandingOn(WORKERS),
        Runtime::Node,
        Runtime::Go,
        Runtime::Java,
    ];
    for (runtime, port) in runtimes.into_iter().zip(8001..) {
        let _service = runtime.start(&stage, port).unwrap();
        let leaf = || local(8100).working(3);
        for (order, decided) in [
            (Order::AtOnce, runtime == Runtime::Python),
            (Order::OnThreads, false),
        ] {
            let both = local(port)
                .making_them(order)
                .calling(leaf())
                .calling(leaf().failing_first());
            let what = format!("{runtime:?}-{order:?}");
            let score = stage.load(&what, &both, 48, 8).unwrap();
            report(&format!("{what}, 8 at a time: {}", score.figures()));
            if decided {
                score.assert_exact();
            } else {
                score.assert_true();
            }
        }
    }
}

/// Two hosts, each a network namespace and a cgroup, with an agent that sees only that. Each sees one
/// end of the connections between them, and nothing that it sees says more than it knows.
fn each_host_has_its_agent(backend: Backend) {
    let needs = [Runtime::NEEDS, &[Need::Program("ip"), Need::CgroupV2]].concat();
    let Some(stage) = Stage::shared("small-hosts", backend, &needs) else {
        return;
    };
    let mut network = Network::new().unwrap();
    let hosts = [(); 2].map(|()| (network.host().unwrap(), Cgroup::new().unwrap()));
    let stores = [(); 2].map(|()| Arc::<Store>::default());
    let binary = require::agent().unwrap();
    let _agents: Vec<Agent> = hosts
        .iter()
        .zip(&stores)
        .map(|((_, cgroup), store)| {
            let scope = [
                "--backend",
                backend.name(),
                "--include-cgroup",
                cgroup.path(),
            ];
            Agent::start_into(store, &binary, &scope).unwrap()
        })
        .collect();

    let [(client, client_cgroup), (server, server_cgroup)] = &hosts;
    let address = SocketAddr::from((server.ipv4, 8000));
    let command = server_cgroup.member(&Runtime::Python.command(address).unwrap());
    let namespace = Some(&server.namespace);
    let mut service = Process::start("service", command, namespace, stage.directory()).unwrap();
    service.wait_listening(address, Stage::SOON).unwrap();

    let name = stage.request("hosts");
    let requests: Vec<Request> = (0..20)
        .map(|n| Call::to(&format!("http://{address}")).request(&format!("{name}-{n}")))
        .collect();
    let lines: String = requests
        .iter()
        .map(|request| format!("{}\t{}\n", request.url, request.plan))
        .collect();
    let list = stage.directory().join("requests");
    std::fs::write(&list, lines).unwrap();
    let arguments = [
        service::source("load.py"),
        "4".to_owned(),
        list.display().to_string(),
    ];
    let python = Command::new(require::find(Need::Python).unwrap());
    let load = client_cgroup.member(&with(python, &arguments.each_ref().map(String::as_str)));
    let namespace = Some(&client.namespace);
    let mut load = Process::start("load", load, namespace, stage.directory()).unwrap();
    let status = load.wait(Duration::from_secs(60)).unwrap();
    assert!(status.success(), "{}", load.output());

    let hops: Vec<_> = requests
        .into_iter()
        .flat_map(|request| request.hops)
        .collect();
    let mut all = Vec::new();
    for (store, kind) in stores.iter().zip([Kind::Client, Kind::Server]) {
        let spans = store.wait(Which::Named(&name), hops.len(), Stage::SOON);
        assert_eq!(spans.len(), hops.len(), "{spans:#?}");
        assert!(spans.iter().all(|span| span.kind == kind), "{spans:#?}");
        all.extend(spans);
    }
    let score = Score::of(&all, &hops);
    report(&format!("two hosts: {}", score.figures()));
    score.assert_true();
}
