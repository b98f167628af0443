//! The main loop: kernel records in, spans to the exporter.
//!
//! One thread owns all state from the ring buffer to the finished span, so none of it is locked.
//! It looks at the ring every few milliseconds: the kernel programs wake nobody, because a wake-up
//! would cost the traced program more than the capture itself.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, TryRecvError},
    },
    thread,
    time::Duration,
};

use clew_common::{control::IGNORE, counter::Counter};
use tracing::{debug, warn};

use crate::{
    clock::{self, WallClock},
    config::{HeaderMode, Propagation},
    enrich::{Exec, Filter, Processes, Verdict},
    export::Exporter,
    ingest::{Command, Ingest, Outcome, Scope, task},
    kernel::{Census, Kernel, KernelEvent, Living, decode},
    metrics::{Count, Drop, Gauge, Metrics},
    model::{Connection, ExportSpan, Timestamp},
    stitch::Stitcher,
};

/// Between two looks at the ring while events come.
const BUSY_WAIT: Duration = Duration::from_millis(5);
/// The longest between two looks while none come. A burst after it must fit into the ring.
const IDLE_WAIT: Duration = Duration::from_millis(40);
/// Records handled before spans are passed on and timers looked at.
const BATCH_RECORDS: u32 = 8192;
/// Between two looks at slow things: clocks, kernel counters, memory.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Housekeepings between two comparisons of the known processes with `/proc`, which find what lost
/// events have hidden.
const VERIFY_EVERY: u32 = 30;

/// Housekeepings after which it is looked which connections there still are: at least so many, where
/// events were lost, and ends of connections perhaps with them; and without that, for the ends that are never
/// told.
const LOOK_AFTER_LOSS: u32 = 5;
const LOOK_ANYWAY: u32 = 300;

/// Batches read at most when leaving.
const LAST_TURNS: u32 = 8;

/// Everything between the kernel and the exporter.
pub struct Pipeline {
    kernel: Kernel,
    ingest: Ingest,
    stitcher: Stitcher,
    host: Host,
    exporter: Exporter,
    metrics: Metrics,
    wall: WallClock,
    next_housekeeping: Timestamp,
    housekeepings: u32,
    look: Look,
    /// The longest time between two looks at the ring since the last housekeeping, nanoseconds.
    unread: u64,
    /// The most bytes read at one look since the last housekeeping.
    most_read: u64,
    /// It has been said that ids of others are taken for random.
    presumption_told: bool,
    out: Outcome,
}

/// Looking which connections there still are, on a thread of its own.
#[derive(Default)]
struct Look {
    /// When it was begun, and where its result comes.
    under_way: Option<(Timestamp, Receiver<io::Result<Census>>)>,
    /// Housekeepings since.
    ago: u32,
    /// Events that were lost before.
    lost: u64,
}

impl Look {
    /// Begins, when it is time. `lost`: events that were lost so far.
    fn begin(&mut self, living: Option<&Arc<Living>>, lost: u64, now: Timestamp) {
        let Some(living) = living else { return };
        self.ago += 1;
        let due = match lost > self.lost {
            true => LOOK_AFTER_LOSS,
            false => LOOK_ANYWAY,
        };
        if self.under_way.is_some() || self.ago < due {
            return;
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let living = Arc::clone(living);
        let look = move || {
            // Nobody waits any more where the agent has left meanwhile.
            let _ = sender.send(living.look());
        };
        match thread::Builder::new().name("look".to_owned()).spawn(look) {
            Ok(_) => {
                *self = Self {
                    under_way: Some((now, receiver)),
                    ago: 0,
                    lost,
                };
            }
            Err(error) => debug!("looking which connections there are: {error}"),
        }
    }

    /// What was found, and when it was looked.
    fn result(&mut self) -> Option<(Timestamp, Census)> {
        let (begun, receiver) = self.under_way.as_ref()?;
        let result = match receiver.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => None,
            Ok(Err(error)) => {
                debug!("looking which connections there are: {error}");
                None
            }
            Ok(Ok(census)) => Some((*begun, census)),
        };
        self.under_way = None;
        result
    }
}

/// What holds for which process.
pub struct Policy {
    /// What is traced.
    pub filter: Filter,
    /// Whose requests get headers.
    pub propagation: Propagation,
}

/// Processes and the rules on them: answers what the pure core asks.
struct Host {
    processes: Processes,
    filter: Filter,
    /// Processes that are left out in the kernel too.
    excluded: HashSet<u32>,
    /// Those of which the kernel does not know yet: to be left out, or taken in again.
    changed: Vec<u32>,
    /// Which services' requests get headers.
    propagation: Propagation,
    /// Processes for which that is to be found out.
    appeared: Vec<u32>,
    /// Processes that have ended.
    gone: Vec<u32>,
    now: Timestamp,
}

