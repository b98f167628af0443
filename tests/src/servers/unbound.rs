//! Unbound, a resolver. dnsmasq ends a connection after a hundred questions; this one keeps it.

use std::path::Path;
use std::process::Command;

use anyhow::{Error, Result};
use clew_testbed::unprivileged;

use crate::require::{Need, find};

const RESOLVER: Need = Need::Program("unbound");

pub(super) const NEEDS: &[Need] = &[RESOLVER];

/// It is its own user already, asks nobody, and answers of what ends in `late.test`. Some of that is longer
/// than a datagram.
pub(super) fn command(directory: &Path, port: u16) -> Result<Command> {
    let text = "x".repeat(250);
    let texts = format!("\"{text}\" ").repeat(20);
    let settings = format!(
        "server:
           interface: 127.0.0.1@{port}
           username: \"\"
           chroot: \"\"
           directory: \"{directory}\"
           pidfile: \"\"
           use-syslog: no
           num-threads: 1
           module-config: \"iterator\"
           local-zone: \"late.test.\" static
           local-data: \"www.late.test. A 192.0.2.1\"
           local-data: \"www.late.test. AAAA 2001:db8::1\"
           local-data: \"_http._tcp.late.test. SRV 0 0 80 www.late.test.\"
           local-data: 'large.late.test. TXT {texts}'
         remote-control:
           control-enable: no\n",
        directory = directory.display(),
    );
    let file = directory.join("unbound.conf");
    std::fs::write(&file, settings)?;
    let mut resolver = unprivileged(&find(RESOLVER).map_err(Error::msg)?, directory);
    resolver.arg("-d").arg("-c").arg(file);
    Ok(resolver)
}
