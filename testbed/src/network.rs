//! Several hosts on one link.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};

use crate::Namespace;

/// A link with hosts on it: a bridge in a namespace of its own, and a cable to each host.
#[derive(Debug)]
pub struct Network {
    switch: Namespace,
    hosts: u8,
}

/// A namespace with an address on a [`Network`]. It stays usable while its network exists.
#[derive(Debug)]
pub struct Host {
    /// Where the host's processes run.
    pub namespace: Namespace,
    /// Its address in 10.77.0.0/24.
    pub ipv4: Ipv4Addr,
    /// Its address in fd77::/64.
    pub ipv6: Ipv6Addr,
}

impl Network {
    /// A link without hosts.
    ///
    /// # Errors
    /// Without root, `ip`, or the kernel's bridge.
    pub fn new() -> Result<Self> {
        let switch = Namespace::new()?;
        switch.ip(&["link", "add", "switch", "type", "bridge"])?;
        switch.ip(&["link", "set", "switch", "up"])?;
        Ok(Self { switch, hosts: 0 })
    }

    /// Adds a host.
    ///
    /// # Errors
    /// When the kernel has no virtual Ethernet, or after 254 hosts.
    pub fn host(&mut self) -> Result<Host> {
        let number = self
            .hosts
            .checked_add(1)
            .filter(|&n| n < 255)
            .context("the link is full")?;
        self.hosts = number;
        let ipv4 = Ipv4Addr::new(10, 77, 0, number);
        let ipv6 = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into());

        let namespace = Namespace::new()?;
        let port = format!("port{number}");
        let name = namespace.name();
        self.switch.ip(&[
            "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", name,
        ])?;
        self.switch
            .ip(&["link", "set", &port, "master", "switch", "up"])?;
        namespace.ip(&["addr", "add", &format!("{ipv4}/24"), "dev", "eth0"])?;
        // Without `nodad` the address is unusable for its first second or two.
        namespace.ip(&["addr", "add", &format!("{ipv6}/64"), "dev", "eth0", "nodad"])?;
        namespace.ip(&["link", "set", "eth0", "up"])?;
        Ok(Host {
            namespace,
            ipv4,
            ipv6,
        })
    }
}
