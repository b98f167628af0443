//! Which requests are being served, by task and by process, and what a process has shown of how it
//! works.

use ahash::HashMap;
use slotmap::SlotMap;
use smallvec::SmallVec;

use super::exchange::{Exchange, ExchangeKey, Seats};
use crate::model::{Origin, Task};

/// Open server exchanges of a task or a process.
type OpenSet = SmallVec<[ExchangeKey; 2]>;
type TaskKey = (u32, u64);
type ContextKey = (u32, Origin);

/// A process that has served a request.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub open: OpenSet,
    pub habits: Habits,
}

/// What a process has shown. Everything that speaks against an assumption is remembered for as long
/// as the process lives.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// It has sent a request while it served none.
    pub background: bool,
    /// A response was ended by another task than the one that received the request.
    pub hands_over: bool,
    /// A task had several exchanges open on different blocking connections: reading a blocking
    /// socket does not occupy a thread here (a select loop, a dispatcher).
    pub multiplexes_blocking: bool,
    /// Work was seen to move between tasks, or to share one.
    pub unstable: bool,
    /// Exchanges that showed that work stays on its task, while others were open.
    pub stable: u32,
    /// Requests sent by a task that served nothing, while the process served something.
    pub delegated: u32,
}

/// The open server exchanges of all processes.
#[derive(Debug)]
pub(super) struct Serving {
    pub processes: HashMap<u32, Process>,
    pub tasks: HashMap<TaskKey, OpenSet>,
    /// Open server exchanges by process and the context that they arrived with.
    pub forwarded: HashMap<ContextKey, OpenSet>,
    max_processes: usize,
}

impl Serving {
    pub fn new(max_processes: usize) -> Self {
        Self {
            processes: HashMap::default(),
            tasks: HashMap::default(),
            forwarded: HashMap::default(),
            max_processes,
        }
    }

    /// Lists an exchange as open. `false` if its process could not get an entry.
    pub fn open(
        &mut self,
        key: ExchangeKey,
        exchanges: &mut SlotMap<ExchangeKey, Exchange>,
    ) -> bool {
        let exchange = &exchanges[key];
        let task = exchange.task;
        let on_task = self.tasks.entry((task.pid, task.key)).or_default();
        let before = on_task.last().map(|&other| &exchanges[other]);

        let has_room = self.processes.len() < self.max_processes;
        let process = match has_room {
            true => Some(self.processes.entry(task.pid).or_default()),
            false => self.processes.get_mut(&task.pid),
        };
        let has_process = process.is_some();
        let mut in_process = None;
        if let Some(process) = process {
            if let Some(before) = before {
                if before.nonblocking || exchange.nonblocking {
                    process.habits.unstable = true;
                } else if before.id.0 != exchange.id.0 {
                    process.habits.multiplexes_blocking = true;
                }
            }
            in_process = Some(process.open.len());
            process.open.push(key);
        }
        if let Some(origin) = exchange.header {
            let same = self.forwarded.entry((task.pid, origin)).or_default();
            same.push(key);
        }
        let seats = Seats {
            on_task: on_task.len(),
            in_process,
        };
        on_task.push(key);
        exchanges[key].serving = Some(seats);
        has_process
    }

    /// Takes an exchange off the lists, if it is on them.
    pub fn close(&mut self, key: ExchangeKey, exchanges: &mut SlotMap<ExchangeKey, Exchange>) {
        let Some(exchange) = exchanges.get_mut(key) else {
            return;
        };
        let Some(seats) = exchange.serving.take() else {
            return;
        };
        let (task, header) = (exchange.task, exchange.header);
        if let Some(origin) = header {
            let context = (task.pid, origin);
            if let Some(same) = self.forwarded.get_mut(&context) {
                same.retain(|other| *other != key);
                if same.is_empty() {
                    self.forwarded.remove(&context);
                }
            }
        }
        let task_key = (task.pid, task.key);
        if let Some(set) = self.tasks.get_mut(&task_key) {
            set.swap_remove(seats.on_task);
            if let Some(&moved) = set.get(seats.on_task)
                && let Some(moved) = exchanges[moved].serving.as_mut()
            {
                moved.on_task = seats.on_task;
            }
            if set.is_empty() {
                self.tasks.remove(&task_key);
            }
        }
        if let Some(seat) = seats.in_process
            && let Some(process) = self.processes.get_mut(&task.pid)
        {
            process.open.swap_remove(seat);
            if let Some(&moved) = process.open.get(seat)
                && let Some(moved) = exchanges[moved].serving.as_mut()
            {
                moved.in_process = Some(seat);
            }
        }
    }

    /// Forgets a process. Its exchanges that are still open stay on their tasks' lists until they
    /// end.
    pub fn process_exited(&mut self, pid: u32, exchanges: &mut SlotMap<ExchangeKey, Exchange>) {
        let Some(process) = self.processes.remove(&pid) else {
            return;
        };
        for key in process.open {
            if let Some(seats) = exchanges[key].serving.as_mut() {
                seats.in_process = None;
            }
        }
    }

    /// Entries that go with their exchanges.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let in_processes = self.processes.values().map(|process| process.open.len());
        self.tasks.len() + self.forwarded.len() + in_processes.sum::<usize>()
    }

    /// A server exchange is over and its last byte was sent by `by`: what does that say about the
    /// process?
    pub fn answered(&mut self, exchange: &Exchange, by: Task) {
        let Some(process) = self.processes.get_mut(&exchange.task.pid) else {
            return;
        };
        let habits = &mut process.habits;
        if (by.pid, by.key) != (exchange.task.pid, exchange.task.key) {
            habits.hands_over = true;
            habits.unstable = true;
        } else if exchange.probe {
            habits.stable = habits.stable.saturating_add(1);
        }
    }

    /// A client exchange's response was received by `by`: a task that receives what another sent
    /// for shows that work moves.
    pub fn received(&mut self, exchange: &Exchange, by: Task) {
        if exchange.nonblocking
            && by != exchange.task
            && let Some(process) = self.processes.get_mut(&exchange.task.pid)
        {
            process.habits.unstable = true;
        }
    }
}
