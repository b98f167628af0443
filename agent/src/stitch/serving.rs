//! Which requests are being served, by task and by process, and what a process has shown of how it
//! works.

use ahash::HashMap;
use clew_common::context::habit;
use slotmap::SlotMap;
use smallvec::SmallVec;

use super::exchange::{Exchange, ExchangeKey, Seats};
use super::offspring::{Begun, Lesson, Offspring, Shown};
use crate::model::{Origin, Task, Timestamp};

/// Open server exchanges of a task or a process.
type OpenSet = SmallVec<[ExchangeKey; 2]>;
type TaskKey = (u32, u64);
type ContextKey = (u32, Origin);

/// A process that has served a request.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub open: OpenSet,
    /// How many requests it has begun to serve.
    pub opened: u64,
    pub habits: Habits,
    following: Following,
    /// What the kernel was told last.
    told: u32,
}

impl Process {
    /// Bits of [`habit`].
    fn for_kernel(&self, stable_after: u32) -> u32 {
        let habits = &self.habits;
        let bit = |is: bool, bit: u32| if is { bit } else { 0 };
        let settled = match self.following.again {
            false => habit::SETTLED,
            true => habit::SETTLED | habit::SETTLED_AGAIN,
        };
        bit(self.following.followed == Followed::Settled, settled)
            | bit(
                !habits.unstable && habits.stable >= stable_after,
                habit::STABLE,
            )
            | bit(
                habits.hands_over || habits.delegated >= stable_after,
                habit::HANDS_OVER,
            )
            | bit(habits.background, habit::BACKGROUND)
            | bit(habits.multiplexes_blocking, habit::MULTIPLEXES_BLOCKING)
            | bit(habits.kernel_errs, habit::OPAQUE)
            | bit(
                habits.threads.end_with_requests(stable_after),
                habit::THREADS_END,
            )
            | bit(
                habits.processes.end_with_requests(stable_after),
                habit::PROCESSES_END,
            )
    }
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
    /// Its requests were found in other traces than the kernel had decided: it should not decide.
    pub kernel_errs: bool,
    /// Threads that its requests have begun.
    pub threads: Shown,
    /// Processes that its requests have begun.
    pub processes: Shown,
}

/// How far the kernel's view of what a process serves is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Followed {
    #[default]
    No,
    /// From the exchanges with this order on.
    From(u64),
    /// In full.
    Settled,
}

/// A process's requests as the kernel follows them.
#[derive(Clone, Copy, Debug, Default)]
struct Following {
    followed: Followed,
    /// Not for the first time.
    again: bool,
}

/// The open server exchanges of all processes.
#[derive(Debug)]
pub(super) struct Serving {
    pub processes: HashMap<u32, Process>,
    pub tasks: HashMap<TaskKey, OpenSet>,
    /// Open server exchanges by process and the context that they arrived with.
    pub forwarded: HashMap<ContextKey, OpenSet>,
    /// Processes of which the kernel may have to be told something.
    changed: Vec<u32>,
    /// Tasks that were begun for an open request.
    pub offspring: Offspring,
    max_processes: usize,
    stable_after: u32,
}

