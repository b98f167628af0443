//! What the agent holds: memory, descriptors, threads, maps, programs, entries in maps.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clew_tests::held::Held;

use crate::bench::statistics::quantile;
use crate::command;

/// One look at the agent's process.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Since the traffic began.
    pub time: Duration,
    /// Resident memory in bytes.
    pub resident: u64,
    /// The same without that of files.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Kernel maps that it holds.
    pub maps: u64,
    /// Kernel programs that it holds.
    pub programs: u64,
}

impl Sample {
    /// Of a process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn of(pid: u32, time: Duration) -> Result<Self> {
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).context("the agent has ended")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            number.with_context(|| format!("no {name} in:\n{status}"))
        };
        let held = Held::by(pid)?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok(Self {
            time,
            resident: field("VmRSS:")? * 1024,
            memory: field("RssAnon:")? * 1024,
            descriptors: descriptors as u64,
            threads: field("Threads:")?,
            maps: held.maps.len() as u64,
            programs: held.programs.len() as u64,
        })
    }
}

/// How many entries the agent's hash tables in the kernel have, by their names.
///
/// # Errors
/// Without bpftool, or when it fails.
pub fn entries(pid: u32) -> Result<BTreeMap<String, u64>> {
    let bpftool = command::find("bpftool").context("bpftool is missing: `cargo xtask setup`")?;
    let ask = |what: &str, id: u32| {
        let mut ask = Command::new(&bpftool);
        ask.args(["--json", "map", what, "id", &id.to_string()]);
        command::output(&mut ask)
    };
    let mut entries = BTreeMap::new();
    for id in Held::by(pid)?.maps {
        let about = ask("show", id).with_context(|| format!("bpftool map show id {id}"))?;
        // Arrays have all their entries from the start.
        if !text(&about, "type").is_some_and(|kind| kind.ends_with("hash") && kind != "sockhash") {
            continue;
        }
        let name = text(&about, "name").context("a map's name")?.to_owned();
        let content = ask("dump", id).with_context(|| format!("bpftool map dump id {id}"))?;
        entries.insert(
            name,
            content.matches("\"key\":").count() as u64 / keys(&content),
        );
    }
    Ok(entries)
}

/// How often bpftool writes each key: with its types known, twice.
fn keys(content: &str) -> u64 {
    if content.contains("\"formatted\":") {
        2
    } else {
        1
    }
}

/// The value of a member of a flat JSON object, where it is a text.
fn text<'a>(json: &'a str, member: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{member}\":\""))?;
    Some(rest.split_once('"')?.0)
}

/// The medians of the second and of the last fifth of what was seen: before the second, the agent
/// still gets to know the host.
pub fn fifths(samples: &[Sample], value: impl Fn(&Sample) -> u64) -> Option<(f64, f64)> {
    let fifth = samples.len() / 5;
    let median = |samples: &[Sample]| {
        let mut values: Vec<f64> = samples.iter().map(|sample| value(sample) as f64).collect();
        values.sort_by(f64::total_cmp);
        quantile(&values, 0.5)
    };
    let second = median(samples.get(fifth..2 * fifth)?)?;
    Some((second, median(&samples[samples.len() - fifth..])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifths_of_what_grows() {
        let sample = |memory| Sample {
            time: Duration::ZERO,
            resident: memory,
            memory,
            descriptors: 1,
            threads: 1,
            maps: 1,
            programs: 1,
        };
        let samples: Vec<Sample> = (0..15).map(sample).collect();
        assert_eq!(fifths(&samples, |s| s.memory), Some((4.0, 13.0)));
        assert_eq!(fifths(&samples, |s| s.maps), Some((1.0, 1.0)));
        assert_eq!(fifths(&samples[..4], |s| s.memory), None);
    }

    #[test]
    fn members_of_an_object() {
        let json = r#"{"id":7,"type":"lru_hash","name":"CONTROL"}"#;
        assert_eq!(text(json, "type"), Some("lru_hash"));
        assert_eq!(text(json, "name"), Some("CONTROL"));
        assert_eq!(text(json, "id"), None);
    }
}
