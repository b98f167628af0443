//! Where a test takes place.

use std::ops::Deref;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clew_testbed::{Namespace, Process};
use tempfile::TempDir;

use crate::agent::{Agent, Backend};
use crate::otlp::Span;
use crate::plan::{Call, Hop, Request};
use crate::require::{self, Need};
use crate::score::Score;
use crate::store::{self, Which};

/// Held shared by tests that run side by side, alone by those that would disturb them.
static TURN: RwLock<()> = RwLock::new(());

/// A network namespace with the agent of a backend, which traces it as it traces the whole host.
///
/// The namespace is the test's own, so ports need not be found: any is free.
#[derive(Debug)]
pub struct Stage {
    name: String,
    agent: AgentOf,
    namespace: Namespace,
    directory: TempDir,
    runs: AtomicU32,
    _turn: Turn,
}

#[derive(Debug)]
enum AgentOf {
    All(&'static Agent),
    Test(Box<Agent>),
    Nobody,
}

#[derive(Debug)]
enum Turn {
    SideBySide(#[expect(dead_code, reason = "held")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
}

impl Deref for AgentOf {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        match self {
            Self::All(agent) => agent,
            Self::Test(agent) => agent,
            Self::Nobody => panic!("this stage has no agent"),
        }
    }
}

impl Stage {
    /// How long spans are waited for. They come within 2 s of the exchange's end; a machine with
    /// two busy cores takes longer, and no test's verdict hangs on it.
    pub const SOON: Duration = Duration::from_secs(30);

    /// A stage with the agent that all tests of the backend share. `None`, with a word about it,
    /// where the machine lacks what the test needs ([`require::met`]).
    #[must_use]
    pub fn shared(test: &str, backend: Backend, needs: &[Need]) -> Option<Self> {
        if !require::met(test, needs) {
            return None;
        }
        let turn = Turn::SideBySide(TURN.read().unwrap_or_else(PoisonError::into_inner));
        let agent = AgentOf::All(Agent::shared(backend));
        Some(Self::new(test, backend, agent, turn))
    }

    /// A stage with an agent of its own, side by side with other tests.
    #[must_use]
    pub fn own(test: &str, backend: Backend, needs: &[Need], arguments: &[&str]) -> Option<Self> {
        if !require::met(test, needs) {
            return None;
        }
        let turn = Turn::SideBySide(TURN.read().unwrap_or_else(PoisonError::into_inner));
        Some(Self::with_own_agent(test, backend, arguments, turn))
    }

    /// A stage without an agent, side by side with other tests: for those that start one later.
    /// [`Stage::agent`], and whatever asks for its spans, panics.
    #[must_use]
    pub fn without_agent(test: &str, backend: Backend, needs: &[Need]) -> Option<Self> {
        if !require::met(test, needs) {
            return None;
        }
        let turn = Turn::SideBySide(TURN.read().unwrap_or_else(PoisonError::into_inner));
        Some(Self::new(test, backend, AgentOf::Nobody, turn))
    }

    /// A stage with an agent of its own, while no other test runs: for load that takes all of the
    /// machine, and would make other tests' agents drop.
    #[must_use]
    pub fn alone(test: &str, backend: Backend, needs: &[Need], arguments: &[&str]) -> Option<Self> {
        if !require::met(test, needs) {
            return None;
        }
        let turn = Turn::Alone(TURN.write().unwrap_or_else(PoisonError::into_inner));
        Some(Self::with_own_agent(test, backend, arguments, turn))
    }

    fn with_own_agent(test: &str, backend: Backend, arguments: &[&str], turn: Turn) -> Self {
        let agent = Agent::start(backend, arguments).expect("starting the test's own agent");
        Self::new(test, backend, AgentOf::Test(Box::new(agent)), turn)
    }

    fn new(test: &str, backend: Backend, agent: AgentOf, turn: Turn) -> Self {
        Self {
            name: format!("{test}-{}-{}", backend.name(), std::process::id()),
            agent,
            namespace: Namespace::new().expect("a network namespace"),
            directory: clew_testbed::temp_dir().expect("a temporary directory"),
            runs: AtomicU32::new(0),
            _turn: turn,
        }
    }

    /// The agent.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The network namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A directory that vanishes with the stage.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The name of a request, unique among all tests and runs.
    #[must_use]
    pub fn request(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// A path with a unique token.
    #[must_use]
    pub fn path(&self, what: &str) -> String {
        format!("/s/{}.1", self.request(what))
    }

    /// Starts a program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, name: &str, command: Command) -> Result<Process> {
        Process::start(name, command, Some(&self.namespace), self.directory())
    }

    /// Runs a program to its end, and returns what it wrote.
    ///
    /// # Errors
    /// When it cannot be started, fails, or takes longer than a minute.
    pub fn run(&self, command: Command) -> Result<String> {
        let (status, output) = self.run_to_end(command)?;
        ensure!(status.success(), "{status}; it wrote:\n{output}");
        Ok(output)
    }

    /// Like [`Stage::run`], for a program that may fail.
    ///
    /// # Errors
    /// When it cannot be started, or takes longer than a minute.
    pub fn run_to_end(&self, command: Command) -> Result<(ExitStatus, String)> {
        self.run_in(&self.namespace, command)
    }

