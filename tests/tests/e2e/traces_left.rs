//! The agent leaves, and nothing of it stays.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use clew_testbed::Deadline;
use clew_tests::require::Need;
use clew_tests::service::{self, CURL, NGINX};
use clew_tests::store::Which;
use clew_tests::{Agent, Backend, Stage};
use nix::sys::signal::Signal;

on_both_backends!(asked_to_end, killed);

const PORT: u16 = 8080;
const NEEDS: [Need; 3] = [CURL, NGINX, Need::Program("bpftool")];
const HELLO: &str = "server { listen 127.0.0.1:8080; return 200 'hello\n'; }";

/// A request's spans that were not yet due when the agent was asked to end are there when it has.
fn asked_to_end(backend: Backend) {
    let Some(stage) = Stage::shared("ended", backend, &NEEDS) else {
        return;
    };
    let _nginx = service::nginx(&stage, "nginx", HELLO, PORT).unwrap();
    let agent = Agent::start(backend, &[]).unwrap();
    let programs = programs_of(&agent);
    assert!(
        !programs.is_empty(),
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
    assert_gone(&programs);
}

fn killed(backend: Backend) {
    if !clew_tests::require::met("killed", &NEEDS) {
        return;
    }
    let agent = Agent::start(backend, &[]).unwrap();
    let programs = programs_of(&agent);
    assert!(!programs.is_empty());
    agent.process().signal(Signal::SIGKILL).unwrap();
    assert_gone(&programs);
}

/// Ids of the kernel's programs that the agent holds: its descriptors say (`prog_id`, bpf(2)).
fn programs_of(agent: &Agent) -> BTreeSet<String> {
    let directory = format!("/proc/{}/fdinfo", agent.process().pid());
    let files = std::fs::read_dir(directory).unwrap();
    files
        .filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok())
        .filter_map(|info| {
            let line = info.lines().find_map(|line| line.strip_prefix("prog_id:"));
            line.map(|id| id.trim().to_owned())
        })
        .collect()
}

/// The kernel frees programs a little after their last descriptor is closed.
#[track_caller]
fn assert_gone(programs: &BTreeSet<String>) {
    let left = || -> Vec<&String> {
        let loaded = |id: &&String| {
            let output = Command::new("bpftool")
                .args(["prog", "show", "id", id])
                .output();
            output.expect("bpftool").status.success()
        };
        programs.iter().filter(loaded).collect()
    };
    let gone = Deadline::after(Stage::SOON).poll(|| left().is_empty().then_some(()));
    assert_eq!(
        gone,
        Some(()),
        "programs are left in the kernel: {:?}",
        left()
    );
}
