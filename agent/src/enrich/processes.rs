//! The table of processes.
//!
//! Events keep it up to date; what is older than the agent is read from `/proc` when it is first
//! asked for. An ended process stays for [`GRACE`], because its last spans are still on their way.

use std::collections::HashMap;
use std::sync::Arc;

use clew_common::process::ENVIRONMENT_MAX;

use crate::model::{Resource, Timestamp};

use super::cgroup;
use super::host::Host;
use super::identity::{Identity, Known};
use super::proc::ProcSource;
use super::resource;
use super::variables::Declared;

/// How long an ended process is remembered, in nanoseconds.
const GRACE: u64 = 30_000_000_000;
/// Cgroup ids whose paths are remembered.
const CGROUPS_MAX: usize = 4096;

/// A process has started a program (see [`clew_common::process::Exec`]).
#[derive(Clone, Copy, Debug)]
pub struct Exec<'a> {
    /// Process id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// When.
    pub time: Timestamp,
    /// Its cgroup's id in the unified hierarchy.
    pub cgroup: u64,
    /// `comm`, perhaps NUL-padded.
    pub name: &'a [u8],
    /// NUL-separated arguments, perhaps cut.
    pub arguments: &'a [u8],
    /// NUL-separated environment, perhaps cut.
    pub environment: &'a [u8],
}

/// The processes of this host.
pub struct Processes {
    proc: Box<dyn ProcSource>,
    host: Host,
    limit: usize,
    table: HashMap<u32, Process>,
    /// Paths by cgroup id; `None`: looked for in vain.
    cgroups: HashMap<u64, Option<String>>,
    forgotten: u64,
}

struct Process {
    identity: Arc<Identity>,
    /// Made when it is first asked for.
    resource: Option<Arc<Resource>>,
    /// Start time in the kernel's ticks: tells a reused pid. Known from the first
    /// [`Processes::verify`] on.
    start: Option<u64>,
    used: Timestamp,
    ended: Option<Timestamp>,
}

impl Process {
    const fn new(identity: Arc<Identity>, time: Timestamp) -> Self {
        Self {
            identity,
            resource: None,
            start: None,
            used: time,
            ended: None,
        }
    }
}

impl Processes {
    /// A table of at most `limit` processes.
    #[must_use]
    pub fn new(proc: Box<dyn ProcSource>, host: Host, limit: usize) -> Self {
        Self {
            proc,
            host,
            limit: limit.max(1),
            table: HashMap::new(),
            cgroups: HashMap::new(),
            forgotten: 0,
        }
    }

    /// A process has started a program: whatever it was before is over.
    pub fn exec(&mut self, exec: &Exec<'_>) {
        let name = exec
            .name
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let identity = Identity::new(Known {
            executable: self.proc.executable(exec.pid),
            name: &name,
            arguments: exec.arguments,
            declared: self.declared(exec),
            cgroups: self.cgroups_of(exec),
        });
        self.insert(exec.pid, Process::new(Arc::new(identity), exec.time));
    }

    /// A process has forked: the child is what its parent is, until it starts a program.
    pub fn fork(&mut self, parent: u32, pid: u32, time: Timestamp) {
        let identity = self.identity(parent, time);
        self.insert(pid, Process::new(identity, time));
    }

    /// A process has ended.
    pub fn exit(&mut self, pid: u32, time: Timestamp) {
        if let Some(process) = self.table.get_mut(&pid) {
            process.ended.get_or_insert(time);
        }
    }

    /// The resource of a process's spans; always the same one until it starts another program.
    pub fn resource(&mut self, pid: u32, now: Timestamp) -> Arc<Resource> {
        self.make_room_for(pid);
        let Self {
            table, proc, host, ..
        } = self;
        let process = find(table, &**proc, pid, now);
        let make = || Arc::new(resource::build(pid, &process.identity, host));
        Arc::clone(process.resource.get_or_insert_with(make))
    }

    /// What a process is, for the scope's rules.
    pub fn identity(&mut self, pid: u32, now: Timestamp) -> Arc<Identity> {
        self.make_room_for(pid);
        let process = find(&mut self.table, &*self.proc, pid, now);
        Arc::clone(&process.identity)
    }

    /// Forgets processes that ended long enough ago. To be called about once a second.
    pub fn expire(&mut self, now: Timestamp) {
        self.table
            .retain(|_, process| process.ended.is_none_or(|ended| now.since(ended) < GRACE));
    }