    fn run_in(&self, namespace: &Namespace, command: Command) -> Result<(ExitStatus, String)> {
        let shown = format!("{command:?}");
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let name = format!("run-{number}");
        let mut process = Process::start(&name, command, Some(namespace), self.directory())?;
        let status = process
            .wait(Duration::from_secs(60))
            .with_context(|| format!("running {shown}"))?;
        Ok((status, process.output()))
    }

    /// Runs curl with these arguments (`--silent` is among them), and returns the body and
    /// whatever else was asked for.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn curl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "50"]);
        match self.run(with(command, arguments)) {
            Ok(output) => output,
            Err(error) => panic!("curl {}: {error:#}", arguments.join(" ")),
        }
    }

    /// Waits until this test has `count` spans, and returns them.
    #[must_use]
    pub fn spans(&self, count: usize) -> Vec<Span> {
        let prefix = format!("{}-", self.name);
        self.agent
            .spans()
            .wait(Which::Named(&prefix), count, Self::SOON)
    }

    /// Waits until a request has `count` spans, and returns those that it has then.
    #[must_use]
    pub fn spans_of_request(&self, request: &str, count: usize) -> Vec<Span> {
        self.agent
            .spans()
            .wait(Which::Request(request), count, Self::SOON)
    }

    /// Waits until a path has `count` spans, and returns them, the client's first.
    ///
    /// # Panics
    /// When another number of spans has come.
    #[must_use]
    #[track_caller]
    pub fn spans_of(&self, path: &str, count: usize) -> Vec<Span> {
        let request = store::request_of(path).expect("a path with a token");
        let mut spans = self.spans_of_request(request, count);
        assert_eq!(
            spans.len(),
            count,
            "spans of {path}: {spans:#?}; the agent wrote:\n{}",
            self.agent.log()
        );
        spans.sort_by_key(|span| (std::cmp::Reverse(span.kind), span.start));
        spans
    }

    /// Both sides' spans of one exchange, (client, server), of which the client's is the parent.
    ///
    /// # Panics
    /// When they are not there, or not so.
    #[track_caller]
    pub fn pair(&self, path: &str) -> (Span, Span) {
        let spans = self.spans_of(path, 2);
        let score = Score::of(&spans, &[lone_hop(path)]);
        assert!(score.is_exact(), "{score}; {spans:#?}");
        let [client, server] = <[Span; 2]>::try_from(spans).expect("two spans");
        (client, server)
    }

    /// Sends the call as requests named so, `count` times, from `threads` threads of a Python program with kept
    /// connections, and compares the spans with the truth.
    ///
    /// # Errors
    /// When a request fails.
    pub fn load(&self, what: &str, call: &Call, count: usize, threads: usize) -> Result<Score> {
        self.load_from(&self.namespace, what, call, count, threads)
    }

    /// Like [`Stage::load`], with the client in another namespace.
    ///
    /// # Errors
    /// When a request fails.
    pub fn load_from(
        &self,
        namespace: &Namespace,
        what: &str,
        call: &Call,
        count: usize,
        threads: usize,
    ) -> Result<Score> {
        let requests = self.send_from(namespace, what, call, count, threads)?;
        let hops: Vec<Hop> = requests
            .into_iter()
            .flat_map(|request| request.hops)
            .collect();
        let prefix = self.request(&format!("{what}-{threads}x"));
        let named = Which::Named(&prefix);
        let spans = self.agent.spans().wait(named, hops.len() * 2, Self::SOON);
        Ok(Score::of(&spans, &hops))
    }

    /// Sends as [`Stage::load`] does, until all are answered. Their names begin with
    /// `<what>-<threads>x`.
    ///
    /// # Errors
    /// When a request fails.
    pub fn send(
        &self,
        what: &str,
        call: &Call,
        count: usize,
        threads: usize,
    ) -> Result<Vec<Request>> {
        self.send_from(&self.namespace, what, call, count, threads)
    }

    fn send_from(
        &self,
        namespace: &Namespace,
        what: &str,
        call: &Call,
        count: usize,
        threads: usize,
    ) -> Result<Vec<Request>> {
        let requests: Vec<Request> = (0..count)
            .map(|n| call.request(&self.request(&format!("{what}-{threads}x{n}"))))
            .collect();
        let lines: String = requests
            .iter()
            .map(|request| format!("{}\t{}\n", request.url, request.plan))
            .collect();
        let list = self.directory().join(format!("load-{what}-{threads}"));
        std::fs::write(&list, lines)?;

        let mut command = Command::new(require::find(Need::Python).map_err(anyhow::Error::msg)?);
        command
            .arg(require::workspace().join("tests/services/load.py"))
            .arg(threads.to_string())
            .arg(list);
        let (status, output) = self.run_in(namespace, command)?;
        ensure!(status.success(), "{status}; it wrote:\n{output}");
        Ok(requests)
    }
}

/// The truth about a path that one client has asked one server for.
#[must_use]
pub fn lone_hop(path: &str) -> Hop {
    Hop {
        path: path.to_owned(),
        parent: None,
        request: path.to_owned(),
    }
}

/// The command with more arguments.
#[must_use]
pub fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}
