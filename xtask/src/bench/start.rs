//! `cargo xtask bench start`: how long the agent takes to come to tracing, and with how much memory, on a host
//! with nothing but what runs anyway and on one with many processes and connections.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clew_testbed::Deadline;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::agent::Agent;
use super::document::{self, Table};
use super::machine::Machine;
use super::statistics::Quartiles;
use crate::build::{self, Profile};
use crate::command;

/// What `cargo xtask bench start` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// Starts on each host.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Processes on the busy host.
    #[arg(long, default_value_t = 1000)]
    processes: usize,
    /// TCP connections on the busy host, both ends of each.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Puts the result into docs/measurements.md.
    #[arg(long)]
    write: bool,
    /// The agent; built where it is not given.
    #[arg(long, hide = true)]
    agent: Option<std::path::PathBuf>,
}

/// Accepted ends that a process of the busy host keeps: its standard files.
const ENDS: usize = 3;

/// How long memory may still grow after the agent has said that it traces.
const SETTLES: Duration = Duration::from_secs(1);

/// Measures.
///
/// # Errors
/// When the agent does not trace, or the host has no room for the processes and connections.
pub fn start(options: &Options) -> Result<()> {
    let clew = match &options.agent {
        Some(agent) => agent.clone(),
        None => build::agent(Profile::Release)?,
    };
    if !nix::unistd::geteuid().is_root() {
        let mut again = command::as_root(std::env::current_exe()?)?;
        again.args(std::env::args_os().skip(1));
        return Err(again.arg("--agent").arg(&clew).exec()).context("starting sudo");
    }
    let stop = command::told_to_end()?;
    let mut table = Table::new(
        "From the agent's start until it traces; median (quartiles)",
        &["host", "ms", "slowest, ms", "highest memory, MiB", "starts"],
    );
    let mut measured = |host: String| -> Result<()> {
        let starts = Starts::measure(&clew, options.rounds, &stop)?;
        table.row(&starts.row(host)?);
        Ok(())
    };
    measured("as it is".to_owned())?;
    let busy = Busy::make(options.processes, options.connections)?;
    measured(format!(
        "{} processes and {} connections more",
        busy.processes.len(),
        busy.connections.len()
    ))?;
    drop(busy);
    let text = format!("{}.\n\n{}", Machine::this(), table.text);
    println!("{text}");
    if options.write {
        document::write("docs/measurements.md", "bench start", &text)?;
    }
    Ok(())
}

/// Starts of the agent on one host.
struct Starts {
    milliseconds: Vec<f64>,
    mebibytes: Vec<f64>,
}

impl Starts {
    fn measure(clew: &Path, rounds: usize, stop: &AtomicBool) -> Result<Self> {
        let mut starts = Self {
            milliseconds: Vec::new(),
            mebibytes: Vec::new(),
        };
        for _ in 0..rounds {
            if stop.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            let directory = tempfile::tempdir()?;
            let begin = Instant::now();
            // Nobody listens there: what cannot be exported waits, and is nothing here.
            let nowhere = "http://127.0.0.1:9";
            let agent = Agent::start_by(Command::new(clew), nowhere, &[], directory.path())?;
            starts
                .milliseconds
                .push(begin.elapsed().as_secs_f64() * 1e3);
            let _told_to_end =
                Deadline::after(SETTLES).poll(|| stop.load(Ordering::Relaxed).then_some(()));
            let peak = peak(agent.process().pid())?;
            starts.mebibytes.push(peak as f64 / f64::from(1 << 20));
            agent.stop()?;
        }
        Ok(starts)
    }

    fn row(&self, host: String) -> Result<[String; 5]> {
        let quartiles = |of: &[f64]| Quartiles::of(of.iter().copied()).context("no starts");
        let slowest = self.milliseconds.iter().copied().fold(0.0, f64::max);
        Ok([
            host,
            format!("{:.0}", quartiles(&self.milliseconds)?),
            format!("{slowest:.0}"),
            format!("{:.1}", quartiles(&self.mebibytes)?),
            self.milliseconds.len().to_string(),
        ])
    }
}

/// The most memory that a process has had resident, in bytes.
fn peak(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("no VmHWM")? * 1024)
}

/// What a busy host has; it goes with this.
struct Busy {
    processes: Vec<Child>,
    connections: Vec<TcpStream>,
    accepted: Vec<TcpStream>,
}

impl Busy {
    fn make(processes: usize, connections: usize) -> Result<Self> {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most)
            .context("raising the limit of open files")?;
        let mut busy = Self {
            processes: Vec::new(),
            connections: Vec::new(),
            accepted: Vec::new(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        for _ in 0..connections {
            let client = TcpStream::connect(address).context("connecting to this process")?;
            busy.connections.push(client);
            busy.accepted.push(listener.accept()?.0);
            if busy.processes.len() < processes && busy.accepted.len() >= ENDS {
                busy.add_process()?;
            }
        }
        while busy.processes.len() < processes {
            busy.add_process()?;
        }
        Ok(busy)
    }

    /// A process that keeps some of the accepted ends open instead of this one, which may not open so many
    /// files. It ends by itself if this process cannot end it.
    fn add_process(&mut self) -> Result<()> {
        let mut end = || {
            let accepted = self.accepted.pop().map(OwnedFd::from);
            accepted.map_or_else(Stdio::null, Stdio::from)
        };
        let mut sleep = Command::new("sleep");
        sleep.arg("900").stdin(end()).stdout(end()).stderr(end());
        self.processes
            .push(sleep.spawn().context("starting sleep")?);
        Ok(())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It may have ended.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
