//! `cargo xtask bench hosts`: this machine and one with another kernel, an agent on each, and a chain
//! of services in four languages that goes to and fro between them.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clew_testbed::{Cgroup, Cgroups, Deadline, Host, Machine, Network, Process, Tap, shell_line};
use clew_tests::plan::{Call, Hop, Request};
use clew_tests::score::Score;
use clew_tests::service::{Runtime, python_program};
use clew_tests::store::{Store, Which};
use clew_tests::{Agent, Kind};
use tempfile::TempDir;

use super::again::{self, PYTHON};
use super::agent::{self, Drops};
use crate::setup;
use crate::vm::{self, Kernel};

/// What `cargo xtask bench hosts` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// The other host's kernel: 5.10, 6.1, 6.12, 7.2, or `all` for one after the other
    #[arg(long)]
    kernel: String,
    /// An agent that is built already; without it, sets up and builds one.
    #[arg(long, value_name = "CLEW", env = "CLEW_BIN")]
    agent: Option<PathBuf>,
    /// Passed on to `clew run` on both hosts.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The chain, and on which of the hosts each service is. The load is on this one.
const CHAIN: [(Runtime, Place); 5] = [
    (Runtime::Python, Place::Here),
    (Runtime::Go, Place::Other),
    (Runtime::Node, Place::Other),
    (Runtime::Java, Place::Here),
    (Runtime::Python, Place::Other),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Here,
    Other,
}

/// The first service's port; each has another.
const PORT: u16 = 8001;
/// Where the other host's agent has its metrics.
const METRICS: u16 = 9464;

/// How many requests at a time, and how many in all.
const LOADS: [(usize, usize); 2] = [(1, 20), (8, 80)];

/// For all that takes place on the emulated host; it is ended then.
const MACHINE_SECONDS: u64 = 600;
/// From its start until its agent traces.
const BOOTS_WITHIN: Duration = Duration::from_secs(240);
/// Until a service listens, there.
const LISTENS_WITHIN: Duration = Duration::from_secs(120);
/// The longest that a load takes.
const LOAD_WITHIN: Duration = Duration::from_secs(180);
/// How long after the last answer spans are waited for.
const SPANS_WITHIN: Duration = Duration::from_secs(30);

/// Runs the chain between this host and each of the kernels, and prints how its spans compare with
/// the truth.
///
/// # Errors
/// When a host, a service or an agent does not work; after everything has been printed, when a parent
/// is wrong, a context was lost between the hosts, or a lone request is not one whole trace.
pub fn hosts(options: &Options) -> Result<()> {
    let root = nix::unistd::geteuid().is_root();
    let agent = match &options.agent {
        Some(agent) if root && std::env::var_os(PYTHON).is_some() => agent,
        agent => return Err(again::again(agent.clone())?),
    };
    setup::machines()?;
    let mut failed = Vec::new();
    for kernel in vm::named(&options.kernel)? {
        let series = kernel.series();
        let hosts = Hosts::start(kernel, agent, &options.arguments)
            .with_context(|| format!("a host with Linux {series}"))?;
        for (at_a_time, requests) in LOADS {
            let before = hosts.drops()?;
            let score = hosts.measure(at_a_time, requests)?;
            let drops = agent::added(&before, &hosts.drops()?);
            let figures = score.figures();
            println!("Linux {series}, {at_a_time} at a time: {figures}; drops: {drops:?}");
            if !is_good(&score, at_a_time, !drops.is_empty()) {
                println!("{score}");
                failed.push(format!("Linux {series}, {at_a_time} at a time"));
            }
        }
    }
    ensure!(
        failed.is_empty(),
        "not as it must be: {}",
        failed.join("; ")
    );
    Ok(())
}

/// The share of spans, and of contexts between processes, that must be there where agents have counted
/// drops: emulated processors are so slow that kernels are interrupted in programs, and leave out
/// others for that.
const AIM: f64 = 0.95;

/// Whether no parent is wrong, nothing is missing that was not counted as dropped, contexts have come
/// over, and lone requests are whole traces: with several at a time Node's and Go's runtimes leave open
/// which request a call is for.
fn is_good(score: &Score, at_a_time: usize, dropped: bool) -> bool {
    let asserted = score.asserted();
    let servers = score.kinds.get(&Kind::Server).copied().unwrap_or_default();
    let share = if dropped { AIM } else { 1.0 };
    let enough = |some: usize, all: usize| some as f64 >= share * all as f64;
    asserted.right + asserted.dangling == asserted.all
        && score.false_merges == 0
        && score.surplus == 0
        && enough(score.found, score.exchanges)
        && enough(servers.asserted.right, servers.true_parents)
        && (at_a_time > 1 || enough(score.exact_traces, score.requests))
}

/// The two hosts, with their agents and services.
struct Hosts {
    here: Agent,
    /// The machine: it ends with its agent.
    other: Agent,
    _services: Vec<Process>,
    cgroup: Cgroup,
    host: Host,
    _tap: Tap,
    _network: Network,
    bases: Vec<String>,
    store: Arc<Store>,
    directory: TempDir,
    name: String,
}

