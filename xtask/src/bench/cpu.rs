//! Processors: who runs where, and what it took.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// Where the traced server runs, alone.
pub const SERVER: usize = 0;

/// Where everything else runs: load, agent, receiver, this program.
pub const REST: usize = 1;

/// Keeps this thread, and what it starts from now on, on one processor.
///
/// # Errors
/// When the machine has only one.
pub fn pin_self(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &set)
        .with_context(|| format!("moving to processor {processor}; two are needed"))
}

/// Keeps another process, all its threads and what it starts from now on, on one processor.
///
/// # Errors
/// When it has ended.
pub fn pin(pid: Pid, processor: usize) -> Result<()> {
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--cpu-list", "--pid", &processor.to_string()]);
    let output = taskset.arg(pid.to_string()).output();
    let output = output.context("starting taskset (util-linux)")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "taskset: {}", message.trim());
    Ok(())
}

/// A command on one processor from its first instruction.
pub fn pinned(processor: usize, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &processor.to_string(), program]);
    command
}

/// This thread before all others of its processor, while this exists: load that must come at its
/// time does so whatever the agent does. Else a busy agent would make requests come in bunches,
/// which are cheaper to answer, and tracing would seem to save the server work.
///
/// What is started meanwhile inherits it: start nothing.
pub struct Ahead(Pid);

impl Ahead {
    /// Begins.
    ///
    /// # Errors
    /// Without root, or `chrt` (util-linux).
    pub fn of_all() -> Result<Self> {
        let this = Self(nix::unistd::gettid());
        this.schedule(&["--fifo", "--pid", "10"])?;
        Ok(this)
    }

    fn schedule(&self, policy: &[&str]) -> Result<()> {
        let output = Command::new("chrt")
            .args(policy)
            .arg(self.0.to_string())
            .output();
        let output = output.context("starting chrt (util-linux)")?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "chrt: {}", message.trim());
        Ok(())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Err(error) = self.schedule(&["--other", "--pid", "0"]) {
            eprintln!("still at real-time priority: {error:#}");
        }
    }
}

/// A process with the descendants that it has now.
#[derive(Clone, Debug)]
pub struct Family(Vec<Pid>);

impl Family {
    /// Of a process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn of(pid: u32) -> Result<Self> {
        let mut members = vec![];
        let mut unseen = vec![pid];
        while let Some(pid) = unseen.pop() {
            members.push(Pid::from_raw(pid.cast_signed()));
            let tasks = fs::read_dir(format!("/proc/{pid}/task"))
                .with_context(|| format!("listing the threads of process {pid}"))?;
            for task in tasks.flatten() {
                let children = fs::read_to_string(task.path().join("children"));
                let children = children.unwrap_or_default();
                unseen.extend(
                    children
                        .split_whitespace()
                        .filter_map(|pid| pid.parse::<u32>().ok()),
                );
            }
        }
        Ok(Self(members))
    }

    /// All of them.
    pub fn pids(&self) -> impl Iterator<Item = Pid> {
        self.0.iter().copied()
    }

    /// The threads that they have now.
    pub fn threads(&self) -> Vec<i32> {
        let of = |pid: &Pid| fs::read_dir(format!("/proc/{pid}/task"));
        let tasks = self.0.iter().filter_map(|pid| of(pid).ok()).flatten();
        tasks
            .filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// Whether the command line of one has this word in it.
    pub fn has(&self, word: &str) -> bool {
        let line = |pid: &Pid| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let word = word.as_bytes();
        self.0
            .iter()
            .any(|pid| memchr::memmem::find(&line(pid), word).is_some())
    }

    /// The processor time that it has taken, its ended threads' included: to the nanosecond, where
    /// `/proc/<pid>/stat` counts hundredths of a second.
    ///
    /// # Errors
    /// When a member has ended.
    pub fn time(&self) -> Result<Duration> {
        self.0.iter().map(|&pid| process_time(pid)).sum()
    }
}

fn process_time(pid: Pid) -> Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(pid);
    let time = clock.and_then(clock_gettime);
    Ok(time
        .with_context(|| format!("the processor time of process {pid}"))?
        .into())
}

/// The processor time of the children that a process has waited for, in ticks of 10 ms.
///
/// # Errors
/// When it has ended.
pub fn waited_for(pid: u32) -> Result<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // proc(5): cutime and cstime are the 16th and 17th field, and the name may have spaces in it.
    let (_, rest) = stat.rsplit_once(')').context("no name in stat")?;
    let fields = rest.split_whitespace().skip(13).take(2);
    let ticks = fields.map(|field| Ok(field.parse::<u32>()?));
    let ticks: u32 = ticks.sum::<Result<u32>>()?;
    Ok(TICK * ticks)
}

/// The processor time of one processor since boot, whoever took it. Counted in ticks of 10 ms, by
/// sampling: for spans of seconds.
///
/// # Errors
/// When `/proc/stat` does not say.
pub fn busy(processor: usize) -> Result<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{processor} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name));
    let ticks: Vec<u32> = line
        .with_context(|| format!("/proc/stat knows no processor {processor}"))?
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    // proc(5): user, nice, system, idle, iowait, irq, softirq, steal, and guest times that are in
    // the first two already.
    ensure!(ticks.len() >= 8, "/proc/stat: too few fields");
    Ok([0, 1, 2, 5, 6]
        .map(|field| TICK * ticks[field])
        .iter()
        .sum())
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// When it has ended.
pub fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("the memory of process {pid}"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("no VmRSS")? * 1024)
}
