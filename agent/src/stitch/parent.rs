//! Which request that a process is serving caused a request that it sends.
//!
//! Decided when the request is sent, never with hindsight, because the ids leave with its bytes.
//! Prefers no parent to a wrong one. What is asserted, in this order:
//!
//! 1. The request carries a context of its own: the application's word wins.
//! 2. Its thread serves exactly one request, and that says something: because it read that request
//!    from a blocking socket, because the process has shown that work stays on its thread, or
//!    because the process serves nothing else and never sends of its own accord.
//! 3. Its thread serves none, but was begun for a request ([`super::offspring`]) that is still open,
//!    and that says something: because the process has served nothing else since, or because it has
//!    shown that such threads (or processes) end with their request and so serve no other.
//! 4. Its thread serves none, but the process exactly one, and it never sends of its own accord.
//!
//! Known bias: a process that has not been seen sending while it serves nothing is believed never to
//! do so. The first background request of a process that happens to fall into the time of its only
//! open request gets that one as its parent, with evidence `timing` (or `thread` in an event
//! loop); from the first that does not, the process is known. Requests that a process sends before
//! it has served any (start-up) do not count, since most programs load something then.

use slotmap::SlotMap;

use super::exchange::{Exchange, ExchangeKey};
use super::offspring::Begun;
use super::serving::{Process, Serving, is_open};
use super::trace::{CellKey, Traces};
use crate::model::{Evidence, NoParent, SpanId, Task, TraceId};

/// A request that is being sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub task: Task,
    /// Its connection is non-blocking.
    pub nonblocking: bool,
    pub header: Option<(TraceId, SpanId)>,
    /// The request is known to be received by its own process, in this trace: nothing there can
    /// have caused it.
    pub caused: Option<CellKey>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// A request that this process is serving.
    Serving(ExchangeKey, Evidence),
    /// The span that the request's own header names.
    Header(SpanId),
    /// Nothing.
    None(NoParent),
}

/// How many of a list could be the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    None,
    One(ExchangeKey),
    Many,
}

/// Decides, and learns from what it sees.
pub(super) fn choose(
    sending: &Sending,
    serving: &mut Serving,
    exchanges: &mut SlotMap<ExchangeKey, Exchange>,
    traces: &mut Traces,
    stable_after: u32,
) -> Choice {
    let mut find = |list: Option<&[ExchangeKey]>| {
        let possible = |key: &ExchangeKey| match sending.caused {
            None => true,
            Some(cell) => traces.root(exchanges[*key].cell) != cell,
        };
        let mut found = list.unwrap_or_default().iter().copied().filter(possible);
        match (found.next(), found.next()) {
            (None, _) => Found::None,
            (Some(key), None) => Found::One(key),
            _ => Found::Many,
        }
    };
    let Task { pid, key, .. } = sending.task;
    let on_task = find(serving.tasks.get(&(pid, key)).map(|set| &set[..]));
    let in_process = find(serving.processes.get(&pid).map(|process| &process.open[..]));
    let begun = serving.offspring.get(sending.task).filter(|begun| {
        let possible = on_task == Found::None && is_open(begun.request, exchanges);
        possible && find(Some(&[begun.request])) != Found::None
    });

    if let Some((trace, span)) = sending.header {
        // A command that a request has started may forward its context.
        let server = begun.map_or(pid, |begun| begun.server);
        let forwarded = serving.forwarded.get(&(server, trace, span));
        let forwarded = find(forwarded.map(|set| &set[..]));
        let process = serving.processes.get(&pid);
        return with_header(span, forwarded, on_task, process, exchanges, stable_after);
    }
    if let Some(begun) = begun {
        let server = serving.processes.get(&begun.server);
        if is_for_request(begun, pid, server, exchanges, stable_after) {
            return Choice::Serving(begun.request, Evidence::Thread);
        }
        if pid != begun.server {
            return Choice::None(NoParent::Ambiguous);
        }
    }
    let process = serving.processes.get_mut(&pid);
    let choice = by_task(
        sending,
        on_task,
        in_process,
        process.as_deref(),
        exchanges,
        stable_after,
    );
    if let Some(process) = process {
        learn(process, on_task, in_process, exchanges);
    }
    choice
}

