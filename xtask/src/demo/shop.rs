//! The demo's services, each on a host of its own: client -> gateway -> payment -> database and
//! fraud.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clew_testbed::{Host, Network, Postgres, Process};

use crate::{setup, workspace};

/// Unusual ones, so that the agent can be told to look at nothing else on this machine.
pub const PORTS: &str = "7701-7704";

/// What the ledger's database holds.
const LEDGER: &str = "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL); \
                      CREATE TABLE bookings (account int REFERENCES accounts, amount bigint); \
                      INSERT INTO accounts VALUES (42, 1000)";

/// For a service to listen, on a machine with other things to do.
const START: Duration = Duration::from_secs(20);

/// Where nginx's dynamic modules are: Debian's place.
const NGINX_MODULES: &str = "/usr/lib/nginx/modules";

/// The services, running, and the host of the one who pays.
pub struct Shop {
    client: Host,
    gateway: SocketAddr,
    _services: Vec<Process>,
    _ledger_db: Postgres,
    _hosts: Vec<Host>,
}

impl Shop {
    /// Starts every service and waits until it listens.
    ///
    /// # Errors
    /// When one does not, or the user wants to stop.
    pub fn open(network: &mut Network, directory: &Path, stop: &AtomicBool) -> Result<Self> {
        let client = network.host()?;
        let hosts: Vec<Host> = (0..4).map(|_| network.host()).collect::<Result<_>>()?;
        let [gateway, payment, ledger_db, fraud] =
            [0, 1, 2, 3].map(|n| SocketAddr::from((hosts[usize::from(n)].ipv4, 7701 + n)));

        let database = Postgres::start(&hosts[2].namespace, ledger_db, LEDGER)?;
        let programs = workspace::root().join("demo");
        let python = setup::python();
        let starts = [
            ("gateway", nginx(&programs, directory, gateway, payment)?),
            (
                "payment",
                script(
                    python.as_os_str(),
                    &programs.join("payment.py"),
                    &[payment, ledger_db, fraud],
                ),
            ),
            (
                "fraud",
                script("node".as_ref(), &programs.join("fraud.js"), &[fraud]),
            ),
        ];
        let places = [(0, gateway), (1, payment), (3, fraud)];

        let mut services = Vec::new();
        for ((name, command), (host, address)) in starts.into_iter().zip(places) {
            let host = &hosts[host];
            let mut service = Process::start(name, command, Some(&host.namespace), directory)?;
            service.wait_listening(address, START)?;
            services.push(service);
            if stop.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
        }
        Ok(Self {
            client,
            gateway,
            _services: services,
            _ledger_db: database,
            _hosts: hosts,
        })
    }

    /// Pays once, with curl on the client's host; returns status and duration in words.
    ///
    /// # Errors
    /// When the payment is not accepted.
    pub fn pay(&self) -> Result<String> {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
            "--max-time",
            "10",
        ]);
        curl.args(["--json", r#"{"amount": 42}"#, "--output", "/dev/null"]);
        curl.args(["--write-out", "status %{http_code}, %{time_total} s"]);
        curl.arg(format!("http://{}/payments", self.gateway));
        let output = self
            .client
            .namespace
            .enter(|| curl.output())?
            .context("starting curl")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "the payment failed: {}",
            error.trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn script(interpreter: &OsStr, program: &Path, addresses: &[SocketAddr]) -> Command {
    let mut command = Command::new(interpreter);
    command
        .arg(program)
        .args(addresses.iter().map(ToString::to_string));
    // Compiled Python beside the sources would be something left behind.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// nginx with the demo's configuration, keeping its files in `directory`.
fn nginx(
    programs: &Path,
    directory: &Path,
    gateway: SocketAddr,
    payment: SocketAddr,
) -> Result<Command> {
    let template = programs.join("gateway.conf");
    let text = fs::read_to_string(&template)
        .with_context(|| format!("reading {}", template.display()))?
        .replace("${modules}", NGINX_MODULES)
        .replace("${gateway}", &gateway.to_string())
        .replace("${payment}", &payment.to_string());
    let file = directory.join("gateway.conf");
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;

    // `-e`: before it has read its configuration it would log to the system's place.
    let mut nginx = Command::new("nginx");
    nginx
        .arg("-p")
        .arg(directory)
        .arg("-c")
        .arg(&file)
        .args(["-e", "stderr"]);
    Ok(nginx)
}