    /// Compares the table with `/proc`, for the case that events were lost: processes that are gone
    /// have ended now, and a pid that belongs to another process by now is forgotten. Reads one
    /// file for each process: to be called about twice a minute, and after events were lost. Gives
    /// the pids of both kinds.
    pub fn verify(&mut self, now: Timestamp) -> Vec<u32> {
        let proc = &self.proc;
        let mut gone = Vec::new();
        self.table.retain(|&pid, process| {
            if process.ended.is_some() {
                return true;
            }
            match (proc.stat(pid), process.start) {
                (None, _) => {
                    process.ended = Some(now);
                    gone.push(pid);
                }
                (Some(stat), Some(start)) if stat.start != start => {
                    gone.push(pid);
                    return false;
                }
                (Some(stat), _) => process.start = Some(stat.start),
            }
            true
        });
        gone
    }

    /// How many ended processes were forgotten, since the beginning, before their time.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many processes are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn declared(&self, exec: &Exec<'_>) -> Declared {
        let complete = exec.environment.len() < ENVIRONMENT_MAX;
        let declared = Declared::find(exec.environment, complete);
        if complete && !exec.environment.is_empty() || declared.service.is_some() {
            return declared;
        }
        // Cut, or not readable by the kernel program: what was looked for may lie further on.
        match self.proc.environment(exec.pid) {
            Some(environment) => Declared::find(&environment, true),
            None => declared,
        }
    }

    fn cgroups_of(&mut self, exec: &Exec<'_>) -> Vec<String> {
        if let Some(text) = self.proc.cgroups(exec.pid) {
            return cgroup::paths(&text);
        }
        match self.cgroup_path(exec.cgroup) {
            Some(path) if path != "/" => vec![path],
            // Hosts with cgroup v1 have everything in the unified hierarchy's root; there the
            // parent knows better.
            _ => {
                let parent = self.table.get(&exec.parent);
                parent.map_or_else(Vec::new, |parent| parent.identity.cgroups.clone())
            }
        }
    }

    fn cgroup_path(&mut self, id: u64) -> Option<String> {
        if self.cgroups.len() >= CGROUPS_MAX {
            self.cgroups.clear();
        }
        let proc = &self.proc;
        let look = || proc.cgroup_path(id);
        self.cgroups.entry(id).or_insert_with(look).clone()
    }

    fn insert(&mut self, pid: u32, process: Process) {
        self.make_room_for(pid);
        self.table.insert(pid, process);
    }

    fn make_room_for(&mut self, pid: u32) {
        if self.table.len() >= self.limit && !self.table.contains_key(&pid) {
            self.evict();
        }
    }

    /// Makes room for an eighth of the table at once, so that a full one is not searched for each
    /// newcomer: ended processes go first, then those unused for longest. `/proc` still knows
    /// those, so only the ended ones are lost.
    fn evict(&mut self) {
        let mut order: Vec<_> = self
            .table
            .iter()
            .map(|(pid, process)| (process.ended.is_none(), process.used, *pid))
            .collect();
        order.sort_unstable();
        for (runs, _, pid) in order.iter().take((self.limit / 8).max(1)) {
            self.table.remove(pid);
            self.forgotten += u64::from(!runs);
        }
    }
}

/// The process of the table, or what `/proc` says of one that no event told of.
fn find<'t>(
    table: &'t mut HashMap<u32, Process>,
    proc: &dyn ProcSource,
    pid: u32,
    now: Timestamp,
) -> &'t mut Process {
    let process = table.entry(pid).or_insert_with(|| look_up(proc, pid, now));
    process.used = process.used.max(now);
    process
}

fn look_up(proc: &dyn ProcSource, pid: u32, now: Timestamp) -> Process {
    let stat = proc.stat(pid);
    let arguments = proc.arguments(pid).unwrap_or_default();
    let environment = proc.environment(pid).unwrap_or_default();
    let cgroups = proc.cgroups(pid).unwrap_or_default();
    let identity = Identity::new(Known {
        executable: proc.executable(pid),
        name: stat.as_ref().map_or("", |stat| stat.name.as_str()),
        arguments: &arguments,
        declared: Declared::find(&environment, true),
        cgroups: cgroup::paths(&cgroups),
    });
    let mut process = Process::new(Arc::new(identity), now);
    match stat {
        Some(stat) => process.start = Some(stat.start),
        // Nothing is known now; after the time of grace it is looked for again.
        None => process.ended = Some(now),
    }
    process
}

#[cfg(test)]
mod tests;
