//! Apache Cassandra, one node, with its first role `cassandra`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clew_testbed::{Deadline, Process};

use crate::clients::java;
use crate::require::Need;

pub(super) const NEEDS: &[Need] = &[Need::Program("javac"), Need::Maven("cassandra")];

/// Logins with a password, and little memory. Behind it stand directories and ports.
const SETTINGS: &str = "cluster_name: test
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
start_native_transport: true
hinted_handoff_enabled: false
auto_snapshot: false
disk_failure_policy: stop
commit_failure_policy: stop
commitlog_sync: periodic
commitlog_sync_period: 10000ms
commitlog_segment_size: 8MiB
commitlog_total_space: 64MiB
memtable_heap_space: 32MiB
memtable_offheap_space: 32MiB
file_cache_size: 32MiB
key_cache_size: 4MiB
counter_cache_size: 2MiB
concurrent_compactors: 1
";

const DIRECTORIES: &[&str] = &["commitlog", "hints", "saved_caches", "cdc_raw"];

/// To its log go the steps of its start.
const LOGGING: &str = "<configuration>
<appender name=\"OUT\" class=\"ch.qos.logback.core.ConsoleAppender\">
<encoder><pattern>%level %msg%n</pattern></encoder></appender>
<root level=\"INFO\"><appender-ref ref=\"OUT\"/></root>
</configuration>
";

/// Packages of the JDK that it reaches into (`conf/jvm17-server.options` of its distribution).
const OPENS: &[&str] = &[
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
];

/// See [`OPENS`].
const EXPORTS: &[&str] = &[
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
];

/// It listens for clients on the port, and for other nodes, of which there are none, on the next one.
pub(super) fn command(directory: &Path, port: u16) -> Result<Command> {
    let at = |name: &str| directory.join(name).display().to_string();
    let storage = port + 1;
    let mut settings = format!(
        "{SETTINGS}native_transport_port: {port}\nstorage_port: {storage}\n\
         data_file_directories: [ {data} ]\n\
         seed_provider:\n  - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n    \
         parameters: [ {{ seeds: \"127.0.0.1:{storage}\" }} ]\n",
        data = at("data"),
    );
    for name in DIRECTORIES {
        settings.push_str(&format!("{name}_directory: {}\n", at(name)));
    }
    let (settings_file, logging) = (at("cassandra.yaml"), at("logback.xml"));
    std::fs::write(&settings_file, settings).context("writing its settings")?;
    std::fs::write(&logging, LOGGING).context("writing its settings")?;
    let mut cassandra = java("cassandra")?;
    cassandra.current_dir(directory).arg("-Xmx512m");
    for (property, value) in [
        ("cassandra.config", &*format!("file://{settings_file}")),
        ("logback.configurationFile", &format!("file://{logging}")),
        ("cassandra.storagedir", &directory.display().to_string()),
        ("cassandra.logdir", &directory.display().to_string()),
        ("cassandra-foreground", "yes"),
        // Nobody else is to be waited for.
        ("cassandra.skip_wait_for_gossip_to_settle", "0"),
        ("cassandra.ring_delay_ms", "100"),
        ("cassandra.superuser_setup_delay_ms", "100"),
        ("jdk.attach.allowAttachSelf", "true"),
        ("java.net.preferIPv4Stack", "true"),
        ("io.netty.tryReflectionSetAccessible", "true"),
    ] {
        cassandra.arg(format!("-D{property}={value}"));
    }
    for (option, packages) in [("opens", OPENS), ("exports", EXPORTS)] {
        for package in packages {
            cassandra.arg(format!("--add-{option}={package}=ALL-UNNAMED"));
        }
    }
    cassandra.arg("org.apache.cassandra.service.CassandraDaemon");
    Ok(cassandra)
}

/// Waits until somebody can log in, which is later than it listens.
pub(super) fn ready(process: &Process) -> Result<()> {
    const START: Duration = Duration::from_secs(60);
    let ready = Deadline::after(START).poll(|| {
        let told = process.output();
        told.contains("Created default superuser role")
            .then_some(())
    });
    ensure!(ready.is_some(), "it has no role: {}", process.output());
    Ok(())
}
