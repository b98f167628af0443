//! The servers that are measured: programs as anybody runs them.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use clew_testbed::Process;

use super::cpu::{self, Family};
use crate::{command, workspace};

/// For a server to listen.
const START: Duration = Duration::from_secs(20);

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
}

impl Workload {
    /// The most that tracing may add to the server's own processor time per request, over the
    /// same hooks with empty programs.
    pub const fn aim(self) -> f64 {
        match self {
            Self::NginxSmall => 1.10,
            Self::NginxFile | Self::Python | Self::Node => 1.03,
        }
    }

    /// The beginning of each path that is requested.
    pub const fn path(self) -> &'static str {
        match self {
            Self::NginxFile => "/file/",
            Self::NginxSmall | Self::Python | Self::Node => "/small/",
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
        })
    }
}

/// A server that runs, alone on its processor, until this is dropped.
pub struct Server {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts the server of a workload; its files go to `directory`.
    ///
    /// # Errors
    /// When it is not installed, or does not listen.
    pub fn start(workload: Workload, directory: &Path) -> Result<Self> {
        let address = free_port()?;
        let mut command = server(workload, directory, address.port())?;
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process = Process::start("server", command, None, directory)?;
        process.wait_listening(address, START)?;
        Ok(Self { process, address })
    }

    /// It and its workers. A server may listen before it has any.
    ///
    /// # Errors
    /// When it has ended.
    pub fn family(&self) -> Result<Family> {
        Family::of(self.process.pid())
    }
}

fn server(workload: Workload, directory: &Path, port: u16) -> Result<Command> {
    let sources = workspace::root().join("xtask/src/bench/servers");
    let script = |interpreter: &str, file: &str| {
        let mut command = cpu::pinned(cpu::SERVER, interpreter);
        command.arg(sources.join(file)).arg(port.to_string());
        command
    };
    Ok(match workload {
        Workload::Python => script("python3", "small.py"),
        Workload::Node => script("node", "small.js"),
        Workload::NginxSmall | Workload::NginxFile => {
            let template = fs::read_to_string(sources.join("nginx.conf"))?;
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
            command
        }
    })
}

/// An address of the loopback interface at which nobody listens.
///
/// # Errors
/// When all ports are taken.
pub fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
