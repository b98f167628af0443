//! Hosts with services and agents on them.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use clew_testbed::{Cgroup, Host, Impairment, Namespace, Network, Process};
use clew_tests::Agent;
use clew_tests::plan::Request;
use clew_tests::require::{self, Need};
use clew_tests::service;
use clew_tests::store::Store;
use tempfile::TempDir;

use super::axes::{Axes, Design, Topology};
use crate::bench::agent::{self, Drops};

/// How the agents send a request's context with it to the next host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Propagation {
    /// Not at all.
    Off,
    /// In a TCP option.
    TcpOption,
    /// In an HTTP header.
    Header,
}

/// The agent's flag; [`Propagation`]'s names are its values.
const PROPAGATE: &str = "--propagate";

/// The agents that are under test.
pub struct AgentsOf<'a> {
    /// Their binary.
    pub binary: &'a Path,
    /// What they are told.
    pub propagation: &'a [Propagation],
    /// More arguments for `clew run`.
    pub more: &'a [String],
}

/// A network namespace and a cgroup that together pass for a host.
struct SmallHost {
    place: Place,
    cgroup: Cgroup,
}

enum Place {
    Alone(Namespace),
    OnNetwork(Host),
}

impl SmallHost {
    fn namespace(&self) -> &Namespace {
        match &self.place {
            Place::Alone(namespace) => namespace,
            Place::OnNetwork(host) => &host.namespace,
        }
    }

    fn address(&self) -> Ipv4Addr {
        match &self.place {
            Place::Alone(_) => Ipv4Addr::LOCALHOST,
            Place::OnNetwork(host) => host.ipv4,
        }
    }

    fn start(&self, name: &str, command: &Command, directory: &Path) -> Result<Process> {
        let command = self.cgroup.member(command);
        Process::start(name, command, Some(self.namespace()), directory)
    }
}

/// The hosts of a topology, with agents that trace them. All agents export to one store.
pub struct World {
    /// Ended first, before the cgroups that they look at.
    agents: Vec<Agent>,
    /// The first one's is the load; where there are several, each service has its own.
    hosts: Vec<SmallHost>,
    _network: Option<Network>,
    /// How its links are impaired, if they are.
    pub impairment: Option<Impairment>,
    /// All spans.
    pub store: Arc<Store>,
    directory: TempDir,
    next_port: Cell<u16>,
}

impl World {
    /// Makes the hosts and starts an agent for each, which sees only its host's cgroup and those
    /// below.
    ///
    /// # Errors
    /// When the kernel lacks something, or an agent does not trace.
    pub fn start(topology: Topology, under_test: &AgentsOf<'_>) -> Result<Self> {
        let mut network = None;
        let mut impairment = None;
        let mut hosts = Vec::new();
        match topology {
            Topology::OneHost => hosts.push(SmallHost {
                place: Place::Alone(Namespace::new()?),
                cgroup: Cgroup::new()?,
            }),
            Topology::Hosts | Topology::ImpairedHosts => {
                let network = network.insert(Network::new()?);
                for _ in 0..=Design::SERVICES {
                    let host = network.host()?;
                    if topology == Topology::ImpairedHosts {
                        impairment = Some(host.impair()?);
                    }
                    hosts.push(SmallHost {
                        place: Place::OnNetwork(host),
                        cgroup: Cgroup::new()?,
                    });
                }
            }
        }
        let store = Arc::<Store>::default();
        let agents = hosts
            .iter()
            .map(|host| under_test.start(&host.cgroup, &store))
            .collect::<Result<_>>()?;
        Ok(Self {
            agents,
            hosts,
            _network: network,
            impairment,
            store,
            directory: clew_testbed::temp_dir()?,
            next_port: Cell::new(8001),
        })
    }

    /// Starts the services of a cell and waits until they listen.
    ///
    /// # Errors
    /// When one does not.
    pub fn cast(&self, axes: &Axes) -> Result<Cast> {
        let mut cast = Cast {
            processes: Vec::new(),
            bases: Vec::new(),
        };
        let runtimes = axes.design.services(axes.shape, axes.at_a_time);
        for (number, runtime) in runtimes.into_iter().enumerate() {
            let host = self.hosts.get(number + 1).unwrap_or(&self.hosts[0]);
            // Never one that was used: the hundreds of processes that have just been killed let go of
            // theirs one by one.
            let port = self.next_port.get();
            self.next_port.set(port.checked_add(1).context("ports")?);
            let address = SocketAddr::from((host.address(), port));
            let command = runtime.command(address)?;
            let name = format!("service-{number}");
            let process = host.start(&name, &command, self.directory.path())?;
            cast.processes.push((process, address));
            cast.bases.push(format!("http://{address}"));
        }
        for (process, address) in &mut cast.processes {
            process.wait_listening(*address, Duration::from_secs(60))?;
        }
        Ok(cast)
    }

    /// Sends the requests, so many at a time, and waits for the last answer.
    ///
    /// # Errors
    /// When one fails, with what the load and the services wrote.
    pub fn load(&self, requests: &[Request], at_a_time: usize, cast: &Cast) -> Result<()> {
        /// The longest that a cell's load takes on a machine that is busy with others.
        const LONGEST: Duration = Duration::from_secs(120);
        let lines: String = requests
            .iter()
            .map(|request| format!("{}\t{}\n", request.url, request.plan))
            .collect();
        let list = self.directory.path().join("requests");
        std::fs::write(&list, lines)?;
        let mut command = Command::new(require::find(Need::Python).map_err(anyhow::Error::msg)?);
        command.args([service::source("load.py"), at_a_time.to_string()]);
        command.arg(list);
        let mut load = self.hosts[0].start("load", &command, self.directory.path())?;
        let status = load.wait(LONGEST)?;
        ensure!(status.success(), "{}\n{}", load.output(), cast.last_words());
        Ok(())
    }

    /// What all agents say that they lost.
    ///
    /// # Errors
    /// When one has ended, or exported something else than OTLP.
    pub fn drops(&self) -> Result<Drops> {
        let mut sum = Drops::new();
        for agent in &self.agents {
            let metrics = agent.check()?;
            let drops = agent::drops(metrics.text()).context("no drop counters")?;
            for (reason, count) in drops {
                *sum.entry(reason).or_default() += count;
            }
        }
        Ok(sum)
    }
}

impl AgentsOf<'_> {
    fn start(&self, cgroup: &Cgroup, store: &Arc<Store>) -> Result<Agent> {
        let modes: Vec<_> = self
            .propagation
            .iter()
            .filter_map(Propagation::to_possible_value)
            .collect();
        // The scope is also where contexts are passed on.
        let mut arguments = vec!["--thread-ids", "--include-cgroup", cgroup.path()];
        arguments.extend(modes.iter().flat_map(|mode| [PROPAGATE, mode.get_name()]));
        arguments.extend(self.more.iter().map(String::as_str));
        Agent::start_into(store, self.binary, &arguments)
    }
}

/// Running services.
pub struct Cast {
    processes: Vec<(Process, SocketAddr)>,
    /// Where each is reached.
    pub bases: Vec<String>,
}

impl Cast {
    fn last_words(&self) -> String {
        let outputs = self.processes.iter().map(|(process, _)| {
            let output = process.output();
            let lines: Vec<&str> = output.lines().collect();
            let last = lines[lines.len().saturating_sub(10)..].join("\n");
            format!("{}: {last}", process.name())
        });
        outputs.collect::<Vec<_>>().join("\n")
    }
}
