//! RabbitMQ: a node of Erlang's, and the daemon by which such nodes find each other.

use std::path::Path;
use std::process::Command;

use anyhow::{Error, Result};
use clew_testbed::{Process, unprivileged};

use crate::require::{Need, find};
use crate::stage::Stage;

/// Debian's `rabbitmq-server` on the `PATH` changes to a user and to directories of its own; this one is
/// behind it.
const BROKER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

const EPMD: Need = Need::Program("epmd");

pub(super) const NEEDS: &[Need] = &[Need::Program("rabbitmq-server"), EPMD];

/// Erlang's port mapper. A node that finds none starts one that outlives it.
pub(super) fn port_mapper(stage: &Stage, directory: &Path) -> Result<Process> {
    let mut epmd = unprivileged(&find(EPMD).map_err(Error::msg)?, directory);
    epmd.args(["-address", "127.0.0.1"]);
    stage.start("epmd", epmd)
}

/// The node, with nothing of what the machine's own is told.
pub(super) fn command(directory: &Path, port: u16) -> Command {
    let own = |name: &str| directory.join(name);
    let mut broker = unprivileged(Path::new(BROKER), directory);
    broker
        // Not the shell, which would wait for it, but the node itself is to be asked to end.
        .env("detached", "1")
        .arg("-noinput")
        .env("RABBITMQ_NODENAME", "clew@localhost")
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_MNESIA_BASE", directory)
        .env("RABBITMQ_LOG_BASE", directory)
        .env("RABBITMQ_LOGS", "-")
        // None of these files is there.
        .env("RABBITMQ_CONF_ENV_FILE", own("environment"))
        .env("RABBITMQ_CONFIG_FILE", own("rabbitmq"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", own("advanced"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", own("plugins"))
        // To enable features takes most of the time of a first start.
        .env("RABBITMQ_FEATURE_FLAGS", "");
    broker
}
