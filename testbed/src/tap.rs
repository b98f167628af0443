//! A virtual machine's network cable.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};

use crate::namespace::ip;

/// A tap device in a namespace: what it sends, the guest receives, byte for byte. (QEMU's user-mode
/// network would end TCP connections and make new ones: options of segments do not pass it.)
///
/// Removed when dropped.
#[derive(Debug)]
pub struct Tap {
    namespace: String,
    device: String,
    mac: String,
    guest: Vec<String>,
}

impl Tap {
    /// Lays a cable from a namespace that `ip netns` knows to a guest that is to have the addresses
    /// (`10.78.0.2/24`).
    ///
    /// # Errors
    /// Without root, `ip`, /dev/net/tun or the namespace; when an address does not look like one.
    pub fn new(namespace: &str, guest: &[String]) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for address in guest {
            ensure!(
                address
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || b".:/".contains(&byte)),
                "{address}: not an address with its prefix's length, such as 10.78.0.2/24"
            );
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed) & 0xff;
        let pid = std::process::id();
        // At most 15 bytes (IFNAMSIZ); process ids are below 2^22.
        let device = format!("vm{pid}-{number}");
        ip(&[
            "-n", namespace, "tuntap", "add", "dev", &device, "mode", "tap",
        ])?;
        let tap = Self {
            namespace: namespace.to_owned(),
            device,
            // QEMU's prefix. Two guests on one bridge must differ.
            mac: format!(
                "52:54:{:02x}:{:02x}:{:02x}:{number:02x}",
                pid >> 16,
                (pid >> 8) & 0xff,
                pid & 0xff
            ),
            guest: guest.to_vec(),
        };
        ip(&["-n", namespace, "link", "set", &tap.device, "up"])?;
        Ok(tap)
    }

    /// Gives this end of the cable an address, with its prefix's length.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn address(&self, address: &str) -> Result<()> {
        let mut args = vec!["-n", &self.namespace, "addr", "add", address];
        args.extend(["dev", &self.device]);
        if address.contains(':') {
            args.push("nodad");
        }
        ip(&args)
    }

    /// Plugs this end into a bridge of its namespace.
    ///
    /// # Errors
    /// When there is no such bridge.
    pub fn plug_into(&self, bridge: &str) -> Result<()> {
        ip(&[
            "-n",
            &self.namespace,
            "link",
            "set",
            &self.device,
            "master",
            bridge,
        ])
    }

    /// The namespace that it is in, where the machine must be started.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    pub(crate) fn mac(&self) -> &str {
        &self.mac
    }

    pub(crate) fn guest_addresses(&self) -> &[String] {
        &self.guest
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Err(error) = ip(&["-n", &self.namespace, "link", "del", &self.device]) {
            eprintln!("tap device {} was not removed: {error:#}", self.device);
        }
    }
}
