//! Agents under test.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use clew_testbed::{Deadline, Process};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::metrics::Metrics;
use crate::store::Store;
use crate::{otlp, require};

/// How the agent captures: the value of `--backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The socket tracepoints.
    Socket,
    /// The functions behind sends and receives.
    Fentry,
    /// The system call tracepoints.
    Syscall,
}

impl Backend {
    /// All of them, in the order in which the agent prefers them.
    pub const ALL: [Self; 3] = [Self::Socket, Self::Fentry, Self::Syscall];

    /// What is added to a port, so that cases which run side by side do not take the same one.
    #[must_use]
    pub const fn ports(self) -> u16 {
        match self {
            Self::Socket | Self::Fentry => 0,
            Self::Syscall => 50,
        }
    }

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Fentry => "fentry",
            Self::Syscall => "syscall",
        }
    }
}

/// A running agent that traces the whole host and prints OTLP as JSON lines.
///
/// It ends with its guard. Shared ones have none: they end with this process, because they were
/// started (by setpriv(1)'s `--pdeathsig`) from a thread that ends with it.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    reader: JoinHandle<()>,
    store: Arc<Store>,
    faults: Arc<Mutex<Vec<String>>>,
    metrics: SocketAddr,
    directory: TempDir,
}

impl Agent {
    /// Loading and attaching take well below a second; a busy machine takes longer.
    const START: Duration = Duration::from_secs(60);

    /// The agent of a backend that all tests of this process share.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn shared(backend: Backend) -> &'static Self {
        static AGENTS: [OnceLock<Agent>; 3] = [const { OnceLock::new() }; 3];
        // No run has cases of both `socket` and `fentry`.
        // Of agents for the same programs only one passes contexts on. That the other's do so too is
        // shown where each has programs of its own.
        let arguments: &[&str] = match backend {
            Backend::Socket | Backend::Fentry => &[],
            Backend::Syscall => &["--propagate", "off"],
        };
        AGENTS[backend as usize].get_or_init(|| match Self::start(backend, arguments) {
            Ok(agent) => agent,
            Err(error) => panic!("starting the agent with backend {backend:?}: {error:#}"),
        })
    }

    /// Starts an agent, and waits until it traces.
    ///
    /// # Errors
    /// When it does not come to tracing; with what it wrote.
    pub fn start(backend: Backend, arguments: &[&str]) -> Result<Self> {
        let binary = require::agent().map_err(|missing| anyhow!(missing))?;
        let arguments = [&["--backend", backend.name()], arguments].concat();
        Self::start_into(&Arc::default(), &binary, &arguments)
    }

    /// Starts an agent that exports to a store which may be others' too, and waits until it traces.
    ///
    /// # Errors
    /// When it does not come to tracing; with what it wrote.
    pub fn start_into(store: &Arc<Store>, binary: &Path, arguments: &[&str]) -> Result<Self> {
        let metrics = free_address()?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(binary)
            .args(["run", "--output", "json"])
            .args(["--metrics-address", &metrics.to_string()])
            .args(arguments)
            // What steers the tests would read like misspelt settings of the agent's.
            .env_remove("CLEW_BIN")
            .env_remove("CLEW_REQUIRE")
            .env_remove("CLEW_TEST_PYTHON")
            .env_remove("CLEW_TEST_COLLECTOR")
            .env_remove("CLEW_TEST_JAVA_AGENT")
            .env_remove("CLEW_TEST_MAVEN")
            .env_remove("CLEW_TEST_NPM")
            .env_remove("CLEW_TEST_OUTAGE");
        Self::start_by(command, store, metrics, Self::START)
    }

    /// Starts an agent by a command that passes on what the agent (`run --output json`) writes, and
    /// waits until it traces. Its metrics are at `metrics`, for whoever calls [`Agent::check`].
    ///
    /// # Errors
    /// When it does not come to tracing in time; with what it wrote.
    pub fn start_by(
        mut command: Command,
        store: &Arc<Store>,
        metrics: SocketAddr,
        within: Duration,
    ) -> Result<Self> {
        let directory = clew_testbed::temp_dir()?;
        command.stderr(File::create(directory.path().join("agent.log"))?);
        let store = Arc::clone(store);
        let faults = Arc::<Mutex<Vec<String>>>::default();
        let (started, process) = mpsc::channel();
        let reader = std::thread::spawn({
            let (store, faults) = (store.clone(), faults.clone());
            move || match start_with_pipe(command) {
                Err(error) => drop(started.send(Err(error))),
                Ok((process, output)) => {
                    drop(started.send(Ok(process)));
                    read_spans(output, &store, &faults);
                }
            }
        });
        let agent = Self {
            process: process.recv().context("the agent's reader is gone")??,
            reader,
            store,
            faults,
            metrics,
            directory,
        };
        agent.wait_until_tracing(within)?;
        Ok(agent)
    }

    fn wait_until_tracing(&self, within: Duration) -> Result<()> {
        let tracing = Deadline::after(within).poll(|| {
            let ended = self.process.has_ended();
            let ready = self.log().contains("clew is tracing");
            (ready || ended).then_some(ready)
        });
        ensure!(
            tracing == Some(true),
            "it does not trace; it wrote:\n{}",
            self.log()
        );
        Ok(())
    }

    /// The spans that it has exported so far.
    ///
    /// # Panics
    /// When it has written something else than OTLP to its standard output.
    #[must_use]
    pub fn spans(&self) -> &Store {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(faults.is_empty(), "on the agent's output: {faults:#?}");
        &self.store
    }

    /// Scrapes its metrics, if it runs and has exported nothing but OTLP.
    ///
    /// # Errors
    /// When it does not, or has; with what it wrote.
    pub fn check(&self) -> Result<Metrics> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(faults.is_empty(), "on the agent's output: {faults:#?}");
        drop(faults);
        Metrics::scrape(self.metrics).with_context(|| format!("the agent wrote:\n{}", self.log()))
    }

    /// Scrapes its metrics.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        match Metrics::scrape(self.metrics) {
            Ok(metrics) => metrics,
            Err(error) => panic!("{error:#}; the agent wrote:\n{}", self.log()),
        }
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("agent.log")).unwrap_or_default()
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Resident memory in bytes (`VmRSS`, proc_pid_status(5)).
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.context("VmRSS")?.parse::<u64>()? * 1024)
    }

    /// Asks it to end, and waits until it has and all its output is read.
    ///
    /// # Errors
    /// When it does not end within 10 s: twice what it may need, and more for a busy machine.
    pub fn stop(mut self) -> Result<(ExitStatus, Arc<Store>, String)> {
        self.process.signal(Signal::SIGTERM)?;
        let status = self.process.wait(Duration::from_secs(10))?;
        self.reader
            .join()
            .map_err(|_| anyhow!("reading the agent's output failed"))?;
        let log = std::fs::read_to_string(self.directory.path().join("agent.log"))?;
        Ok((status, self.store, log))
    }
}

fn start_with_pipe(mut command: Command) -> Result<(Process, std::io::PipeReader)> {
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer);
    let process = Process::start_with_own_output("clew", command, None)?;
    Ok((process, reader))
}

fn read_spans(output: std::io::PipeReader, store: &Store, faults: &Mutex<Vec<String>>) {
    for line in BufReader::new(output).lines() {
        match line
            .map_err(Into::into)
            .and_then(|line| otlp::parse_line(&line))
        {
            Ok(spans) => store.add(spans),
            Err(error) => faults
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(format!("{error:#}")),
        }
    }
}

/// An address on the loopback that was free a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
