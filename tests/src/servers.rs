//! Databases, caches and brokers: how each is started, with data that vanishes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clew_testbed::{Postgres, Process, unprivileged, unprivileged_dir};
use tempfile::TempDir;

use crate::require::Need;
use crate::service::listening;
use crate::stage::{Stage, with};

/// A server of another protocol than HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    MariaDb,
    /// Redis.
    Redis,
    /// Memcached.
    Memcached,
    /// RabbitMQ.
    RabbitMq,
    /// Mosquitto.
    Mosquitto,
    /// NATS.
    Nats,
    /// A gRPC service in Python.
    Grpc,
}

/// What the clients of PostgreSQL expect to find.
const ORDERS: &str = "CREATE TABLE orders (id serial PRIMARY KEY, item text, price numeric); \
                      INSERT INTO orders (item, price) \
                        SELECT 'item ' || n, n FROM generate_series(1, 500) AS n; \
                      CREATE ROLE scram LOGIN PASSWORD 'hunter2secret'; \
                      GRANT ALL ON orders TO scram";

/// A running one.
#[derive(Debug)]
pub struct Running {
    _process: Option<Process>,
    _postgres: Option<Postgres>,
    _directory: Option<TempDir>,
}

impl Server {
    /// What it needs of the machine.
    #[must_use]
    pub const fn need(self) -> Need {
        Need::Program(match self {
            Self::Grpc => return Need::Python,
            Self::Postgres => "psql",
            Self::MariaDb => "mariadbd",
            Self::Redis => "redis-server",
            Self::Memcached => "memcached",
            Self::RabbitMq => "rabbitmq-server",
            Self::Mosquitto => "mosquitto",
            Self::Nats => "nats-server",
        })
    }

    /// Starts it on a port of the stage's loopback, and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(self, stage: &Stage, port: u16) -> Result<Running> {
        if self == Self::Postgres {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            return Ok(Running {
                _process: None,
                _postgres: Some(Postgres::start(stage.namespace(), address, ORDERS)?),
                _directory: None,
            });
        }
        let directory = unprivileged_dir()?;
        let command = self.command(directory.path(), &port.to_string())?;
        let process = stage.start(&format!("{self:?}"), command)?;
        Ok(Running {
            _process: Some(listening(process, port)?),
            _postgres: None,
            _directory: Some(directory),
        })
    }

    fn command(self, directory: &Path, port: &str) -> Result<Command> {
        let run = |name: &'static str, arguments: &[&str]| {
            program(name).map(|program| with(unprivileged(&program, directory), arguments))
        };
        let shown = directory.display().to_string();
        match self {
            Self::Postgres | Self::Redis => run(
                "redis-server",
                &[
                    "--port",
                    port,
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--dir",
                    &shown,
                ],
            ),
            Self::Memcached => run("memcached", &["-p", port, "-l", "127.0.0.1", "-U", "0"]),
            Self::Nats => run(
                "nats-server",
                &[
                    "-a",
                    "127.0.0.1",
                    "-p",
                    port,
                    "--user",
                    "tester",
                    "--pass",
                    "secret",
                ],
            ),
            Self::Grpc => {
                let python = crate::require::find(Need::Python).map_err(anyhow::Error::msg)?;
                let script = crate::service::source("protocols/grpc_server.py");
                Ok(with(Command::new(python), &[&script, port]))
            }
            Self::Mosquitto => {
                let configuration = directory.join("mosquitto.conf");
                let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\n");
                std::fs::write(&configuration, text)?;
                run("mosquitto", &["-c", &configuration.display().to_string()])
            }
            Self::MariaDb => {
                let data = directory.join("data").display().to_string();
                let mut install = run(
                    "mariadb-install-db",
                    &[
                        "--no-defaults",
                        "--skip-test-db",
                        "--auth-root-authentication-method=normal",
                        &format!("--datadir={data}"),
                    ],
                )?;
                let output = install.output().context("running mariadb-install-db")?;
                let errors = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "mariadb-install-db: {errors}");
                run(
                    "mariadbd",
                    &[
                        "--no-defaults",
                        "--bind-address=127.0.0.1",
                        "--skip-name-resolve",
                        &format!("--port={port}"),
                        &format!("--datadir={data}"),
                        &format!("--socket={shown}/socket"),
                    ],
                )
            }
            Self::RabbitMq => {
                // Its own script insists on users of its package; this one starts it as it is.
                let server =
                    clew_testbed::versioned(("/usr/lib/rabbitmq/lib", "sbin"), "rabbitmq-server")?;
                let mut command = unprivileged(&server, directory);
                command
                    .env("RABBITMQ_NODENAME", format!("clew{port}@localhost"))
                    .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
                    .env("RABBITMQ_NODE_PORT", port)
                    .env("RABBITMQ_MNESIA_BASE", directory.join("mnesia"))
                    .env("RABBITMQ_LOG_BASE", directory.join("log"))
                    .env("RABBITMQ_PID_FILE", directory.join("pid"))
                    .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("plugins"))
                    .env("ERL_EPMD_ADDRESS", "127.0.0.1");
                Ok(command)
            }
        }
    }
}

fn program(name: &'static str) -> Result<PathBuf> {
    crate::require::find(Need::Program(name)).map_err(anyhow::Error::msg)
}