/// The request carries a context: either this process forwards the one that it received, or the
/// application made a span of its own.
fn with_header(
    span: SpanId,
    forwarded: Found,
    on_task: Found,
    process: Option<&Process>,
    exchanges: &SlotMap<ExchangeKey, Exchange>,
    stable_after: u32,
) -> Choice {
    match (forwarded, on_task) {
        (Found::One(key), _) => Choice::Serving(key, Evidence::Header),
        (Found::None, _) => Choice::Header(span),
        // Several requests arrived with this context. The header's span is a true ancestor, but
        // the parent is one of the requests.
        (Found::Many, Found::One(key))
            if exchanges[key].header.is_some_and(|(_, id)| id == span)
                && thread_proves(&exchanges[key], process, stable_after) =>
        {
            Choice::Serving(key, Evidence::Thread)
        }
        (Found::Many, _) => Choice::None(NoParent::Ambiguous),
    }
}

fn by_task(
    sending: &Sending,
    on_task: Found,
    in_process: Found,
    process: Option<&Process>,
    exchanges: &SlotMap<ExchangeKey, Exchange>,
    stable_after: u32,
) -> Choice {
    let background = process.is_none_or(|process| process.habits.background);
    match (on_task, in_process) {
        (Found::Many, _) => Choice::None(NoParent::Ambiguous),
        (Found::One(key), _) => {
            let alone = matches!(in_process, Found::One(_)) && !background;
            if alone || thread_proves(&exchanges[key], process, stable_after) {
                Choice::Serving(key, Evidence::Thread)
            } else {
                Choice::None(NoParent::SharedThread)
            }
        }
        (Found::None, Found::None) => Choice::None(NoParent::NotServing),
        (Found::None, Found::Many) => Choice::None(NoParent::Ambiguous),
        (Found::None, Found::One(key)) => {
            // Where everything blocks, a thread that serves nothing is more likely to work for
            // itself, until it has been seen often enough to send only while others serve.
            let habits = process.map(|process| &process.habits);
            let tasks_share_work = sending.nonblocking
                || exchanges[key].nonblocking
                || habits.is_some_and(|h| h.hands_over || h.delegated >= stable_after);
            if tasks_share_work && !background {
                Choice::Serving(key, Evidence::Timing)
            } else {
                Choice::None(NoParent::SharedThread)
            }
        }
    }
}

/// Whether what a task sends must be for the open request that it was begun for. The task is of
/// process `pid`, the request of process `server`.
fn is_for_request(
    begun: Begun,
    pid: u32,
    server: Option<&Process>,
    exchanges: &SlotMap<ExchangeKey, Exchange>,
    stable_after: u32,
) -> bool {
    let Some(server) = server else {
        return false;
    };
    let proven = thread_proves(&exchanges[begun.request], Some(server), stable_after);
    let alone = begun.alone == Some(server.opened);
    let habits = &server.habits;
    let shown = match pid == begun.server {
        true => habits.threads,
        false => habits.processes,
    };
    alone && (proven || !habits.background) || proven && shown.end_with_requests(stable_after)
}

/// Whether the one request that a thread serves must be the cause of what the thread sends.
fn thread_proves(serves: &Exchange, process: Option<&Process>, stable_after: u32) -> bool {
    let habits = process.map(|process| &process.habits);
    if serves.nonblocking {
        habits.is_some_and(|h| !h.unstable && h.stable >= stable_after)
    } else {
        habits.is_none_or(|h| !h.multiplexes_blocking)
    }
}

fn learn(
    process: &mut Process,
    on_task: Found,
    in_process: Found,
    exchanges: &mut SlotMap<ExchangeKey, Exchange>,
) {
    match (on_task, in_process) {
        (Found::One(key), Found::Many) => exchanges[key].probe = true,
        (Found::None, Found::None) => process.habits.background = true,
        (Found::None, _) => {
            process.habits.delegated = process.habits.delegated.saturating_add(1);
        }
        _ => {}
    }
}
