//! Who executes: the one place that maps what the kernel tells of a caller to a task.
//!
//! A task is what does one thing after another ([`Task`]). In most processes that is a thread, and
//! its key the thread's id. A runtime that schedules tasks of its own on threads (goroutines, async
//! tasks) has another key, which the kernel side reads where the runtime keeps it. It then comes
//! with the record of the send or receive, for processes that are known to have such a runtime; and
//! it is chosen here, so that nothing after this knows what kind of task it deals with.

use clew_common::event::Chunk;

use crate::model::Task;

/// Who made a send or a receive.
#[must_use]
pub const fn of_chunk(chunk: &Chunk) -> Task {
    of_thread(chunk.pid, chunk.tid)
}

/// A thread that begins, ends or begins another. In a process whose tasks are not its threads it is
/// none.
#[must_use]
pub const fn of_thread(pid: u32, tid: u32) -> Task {
    Task::thread(pid, tid)
}
