//! A small host: services, and those who ask them.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clew_testbed::{Cgroup, Namespace, Process, temp_dir};
use clew_tests::service::{self, Runtime};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{command, workspace};

/// For a service to listen, on a busy machine.
const START: Duration = Duration::from_secs(30);

/// For a client to end with its last answer: it waits no longer for that.
const LEAVE: Duration = Duration::from_secs(40);

/// Connections without a request, at once.
const FLOOD: usize = 500;

/// Calls others, on a thread per connection.
const FRONT: u16 = 8001;
/// Is called.
const BACK: u16 = 8002;
/// A process per connection.
const FORKING: u16 = 8003;
/// Is killed now and then.
const MORTAL: u16 = 8004;
const REDIS: u16 = 8005;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    /// What it is called in reports.
    pub name: &'static str,
    /// What each of its spans mentions, and no other's.
    pub marker: &'static str,
    /// Spans of an answered request.
    pub spans: u64,
    /// Its share of all exchanges; of short processes there are few, however many others.
    share: f64,
    /// Who asks.
    client: Client,
    /// Who is asked, and who is called by that.
    ports: (u16, Option<u16>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    /// Threads, with so many requests on a connection.
    Threads(&'static str, u32, u64),
    /// A process for each request.
    Processes,
}

/// All kinds.
pub const KINDS: [Kind; 6] = [
    Kind {
        name: "kept connections, Python calls Go",
        marker: "/s/soak-called-",
        spans: 4,
        share: 0.08,
        client: Client::Threads("http", 4, 500),
        ports: (FRONT, Some(BACK)),
    },
    Kind {
        name: "kept connections, Go",
        marker: "/s/soak-kept-",
        spans: 2,
        share: 0.4,
        client: Client::Threads("http", 2, 500),
        ports: (BACK, None),
    },
    Kind {
        name: "a connection per request, Go",
        marker: "/s/soak-fresh-",
        spans: 2,
        share: 0.16,
        client: Client::Threads("http", 2, 1),
        ports: (BACK, None),
    },
    Kind {
        name: "a service that is killed",
        marker: "/s/soak-mortal-",
        spans: 2,
        share: 0.04,
        client: Client::Threads("http", 2, 500),
        ports: (MORTAL, None),
    },
    Kind {
        name: "Redis",
        marker: "db.system.name",
        spans: 2,
        share: 0.32,
        client: Client::Threads("redis", 2, 500),
        ports: (REDIS, None),
    },
    Kind {
        name: "short processes, a process per connection",
        marker: "/s/soak-short-",
        spans: 2,
        share: 0.0,
        client: Client::Processes,
        ports: (FORKING, None),
    },
];

/// What a client says of its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Requests whose whole answer has come.
    pub answered: u64,
    /// Requests of which nobody knows how far they came.
    pub unanswered: u64,
}

/// Services and clients in a network namespace and a cgroup of their own.
pub struct World {
    clients: Vec<Process>,
    mortal: Option<Process>,
    _services: Vec<Process>,
    directory: TempDir,
    cgroup: Cgroup,
    namespace: Namespace,
}

impl World {
    /// Starts the services.
    ///
    /// # Errors
    /// When something that they need is missing, or one does not listen.
    pub fn start() -> Result<Self> {
        let mut world = Self {
            clients: Vec::new(),
            mortal: None,
            _services: Vec::new(),
            directory: temp_dir()?,
            cgroup: Cgroup::new()?,
            namespace: Namespace::new()?,
        };
        let mut redis = Command::new(command::find("redis-server").context("redis-server")?);
        redis.args(["--port", &REDIS.to_string(), "--bind", "127.0.0.1"]);
        redis
            .args(["--save", ""])
            .arg("--dir")
            .arg(world.directory.path());
        let services = [
            ("front", Runtime::Python.command(address(FRONT))?, FRONT),
            ("back", Runtime::Go.command(address(BACK))?, BACK),
            (
                "forking",
                service::python_program("service.py", &[&FORKING.to_string(), "forking"])?,
                FORKING,
            ),
            ("redis", redis, REDIS),
        ];
        for (name, command, port) in services {
            let service = world.service(name, &command, port)?;
            world._services.push(service);
        }
        world.revive()?;
        Ok(world)
    }

