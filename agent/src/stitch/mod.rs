//! From exchanges to spans: ids, parents and the evidence for them.
//!
//! Pure: time is that of the events and of [`Stitcher::tick`]. The same events give the same spans,
//! up to their ids.
//!
//! **Order.** Events of one thread come in its program order; those of different threads may come
//! in any order that the kernel's hooks give. The hook of a send fires after the send has returned:
//! on loopback the server's whole exchange may be seen before the client's has begun. So a server
//! exchange without a context of its own is *tentative* until its peer appears or has had time to:
//! its trace is a cell ([`trace`]) that may still become an alias of another, and its spans are
//! held. An id that has left is never changed. Held spans leave within
//! [`StitchConfig::max_hold`] of their end (event time), however long their parents last.
//!
//! **Parents.** A server's: the client exchange at the other end of the connection ([`peer`]), else
//! the header, else none. A client's: see [`parent`]. A header that names a trace and no span in it
//! gives a trace its id where that begins here, and decides nothing else.
//!
//! **Times.** Where both ends are known, a client starts no later than its server, and a server ends
//! no later than its client, as far as the spans have not left. A child never starts before its
//! parent.
//!
//! Hash maps use `ahash` with keys from the operating system: addresses and positions are chosen by
//! peers, who must not be able to choose collisions.

mod assemble;
mod config;
mod exchange;
mod ids;
mod offspring;
mod parent;
mod peer;
mod serving;
mod trace;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use ahash::HashMap;
use slotmap::{Key, SlotMap};

pub use config::StitchConfig;
pub use ids::{IdSource, RandomIds, SequentialIds};

use crate::metrics::{Count, Drop, Gauge, Metrics};
use crate::model::{
    Carried, Cause, Connection, ConnectionId, Evidence, Finished, NoParent, Outcome, Parent,
    ParserEvent, Provenance, Side, Span, SpanId, Started, Task, Timestamp, TraceId,
};
use exchange::{Arrived, Ended, Exchange, ExchangeKey};
use parent::{Choice, Sending};
use peer::{Meeting, Peers, Place, Request};
use serving::Serving;
use trace::{CellKey, Trace, Traces};

/// A request that a connection brought.
#[derive(Clone, Copy, Debug)]
struct Brought {
    span: SpanId,
    /// The trace that the kernel takes it for: its own when it began.
    trace: TraceId,
    /// The trace that it is in; a reference.
    cell: CellKey,
    start: Timestamp,
}

/// Turns parser events into spans.
pub struct Stitcher {
    config: StitchConfig,
    ids: Box<dyn IdSource>,
    metrics: Metrics,
    /// The latest time seen.
    now: Timestamp,
    exchanges: SlotMap<ExchangeKey, Exchange>,
    by_id: HashMap<(ConnectionId, u64), ExchangeKey>,
    /// Open exchanges in the order of their start, oldest first.
    open: BTreeMap<u64, ExchangeKey>,
    started: u64,
    /// Finished spans that wait.
    held: usize,
    serving: Serving,
    /// The last request that each connection brought.
    brought: HashMap<ConnectionId, Brought>,
    peers: Peers,
    traces: Traces,
    /// Server exchanges whose peer has not appeared, by the time of their start.
    after_start: VecDeque<(Timestamp, ExchangeKey)>,
    /// The same ones by the time of their end.
    after_end: VecDeque<(Timestamp, ExchangeKey)>,
    /// Held spans by the time since which they wait.
    waiting: VecDeque<(Timestamp, ExchangeKey)>,
}

