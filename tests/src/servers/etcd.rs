//! etcd, one node.

use std::path::Path;
use std::process::Command;

use anyhow::{Error, Result};
use clew_testbed::unprivileged;

use crate::require::{Need, find};

const SERVER: Need = Need::Program("etcd");

pub(super) const NEEDS: &[Need] = &[SERVER];

/// It listens for other nodes, of which there are none, on the next port.
pub(super) fn command(directory: &Path, port: u16) -> Result<Command> {
    let [clients, nodes] = [port, port + 1].map(|port| format!("http://127.0.0.1:{port}"));
    let mut etcd = unprivileged(&find(SERVER).map_err(Error::msg)?, directory);
    etcd.arg("--data-dir").arg(directory.join("data"));
    for (option, value) in [
        ("--listen-client-urls", &*clients),
        ("--advertise-client-urls", &clients),
        ("--listen-peer-urls", &nodes),
        ("--initial-advertise-peer-urls", &nodes),
        ("--initial-cluster", &format!("default={nodes}")),
        // It would be a client of its own.
        ("--enable-grpc-gateway", "false"),
        ("--logger", "zap"),
    ] {
        etcd.arg(format!("{option}={value}"));
    }
    Ok(etcd)
}