impl Scope for Host {
    fn covers(&mut self, connection: &Connection) -> bool {
        if self.filter.connection(&connection.address, connection.role) == Verdict::Ignored {
            return false;
        }
        let identity = self.processes.identity(connection.pid, self.now);
        let covered = self.filter.process(&identity) == Verdict::Traced;
        if !covered {
            self.excluded.insert(connection.pid);
            self.changed.push(connection.pid);
        }
        covered
    }
}

impl Host {
    /// Whether a process's requests get headers; `safe`: the kernel passed its test.
    fn gets_headers(&mut self, pid: u32, safe: bool) -> bool {
        let identity = self.processes.identity(pid, self.now);
        let wanted = match self.propagation.header_of(&identity.service) {
            HeaderMode::Off => false,
            HeaderMode::Auto => safe,
            HeaderMode::Force => true,
        };
        wanted && pid != std::process::id() && self.filter.process(&identity) == Verdict::Traced
    }

    /// A process has become another program, or its id may be given to another process: what was
    /// decided about it no longer holds.
    fn reconsider(&mut self, pid: u32) {
        if self.excluded.remove(&pid) {
            self.changed.push(pid);
        }
    }
}

impl Pipeline {
    /// Wires the parts.
    #[must_use]
    pub fn new(
        kernel: Kernel,
        ingest: Ingest,
        stitcher: Stitcher,
        processes: Processes,
        policy: Policy,
        exporter: Exporter,
        metrics: Metrics,
    ) -> Self {
        Self {
            kernel,
            ingest,
            stitcher,
            host: Host {
                processes,
                filter: policy.filter,
                excluded: HashSet::new(),
                changed: Vec::new(),
                propagation: policy.propagation,
                appeared: running_processes(),
                gone: Vec::new(),
                now: clock::now(),
            },
            exporter,
            metrics,
            wall: WallClock::read(),
            next_housekeeping: Timestamp::default(),
            housekeepings: 0,
            look: Look::default(),
            unread: 0,
            most_read: 0,
            presumption_told: false,
            out: Outcome::default(),
        }
    }

