//! The agent leaves, and nothing of it stays.

use std::time::{Duration, Instant};

use clew_tests::held::Held;
use clew_tests::require::Need;
use clew_tests::service::{self, CURL, NGINX};
use clew_tests::store::Which;
use clew_tests::{Agent, Backend, Stage};
use nix::sys::signal::Signal;

on_each_backend!(asked_to_end, killed);

const PORT: u16 = 8080;
const NEEDS: [Need; 3] = [CURL, NGINX, Held::NEED];
const HELLO: &str = "server { listen 127.0.0.1:8080; return 200 'hello\n'; }";

/// A request's spans that were not yet due when the agent was asked to end are there when it has.
fn asked_to_end(backend: Backend) {
    let Some(stage) = Stage::shared("ended", backend, &NEEDS) else {
        return;
    };
    let _nginx = service::nginx(&stage, "nginx", HELLO, PORT).unwrap();
    let agent = Agent::start(backend, &[]).unwrap();
    let held = held_by(&agent);
    assert!(
        !held.programs.is_empty(),
        "an agent that traces has programs in the kernel"
    );
    let path = stage.path("last");
    stage.curl(&[&format!("http://127.0.0.1:{PORT}{path}")]);

    let asked = Instant::now();
    let (status, spans, log) = agent.stop().unwrap();
    let took = asked.elapsed();
    assert!(status.success(), "{status}: {log}");
    let last = stage.request("last");
    assert_eq!(spans.count(Which::Request(&last)), 2, "{log}");
    // 2 s, and as much again for a machine that does other things meanwhile.
    assert!(took < Duration::from_secs(4), "{took:?}: {log}");
    held.wait_gone(Stage::SOON).unwrap();
}

fn killed(backend: Backend) {
    if !clew_tests::require::met("killed", &NEEDS) {
        return;
    }
    let agent = Agent::start(backend, &[]).unwrap();
    let held = held_by(&agent);
    assert!(!held.programs.is_empty());
    agent.process().signal(Signal::SIGKILL).unwrap();
    held.wait_gone(Stage::SOON).unwrap();
}

fn held_by(agent: &Agent) -> Held {
    Held::by(agent.process().pid()).unwrap()
}
