//! Several hosts on one link.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};

use crate::{Namespace, Tap};

/// The bridge's name.
const BRIDGE: &str = "switch";

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
        switch.ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        switch.ip(&["link", "set", BRIDGE, "up"])?;
        Ok(Self { switch, hosts: 0 })
    }

    /// The namespace of the bridge, where virtual machines on this network are started.
    #[must_use]
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// Adds a place for a virtual machine, with its addresses.
    ///
    /// # Errors
    /// When the kernel has no tap devices, or after 254 hosts.
    pub fn tap(&mut self) -> Result<(Tap, Ipv4Addr, Ipv6Addr)> {
        let (_, ipv4, ipv6) = self.next_host()?;
        let addresses = [format!("{ipv4}/24"), format!("{ipv6}/64")];
        let tap = Tap::new(self.switch.name(), &addresses)?;
        tap.plug_into(BRIDGE)?;
        Ok((tap, ipv4, ipv6))
    }

    fn next_host(&mut self) -> Result<(u8, Ipv4Addr, Ipv6Addr)> {
        let number = self
            .hosts
            .checked_add(1)
            .filter(|&n| n < 255)
            .context("the link is full")?;
        self.hosts = number;
        let ipv4 = Ipv4Addr::new(10, 77, 0, number);
        let ipv6 = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into());
        Ok((number, ipv4, ipv6))
    }

    /// Adds a host.
    ///
    /// # Errors
    /// When the kernel has no virtual Ethernet, or after 254 hosts.
    pub fn host(&mut self) -> Result<Host> {
        let (number, ipv4, ipv6) = self.next_host()?;
        let namespace = Namespace::new()?;
        let port = format!("port{number}");
        let name = namespace.name();
        self.switch.ip(&[
            "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", name,
        ])?;
        self.switch
            .ip(&["link", "set", &port, "master", BRIDGE, "up"])?;
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