impl Serving {
    pub fn new(max_processes: usize, max_offspring: usize, stable_after: u32) -> Self {
        Self {
            processes: HashMap::default(),
            tasks: HashMap::default(),
            forwarded: HashMap::default(),
            changed: Vec::new(),
            offspring: Offspring::new(max_offspring),
            max_processes,
            stable_after,
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
            process.opened += 1;
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
        let lesson = self.offspring.serves(task);
        self.learn(lesson);
        has_process
    }

    /// `creator` has begun a task. `false` if that could not be remembered.
    pub fn task_began(
        &mut self,
        creator: Task,
        task: Task,
        exchanges: &SlotMap<ExchangeKey, Exchange>,
    ) -> bool {
        let begun = match self.tasks.get(&(creator.pid, creator.key)) {
            Some(open) => match open[..] {
                [request] => {
                    let process = self.processes.get(&creator.pid);
                    Begun {
                        request,
                        server: creator.pid,
                        alone: process.filter(|p| p.open.len() == 1).map(|p| p.opened),
                    }
                }
                _ => return true,
            },
            None => match self.offspring.get(creator) {
                Some(begun) if is_open(begun.request, exchanges) => begun,
                _ => return true,
            },
        };
        self.offspring.add(task, begun)
    }

    /// A task has ended.
    pub fn task_ended(&mut self, task: Task) {
        let lesson = self.offspring.task_ended(task);
        self.learn(lesson);
    }

    /// Time goes on.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some(lesson) = self.offspring.advance(now) {
            self.learn(Some(lesson));
        }
    }

    fn learn(&mut self, lesson: Option<Lesson>) {
        if let Some(lesson) = lesson
            && let Some(process) = self.processes.get_mut(&lesson.server)
        {
            let habits = &mut process.habits;
            lesson.teach(match lesson.process {
                true => &mut habits.processes,
                false => &mut habits.threads,
            });
        }
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
        self.offspring.request_ended(key);
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
            if let Followed::From(first) = process.following.followed {
                let earlier = |key: &ExchangeKey| exchanges[*key].order < first;
                if !process.open.iter().any(earlier) {
                    process.following.followed = Followed::Settled;
                    self.changed.push(task.pid);
                }
            }
        }
    }

    /// Forgets a process. Its exchanges that are still open stay on their tasks' lists until they
    /// end.
    pub fn process_exited(&mut self, pid: u32, exchanges: &mut SlotMap<ExchangeKey, Exchange>) {
        let Some(process) = self.processes.remove(&pid) else {
            return;
        };
        if process.told != 0 {
            self.changed.push(pid);
        }
        for key in process.open {
            if let Some(seats) = exchanges[key].serving.as_mut() {
                seats.in_process = None;
            }
        }
    }

    /// The kernel follows what a process serves, from the exchange with this order on.
    pub fn followed(&mut self, pid: u32, from: u64, again: bool) {
        let has_room = self.processes.len() < self.max_processes;
        let process = match has_room {
            true => self.processes.entry(pid).or_default(),
            false => match self.processes.get_mut(&pid) {
                Some(process) => process,
                None => return,
            },
        };
        process.following.again = again;
        process.following.followed = match process.open.is_empty() {
            true => Followed::Settled,
            false => Followed::From(from),
        };
        self.changed.push(pid);
    }

    /// The kernel has sent a process's request out in a trace that was the wrong one.
    pub fn kernel_erred(&mut self, pid: u32) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.habits.kernel_errs = true;
            self.changed.push(pid);
        }
    }

    /// A request was sent: what it showed of its process may be news for the kernel.
    pub fn has_sent(&mut self, pid: u32) {
        if self.processes.contains_key(&pid) {
            self.changed.push(pid);
        }
    }

    /// What the kernel has not been told yet: process id and bits of [`habit`].
    pub fn take_changed(&mut self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let Self {
            changed,
            processes,
            stable_after,
            ..
        } = self;
        changed.drain(..).filter_map(|pid| {
            let Some(process) = processes.get_mut(&pid) else {
                // It is gone.
                return Some((pid, 0));
            };
            let bits = process.for_kernel(*stable_after);
            (bits != std::mem::replace(&mut process.told, bits)).then_some((pid, bits))
        })
    }

    /// Entries that go with their exchanges.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let in_processes = self.processes.values().map(|process| process.open.len());
        let tasks = self.tasks.len() + self.offspring.len();
        tasks + self.forwarded.len() + in_processes.sum::<usize>()
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
        self.changed.push(exchange.task.pid);
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

/// Whether a request is still being served.
pub(super) fn is_open(request: ExchangeKey, exchanges: &SlotMap<ExchangeKey, Exchange>) -> bool {
    let exchange = exchanges.get(request);
    exchange.is_some_and(|exchange| exchange.serving.is_some())
}