impl Stitcher {
    /// A stitcher that has seen nothing.
    #[must_use]
    pub fn new(config: StitchConfig, ids: Box<dyn IdSource>, metrics: Metrics) -> Self {
        Self {
            serving: Serving::new(
                config.max_processes,
                config.max_offspring,
                config.stable_after,
            ),
            peers: Peers::new(config.max_unix_pairs),
            config,
            ids,
            metrics,
            now: Timestamp::default(),
            exchanges: SlotMap::with_key(),
            by_id: HashMap::default(),
            brought: HashMap::default(),
            open: BTreeMap::new(),
            started: 0,
            held: 0,
            traces: Traces::default(),
            after_start: VecDeque::new(),
            after_end: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Takes an event of a connection's parser; spans that leave by it are added to `out`.
    pub fn event(&mut self, connection: &Connection, event: ParserEvent, out: &mut Vec<Span>) {
        match event {
            ParserEvent::Started(started) => {
                self.advance(started.start, out);
                self.started(connection, &started, out);
            }
            ParserEvent::Finished(finished) => {
                self.advance(finished.end, out);
                self.finished(connection, finished, out);
            }
        }
    }

    /// A connection has ended, and its parser has finished all its exchanges.
    pub fn connection_ended(&mut self, connection: ConnectionId) {
        self.peers.connection_ended(connection);
        if let Some(brought) = self.brought.remove(&connection) {
            self.traces.release(brought.cell);
        }
    }

    /// The kernel begins to follow what a process serves. What it serves already, the kernel does not
    /// know.
    pub fn process_followed(&mut self, pid: u32, again: bool) {
        self.serving.followed(pid, self.started, again);
    }

    /// What the kernel should know of processes, as far as it has changed: process id and bits of
    /// [`clew_common::context::habit`].
    pub fn take_habits(&mut self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.serving.take_changed()
    }

    /// A process has ended: what was learned of it says nothing about the next one with its id.
    pub fn process_exited(&mut self, pid: u32) {
        self.serving.process_exited(pid, &mut self.exchanges);
    }

    /// A task has begun another: a thread of its process, or a process.
    pub fn task_began(&mut self, creator: Task, task: Task) {
        if !self.serving.task_began(creator, task, &self.exchanges) {
            self.metrics.drop(Drop::OffspringBudget, 1);
        }
    }

    /// A task has ended.
    pub fn task_ended(&mut self, task: Task) {
        self.serving.task_ended(task);
    }

    /// Lets go what has waited long enough at `now`. To be called every few milliseconds with the
    /// clock of the events.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Span>) {
        self.advance(now, out);
        let refused = self.peers.take_refused();
        if refused > 0 {
            self.metrics.drop(Drop::PeerBudget, refused);
        }
        self.metrics
            .gauge(Gauge::OpenExchanges, self.open.len() as u64);
    }

    /// Lets go everything that waits, at the end. Exchanges that are still open stay so; their spans
    /// no longer wait for anything.
    pub fn flush(&mut self, out: &mut Vec<Span>) {
        while let Some((_, key)) = self.after_start.pop_front() {
            self.not_local(key, out);
        }
        self.after_end.clear();
        self.waiting.clear();
    }

    /// What is kept of exchanges: 0 when none is open and none waits.
    #[cfg(test)]
    fn residue(&self) -> usize {
        // What a connection brought last keeps its trace for as long as the connection lasts.
        let traces = self.traces.len().saturating_sub(self.brought.len());
        let lists = self.serving.len() + self.peers.waiting() + traces;
        lists + self.exchanges.len() + self.by_id.len() + self.open.len() + self.held
    }

    fn started(&mut self, connection: &Connection, started: &Started, out: &mut Vec<Span>) {
        self.metrics.count(Count::ExchangesStarted, 1);
        let id = (connection.id, started.exchange);
        if self.by_id.contains_key(&id) {
            // Against the parsers' contract; the first one stands.
            return;
        }
        let order = self.started;
        self.started += 1;
        let key = self.exchanges.insert(Exchange {
            id,
            order,
            side: started.side,
            task: started.task,
            nonblocking: connection.nonblocking,
            start: started.start,
            span_id: self.ids.span_id(),
            cell: CellKey::null(),
            header: started.context.as_ref().and_then(|context| context.origin),
            arrived: None,
            parent: None,
            not_before: Timestamp::default(),
            not_after: None,
            other_trace: false,
            peer: None,
            place: None,
            serving: None,
            probe: false,
            ended: None,
        });
        self.by_id.insert(id, key);
        self.open.insert(order, key);
        let request = Request {
            exchange: key,
            side: started.side,
            position: started.position,
            start: started.start,
        };
        let other = match self.peers.meet(connection, request) {
            Meeting::Met(other) => Some(other),
            Meeting::Waits(place) => {
                self.exchanges[key].place = Some(place);
                None
            }
            Meeting::Never => None,
        };
        match started.side {
            Side::Server => self.server_started(key, started, other, out),
            Side::Client => self.client_started(key, started, other, out),
        }
        if self.open.len() > self.config.max_open
            && let Some((_, oldest)) = self.open.pop_first()
        {
            self.metrics.drop(Drop::ExchangeBudget, 1);
            self.forget(oldest, out);
        }
    }

    fn server_started(
        &mut self,
        key: ExchangeKey,
        started: &Started,
        client: Option<ExchangeKey>,
        out: &mut Vec<Span>,
    ) {
        let option = match started.carried {
            Some(Carried {
                trace_id,
                origin: Provenance::Option(span),
                ..
            }) => Some((trace_id, span)),
            _ => None,
        };
        let by_option = |trace, span| Arrived {
            trace,
            span,
            evidence: Evidence::TcpOption,
        };
        let arrived = match (self.exchanges[key].header, option) {
            // Both name one trace: the option's span is the one that sent this very request, the
            // header's an ancestor of it.
            (Some(header), Some((trace, span))) if header.trace_id == trace => {
                Some(by_option(trace, span))
            }
            (Some(header), _) => header.span_id.map(|span| Arrived {
                trace: header.trace_id,
                span,
                evidence: Evidence::Header,
            }),
            (None, Some((trace, span))) => Some(by_option(trace, span)),
            (None, None) => None,
        };
        let trace = self.trace_of(started, None);
        // What an option names may have got another name on this host meanwhile, as what came without
        // a context may.
        let opener = self.exchanges[key].named_span().is_none().then_some(key);
        self.exchanges[key].arrived = arrived;
        self.exchanges[key].cell = self.traces.open(trace, opener);
        if started.carried.is_some() || started.context.is_some() {
            self.brought(key);
        }
        if !self.serving.open(key, &mut self.exchanges) {
            self.metrics.drop(Drop::ProcessBudget, 1);
        }
        let misread = self.exchanges[key].header.is_some()
            && started
                .carried
                .is_some_and(|carried| carried.origin == Provenance::Begun);
        if misread || started.overlapping {
            // In a format that the kernel does not read, or not told from the others by the kernel.
            self.serving.kernel_erred(started.task.pid);
        }
        match client {
            Some(client) => self.pair(client, key, out),
            None => self.after_start.push_back((self.now, key)),
        }
    }

    /// A connection has brought a request of which the kernel knows the context, and which it may name
    /// as a cause.
    fn brought(&mut self, key: ExchangeKey) {
        let exchange = &self.exchanges[key];
        let brought = Brought {
            span: exchange.span_id,
            trace: self.traces.trace(exchange.cell).id,
            cell: self.traces.share(exchange.cell),
            start: exchange.start,
        };
        if let Some(before) = self.brought.insert(exchange.id.0, brought) {
            self.traces.release(before.cell);
        }
    }

    fn client_started(
        &mut self,
        key: ExchangeKey,
        started: &Started,
        server: Option<ExchangeKey>,
        out: &mut Vec<Span>,
    ) {
        let server_here = server.map(|server| &self.exchanges[server]);
        let caused = server_here
            .filter(|server| server.task.pid == started.task.pid)
            .map(|server| self.traces.root(server.cell));
        let sending = Sending {
            task: started.task,
            nonblocking: self.exchanges[key].nonblocking,
            header: self.exchanges[key].header,
            telemetry: started.telemetry,
            caused,
        };
        let choice = parent::choose(
            &sending,
            &mut self.serving,
            &mut self.exchanges,
            &mut self.traces,
            self.config.stable_after,
        );
        self.serving.has_sent(started.task.pid);
        let sent = started.carried.and_then(|carried| match carried.origin {
            Provenance::Sent { span_id, cause } => Some((carried, span_id, cause)),
            _ => None,
        });
        if let Some((_, span_id, _)) = sent {
            // What the receiver was told.
            self.exchanges[key].span_id = span_id;
        }
        if let Some((carried, _, cause)) = sent
            && self.exchanges[key].header.is_none()
            && !started.telemetry
        {
            self.client_left(key, &carried, cause);
            if let Some(server) = server {
                self.pair(key, server, out);
            }
            return;
        }
        let (parent, not_before) = match choice {
            Choice::Serving(parent, evidence) => {
                let parent = &self.exchanges[parent];
                let id = parent.span_id;
                (Parent::Span { id, evidence }, parent.start)
            }
            Choice::Header(id) => {
                let evidence = Evidence::Header;
                (Parent::Span { id, evidence }, Timestamp::default())
            }
            Choice::None(why) => (Parent::None(why), Timestamp::default()),
        };
        let serving = match choice {
            Choice::Serving(parent, _) => Some(self.exchanges[parent].cell),
            Choice::Header(_) | Choice::None(_) => None,
        };
        let cell = match (self.exchanges[key].named_span(), serving) {
            (None, Some(cell)) => self.traces.share(cell),
            // The application's flags and state go with its request, also where it forwards.
            (_, serving) => {
                let trace = self.trace_of(started, serving);
                self.traces.open(trace, None)
            }
        };
        let exchange = &mut self.exchanges[key];
        exchange.parent = Some(parent);
        exchange.cell = cell;
        exchange.not_before = not_before;
        exchange.start = exchange.start.max(not_before);
        if let Some(server) = server {
            self.pair(key, server, out);
        }
    }

    /// A request whose context has left already, as the kernel decided.
    fn client_left(&mut self, key: ExchangeKey, carried: &Carried, cause: Cause) {
        let (brought, evidence) = match cause {
            Cause::Thread(connection) => (self.brought.get(&connection), Evidence::Thread),
            Cause::Process(connection) => (self.brought.get(&connection), Evidence::Timing),
            Cause::None(_) => (None, Evidence::Thread),
        };
        let (parent, cell, not_before) = match brought.copied() {
            Some(brought) if brought.trace == carried.trace_id => {
                let parent = Parent::Span {
                    id: brought.span,
                    evidence,
                };
                (parent, self.traces.share(brought.cell), brought.start)
            }
            brought => {
                let why = match cause {
                    Cause::None(why) => why,
                    _ => NoParent::OtherTrace,
                };
                if brought.is_some() {
                    // It read a context otherwise than the kernel, or not at all.
                    let pid = self.exchanges[key].task.pid;
                    self.serving.kernel_erred(pid);
                }
                let trace = Trace::of_kernel(carried, self.config.sampler);
                let cell = self.traces.open(trace, None);
                (Parent::None(why), cell, Timestamp::default())
            }
        };
        let exchange = &mut self.exchanges[key];
        exchange.parent = Some(parent);
        exchange.cell = cell;
        exchange.not_before = not_before;
        exchange.start = exchange.start.max(not_before);
    }

    /// The trace of a request: by its own context, by what the kernel knows of it, or by what it
    /// continues.
    fn trace_of(&mut self, started: &Started, continues: Option<CellKey>) -> Trace {
        let sampler = self.config.sampler;
        let continues = match (continues, &started.carried) {
            (Some(cell), _) => Some(self.traces.trace(cell).clone()),
            // Telemetry goes to a collector, which is no part of what the kernel took it for.
            (None, Some(carried)) if !started.telemetry => Some(Trace::of_kernel(carried, sampler)),
            (None, _) => None,
        };
        let ids = &mut *self.ids;
        match (&started.context, continues) {
            (Some(context), continues) => {
                Trace::of_header(context, continues.as_ref(), ids, sampler, &self.metrics)
            }
            (None, Some(trace)) => trace,
            (None, None) => Trace::begun_here(ids, sampler),
        }
    }

    /// A client and a server exchange are the two ends of one.
    fn pair(&mut self, client_key: ExchangeKey, server_key: ExchangeKey, out: &mut Vec<Span>) {
        let Some([client, server]) = self.exchanges.get_disjoint_mut([client_key, server_key])
        else {
            return;
        };
        Exchange::untangle(client, server);
        Exchange::clamp_starts(client, server);
        client.peer = Some(server_key);
        client.place = None;
        server.peer = Some(client_key);
        server.place = None;
        let span = client.span_id;
        let by_socket = Parent::Span {
            id: span,
            evidence: Evidence::Socket,
        };
        let (client_cell, server_cell) = (client.cell, server.cell);
        match server.arrived {
            None => match self.traces.join(server_cell, client_cell) {
                Some(freed) => {
                    self.exchanges[server_key].parent = Some(by_socket);
                    self.release(freed, out);
                    self.complete(server_key, out);
                }
                // The client's request would be among the consequences of its own.
                None => self.not_local(server_key, out),
            },
            // The very request, though it left under another name.
            Some(arrived)
                if arrived.span == span
                    && let Some(freed) = self.traces.join(server_cell, client_cell) =>
            {
                self.exchanges[server_key].parent = Some(by_socket);
                self.release(freed, out);
                self.complete(server_key, out);
            }
            Some(arrived) if arrived.trace == self.traces.trace(client_cell).id => {
                self.decide(server_key, by_socket, out);
            }
            Some(Arrived { span, evidence, .. }) => {
                // Something on the way wrote it; it knows the request better than the addresses do.
                self.exchanges[server_key].other_trace = true;
                self.decide(server_key, Parent::Span { id: span, evidence }, out);
            }
        }
    }

    /// The parent of a server exchange is known, and its trace is the one that it came with.
    fn decide(&mut self, key: ExchangeKey, parent: Parent, out: &mut Vec<Span>) {
        let exchange = &mut self.exchanges[key];
        exchange.parent = Some(parent);
        let cell = exchange.cell;
        let freed = match self.traces.opener(cell) {
            Some(opener) if opener == key => self.traces.settle(cell),
            _ => Vec::new(),
        };
        self.release(freed, out);
        self.complete(key, out);
    }

    fn finished(&mut self, connection: &Connection, finished: Finished, out: &mut Vec<Span>) {
        let id = (connection.id, finished.exchange);
        let Some(key) = self.by_id.remove(&id) else {
            // Let go for the budget, and counted then.
            return;
        };
        self.metrics.count(Count::ExchangesFinished, 1);
        let exchange = &mut self.exchanges[key];
        self.open.remove(&exchange.order);
        let complete = finished.outcome == Outcome::Complete;
        let mut attributes = finished.attributes;
        if self.config.thread_ids {
            assemble::add_thread(&mut attributes, exchange.task);
        }
        exchange.ended = Some(Ended {
            end: finished.end,
            name: finished.name,
            status: finished.status,
            attributes,
            address: connection.address.clone(),
            kind: finished.kind,
            links: finished.links,
            notes: finished.notes,
            pid: if exchange.task.pid == 0 {
                connection.pid
            } else {
                exchange.task.pid
            },
        });
        self.held += 1;
        let by = finished.task.filter(|_| complete);
        match exchange.side {
            Side::Server => self.server_finished(key, by),
            Side::Client => self.client_finished(key, by, finished.end, complete, out),
        }
        self.complete(key, out);
        while self.held > self.config.max_held
            && let Some((_, oldest)) = self.waiting.pop_front()
        {
            if self.exchanges.contains_key(oldest) {
                self.metrics.count(Count::WaitsCut, 1);
                self.stop_waiting(oldest, out);
            }
        }
    }

    fn server_finished(&mut self, key: ExchangeKey, by: Option<Task>) {
        if let Some(by) = by {
            self.serving.answered(&self.exchanges[key], by);
        }
        self.serving.close(key, &mut self.exchanges);
        if self.exchanges[key].parent.is_none() {
            self.after_end.push_back((self.now, key));
        }
    }

    fn client_finished(
        &mut self,
        key: ExchangeKey,
        by: Option<Task>,
        end: Timestamp,
        complete: bool,
        out: &mut Vec<Span>,
    ) {
        let exchange = &mut self.exchanges[key];
        if let Some(place) = exchange.place.take() {
            if let Some(server) = self.peers.client_ended(place, key, end) {
                self.pair(key, server, out);
            } else {
                self.peers.leave(place, key);
            }
        }
        let exchange = &self.exchanges[key];
        if let Some(by) = by {
            self.serving.received(exchange, by);
        }
        let Some(server) = exchange.peer else {
            return;
        };
        if complete {
            // Its client has the whole response: whatever is sent from now on is for others, though
            // the hook of the server's last send may not have told yet.
            self.serving.close(server, &mut self.exchanges);
        }
        if let Some(server) = self.exchanges.get_mut(server) {
            server.not_after = Some(end);
        }
    }

    /// A span with an end and a parent leaves, or is held until its trace settles. One that will
    /// not be exported needs no parent; but where the ends of a Unix pair meet, the pair is learned.
    fn complete(&mut self, key: ExchangeKey, out: &mut Vec<Span>) {
        let exchange = &self.exchanges[key];
        if exchange.ended.is_none() {
            return;
        }
        let teaches = matches!(exchange.place, Some(Place::Unix(_)));
        if !teaches && self.traces.is_dropped(exchange.cell) {
            self.emit(key, out);
            return;
        }
        if exchange.parent.is_some() && self.traces.opener(exchange.cell).is_none() {
            self.emit(key, out);
            return;
        }
        if exchange.parent.is_some() {
            self.traces.hold(exchange.cell, key);
        }
        self.waiting.push_back((self.now, key));
    }

    /// The peer of a server exchange is not on this host, or was not seen.
    /// The time is over in which the other end's events can still come.
    fn waited(&mut self, key: ExchangeKey, out: &mut Vec<Span>) {
        let place = self.exchanges.get(key).and_then(|exchange| exchange.place);
        match place.and_then(|place| self.peers.sole_client(place, key)) {
            Some(client) => self.pair(client, key, out),
            None => self.not_local(key, out),
        }
    }

    fn not_local(&mut self, key: ExchangeKey, out: &mut Vec<Span>) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if exchange.parent.is_some() {
            return;
        }
        let parent = match (exchange.arrived, exchange.header) {
            (Some(Arrived { span, evidence, .. }), _) => Parent::Span { id: span, evidence },
            (None, Some(_)) => Parent::None(NoParent::TraceOnly),
            (None, None) => Parent::None(NoParent::Root),
        };
        if let Some(place) = exchange.place.take() {
            self.peers.leave(place, key);
        }
        self.decide(key, parent, out);
    }

