//! The servers that are measured: programs as anybody runs them.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use clew_testbed::{Deadline, Namespace, Postgres, Process};

use super::asked::Asked;
use super::cpu::{self, Family};
use crate::{command, workspace};

/// For a server to listen.
const START: Duration = Duration::from_secs(20);

/// For its processes to be read, and for those of connections to end.
const SETTLED: Duration = Duration::from_secs(20);

/// What is asked of which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// nginx: 64 bytes from memory.
    NginxSmall,
    /// nginx: a file of 100 KiB, by sendfile.
    NginxFile,
    /// Python: 64 bytes from `http.server`, a thread per connection.
    Python,
    /// Node: 64 bytes from `node:http`.
    Node,
    /// Redis: SET and GET of 64 bytes, in turn.
    Redis,
    /// The same, 16 commands at a time, at saturation only.
    RedisPipelined,
    /// PostgreSQL: a row by its key, one simple query.
    Postgres,
    /// The same by a prepared statement.
    PostgresPrepared,
}

/// The most that tracing may add to a server's own processor time per request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    /// The most, as a ratio.
    pub most: f64,
    /// Over what: over empty programs on the same hooks, or over nothing, so with what these cost.
    pub over_floor: bool,
}

impl Workload {
    /// What is aimed at.
    pub const fn aim(self) -> Aim {
        match self {
            Self::NginxSmall => Aim {
                most: 1.08,
                over_floor: false,
            },
            Self::NginxFile | Self::Python | Self::Node => Aim {
                most: 1.02,
                over_floor: false,
            },
            Self::Redis | Self::RedisPipelined | Self::Postgres | Self::PostgresPrepared => Aim {
                most: 1.10,
                over_floor: true,
            },
        }
    }

    /// How it is asked.
    pub const fn asked(self) -> Asked {
        match self {
            Self::NginxSmall | Self::NginxFile | Self::Python | Self::Node => Asked::Http,
            Self::Redis | Self::RedisPipelined => Asked::Redis,
            Self::Postgres => Asked::Postgres,
            Self::PostgresPrepared => Asked::PostgresPrepared,
        }
    }

    /// The beginning of each path that is requested.
    pub const fn path(self) -> &'static str {
        match self {
            Self::NginxFile => "/file/",
            _ => "/small/",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NginxSmall => "nginx, 64 B",
            Self::NginxFile => "nginx, 100 KiB file",
            Self::Python => "Python, 64 B",
            Self::Node => "Node, 64 B",
            Self::Redis => "Redis, SET and GET",
            Self::RedisPipelined => "Redis, 16 in a pipeline",
            Self::Postgres => "PostgreSQL, a row",
            Self::PostgresPrepared => "PostgreSQL, a row, prepared",
        })
    }
}

/// A server that runs, alone on its processor, until this is dropped.
pub struct Server {
    running: Running,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where that is, if not where this program is.
    namespace: Option<Namespace>,
}

enum Running {
    Process(Process),
    Postgres(Postgres),
}

impl Server {
    /// Starts the server of a workload; its files go to `directory`.
    ///
    /// # Errors
    /// When it is not installed, or does not listen.
    pub fn start(workload: Workload, directory: &Path) -> Result<Self> {
        let address = free_port()?;
        let port = address.port();
        let mut command = match workload {
            Workload::NginxSmall | Workload::NginxFile => nginx(directory, port)?,
            Workload::Python => script("python3", "small.py", port),
            Workload::Node => script("node", "small.js", port),
            Workload::Redis | Workload::RedisPipelined => redis(directory, port),
            Workload::Postgres | Workload::PostgresPrepared => return Self::postgres(directory),
        };
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process = Process::start("server", command, None, directory)?;
        process.wait_listening(address, START)?;
        Ok(Self {
            running: Running::Process(process),
            address,
            namespace: None,
        })
    }

