//! Tasks that were begun for a request: threads and processes that a task created while it served
//! one, and what those create in turn.
//!
//! What such a task sends while the request is open is perhaps done for it, and perhaps not: a
//! worker of a pool is begun by the first request that finds all others busy, and then works for
//! whoever comes. [`super::parent`] decides; here is what it decides by, and what a process shows of
//! it: do its requests take their offspring with them when they end?

use std::collections::VecDeque;

use ahash::HashMap;
use smallvec::SmallVec;

use super::exchange::ExchangeKey;
use crate::model::{Task, Timestamp};

type TaskKey = (u32, u64);

/// How long after its request's end a task may still be about to end: it has done its work before,
/// but a busy machine lets it wait for a processor.
const GRACE_NANOS: u64 = 1_000_000_000;

/// Tasks that are remembered of one request. Further ones are not known to be its own.
const MAX_OF_REQUEST: usize = 256;

/// What a task was begun for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub request: ExchangeKey,
    /// The process that serves the request.
    pub server: u32,
    /// If no other request was open in that process: how many it had served by then. As long as it
    /// has served no further one, the request has been alone since.
    pub alone: Option<u64>,
}

/// What a process has shown of the tasks that its requests begin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    /// So many ended with their request.
    ended: u32,
    /// One went on, or served a request itself.
    outlived: bool,
}

impl Shown {
    /// Whether tasks are known to end with their request: `enough` did, without one exception.
    pub const fn end_with_requests(&self, enough: u32) -> bool {
        self.ended >= enough && !self.outlived
    }
}

/// What is to be learned: of this process, from this task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lesson {
    pub server: u32,
    /// The task was a process of its own, not a thread of the serving one.
    pub process: bool,
    /// It did not end with its request.
    pub outlived: bool,
}

impl Lesson {
    /// Adds it to what was known.
    pub const fn teach(self, shown: &mut Shown) {
        if self.outlived {
            shown.outlived = true;
        } else {
            shown.ended = shown.ended.saturating_add(1);
        }
    }
}

/// Tasks begun for requests. An entry goes when its task ends, or soon after its request has.
#[derive(Debug)]
pub(super) struct Offspring {
    begun: HashMap<TaskKey, Begun>,
    of_request: HashMap<ExchangeKey, SmallVec<[TaskKey; 2]>>,
    /// Requests that have ended, and when.
    ended: VecDeque<(Timestamp, ExchangeKey)>,
    now: Timestamp,
    max: usize,
}

impl Offspring {
    pub fn new(max: usize) -> Self {
        Self {
            begun: HashMap::default(),
            of_request: HashMap::default(),
            ended: VecDeque::new(),
            now: Timestamp::default(),
            max,
        }
    }

    /// What a task was begun for.
    pub fn get(&self, task: Task) -> Option<Begun> {
        self.begun.get(&(task.pid, task.key)).copied()
    }

    /// A task was begun. `false` if there is no room to remember it.
    pub fn add(&mut self, task: Task, begun: Begun) -> bool {
        let key = (task.pid, task.key);
        // The end of an earlier task with this id was not told.
        self.remove(key);
        let siblings = self.of_request.entry(begun.request).or_default();
        if self.begun.len() >= self.max || siblings.len() >= MAX_OF_REQUEST {
            if siblings.is_empty() {
                self.of_request.remove(&begun.request);
            }
            return false;
        }
        siblings.push(key);
        self.begun.insert(key, begun);
        true
    }

    /// A task has ended.
    pub fn task_ended(&mut self, task: Task) -> Option<Lesson> {
        let key = (task.pid, task.key);
        self.remove(key).map(|begun| lesson(key, begun, false))
    }

    /// A task serves a request itself: it is nobody's any more.
    pub fn serves(&mut self, task: Task) -> Option<Lesson> {
        let key = (task.pid, task.key);
        self.remove(key).map(|begun| lesson(key, begun, true))
    }

    /// A request is no longer open.
    pub fn request_ended(&mut self, request: ExchangeKey) {
        if self.of_request.contains_key(&request) {
            self.ended.push_back((self.now, request));
        }
    }

    /// The next lesson of the tasks that have outlived their requests by `now`. To be called until
    /// there is none.
    pub fn advance(&mut self, now: Timestamp) -> Option<Lesson> {
        self.now = now;
        while let Some(&(since, request)) = self.ended.front()
            && now.since(since) >= GRACE_NANOS
        {
            let survivors = self.of_request.get(&request);
            let Some(&key) = survivors.and_then(|survivors| survivors.first()) else {
                self.ended.pop_front();
                continue;
            };
            if let Some(begun) = self.remove(key) {
                return Some(lesson(key, begun, true));
            }
        }
        None
    }

    fn remove(&mut self, key: TaskKey) -> Option<Begun> {
        let begun = self.begun.remove(&key)?;
        if let Some(siblings) = self.of_request.get_mut(&begun.request) {
            if let Some(at) = siblings.iter().position(|sibling| *sibling == key) {
                siblings.swap_remove(at);
            }
            if siblings.is_empty() {
                self.of_request.remove(&begun.request);
            }
        }
        Some(begun)
    }

    /// Tasks that are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.begun.len().max(self.of_request.len())
    }
}

const fn lesson((pid, _): TaskKey, begun: Begun, outlived: bool) -> Lesson {
    Lesson {
        server: begun.server,
        process: pid != begun.server,
        outlived,
    }
}
