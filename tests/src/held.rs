//! What a process holds in the kernel by its descriptors (bpf(2)).

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clew_testbed::Deadline;

use crate::require::{self, Need};

/// Ids of programs, maps and links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Maps.
    pub maps: BTreeSet<u32>,
    /// Links, which keep programs attached.
    pub links: BTreeSet<u32>,
}

impl Held {
    /// What asking the kernel needs.
    pub const NEED: Need = Need::Program("bpftool");

    /// By a process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn by(pid: u32) -> Result<Self> {
        let mut held = Self::default();
        let directory = format!("/proc/{pid}/fdinfo");
        for file in std::fs::read_dir(&directory).with_context(|| directory.clone())? {
            // One that was closed meanwhile holds nothing.
            let Ok(info) = std::fs::read_to_string(file?.path()) else {
                continue;
            };
            // A link's information names its program too.
            for (key, ids) in [
                ("prog_id:", &mut held.programs),
                ("map_id:", &mut held.maps),
                ("link_id:", &mut held.links),
            ] {
                let id = info.lines().find_map(|line| line.strip_prefix(key));
                ids.extend(id.and_then(|id| id.trim().parse::<u32>().ok()));
            }
        }
        Ok(held)
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What of it the kernel still has, whoever holds it.
    ///
    /// # Errors
    /// When bpftool fails.
    pub fn still_there(&self) -> Result<Self> {
        Ok(Self {
            programs: there("prog", &self.programs)?,
            maps: there("map", &self.maps)?,
            links: there("link", &self.links)?,
        })
    }

    /// Waits until nothing of it is left: the kernel frees a little after the last descriptor is closed.
    ///
    /// # Errors
    /// When something is left after the time.
    pub fn wait_gone(&self, within: Duration) -> Result<()> {
        let mut left = self.still_there();
        let _what_is_left_says = Deadline::after(within).poll(|| {
            left = self.still_there();
            // bpftool fails where what it lists goes away meanwhile, whosever that is.
            left.as_ref().is_ok_and(Self::is_empty).then_some(())
        });
        let left = left?;
        ensure!(left.is_empty(), "left in the kernel: {left:?}");
        Ok(())
    }
}

fn there(kind: &str, ids: &BTreeSet<u32>) -> Result<BTreeSet<u32>> {
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let bpftool = require::find(Held::NEED).map_err(anyhow::Error::msg)?;
    let mut list = Command::new(bpftool);
    let output = list.args(["--json", kind, "list"]).output()?;
    ensure!(
        output.status.success(),
        "bpftool {kind} list: {}",
        output.status
    );
    let list = String::from_utf8_lossy(&output.stdout);
    let listed = |id: &&u32| list.contains(&format!("{{\"id\":{id},"));
    Ok(ids.iter().filter(listed).copied().collect())
}