impl Hosts {
    fn start(kernel: Kernel, agent: &Path, arguments: &[String]) -> Result<Self> {
        let image = kernel.image()?;
        let mut network = Network::new()?;
        let host = network.host()?;
        let (tap, other_address, _) = network.tap()?;
        let cgroup = Cgroup::new()?;
        let store = Arc::<Store>::default();
        let directory = clew_testbed::temp_dir()?;

        let mut here = vec!["--include-cgroup", cgroup.path()];
        here.extend(arguments.iter().map(String::as_str));
        let here = Agent::start_into(&store, agent, &here)?;

        let mut services = Vec::new();
        let mut beside = Vec::new();
        let mut addresses = Vec::new();
        for ((runtime, place), port) in CHAIN.into_iter().zip(PORT..) {
            let ip = match place {
                Place::Here => host.ipv4,
                Place::Other => other_address,
            };
            let address = SocketAddr::from((ip, port));
            let command = runtime.command(address)?;
            match place {
                Place::Here => {
                    let name = format!("service-{port}");
                    let command = cgroup.member(&command);
                    let namespace = Some(&host.namespace);
                    services.push(Process::start(&name, command, namespace, directory.path())?);
                }
                Place::Other => beside.push(command),
            }
            addresses.push(address);
        }

        let machine = Machine {
            tools: &setup::python_tools(),
            kernel: &image,
            within: Duration::from_secs(MACHINE_SECONDS),
            tap: Some(&tap),
            cgroups: Cgroups::default(),
            locked_down: false,
        };
        let metrics = SocketAddr::from((other_address, METRICS));
        let script = script(&beside, agent, metrics, arguments)?;
        let command = vm::in_namespace(tap.namespace(), &machine.command(&script)?);
        let other = Agent::start_by(command, &store, metrics, BOOTS_WITHIN)?;

        let hosts = Self {
            here,
            other,
            _services: services,
            cgroup,
            host,
            _tap: tap,
            _network: network,
            bases: addresses.iter().map(|a| format!("http://{a}")).collect(),
            store,
            directory,
            name: format!("hosts-{}", std::process::id()),
        };
        for address in addresses {
            hosts.wait_listening(address)?;
        }
        Ok(hosts)
    }

    fn wait_listening(&self, address: SocketAddr) -> Result<()> {
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok();
        let within = Deadline::after(LISTENS_WITHIN);
        let listens = self.host.namespace.enter(|| within.poll(connect))?;
        let log = || format!("at {address}; the other host wrote:\n{}", self.other.log());
        listens
            .map(drop)
            .with_context(|| format!("nothing listens {}", log()))
    }

    /// What both agents say that they lost.
    fn drops(&self) -> Result<Drops> {
        let here = self.here.check()?;
        let other = self.host.namespace.enter(|| self.other.check())??;
        let mut sum = Drops::new();
        for metrics in [here, other] {
            for (reason, count) in agent::drops(metrics.text()).context("no drop counters")? {
                *sum.entry(reason).or_default() += count;
            }
        }
        Ok(sum)
    }

    /// Sends requests, so many at a time, and compares the spans of both agents with the truth.
    fn measure(&self, at_a_time: usize, requests: usize) -> Result<Score> {
        let call = self
            .bases
            .iter()
            .rev()
            .map(|base| Call::to(base).working(2))
            .reduce(|called, caller| caller.calling(called))
            .context("a chain")?;
        let name = format!("{}-{at_a_time}x", self.name);
        let requests: Vec<Request> = (0..requests)
            .map(|n| call.request(&format!("{name}{n}")))
            .collect();
        let lines: String = requests
            .iter()
            .map(|request| format!("{}\t{}\n", request.url, request.plan))
            .collect();
        let list = self.directory.path().join("requests");
        fs::write(&list, lines)?;
        let list = list.to_str().context("a path in UTF-8")?;
        let load = python_program("load.py", &[&at_a_time.to_string(), list])?;
        let mut load = Process::start(
            "load",
            self.cgroup.member(&load),
            Some(&self.host.namespace),
            self.directory.path(),
        )?;
        let status = load.wait(LOAD_WITHIN)?;
        ensure!(
            status.success(),
            "{}; the other host wrote:\n{}",
            load.output(),
            self.other.log()
        );
        let hops: Vec<Hop> = requests
            .into_iter()
            .flat_map(|request| request.hops)
            .collect();
        let spans = self
            .store
            .wait(Which::Named(&name), hops.len() * 2, SPANS_WITHIN);
        Ok(Score::of(&spans, &hops))
    }
}

/// What runs on the other host: the agent and, once it traces, services: kernels before 6.12 take no
/// contexts on what was listening before. The agent's spans come to this process as the machine's
/// output, so what services print goes with the agent's log.
fn script(
    services: &[Command],
    agent: &Path,
    metrics: SocketAddr,
    arguments: &[String],
) -> Result<[OsString; 3]> {
    const LOG: &str = "/tmp/agent.log";
    let mut run = Command::new(agent);
    run.args(["run", "--output", "json", "--metrics-address"]);
    run.arg(metrics.to_string()).args(arguments);
    let mut script = format!(
        "touch {LOG}; tail -f {LOG} >&2 &\n\
         ({}) 2>{LOG} & agent=$!\n\
         until grep -q 'clew is tracing' {LOG}; do kill -0 $agent || exit; sleep 0.5; done\n",
        shell_line(&run)?
    );
    for service in services {
        script += &format!("({}) >&2 &\n", shell_line(service)?);
    }
    script += "wait $agent";
    Ok(["sh".into(), "-c".into(), script.into()])
}
