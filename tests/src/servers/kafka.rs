//! Apache Kafka, a broker that is its own controller (KRaft).

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::clients::java;
use crate::require::Need;

pub(super) const NEEDS: &[Need] = &[Need::Program("javac"), Need::Maven("kafka")];

/// One broker, no replicas, and groups that do not wait for further members.
const SETTINGS: &str = "process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
num.partitions=2
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.enable=false
";

/// What formatting a directory would leave there, which takes as long as starting.
const FORMATTED: &str = "version=1
cluster.id=Y2xldy10ZXN0LWthZmthMQ
directory.id=Y2xldy10ZXN0LWRpcmVjdA
node.id=1
";

/// The broker listens on the port, its controller on the next one.
pub(super) fn command(directory: &Path, port: u16) -> Result<Command> {
    let logs = directory.join("logs");
    std::fs::create_dir_all(&logs).context("creating its directory")?;
    std::fs::write(logs.join("meta.properties"), FORMATTED)?;
    let controller = port + 1;
    let settings = format!(
        "{SETTINGS}listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\nlog.dirs={}\n",
        logs.display()
    );
    let file = directory.join("server.properties");
    std::fs::write(&file, settings)?;
    let mut kafka = java("kafka")?;
    kafka.current_dir(directory).arg("kafka.Kafka").arg(file);
    Ok(kafka)
}
