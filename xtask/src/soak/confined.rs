//! Limits on the agent's memory and processor time, of either version of control groups.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use clew_testbed::Deadline;

/// One hundredth of a processor, in microseconds per period.
const CRUMB: (u32, u32) = (1_000, 100_000);

/// Groups that limit the agent; removed when dropped, if it has ended.
pub struct Confined {
    memory: Group,
    /// `None` where one group has both limits: a process is in one group of version 2.
    processor: Option<Group>,
}

struct Group {
    directory: PathBuf,
    /// Whether it is of version 2.
    unified: bool,
}

impl Confined {
    /// Groups with a limit on memory, in bytes.
    ///
    /// # Errors
    /// Where the kernel has no such controllers, or refuses.
    pub fn to(memory: u64) -> Result<Self> {
        let memory_group = Group::of("memory")?;
        let processor = match memory_group.unified {
            true => None,
            false => Some(Group::of("cpu")?),
        };
        let confined = Self {
            memory: memory_group,
            processor,
        };
        let limit = ("memory.limit_in_bytes", "memory.max");
        confined.memory.write(limit, &memory.to_string())?;
        Ok(confined)
    }

    /// The program within the groups from its first instruction on.
    pub fn program(&self, program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        let script =
            r#"echo $$ > "$0"/cgroup.procs && echo $$ > "$1"/cgroup.procs && shift && exec "$@""#;
        command.args(["-c", script]);
        command
            .arg(&self.memory.directory)
            .arg(&self.processor().directory);
        command.arg(program);
        command
    }

    fn processor(&self) -> &Group {
        self.processor.as_ref().unwrap_or(&self.memory)
    }

    /// Whether there is next to no processor time.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn starve(&self, starve: bool) -> Result<()> {
        let (quota, period) = CRUMB;
        let processor = self.processor();
        if processor.unified {
            let quota = if starve {
                quota.to_string()
            } else {
                "max".to_owned()
            };
            return processor.write(("", "cpu.max"), &format!("{quota} {period}"));
        }
        let quota = if starve {
            quota.to_string()
        } else {
            "-1".to_owned()
        };
        processor.write(("cpu.cfs_quota_us", ""), &quota)
    }

    /// The most memory that there was: the agent's, its maps' and its files'.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn peak(&self) -> Result<u64> {
        self.memory
            .read(("memory.max_usage_in_bytes", "memory.peak"))
    }
}

impl Group {
    fn of(controller: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts").context("reading /proc/mounts")?;
        let mounts: Vec<Vec<&str>> = mounts
            .lines()
            .map(|line| line.split(' ').collect())
            .collect();
        let own = mounts.iter().find(|fields| {
            fields.get(2) == Some(&"cgroup")
                && fields
                    .get(3)
                    .is_some_and(|options| options.split(',').any(|o| o == controller))
        });
        let unified = || {
            mounts
                .iter()
                .find(|fields| fields.get(2) == Some(&"cgroup2"))
        };
        let (root, is_unified) = match own {
            Some(fields) => (fields[1], false),
            None => (unified().context("no control groups are mounted")?[1], true),
        };
        if is_unified {
            fs::write(format!("{root}/cgroup.subtree_control"), "+memory +cpu")
                .with_context(|| format!("the controller {controller}"))?;
        }
        let directory = PathBuf::from(format!(
            "{root}/clewt-soak-{controller}-{}",
            std::process::id()
        ));
        fs::create_dir(&directory).with_context(|| format!("creating {}", directory.display()))?;
        Ok(Self {
            directory,
            unified: is_unified,
        })
    }

    fn file(&self, (first, second): (&str, &str)) -> PathBuf {
        self.directory
            .join(if self.unified { second } else { first })
    }

    fn write(&self, names: (&str, &str), value: &str) -> Result<()> {
        let file = self.file(names);
        fs::write(&file, value).with_context(|| format!("writing {value} to {}", file.display()))
    }

    fn read(&self, names: (&str, &str)) -> Result<u64> {
        let file = self.file(names);
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok(text.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let within = std::time::Duration::from_secs(5);
        let removed = Deadline::after(within).poll(|| fs::remove_dir(&self.directory).ok());
        if removed.is_none() {
            eprintln!("cgroup {} was not removed", self.directory.display());
        }
    }
}
