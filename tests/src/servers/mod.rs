//! Databases, caches and brokers: how each is started, with data that vanishes.

mod cassandra;
mod etcd;
mod ferretdb;
mod kafka;
mod mariadb;
pub mod mosquitto;
mod rabbitmq;
mod unbound;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Error, Result};
use clew_testbed::{Postgres, Process, unprivileged, unprivileged_dir, unprivileged_dir_in_memory};
use tempfile::TempDir;

use crate::require::{Need, find};
use crate::service::{NGINX, go_program, listening, nginx_command, python_program};
use crate::stage::{Stage, with};

/// A server of another protocol than HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
    /// Cassandra.
    Cassandra,
    /// FerretDB, which is used as MongoDB is.
    FerretDb,
    /// Redis.
    Redis,
    /// Memcached.
    Memcached,
    /// NATS.
    Nats,
    /// A gRPC service in Python.
    Grpc,
    /// etcd, by gRPC.
    Etcd,
    /// Kafka: a broker that is its own controller.
    Kafka,
    /// nginx with HTTP/2.
    Http2,
    /// A FastCGI application in Go.
    FastCgi,
    /// PHP, by FastCGI.
    Php,
    /// RabbitMQ.
    RabbitMq,
    /// Mosquitto.
    Mosquitto,
    /// Unbound, with some names of its own, by TCP.
    Unbound,
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
    /// RabbitMQ's node ends before the port mapper.
    RabbitMq(Process, Process, TempDir),
}

impl Running {
    /// The directory that it calls its own.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Postgres(_) => None,
            Self::Process(_, directory) | Self::RabbitMq(_, _, directory) => Some(directory.path()),
        }
    }
}

impl Server {
    /// What it needs of the machine.
    #[must_use]
    pub const fn needs(self) -> &'static [Need] {
        match self {
            Self::Postgres => &[Need::Program("psql")],
            Self::Mariadb => mariadb::NEEDS,
            Self::Cassandra => cassandra::NEEDS,
            Self::FerretDb => ferretdb::NEEDS,
            Self::Redis => &[Need::Program("redis-server")],
            Self::Memcached => &[Need::Program("memcached")],
            Self::Nats => &[Need::Program("nats-server")],
            Self::Grpc => &[Need::Python],
            Self::Etcd => etcd::NEEDS,
            Self::Kafka => kafka::NEEDS,
            Self::Http2 => &[NGINX],
            Self::FastCgi => &[Need::Program("go")],
            Self::Php => &[Need::Program("php-fpm8.2")],
            Self::RabbitMq => rabbitmq::NEEDS,
            Self::Mosquitto => mosquitto::NEEDS,
            Self::Unbound => unbound::NEEDS,
        }
    }

    /// Starts it on a port of the stage's loopback, and waits until it listens. The next port is its own
    /// too.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(self, stage: &Stage, port: u16) -> Result<Running> {
        if self == Self::Postgres {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let postgres = Postgres::start(stage.namespace(), address, ORDERS)?;
            return Ok(Running::Postgres(postgres));
        }
        let directory = match self {
            Self::Mariadb | Self::Cassandra | Self::FerretDb => unprivileged_dir_in_memory()?,
            _ => unprivileged_dir()?,
        };
        let mapper = match self {
            Self::RabbitMq => Some(rabbitmq::port_mapper(stage, directory.path())?),
            _ => None,
        };
        let command = self.command(stage, directory.path(), port)?;
        let process = stage.start(&format!("{self:?}"), command)?;
        let process = listening(process, port)?;
        if self == Self::Cassandra {
            cassandra::ready(&process)?;
        }
        Ok(match mapper {
            Some(mapper) => Running::RabbitMq(process, mapper, directory),
            None => Running::Process(process, directory),
        })
    }

    fn command(self, stage: &Stage, directory: &Path, port: u16) -> Result<Command> {
        let number = port.to_string();
        let plain = |name| {
            let program = find(Need::Program(name)).map_err(Error::msg)?;
            Ok::<_, Error>(unprivileged(&program, directory))
        };
        Ok(match self {
            Self::Postgres => unreachable!("it has a guard of its own"),
            Self::Redis => {
                let mut redis = plain("redis-server")?;
                redis.args(["--port", &number, "--bind", "127.0.0.1", "--save", ""]);
                redis.arg("--dir").arg(directory);
                redis
            }
            Self::Memcached => with(
                plain("memcached")?,
                &["-p", &number, "-l", "127.0.0.1", "-U", "0"],
            ),
            Self::Nats => {
                let mut nats = plain("nats-server")?;
                nats.args(["-a", "127.0.0.1", "-p", &number]);
                nats.args(["--user", "tester", "--pass", "secret", "-js", "-sd"]);
                nats.arg(directory);
                nats
            }
            // Interpreters and jars may be in a folder that is closed to others.
            Self::Grpc => python_program("protocols/grpc_server.py", &[&number])?,
            Self::Etcd => etcd::command(directory, port)?,
            Self::Mariadb => mariadb::command(directory, port)?,
            Self::Cassandra => cassandra::command(directory, port)?,
            Self::FerretDb => ferretdb::command(directory, port)?,
            Self::Kafka => kafka::command(directory, port)?,
            Self::Http2 => nginx_command(stage, "http2", &http2(port))?,
            Self::FastCgi => with(
                Command::new(go_program("protocols/fastcgi_go")?),
                &[&number],
            ),
            Self::Php => {
                let settings = directory.join("fpm.conf");
                std::fs::write(
                    &settings,
                    format!(
                        "[global]\nerror_log=/dev/stderr\n\
                         [www]\nlisten=127.0.0.1:{port}\nuser=nobody\npm=static\npm.max_children=2\n"
                    ),
                )?;
                let program = find(Need::Program("php-fpm8.2")).map_err(Error::msg)?;
                let mut php = Command::new(program);
                php.args(["--nodaemonize", "--fpm-config"]).arg(settings);
                php
            }
            Self::RabbitMq => rabbitmq::command(directory, port),
            Self::Mosquitto => mosquitto::command(directory, port)?,
            Self::Unbound => unbound::command(directory, port)?,
        })
    }
}

/// Short answers, one that takes its time, and uploads that are read, by a server of HTTP/1 on the next
/// port.
fn http2(port: u16) -> String {
    let behind = port + 1;
    format!(
        "server {{
           listen 127.0.0.1:{port} http2;
           location / {{ return 200 'here you are'; }}
           location /missing {{ return 404; }}
           location /broken {{ return 500; }}
           location /upload {{ proxy_pass http://127.0.0.1:{behind}; }}
           location /slow {{ proxy_pass http://127.0.0.1:{behind}; limit_rate 1k; }}
         }}
         server {{
           listen 127.0.0.1:{behind};
           location / {{ return 200 '{}'; }}
         }}",
        "x".repeat(3_000)
    )
}
