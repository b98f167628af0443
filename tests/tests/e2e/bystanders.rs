//! Connections that go on whatever becomes of agents: one that is killed at any moment, two at once.
//! Contexts leave in TCP options and, forced, in headers.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use clew_testbed::{Cgroup, Deadline, Process};
use clew_tests::held::Held;
use clew_tests::require::{self, Need};
use clew_tests::service;
use clew_tests::store::Which;
use clew_tests::{Agent, Backend, Kind, Span, Stage};
use nix::sys::signal::Signal;

on_each_backend!(killed_at_any_moment, two_agents);

const PORT: u16 = 8080;
const CONNECTIONS: &str = "4";
/// For as many answers as make the case a test, on a machine with other things to do.
const ENOUGH: Duration = Duration::from_secs(120);

/// Since its start, in milliseconds: while it reads the kernel's types, loads, attaches, tests itself,
/// and when it traces.
const MOMENTS: [u64; 12] = [5, 40, 80, 120, 170, 220, 280, 350, 450, 600, 800, 1200];

/// A server and a client that check every byte, in a cgroup of their own.
struct Steady {
    client: Process,
    _server: Process,
    cgroup: Cgroup,
}

impl Steady {
    const NEEDS: &[Need] = &[Held::NEED, Need::Python, Need::CgroupV2];

    fn start(stage: &Stage) -> Self {
        let cgroup = Cgroup::new().unwrap();
        let port = PORT.to_string();
        let start = |name: &str, arguments: &[&str]| {
            let command = service::python_program("steady.py", arguments).unwrap();
            stage.start(name, cgroup.member(&command)).unwrap()
        };
        let mut server = start("server", &["serve", &port]);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        server.wait_listening(address, Stage::SOON).unwrap();
        let client = start(
            "client",
            &["ask", &port, CONNECTIONS, &stage.request("steady")],
        );
        Self {
            client,
            _server: server,
            cgroup,
        }
    }

    fn arguments(&self) -> [&str; 5] {
        let path = self.cgroup.path();
        [
            "--include-cgroup",
            path,
            "--propagate-header=force",
            "--propagate",
            "tcp-option",
        ]
    }

    #[track_caller]
    fn goes_on(&self, when: &str) {
        assert!(!self.client.has_ended(), "{when}: {}", self.client.output());
    }

    /// Waits until so many requests were answered in all, byte for byte, and ends.
    #[track_caller]
    fn finish_after(mut self, requests: u64) {
        let answered =
            |client: &Process| -> Option<u64> { client.output().lines().next_back()?.parse().ok() };
        let enough = || {
            let enough = answered(&self.client).is_some_and(|answered| answered >= requests);
            (enough || self.client.has_ended()).then_some(())
        };
        let waited = Deadline::after(ENOUGH).poll(enough);
        assert!(waited.is_some(), "{:?} requests", answered(&self.client));
        self.goes_on("until enough were answered");
        self.client.signal(Signal::SIGTERM).unwrap();
        let status = self.client.wait(Stage::SOON).unwrap();
        assert!(status.success(), "{status}: {}", self.client.output());
        assert!(answered(&self.client).is_some_and(|answered| answered >= requests));
    }
}

/// The sum of a counter, once it is there.
fn counted(agent: &Agent, name: &str) -> f64 {
    agent.metrics().sum(name, ("", ""))
}

/// Waits until requests leave with options, and with headers.
#[track_caller]
fn wait_until_sent(agent: &Agent) {
    for name in ["clew_tcp_options_sent_total", "clew_headers_inserted_total"] {
        let sent = || (counted(agent, name) > 0.0).then_some(());
        let some = Deadline::after(Stage::SOON).poll(sent);
        assert!(some.is_some(), "{name} is 0; {}", agent.log());
    }
}

