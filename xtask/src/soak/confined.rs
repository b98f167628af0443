//! Limits on the agent's memory and processor time.

use std::process::Command;

use anyhow::Result;
use clew_testbed::{Cgroup, CgroupVersion};

/// One hundredth of a processor, in microseconds per period.
const CRUMB: (u32, u32) = (1_000, 100_000);

/// Groups that limit the agent; removed when dropped.
pub struct Confined {
    memory: Cgroup,
    /// `None` where one group has both limits.
    processor: Option<Cgroup>,
}

impl Confined {
    /// Groups with a limit on memory, in bytes.
    ///
    /// # Errors
    /// Where the kernel has no such controllers, or refuses.
    pub fn to(memory: u64) -> Result<Self> {
        let limit = ["memory.limit_in_bytes", "memory.max"];
        let group = Cgroup::limiting("memory")?;
        group.set(limit, &memory.to_string())?;
        let processor = match group.version() {
            CgroupVersion::One => Some(Cgroup::limiting("cpu")?),
            CgroupVersion::Two => {
                group.enable("cpu")?;
                None
            }
        };
        Ok(Self {
            memory: group,
            processor,
        })
    }

    /// A command within the groups from its first instruction on.
    pub fn program(&self, command: &Command) -> Command {
        let command = self.memory.member(command);
        match &self.processor {
            Some(processor) => processor.member(&command),
            None => command,
        }
    }

    /// Whether there is next to no processor time.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn starve(&self, starve: bool) -> Result<()> {
        let processor = self.processor.as_ref().unwrap_or(&self.memory);
        let (quota, period) = CRUMB;
        let (one, two) = match starve {
            true => (quota.to_string(), quota.to_string()),
            false => ("-1".to_owned(), "max".to_owned()),
        };
        let value = match processor.version() {
            CgroupVersion::One => one,
            CgroupVersion::Two => format!("{two} {period}"),
        };
        processor.set(["cpu.cfs_quota_us", "cpu.max"], &value)
    }

    /// The most memory that there was: the agent's, its maps' and its files'.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn peak(&self) -> Result<u64> {
        let peak = ["memory.max_usage_in_bytes", "memory.peak"];
        Ok(self.memory.get(peak)?.trim().parse()?)
    }
}
