//! A PostgreSQL server with a database of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::unprivileged::{unprivileged, unprivileged_dir, versioned};
use crate::{Namespace, Process};

/// A running server whose data vanishes with it. Its superuser is `clew`, its database `clew`; whoever
/// reaches it is let in, but for a role `scram`, if the schema makes one: that needs its password.
#[derive(Debug)]
pub struct Postgres {
    // Ended before its directory is removed.
    server: Process,
    directory: TempDir,
    address: SocketAddr,
}

impl Postgres {
    /// The name of its user and its database.
    pub const NAME: &str = "clew";

    /// For it to listen, on a machine with other things to do.
    const START: Duration = Duration::from_secs(60);

    /// A program of PostgreSQL's.
    ///
    /// # Errors
    /// Where it is not installed.
    pub fn program(name: &str) -> Result<PathBuf> {
        versioned(("/usr/lib/postgresql", "bin"), name)
    }

    /// Starts one that listens at `address` in `namespace`, and runs `schema` in its database.
    ///
    /// # Errors
    /// Without root, without PostgreSQL, or when it does not start; with what it wrote.
    pub fn start(namespace: &Namespace, address: SocketAddr, schema: &str) -> Result<Self> {
        let directory = unprivileged_dir()?;
        let data = directory.path().join("data");
        let mut initdb = unprivileged(&Self::program("initdb")?, directory.path());
        initdb
            .arg("--pgdata")
            .arg(&data)
            .args(["--username", Self::NAME, "--auth", "trust", "--no-sync"])
            .args(["--encoding", "UTF8", "--locale", "C"]);
        let output = initdb.output().context("running initdb")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "initdb: {errors}");
        let rules =
            "local all all trust\nhost all scram all scram-sha-256\nhost all all all trust\n";
        std::fs::write(data.join("pg_hba.conf"), rules).context("writing pg_hba.conf")?;

        let mut server = unprivileged(&Self::program("postgres")?, directory.path());
        server.arg("-D").arg(&data);
        let (host, port) = (address.ip(), address.port());
        for setting in [
            format!("listen_addresses={host}"),
            format!("port={port}"),
            format!("unix_socket_directories={}", directory.path().display()),
            "fsync=off".to_owned(),
            "max_connections=200".to_owned(),
        ] {
            server.arg("-c").arg(setting);
        }
        let mut server = Process::start("postgres", server, Some(namespace), directory.path())?;
        server.wait_listening(address, Self::START)?;
        let postgres = Self {
            server,
            directory,
            address,
        };
        // It listens before it lets anybody in.
        let maintenance =
            crate::Deadline::after(Self::START).poll(|| postgres.sql("postgres", "SELECT 1").ok());
        ensure!(maintenance.is_some(), "it listens, and lets nobody in");
        postgres.sql("postgres", &format!("CREATE DATABASE {}", Self::NAME))?;
        if !schema.is_empty() {
            postgres.sql(Self::NAME, schema)?;
        }
        Ok(postgres)
    }

    /// The process that all others of the server are begun by.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// By its Unix socket, which is not what is traced where ports are.
    fn sql(&self, database: &str, text: &str) -> Result<()> {
        let mut psql = Command::new(Self::program("psql")?);
        psql.args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1"]);
        psql.args(["--username", Self::NAME, "--dbname", database]);
        psql.arg("--host").arg(self.directory.path());
        psql.args(["--port", &self.address.port().to_string()]);
        psql.args(["--command", text]);
        let output = psql.output().context("running psql")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "psql: {errors}");
        Ok(())
    }
}
