//! Mosquitto, an MQTT broker.

use std::path::Path;
use std::process::Command;

use anyhow::{Error, Result};
use clew_testbed::unprivileged;

use crate::require::{Need, find};

const BROKER: Need = Need::Program("mosquitto");

/// The Unix socket in its directory on which it listens too.
pub const SOCKET: &str = "mqtt.sock";

pub(super) const NEEDS: &[Need] = &[BROKER];

/// A user, whose password clients do not know.
const USERS: &str = "clew:$7$101$Mr+MZlIQrUW1gDcU$y3gy5h9VedO8t/pPtLJ3NbU6XZzqNs2jUNqWFPB6mEJJTySHZH9eg\
                     yhL/6jc5hrBmw8XJdyhECJmOP5otRrIag==\n";

/// What those may do who have no name.
const RULES: &str = "topic readwrite clew/#\ntopic deny clew/denied\n";

pub(super) fn command(directory: &Path, port: u16) -> Result<Command> {
    let [users, rules] = [("users", USERS), ("rules", RULES)].map(|(name, text)| {
        let file = directory.join(name);
        std::fs::write(&file, text).map(|()| file)
    });
    let settings = format!(
        "listener {port} 127.0.0.1\nlistener 0 {}\nallow_anonymous true\npersistence false\nlog_dest stderr\n\
         password_file {}\nacl_file {}\n",
        directory.join(SOCKET).display(),
        users?.display(),
        rules?.display()
    );
    let file = directory.join("mosquitto.conf");
    std::fs::write(&file, settings)?;
    let mut broker = unprivileged(&find(BROKER).map_err(Error::msg)?, directory);
    broker.arg("-c").arg(file);
    Ok(broker)
}
