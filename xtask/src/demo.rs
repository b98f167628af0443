//! `cargo xtask demo`: a payment through four services, each on a host of its own, traced.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clew_testbed::{Deadline, Host, Network, Process, temp_dir};
use nix::sys::signal::Signal;

use crate::build::{self, Profile};
use crate::{setup, workspace};

const PAYMENTS: u32 = 3;

/// Unusual ones, so that the agent can be told to look at nothing else on this machine.
const PORTS: std::ops::RangeInclusive<u16> = 7701..=7704;

/// From one payment to the next; the agent prints a trace as it completes.
const BETWEEN_PAYMENTS: Duration = Duration::from_millis(500);

/// For a service to listen, on a machine with other things to do.
const START: Duration = Duration::from_secs(20);

/// From the last payment to its trace: 2 s from request to export, and some patience.
const LAST_TRACE: Duration = Duration::from_secs(3);

/// Sets up, builds, traces a few payments, and leaves nothing behind.
pub fn demo() -> Result<()> {
    setup::setup()?;
    let clew = build::agent(Profile::Release)?;
    let stop = stop_flag()?;
    let interrupted = || -> Result<()> {
        if stop.load(Ordering::Relaxed) { bail!("interrupted") } else { Ok(()) }
    };

    // Guards end in the reverse order: agent, services, hosts, network, files.
    let directory = temp_dir()?;
    let mut network = Network::new()?;
    let mut shop = Shop::open(&mut network, directory.path())?;
    interrupted()?;
    let mut agent = start_agent(&clew)?;
    // Not earlier than the agent looks: its first words go to the error output at start.
    pause(Duration::from_secs(2), &stop);

    for number in 1..=PAYMENTS {
        interrupted()?;
        shop.pay(number)?;
        if agent.has_ended() {
            bail!("the agent ended before its time");
        }
        pause(BETWEEN_PAYMENTS, &stop);
    }
    pause(LAST_TRACE, &stop);
    agent.signal(Signal::SIGTERM)?;
    let status = agent.wait(Duration::from_secs(5))?;
    if !status.success() {
        bail!("the agent failed: {status}");
    }
    Ok(())
}

/// The demo's hosts with their services running.
struct Shop {
    client: Host,
    gateway: SocketAddr,
    _services: Vec<(Process, Host)>,
}

impl Shop {
    fn open(network: &mut Network, directory: &Path) -> Result<Self> {
        let client = network.host()?;
        let mut ports = PORTS;
        let mut place = || -> Result<(Host, SocketAddr)> {
            let host = network.host()?;
            let address = SocketAddr::from((host.ipv4, ports.next().context("a port")?));
            Ok((host, address))
        };
        let (gateway_host, gateway) = place()?;
        let (payment_host, payment) = place()?;
        let (ledger_host, ledger) = place()?;
        let (fraud_host, fraud) = place()?;

        let programs = workspace::root().join("demo");
        let mut ledger_db = Command::new("python3");
        ledger_db.arg(programs.join("ledger-db-standin.py")).arg(ledger.to_string());
        let mut fraud_js = Command::new("node");
        fraud_js.arg(programs.join("fraud.js")).arg(fraud.to_string());
        let mut payment_py = Command::new("python3");
        payment_py.arg(programs.join("payment.py"));
        payment_py.args([payment, ledger, fraud].map(|address| address.to_string()));
        let nginx = nginx(&programs, directory, gateway, payment)?;

        let mut services = Vec::new();
        for (name, mut command, host, address) in [
            ("ledger-db-standin", ledger_db, ledger_host, ledger),
            ("fraud", fraud_js, fraud_host, fraud),
            ("payment", payment_py, payment_host, payment),
            ("gateway", nginx, gateway_host, gateway),
        ] {
            // Compiled Python beside the sources would be something left behind.
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            let process = Process::start(name, command, Some(&host.namespace), directory)?;
            services.push((process, host));
            let last = services.len() - 1;
            services[last].0.wait_listening(address, START)?;
        }
        Ok(Self { client, gateway, _services: services })
    }
}
