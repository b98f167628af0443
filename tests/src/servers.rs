//! Databases, caches and brokers: how each is started, with data that vanishes.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Error, Result};
use clew_testbed::{Postgres, Process, unprivileged, unprivileged_dir};
use tempfile::TempDir;

use crate::require::{Need, find};
use crate::service::{listening, source};
use crate::stage::{Stage, with};

/// A server of another protocol than HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// Memcached.
    Memcached,
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
pub enum Running {
    /// PostgreSQL has a guard of its own.
    Postgres(Postgres),
    /// A process, and the directory that it calls its own.
    Process(Process, TempDir),
}

impl Server {
    /// What it needs of the machine.
    #[must_use]
    pub const fn need(self) -> Need {
        Need::Program(match self {
            Self::Grpc => return Need::Python,
            Self::Postgres => "psql",
            Self::Redis => "redis-server",
            Self::Memcached => "memcached",
            Self::Nats => "nats-server",
        })
    }

    /// Starts it on a port of the stage's loopback, and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(self, stage: &Stage, port: u16) -> Result<Running> {
        let number = port.to_string();
        let directory = unprivileged_dir()?;
        let shown = directory.path().display().to_string();
        let arguments: &[&str] = match self {
            Self::Postgres => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let postgres = Postgres::start(stage.namespace(), address, ORDERS)?;
                return Ok(Running::Postgres(postgres));
            }
            Self::Redis => &[
                "--port",
                &number,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                &shown,
            ],
            Self::Memcached => &["-p", &number, "-l", "127.0.0.1", "-U", "0"],
            Self::Nats => &[
                "-a",
                "127.0.0.1",
                "-p",
                &number,
                "--user",
                "tester",
                "--pass",
                "secret",
            ],
            Self::Grpc => &[&source("protocols/grpc_server.py"), &number],
        };
        let program = find(self.need()).map_err(Error::msg)?;
        let command = match self {
            // Its interpreter may be in a folder that is closed to others.
            Self::Grpc => Command::new(program),
            _ => unprivileged(&program, directory.path()),
        };
        let process = stage.start(&format!("{self:?}"), with(command, arguments))?;
        Ok(Running::Process(listening(process, port)?, directory))
    }
}