    fn postgres(directory: &Path) -> Result<Self> {
        let namespace = Namespace::new()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5432));
        let postgres = Postgres::start(&namespace, address, "")?;
        // Processes that it begins from now on stay there too.
        for pid in Family::of(postgres.pid())?.pids() {
            cpu::pin(pid, cpu::SERVER)?;
        }
        let server = Self {
            running: Running::Postgres(postgres),
            address,
            namespace: Some(namespace),
        };
        let mut fill = server.pgbench()?;
        fill.args(["--initialize", "--quiet"]);
        server.run(fill, directory)?;
        Ok(server)
    }

    /// `pgbench` with this server, on the processor of loads.
    ///
    /// # Errors
    /// Where it is not installed.
    pub fn pgbench(&self) -> Result<Command> {
        let program = Postgres::program("pgbench")?;
        let mut command = cpu::pinned(cpu::REST, program.to_str().context("a path in UTF-8")?);
        let port = self.address.port().to_string();
        command.args(["--host", "127.0.0.1", "--port", &port]);
        command.args(["--username", Postgres::NAME]);
        command.env("PGDATABASE", Postgres::NAME);
        Ok(command)
    }

    /// Runs a program to its end where the server is; gives what it wrote.
    ///
    /// # Errors
    /// When it fails, with what it wrote.
    pub fn run(&self, command: Command, directory: &Path) -> Result<String> {
        let shown = format!("{command:?}");
        let mut process = Process::start("load", command, self.namespace.as_ref(), directory)?;
        let status = process.wait(Duration::from_secs(900))?;
        let output = process.output();
        ensure!(status.success(), "{shown}: {status}\n{output}");
        Ok(output)
    }

    /// Does something where the server is.
    ///
    /// # Errors
    /// Its own, and when that place cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        match &self.namespace {
            Some(namespace) => namespace.enter(work)?,
            None => work(),
        }
    }

    /// Its processes. A server may listen before it has any workers.
    ///
    /// # Errors
    /// When it has ended.
    pub fn family(&self) -> Result<Family> {
        Family::of(match &self.running {
            Running::Process(process) => process.pid(),
            Running::Postgres(postgres) => postgres.pid(),
        })
    }

    /// The processor time of its processes, with that of connections that have ended (in ticks of 10 ms).
    ///
    /// # Errors
    /// When it has ended.
    pub fn time(&self) -> Result<Duration> {
        let pid = match &self.running {
            Running::Process(_) => return self.family()?.time(),
            Running::Postgres(postgres) => postgres.pid(),
        };
        // Others of its processes come and go: what cannot be read is read again.
        let read = || Some(self.family().ok()?.time().ok()? + cpu::waited_for(pid).ok()?);
        let time = Deadline::after(SETTLED).poll(read);
        time.context("the server has ended")
    }

    /// Waits until its connections have no processes any more, where they have any: they end after their
    /// clients.
    ///
    /// # Errors
    /// When they do not.
    pub fn settle(&self) -> Result<()> {
        if let Running::Process(_) = self.running {
            return Ok(());
        }
        // Their titles have the client's address and port.
        let none = || (!self.family().ok()?.has("127.0.0.1(")).then_some(());
        let settled = Deadline::after(SETTLED).poll(none);
        settled.context("the server's connections do not end")
    }
}

fn script(interpreter: &str, file: &str, port: u16) -> Command {
    let mut command = cpu::pinned(cpu::SERVER, interpreter);
    command.arg(sources().join(file)).arg(port.to_string());
    command
}

fn nginx(directory: &Path, port: u16) -> Result<Command> {
    let template = fs::read_to_string(sources().join("nginx.conf"))?;
    let place = directory
        .to_str()
        .context("a temporary directory in UTF-8")?;
    let configuration = template
        .replace("@PORT@", &port.to_string())
        .replace("@DIRECTORY@", place);
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration)?;
    fs::write(directory.join("content"), vec![b'x'; 100 << 10])?;
    // Debian has it where a plain user's PATH does not look.
    let nginx = command::find("nginx").context("nginx is missing: `cargo xtask setup`")?;
    let nginx = nginx.to_str().context("a path in UTF-8")?;
    let mut command = cpu::pinned(cpu::SERVER, nginx);
    command.arg("-c").arg(file).arg("-p").arg(directory);
    Ok(command)
}

fn redis(directory: &Path, port: u16) -> Command {
    let mut command = cpu::pinned(cpu::SERVER, "redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--dir"]).arg(directory);
    command
}

fn sources() -> PathBuf {
    workspace::root().join("xtask/src/bench/servers")
}

/// An address of the loopback interface at which nobody listens.
///
/// # Errors
/// When all ports are taken.
pub fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