fn killed_at_any_moment(backend: Backend) {
    let Some(stage) = Stage::without_agent("moments", backend, Steady::NEEDS) else {
        return;
    };
    let steady = Steady::start(&stage);
    let binary = require::agent().unwrap();
    let mut loaded = 0;
    let moments = MOMENTS.map(Duration::from_millis);
    for moment in moments {
        let mut command = Command::new(&binary);
        command.args(["run", "--output", "json", "--backend", backend.name()]);
        command.args(steady.arguments());
        let mut agent = stage.start("clew", command).unwrap();
        let begun = Instant::now();
        Deadline::after(moment).poll(|| (begun.elapsed() >= moment).then_some(()));
        if Some(&moment) == moments.last() {
            let tracing = || agent.output().contains("clew is tracing").then_some(());
            Deadline::after(Stage::SOON)
                .poll(tracing)
                .expect("it traces");
        }
        // Stopped first, so that what it holds does not change while that is read.
        agent.signal(Signal::SIGSTOP).unwrap();
        let stopped = || is_stopped(&agent).then_some(());
        Deadline::after(Stage::SOON)
            .poll(stopped)
            .expect("it stops");
        let held = Held::by(agent.pid()).unwrap();
        loaded += usize::from(!held.programs.is_empty());
        agent.signal(Signal::SIGKILL).unwrap();
        agent.wait(Stage::SOON).unwrap();
        if let Err(left) = held.wait_gone(Stage::SOON) {
            panic!("killed after {moment:?}: {left:#}");
        }
        steady.goes_on(&format!("killed after {moment:?}"));
    }
    assert!(loaded > 0, "at no moment had it loaded a program");

    // One more finds sockets on which twelve have died, traces them, and is killed for real.
    let agent = Agent::start(backend, &steady.arguments()).unwrap();
    wait_until_sent(&agent);
    let spans = agent
        .spans()
        .wait(Which::Named(&stage.request("steady")), 100, Stage::SOON);
    assert!(spans.len() >= 100, "{} spans", spans.len());
    let held = Held::by(agent.process().pid()).unwrap();
    agent.process().signal(Signal::SIGKILL).unwrap();
    held.wait_gone(Stage::SOON).unwrap();
    steady.goes_on("killed while contexts left");
    steady.finish_after(1000);
}

/// All threads have stopped (proc_pid_stat(5)).
fn is_stopped(process: &Process) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap();
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with(['T', 'Z']))
    })
}

/// See docs/decisions/0015-two-agents.md.
fn two_agents(backend: Backend) {
    let Some(stage) = Stage::without_agent("two", backend, Steady::NEEDS) else {
        return;
    };
    let steady = Steady::start(&stage);
    let arguments = steady.arguments();
    let first = Agent::start(backend, &arguments).unwrap();
    wait_until_sent(&first);
    let second = Agent::start(backend, &arguments).unwrap();
    let said = "another clew passes contexts on for";
    assert!(second.log().contains(said), "{}", second.log());
    assert!(!first.log().contains(said), "{}", first.log());

    // The server refuses a request with two headers; that some get one shows that this was put to the test.
    let inserted = || {
        [&first, &second]
            .map(|agent| counted(agent, "clew_headers_inserted_total"))
            .iter()
            .sum::<f64>()
    };
    let before = inserted();
    let more = Deadline::after(Stage::SOON).poll(|| (inserted() > before).then_some(()));
    assert!(more.is_some(), "no more headers than {before}");

    // Both see everything from now on, and each asserts what is true.
    for agent in [&first, &second] {
        let name = stage.request("steady");
        let before = agent.spans().count(Which::Named(&name));
        let spans = agent
            .spans()
            .wait(Which::Named(&name), before + 200, Stage::SOON);
        assert!(spans.len() >= before + 200, "{}", agent.log());
        for span in &spans {
            judge(span, &spans);
        }
    }
    let sent = |agent: &Agent| counted(agent, "clew_tcp_options_sent_total");
    assert!(sent(&first) > 0.0);
    assert!(sent(&second) == 0.0, "the second writes options too");
    steady.goes_on("two agents");

    // The first goes; the second goes on with what it did.
    first.process().signal(Signal::SIGKILL).unwrap();
    let name = stage.request("steady");
    let before = second.spans().count(Which::Named(&name));
    let after = second
        .spans()
        .wait(Which::Named(&name), before + 100, Stage::SOON);
    assert!(after.len() >= before + 100, "{}", second.log());
    assert!(sent(&second) == 0.0);
    steady.finish_after(500);
}

/// A server's span has no parent but the client's of the same path.
#[track_caller]
fn judge(span: &Span, all: &[Span]) {
    if span.kind == Kind::Client {
        assert_eq!(span.parent, None, "{span:#?}");
        return;
    }
    let Some(parent) = &span.parent else {
        return;
    };
    let true_parent = all.iter().find(|other| other.id == *parent);
    if let Some(parent) = true_parent {
        assert_eq!(
            (parent.kind, parent.path()),
            (Kind::Client, span.path()),
            "{span:#?}"
        );
    }
}
