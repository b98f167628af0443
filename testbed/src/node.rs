//! A cluster's node: it routes between its pods, and may translate addresses on the way.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::Namespace;

/// A namespace that routes between pods, each on a cable of its own. Pods reach what is not theirs
/// through it, so its rules see, unlike those of a bridge ([`crate::Network`]), all that passes
/// between them.
///
/// Every node has the same addresses: two nodes are two networks that know nothing of each other.
#[derive(Debug)]
pub struct Node {
    namespace: Namespace,
    pods: Cell<u8>,
}

/// The addresses of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pod {
    /// In 10.78.N.0/24.
    pub ipv4: Ipv4Addr,
    /// In fd78:N::/64.
    pub ipv6: Ipv6Addr,
}

impl Node {
    /// A node without pods and rules.
    ///
    /// # Errors
    /// Without root or `ip`, or where the kernel does not route.
    pub fn new() -> Result<Self> {
        let namespace = Namespace::new()?;
        for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            // These files are those of the namespace of whoever opens them.
            let path = format!("/proc/sys/net/{setting}");
            namespace
                .enter(|| fs::write(&path, "1"))?
                .with_context(|| format!("writing {path}"))?;
        }
        let pods = Cell::new(0);
        Ok(Self { namespace, pods })
    }

    /// Makes a namespace a pod.
    ///
    /// # Errors
    /// When the kernel has no virtual Ethernet, or after 254 pods.
    pub fn attach(&self, pod: &Namespace) -> Result<Pod> {
        let number = self.pods.get().checked_add(1).filter(|&n| n < 255);
        let number = number.context("the node is full")?;
        self.pods.set(number);
        let port = format!("pod{number}");
        self.namespace.ip(&[
            "link",
            "add",
            &port,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            pod.name(),
        ])?;
        let ipv4 = |host| Ipv4Addr::new(10, 78, number, host);
        let ipv6 = |host| Ipv6Addr::new(0xfd78, number.into(), 0, 0, 0, 0, 0, host);
        for (namespace, device, host) in [(&self.namespace, port.as_str(), 1), (pod, "eth0", 2)] {
            let address = format!("{}/24", ipv4(host));
            namespace.ip(&["addr", "add", &address, "dev", device])?;
            // Without `nodad` the address is unusable for its first second or two.
            let address = format!("{}/64", ipv6(host.into()));
            namespace.ip(&["addr", "add", &address, "dev", device, "nodad"])?;
            namespace.ip(&["link", "set", device, "up"])?;
        }
        pod.ip(&["route", "add", "default", "via", &ipv4(1).to_string()])?;
        pod.ip(&["-6", "route", "add", "default", "via", &ipv6(1).to_string()])?;
        Ok(Pod {
            ipv4: ipv4(2),
            ipv6: ipv6(2),
        })
    }

    /// Adds rules, in the language of nft(8).
    ///
    /// # Errors
    /// Without `nft`, or when it or the kernel refuses them; with its message.
    pub fn rules(&self, rules: &str) -> Result<()> {
        let mut nft = Command::new("nft");
        nft.args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let nft = self.namespace.enter(|| nft.spawn())?;
        let mut nft = nft.context("running nft (package nftables)")?;
        let mut input = nft.stdin.take().context("a pipe to nft")?;
        input
            .write_all(rules.as_bytes())
            .context("writing to nft")?;
        drop(input);
        let output = nft.wait_with_output().context("waiting for nft")?;
        ensure!(
            output.status.success(),
            "nft: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// The node's own namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}