    /// Runs until something is sent to `stop` or its sender is gone, then passes on what is
    /// finished and gives the exporter back, to be shut down.
    pub fn run(mut self, stop: &Receiver<()>) -> Exporter {
        let mut wait = BUSY_WAIT;
        loop {
            let records = self.turn();
            if records == BATCH_RECORDS {
                // More is waiting.
                if !matches!(stop.try_recv(), Err(TryRecvError::Empty)) {
                    break;
                }
                continue;
            }
            wait = if records > 0 {
                BUSY_WAIT
            } else {
                (wait * 2).min(IDLE_WAIT)
            };
            match stop.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.finish()
    }

    /// Handles what is in the ring, up to a batch, and what has become due.
    fn turn(&mut self) -> u32 {
        let now = clock::now();
        self.unread = self.unread.max(now.since(self.host.now));
        self.host.now = now;
        self.wall.update();
        let mut records = 0;
        let mut bytes = 0;
        while records < BATCH_RECORDS {
            let Self {
                kernel,
                ingest,
                stitcher,
                host,
                metrics,
                out,
                ..
            } = self;
            let since = kernel.since;
            let handled = kernel.next_record(|record| {
                bytes += record.len() as u64;
                let mut rest = record;
                while !rest.is_empty() {
                    let Some((event, next)) = decode(rest) else {
                        metrics.drop(Drop::BadRecord, 1);
                        break;
                    };
                    rest = next;
                    if let Some(event) = after(since, event) {
                        handle(event, ingest, stitcher, host, out);
                    }
                }
            });
            if handled.is_none() {
                break;
            }
            records += 1;
            self.tell_kernel();
        }
        self.metrics.count(Count::Records, u64::from(records));
        self.most_read = self.most_read.max(bytes);
        let now = self.host.now;
        self.ingest.tick(now, &mut self.stitcher, &mut self.out);
        self.stitcher.tick(now, &mut self.out.spans);
        self.tell_kernel();
        self.pass_on();
        if now >= self.next_housekeeping {
            self.next_housekeeping = Timestamp(now.0 + HOUSEKEEPING.as_nanos() as u64);
            self.keep_house(now);
            if records < BATCH_RECORDS {
                // All is read that was in the ring when it was looked.
                self.end_those_gone(now);
            }
        }
        records
    }

    /// Lets go of connections that are no more, though nothing told their end.
    fn end_those_gone(&mut self, now: Timestamp) {
        if let Some((looked, census)) = self.look.result() {
            for (connection, socket) in census.left {
                self.kernel.controls.remove(connection, socket);
            }
            self.ingest.keep_living(&census.living, looked, now);
        }
        let lost = self.metrics.drops(Drop::EventRingFull);
        self.look.begin(self.kernel.living.as_ref(), lost, now);
    }

    fn tell_kernel(&mut self) {
        for command in self.out.commands.drain(..) {
            match command {
                Command::Set(connection, control) => {
                    self.kernel.controls.set(connection.0, control);
                    if control.verdict == IGNORE
                        && let Some(Ok(headers)) = &mut self.kernel.headers
                    {
                        headers.release(connection.0);
                    }
                }
                Command::Remove { connection, socket } => {
                    self.kernel.controls.remove(connection.0, socket);
                }
            }
        }
        for (pid, habits) in self.stitcher.take_habits() {
            self.kernel.controls.set_habits(pid, habits);
        }
        for pid in self.host.changed.drain(..) {
            if self.host.excluded.contains(&pid) {
                self.kernel.controls.exclude(pid);
            } else {
                self.kernel.controls.include(pid);
            }
        }
        self.choose_for_headers();
    }

    /// Tells the kernel whose requests get headers.
    fn choose_for_headers(&mut self) {
        let appeared = std::mem::take(&mut self.host.appeared);
        let gone = std::mem::take(&mut self.host.gone);
        let Some(Ok(headers)) = &mut self.kernel.headers else {
            return;
        };
        for pid in appeared {
            headers.choose(pid, self.host.gets_headers(pid, headers.flaw.is_none()));
        }
        for pid in gone {
            headers.choose(pid, false);
        }
    }

    /// Gives finished spans their process and wall time, and hands them to the exporter.
    fn pass_on(&mut self) {
        if self.out.spans.is_empty() {
            return;
        }
        let (wall, now) = (&self.wall, self.host.now);
        let processes = &mut self.host.processes;
        let spans = self
            .out
            .spans
            .drain(..)
            .map(|span| {
                let [start, end] = wall.unix_nanos(span.start, span.end);
                ExportSpan {
                    resource: processes.resource(span.pid, now),
                    start_unix_nanos: start,
                    end_unix_nanos: end,
                    span,
                }
            })
            .collect();
        self.exporter.send(spans);
    }

    fn keep_house(&mut self, now: Timestamp) {
        self.host.processes.expire(now);
        self.housekeepings = self.housekeepings.wrapping_add(1);
        if self.housekeepings.is_multiple_of(VERIFY_EVERY) {
            for pid in self.host.processes.verify(now) {
                self.process_ended(pid, now);
            }
        }
        self.kernel.forward_logs();
        let counters = self.kernel.counters();
        let counted = |counter| counters.get(counter as usize).copied().unwrap_or(0);
        for (drop, total) in [
            (Drop::ChunkRingFull, counted(Counter::ChunkRingFull)),
            (Drop::ChunkPreempted, counted(Counter::ChunkPreempted)),
            (Drop::EventRingFull, counted(Counter::EventRingFull)),
            (Drop::SocketStateFull, counted(Counter::SocketStateFull)),
            (Drop::OptionNoRoom, counted(Counter::OptionNoRoom)),
            (Drop::OptionNotPassed, counted(Counter::OptionNotPassed)),
            (Drop::ProgramMissed, self.kernel.missed_runs()),
        ] {
            if total > self.metrics.drops(drop) && self.metrics.drops(drop) == 0 {
                warn!(
                    reason = drop.labels()[1],
                    total, "the kernel side lost events; see clew_drops_total"
                );
            }
            self.metrics.set_drops(drop, total);
        }
        if !self.presumption_told && self.metrics.counted(Count::RandomnessPresumed) > 0 {
            self.presumption_told = true;
            warn!(
                "traces are sampled by the ids that callers gave them, and those do not say that \
                 their ids are random (W3C Trace Context Level 2)"
            );
        }
        for (counter, count) in [
            (Counter::ChunkSkipped, Count::KernelSkipped),
            (Counter::ChunkUnreadable, Count::KernelUnreadable),
            (Counter::OptionSent, Count::OptionsSent),
            (Counter::OptionReceived, Count::OptionsReceived),
            (Counter::HeaderInserted, Count::HeaderInserted),
            (Counter::HeaderOwn, Count::HeaderOwn),
            (Counter::HeaderNoContext, Count::HeaderNoContext),
            (Counter::HeaderSplit, Count::HeaderSplit),
            (Counter::HeaderTooLong, Count::HeaderTooLong),
            (Counter::HeaderMalformed, Count::HeaderMalformed),
            (Counter::HeaderTunnel, Count::HeaderTunnel),
            (Counter::HeaderNoRoom, Count::HeaderNoRoom),
            (Counter::HeaderNoMemory, Count::HeaderNoMemory),
            (Counter::HeaderBoundaryUnknown, Count::HeaderBoundaryUnknown),
            (Counter::HeaderBoundaryLate, Count::HeaderBoundaryLate),
            (Counter::HeaderNotHttp, Count::HeaderNotHttp),
        ] {
            self.metrics.set_count(count, counted(counter));
        }
        self.metrics
            .gauge(Gauge::RingUnread, std::mem::take(&mut self.unread) / 1000);
        self.metrics
            .gauge(Gauge::RingRead, std::mem::take(&mut self.most_read));
        self.ingest.keep_budget(&mut self.stitcher, &mut self.out);
        self.metrics
            .gauge(Gauge::Processes, self.host.processes.len() as u64);
        self.metrics
            .set_drops(Drop::ProcessForgotten, self.host.processes.forgotten());
    }

    /// An end that no event told.
    fn process_ended(&mut self, pid: u32, time: Timestamp) {
        self.host.reconsider(pid);
        self.stitcher.process_exited(pid);
        self.ingest.process_exited(pid, time);
    }

    /// The agent is leaving: what is finished leaves too.
    fn finish(mut self) -> Exporter {
        // What was in the ring when the stop came, not what goes on coming.
        for _ in 0..LAST_TURNS {
            if self.turn() < BATCH_RECORDS {
                break;
            }
        }
        let now = self.host.now;
        self.ingest.finish(now, &mut self.stitcher, &mut self.out);
        self.stitcher.flush(&mut self.out.spans);
        self.pass_on();
        self.keep_house(now);
        self.exporter
    }
}

/// The processes that are older than the agent.
fn running_processes() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Leaves out what was seen before all kernel programs ran: a request, say, whose response was not. What
/// has begun before is older than the agent, therefore.
fn after(since: Timestamp, event: KernelEvent<'_>) -> Option<KernelEvent<'_>> {
    match event {
        KernelEvent::Chunk(chunk, _) if chunk.time < since.0 => None,
        KernelEvent::ConnectionOpened {
            mut connection,
            own,
            socket,
        } => {
            connection.from_start &= connection.time >= since;
            Some(KernelEvent::ConnectionOpened {
                connection,
                own,
                socket,
            })
        }
        other => Some(other),
    }
}

fn handle(
    event: KernelEvent<'_>,
    ingest: &mut Ingest,
    stitcher: &mut Stitcher,
    host: &mut Host,
    out: &mut Outcome,
) {
    match event {
        KernelEvent::Chunk(chunk, data) => ingest.chunk(&chunk, data, stitcher, out),
        KernelEvent::ConnectionOpened {
            connection,
            own,
            socket,
        } => ingest.opened(connection, own, socket, host, stitcher, out),
        KernelEvent::ConnectionChanged(changed) => ingest.changed(&changed, stitcher, out),
        KernelEvent::ProcessExec {
            exec,
            arguments,
            environment,
        } => {
            host.reconsider(exec.pid);
            host.appeared.push(exec.pid);
            host.processes.exec(&Exec {
                pid: exec.pid,
                parent: exec.parent,
                time: Timestamp(exec.time),
                cgroup: exec.cgroup,
                name: &exec.name,
                arguments,
                environment,
            });
        }
        KernelEvent::ProcessFork(fork) => {
            if fork.tid == fork.pid {
                host.appeared.push(fork.pid);
                host.processes
                    .fork(fork.parent, fork.pid, Timestamp(fork.time));
            }
            let creator = task::of_thread(fork.parent, fork.parent_tid);
            stitcher.task_began(creator, task::of_thread(fork.pid, fork.tid));
        }
        KernelEvent::Carried {
            connection,
            position,
            carried,
        } => ingest.carried(connection, position, carried),
        KernelEvent::ProcessFollowed(followed) => {
            stitcher.process_followed(followed.pid, followed.again != 0);
        }
        KernelEvent::ProcessExit(exit) => {
            stitcher.task_ended(task::of_thread(exit.pid, exit.tid));
            if exit.tid != exit.pid {
                return;
            }
            let time = Timestamp(exit.time);
            host.reconsider(exit.pid);
            host.gone.push(exit.pid);
            host.processes.exit(exit.pid, time);
            stitcher.process_exited(exit.pid);
            ingest.process_exited(exit.pid, time);
        }
    }
}
