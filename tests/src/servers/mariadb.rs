//! MariaDB, with its user `root`, who needs no password.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Error, Result, ensure};
use clew_testbed::unprivileged;

use crate::require::{Need, find};

pub(super) const NEEDS: &[Need] = &[
    Need::Program("mariadbd"),
    Need::Program("mariadb-install-db"),
];

/// Nothing of the machine's settings, and little memory.
const SETTINGS: &[&str] = &[
    "--no-defaults",
    "--skip-name-resolve",
    "--innodb-log-file-size=4M",
    "--innodb-buffer-pool-size=16M",
];

/// Installs one in a directory; the command starts it.
pub(super) fn command(directory: &Path, port: u16) -> Result<Command> {
    let program = |name| {
        let program = find(Need::Program(name)).map_err(Error::msg)?;
        let mut command = unprivileged(&program, directory);
        command.args(SETTINGS);
        let data = directory.join("data");
        command.arg(format!("--datadir={}", data.display()));
        Ok::<_, Error>(command)
    };
    let mut install = program("mariadb-install-db")?;
    install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    let output = install.output().context("running mariadb-install-db")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "mariadb-install-db: {errors}");
    let mut server = program("mariadbd")?;
    server.arg("--bind-address=127.0.0.1");
    server.arg(format!("--port={port}"));
    for (option, file) in [("socket", "socket"), ("pid-file", "pid")] {
        let file = directory.join(file);
        server.arg(format!("--{option}={}", file.display()));
    }
    Ok(server)
}
