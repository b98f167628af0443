//! Links that lose and delay what goes over them.

use std::fmt;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::Host;

/// Of a thousand packets that a host receives, this many are lost.
const LOST_PER_MILLE: u32 = 10;

/// How long netem holds a packet, and by how much that varies.
const DELAY: [&str; 2] = ["5ms", "2ms"];

/// The rate of the slow line. A packet of 500 bytes takes it 1 ms, and those before it in the queue
/// as long each.
const RATE: &str = "4mbit";

/// How a link was impaired. Either way it is done to packets: connections stay whole, from end to
/// end, with all their TCP options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impairment {
    /// netem, in each host's outgoing queue.
    Netem,
    /// Where the kernel has no netem: a slow line (tbf), whose queue delays, and random loss at the
    /// receiver (nftables).
    SlowLine,
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = f64::from(LOST_PER_MILLE) / 10.0;
        match self {
            Self::Netem => write!(
                f,
                "netem: {percent} % of the packets lost, {} ± {} of delay on each way",
                DELAY[0], DELAY[1]
            ),
            Self::SlowLine => write!(
                f,
                "this kernel has no netem: {percent} % of the packets lost (nftables) and a line \
                 of {RATE}/s behind each host (tbf), whose queue delays"
            ),
        }
    }
}

impl Host {
    /// Impairs what the host sends and receives, as well as this kernel can.
    ///
    /// # Errors
    /// When the kernel has neither netem nor tbf with nftables, or their programs are missing.
    pub fn impair(&self) -> Result<Impairment> {
        let percent = format!("{}%", f64::from(LOST_PER_MILLE) / 10.0);
        let [delay, jitter] = DELAY;
        let netem = ["netem", "delay", delay, jitter, "loss", &percent];
        // Refused by a kernel without it.
        if self.queue(&netem).is_ok() {
            return Ok(Impairment::Netem);
        }
        let burst = ["burst", "3000", "limit", "300000"];
        self.queue(&[&["tbf", "rate", RATE][..], &burst].concat())?;
        // Before the connection tracker and everything else that could look at it.
        self.rules(&format!(
            "add table inet loss\n\
             add chain inet loss received {{ type filter hook prerouting priority -400 ; }}\n\
             add rule inet loss received iifname eth0 numgen random mod 1000 < {LOST_PER_MILLE} drop\n"
        ))?;
        Ok(Impairment::SlowLine)
    }

    /// Sets the queue of the host's interface.
    fn queue(&self, queue: &[&str]) -> Result<()> {
        let mut command = Command::new("tc");
        command.args(["-n", self.namespace.name()]);
        command.args(["qdisc", "replace", "dev", "eth0", "root"]);
        let output = command.args(queue).output();
        let output = output.context("running tc (package iproute2)")?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "tc {}: {}",
            queue.join(" "),
            message.trim()
        );
        Ok(())
    }

    /// Loads nftables rules.
    fn rules(&self, rules: &str) -> Result<()> {
        let mut command = Command::new("nft");
        command.args(["-f", "-"]);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let child = self.namespace.enter(|| command.spawn())?;
        let mut child = child.context("running nft (package nftables)")?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(rules.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "nft refused {rules}: {}",
            message.trim()
        );
        Ok(())
    }
}