    /// A held span leaves with what is known.
    fn stop_waiting(&mut self, key: ExchangeKey, out: &mut Vec<Span>) {
        self.not_local(key, out);
        if let Some(exchange) = self.exchanges.get(key)
            && let Some(opener) = self.traces.opener(exchange.cell)
        {
            self.not_local(opener, out);
        }
    }

    fn release(&mut self, held: Vec<ExchangeKey>, out: &mut Vec<Span>) {
        for key in held {
            self.emit(key, out);
        }
    }

    fn emit(&mut self, key: ExchangeKey, out: &mut Vec<Span>) {
        let Some(exchange) = self.exchanges.remove(key) else {
            return;
        };
        self.held -= 1;
        if let Some(place) = exchange.place {
            self.peers.leave(place, key);
        }
        let cell = exchange.cell;
        let trace = self.traces.trace(cell);
        if !trace.flags.is_sampled() {
            self.metrics.count(Count::SpansUnsampled, 1);
        } else if let Some(span) = exchange.into_span(trace) {
            self.metrics.count(Count::Spans, 1);
            self.metrics.count(parent_count(span.parent), 1);
            out.push(span);
        }
        self.traces.release(cell);
    }

    /// Lets an open exchange go; its span is lost. What it caused keeps its trace.
    fn forget(&mut self, key: ExchangeKey, out: &mut Vec<Span>) {
        self.not_local(key, out);
        self.serving.close(key, &mut self.exchanges);
        if let Some(exchange) = self.exchanges.remove(key) {
            self.by_id.remove(&exchange.id);
            if let Some(place) = exchange.place {
                self.peers.leave(place, key);
            }
            self.traces.release(exchange.cell);
        }
    }

