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
/// reaches it is let in.
#[derive(Debug)]
pub struct Postgres {
    // Ended before its directory is removed.
    _server: Process,
    _directory: TempDir,
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
        let reached = "\nhost all all all trust\n";
        let rules = data.join("pg_hba.conf");
        let text = std::fs::read_to_string(&rules).context("reading pg_hba.conf")?;
        std::fs::write(&rules, text + reached).context("writing pg_hba.conf")?;

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
            _server: server,
            _directory: directory,
            address,
        };
        // It listens before it lets anybody in.
        let maintenance = crate::Deadline::after(Self::START)
            .poll(|| postgres.sql(namespace, "postgres", "SELECT 1").ok());
        ensure!(maintenance.is_some(), "it listens, and lets nobody in");
        postgres.sql(
            namespace,
            "postgres",
            &format!("CREATE DATABASE {}", Self::NAME),
        )?;
        if !schema.is_empty() {
            postgres.sql(namespace, Self::NAME, schema)?;
        }
        Ok(postgres)
    }

    fn sql(&self, namespace: &Namespace, database: &str, text: &str) -> Result<()> {
        let mut psql = Command::new(Self::program("psql")?);
        psql.args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1"]);
        psql.args(["--username", Self::NAME, "--dbname", database]);
        psql.args(["--host", &self.address.ip().to_string()]);
        psql.args(["--port", &self.address.port().to_string()]);
        psql.args(["--command", text]);
        let output = namespace.enter(|| psql.output())?;
        let output = output.context("running psql")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "psql: {errors}");
        Ok(())
    }
}
