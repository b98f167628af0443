//! The place: two nginx and the load in a network namespace, and what is asked of them.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clew_testbed::{Cgroup, Deadline, Namespace, Process, temp_dir};
use tempfile::TempDir;

use super::counters::{Counters, open_ends};
use crate::bench::cpu;
use crate::bench::wrk::Report;
use crate::{command, workspace};

/// For a server to listen.
const START: Duration = Duration::from_secs(10);

/// What `servers/noticed.lua` waits before the load begins.
const NOTICED: Duration = Duration::from_millis(300);

/// The counters are read this long before the load's end, at least. wrk leaves with answers under
/// way, and the kernel resets those connections: that is wrk's doing, in every mode.
const BEFORE_END: Duration = Duration::from_millis(50);

/// After the load's time, for wrk to leave.
const LEAVE: Duration = Duration::from_secs(10);

/// Connections that wrk left have ended when the counters stand still for this long.
const STILL: Duration = Duration::from_millis(100);

/// They do within this time.
const SETTLED: Duration = Duration::from_secs(10);

/// Who asks whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// nginx answers.
    Server,
    /// nginx asks another nginx, so that it also sends requests.
    Proxy,
    /// A client with one connection: a request as soon as the last is answered.
    Chatty,
}

impl Traffic {
    /// All of it.
    pub const ALL: [Self; 3] = [Self::Server, Self::Proxy, Self::Chatty];

    /// Requests that one request makes.
    pub const fn exchanges(self) -> u64 {
        match self {
            Self::Server | Self::Chatty => 1,
            Self::Proxy => 2,
        }
    }

    const fn connections(self) -> usize {
        match self {
            Self::Server | Self::Proxy => 16,
            Self::Chatty => 1,
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "nginx",
            Self::Proxy => "nginx through nginx",
            Self::Chatty => "chatty client",
        })
    }
}

/// What came of a load.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// What the client says.
    pub report: Report,
    /// What the kernel counted meanwhile.
    pub counters: Counters,
}

/// Servers that run, in a namespace and a cgroup of their own, until this is dropped.
pub struct Scene {
    server: Server,
    proxy: Server,
    directory: TempDir,
    cgroup: Cgroup,
    namespace: Namespace,
}

struct Server {
    process: Process,
    address: SocketAddr,
}

impl Scene {
    /// Starts the servers, on the processor that is theirs.
    ///
    /// # Errors
    /// When nginx is missing, or does not listen.
    pub fn start() -> Result<Self> {
        let namespace = Namespace::new()?;
        let cgroup = Cgroup::new()?;
        let directory = temp_dir()?;
        // The namespace is new: no port is taken.
        let [server, proxy] =
            [8001, 8002].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let start = |role: &str, address: SocketAddr| {
            let place = directory.path().to_str().context("a path in UTF-8")?;
            let file = directory.path().join(format!("{role}.conf"));
            let configuration = fs::read_to_string(source("harm.conf"))?
                .replace("@ROLE@", role)
                .replace("@LISTEN@", &address.to_string())
                .replace("@SERVER@", &server.to_string())
                .replace("@DIRECTORY@", place);
            fs::write(&file, configuration)?;
            // Debian has it where a plain user's PATH does not look.
            let nginx = command::find("nginx").context("nginx is missing: `cargo xtask setup`")?;
            let mut command = cpu::pinned(cpu::SERVER, nginx.to_str().context("a path in UTF-8")?);
            command.arg("-c").arg(file).arg("-p").arg(directory.path());
            let command = cgroup.member(&command);
            let mut process = Process::start(role, command, Some(&namespace), directory.path())?;
            process.wait_listening(address, START)?;
            anyhow::Ok(Server { process, address })
        };
        let (server, proxy) = (start("server", server)?, start("proxy", proxy)?);
        Ok(Self {
            server,
            proxy,
            directory,
            cgroup,
            namespace,
        })
    }

    /// The cgroup of everything here, as the agent knows it.
    pub fn cgroup(&self) -> &str {
        self.cgroup.path()
    }

    /// Asks as fast as it is answered.
    ///
    /// # Errors
    /// When wrk does not do its part. Requests that fail are none.
    pub fn load(&self, traffic: Traffic, lasting: Duration) -> Result<Outcome> {
        let (to, path) = match traffic {
            Traffic::Server | Traffic::Chatty => (&self.server, "/small/"),
            Traffic::Proxy => (&self.proxy, "/through/"),
        };
        let mut command = cpu::pinned(cpu::REST, "wrk");
        command.args(["--latency", "--threads", "1"]);
        command.args(["--connections", &traffic.connections().to_string()]);
        command.args(["--duration", &format!("{}s", lasting.as_secs())]);
        command.arg("--script").arg(source("noticed.lua"));
        command.arg(format!("http://{}{path}", to.address));
        let command = self.cgroup.member(&command);

        let before = self.quiet()?;
        let mut wrk = Process::start("wrk", command, Some(&self.namespace), self.directory.path())?;
        let soon_over = Deadline::after((NOTICED + lasting).saturating_sub(BEFORE_END));
        let _until_then = soon_over.poll(|| wrk.has_ended().then_some(()));
        let during = Counters::of(self.server.process.pid())?;
        let output = |wrk: &Process| format!("wrk wrote:\n{}", wrk.output());
        // It closes nothing before it ends.
        ensure!(
            !wrk.has_ended(),
            "wrk ended before the counters were read; {}",
            output(&wrk)
        );
        let status = wrk.wait(LEAVE)?;
        ensure!(status.success(), "wrk failed ({status}); {}", output(&wrk));
        Ok(Outcome {
            report: Report::parse(&wrk.output())?,
            counters: during - before,
        })
    }

    /// The counters when everything that belongs to an earlier load is over: also the connections
    /// that the proxy keeps open for a while.
    fn quiet(&self) -> Result<Counters> {
        let pid = self.server.process.pid();
        let closed = Deadline::after(SETTLED).poll(|| match open_ends(pid) {
            Ok(0) => Some(Ok(())),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        closed.context("connections of an earlier load stay open")??;
        still(STILL, SETTLED, || Counters::of(pid))
    }
}

/// What `read` gives once it has given the same for a time.
///
/// # Errors
/// `read`'s, or when that does not come to be within another time.
pub fn still<T: PartialEq>(
    time: Duration,
    within: Duration,
    mut read: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut last = (read()?, Instant::now());
    let found = Deadline::after(within).poll(|| match read() {
        Err(error) => Some(Err(error)),
        Ok(now) if now != last.0 => {
            last = (now, Instant::now());
            None
        }
        Ok(now) => (last.1.elapsed() >= time).then_some(Ok(now)),
    });
    found.with_context(|| format!("counters do not stand still for {time:?}"))?
}

fn source(file: &str) -> std::path::PathBuf {
    workspace::root().join("xtask/src/bench/servers").join(file)
}