    /// Its cgroup, as the agent knows it.
    pub fn cgroup(&self) -> &str {
        self.cgroup.path()
    }

    fn member(&self, name: &str, command: &Command) -> Result<Process> {
        let command = self.cgroup.member(command);
        Process::start(name, command, Some(&self.namespace), self.directory.path())
    }

    fn service(&self, name: &str, command: &Command, port: u16) -> Result<Process> {
        let mut service = self.member(name, command)?;
        service.wait_listening(address(port), START)?;
        Ok(service)
    }

    /// Begins with all traffic, so many exchanges a second together, but for the short processes.
    ///
    /// # Errors
    /// When a client cannot be started.
    pub fn ask(&mut self, rate: f64) -> Result<()> {
        for kind in KINDS {
            let (port, called) = kind.ports;
            let address = address(port).to_string();
            let command = match kind.client {
                Client::Processes => {
                    let mut shell = Command::new("sh");
                    shell.arg(source("short.sh")).args(["1", &address]);
                    shell
                }
                Client::Threads(protocol, threads, requests) => {
                    let name = kind.marker.trim_start_matches("/s/soak-").trim_matches('-');
                    let mut client = Command::new(std::env::current_exe()?);
                    client.args(["soak-client", name, protocol]);
                    client.arg((rate * kind.share / kind.spans as f64).to_string());
                    client.args([threads.to_string(), requests.to_string(), address]);
                    client.args(called.map(|port| self::address(port).to_string()));
                    client
                }
            };
            let name = format!("client-{}", self.clients.len());
            let client = self.member(&name, &command)?;
            self.clients.push(client);
        }
        Ok(())
    }

    /// Fails when a client has ended, which none does by itself.
    ///
    /// # Errors
    /// With what it wrote.
    pub fn check(&self) -> Result<()> {
        for client in &self.clients {
            ensure!(!client.has_ended(), "a client ended: {}", client.output());
        }
        Ok(())
    }

    /// Ends the traffic, and gives what became of it, in the order of [`KINDS`].
    ///
    /// # Errors
    /// When a client does not end well.
    pub fn fall_silent(&mut self) -> Result<Vec<Asked>> {
        for client in &self.clients {
            client.signal(Signal::SIGTERM)?;
        }
        let ended = |client: &mut Process| -> Result<Asked> {
            let status = client.wait(LEAVE)?;
            let output = client.output();
            ensure!(status.success(), "a client failed: {status}; {output}");
            let asked = output
                .trim()
                .split_once(' ')
                .and_then(|(answered, unanswered)| {
                    Some(Asked {
                        answered: answered.parse().ok()?,
                        unanswered: unanswered.parse().ok()?,
                    })
                });
            asked.with_context(|| format!("no numbers from a client: {output}"))
        };
        let mut clients = std::mem::take(&mut self.clients);
        clients.iter_mut().map(ended).collect()
    }

    /// Kills a service with requests under way.
    pub fn kill(&mut self) {
        if let Some(mortal) = self.mortal.take() {
            // It may have ended by itself: then there is nothing to kill.
            let _ended = killpg(Pid::from_raw(mortal.pid().cast_signed()), Signal::SIGKILL);
        }
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn revive(&mut self) -> Result<()> {
        let command = Runtime::Python.command(address(MORTAL))?;
        self.mortal = Some(self.service("mortal", &command, MORTAL)?);
        Ok(())
    }

    /// Opens and closes connections without a word.
    ///
    /// # Errors
    /// When one is refused.
    pub fn flood(&self) -> Result<()> {
        let connect = || (0..FLOOD).try_for_each(|_| TcpStream::connect(address(BACK)).map(drop));
        self.namespace.enter(connect)?.context("connecting")
    }
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn source(file: &str) -> PathBuf {
    workspace::root().join("xtask/src/soak").join(file)
}
