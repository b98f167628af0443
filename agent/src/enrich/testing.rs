//! A `/proc` made of data.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::proc::{ProcSource, Stat};

/// One process's files.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub executable: Option<&'static str>,
    pub arguments: &'static [u8],
    pub environment: &'static [u8],
    pub cgroups: &'static str,
    pub name: &'static str,
    pub start: u64,
}

/// Processes by pid, and cgroups by id; a test changes them while the table holds a clone.
#[derive(Clone, Debug, Default)]
pub struct TestProc(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub struct State {
    pub processes: HashMap<u32, Files>,
    pub cgroups: HashMap<u64, &'static str>,
    /// How often anything was asked.
    pub reads: usize,
}

impl TestProc {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }

    fn get<T>(&self, pid: u32, part: impl Fn(&Files) -> T) -> Option<T> {
        let mut state = self.state();
        state.reads += 1;
        state.processes.get(&pid).map(part)
    }
}

impl ProcSource for TestProc {
    fn executable(&self, pid: u32) -> Option<String> {
        self.get(pid, |files| files.executable.map(str::to_owned))?
    }

    fn arguments(&self, pid: u32) -> Option<Vec<u8>> {
        self.get(pid, |files| files.arguments.to_vec())
    }

    fn environment(&self, pid: u32) -> Option<Vec<u8>> {
        self.get(pid, |files| files.environment.to_vec())
    }

    fn cgroups(&self, pid: u32) -> Option<String> {
        self.get(pid, |files| files.cgroups.to_owned())
    }

    fn stat(&self, pid: u32) -> Option<Stat> {
        self.get(pid, |files| Stat {
            name: files.name.to_owned(),
            start: files.start,
        })
    }

    fn cgroup_path(&self, id: u64) -> Option<String> {
        let mut state = self.state();
        state.reads += 1;
        state.cgroups.get(&id).map(|path| (*path).to_owned())
    }
}