    fn advance(&mut self, now: Timestamp, out: &mut Vec<Span>) {
        self.now = self.now.max(now);
        let now = self.now;
        self.serving.advance(now);
        let nanos = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let wait = nanos(self.config.peer_wait);
        while let Some(key) = expired(&mut self.after_start, now, wait) {
            self.waited(key, out);
        }
        let grace = nanos(self.config.peer_grace);
        while let Some(key) = expired(&mut self.after_end, now, grace) {
            self.waited(key, out);
        }
        let hold = nanos(self.config.max_hold);
        while let Some(key) = expired(&mut self.waiting, now, hold) {
            self.stop_waiting(key, out);
        }
    }
}

/// Takes the first of a queue if it has waited for `wait` nanoseconds.
fn expired(
    queue: &mut VecDeque<(Timestamp, ExchangeKey)>,
    now: Timestamp,
    wait: u64,
) -> Option<ExchangeKey> {
    let &(since, key) = queue.front()?;
    if now.since(since) < wait {
        return None;
    }
    queue.pop_front();
    Some(key)
}

const fn parent_count(parent: Parent) -> Count {
    match parent {
        Parent::Span { evidence, .. } => match evidence {
            Evidence::Header => Count::ParentHeader,
            Evidence::TcpOption => Count::ParentTcpOption,
            Evidence::Socket => Count::ParentSocket,
            Evidence::Thread => Count::ParentThread,
            Evidence::Timing => Count::ParentTiming,
        },
        Parent::None(why) => match why {
            NoParent::Root => Count::ParentRoot,
            NoParent::NotServing => Count::ParentNotServing,
            NoParent::Telemetry => Count::ParentTelemetry,
            NoParent::Ambiguous => Count::ParentAmbiguous,
            NoParent::SharedThread => Count::ParentSharedThread,
            NoParent::OtherTrace => Count::ParentOtherTrace,
            NoParent::TraceOnly => Count::ParentTraceOnly,
        },
    }
}
