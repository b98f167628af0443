//! What the agent counts about itself.
//!
//! Every drop has a place and a reason ([`Drop`]); a new way of losing something is a new variant
//! here, and so shows up in `--stats` and on the Prometheus endpoint without further work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = ($($label:literal),+)),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The values of the metric's labels.
            #[must_use]
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($label),+]),+ }
            }
        }
    };
}

table! {
    /// Something was lost: `clew_drops_total{place, reason}`.
    Drop {
        /// A chunk found the ring buffer full (counted in the kernel).
        ChunkRingFull = ("kernel", "chunk_ring_full"),
        /// A chunk came while another was being recorded on that processor, by a program that had been
        /// interrupted: kernels from 7.0 on let other tasks run meanwhile (counted in the kernel).
        ChunkPreempted = ("kernel", "chunk_preempted"),
        /// A connection, state or process event found the ring buffer full.
        EventRingFull = ("kernel", "event_ring_full"),
        /// No state could be kept for a socket in the kernel: it is not traced.
        SocketStateFull = ("kernel", "socket_state_full"),
        /// A kernel program did not run because it was running already on that processor, where it was
        /// interrupted: by a packet, or by another task (Linux 7.0 and later).
        ProgramMissed = ("kernel", "program_missed"),
        /// A request left without its context: its segment's header had no room for the option.
        OptionNoRoom = ("kernel", "tcp_option_no_room"),
        /// Requests leave without their contexts: something on the way, or the other end, does not let
        /// the option pass.
        OptionNotPassed = ("kernel", "tcp_option_not_passed"),
        /// A record in the ring buffer was not understood.
        BadRecord = ("ingest", "bad_record"),
        /// A chunk came after a later one of its stream (two threads on one socket).
        LateChunk = ("ingest", "late_chunk"),
        /// A chunk of a connection that had been let go.
        StrayChunk = ("ingest", "stray_chunk"),
        /// The connection table was full: the connection idle for longest was let go.
        ConnectionBudget = ("ingest", "connection_budget"),
        /// A connection was let go while an exchange was open on it.
        ConnectionForgotten = ("ingest", "connection_forgotten"),
        /// More exchanges were open than the budget allows: the oldest was let go.
        ExchangeBudget = ("stitch", "exchange_budget"),
        /// An exchange of a process about which nothing could be remembered: there were too many.
        ProcessBudget = ("stitch", "process_budget"),
        /// A thread or process whose beginning, during a request, could not be remembered.
        OffspringBudget = ("stitch", "offspring_budget"),
        /// An exchange whose other end was not looked for: there were too many Unix socket pairs.
        PeerBudget = ("stitch", "peer_budget"),
        /// An ended process, of which spans may be to come, that the table of processes had no room for:
        /// such spans have the resource of a process that is not known.
        ProcessForgotten = ("enrich", "process_forgotten"),
        /// The export queue was full.
        QueueFull = ("export", "queue_full"),
        /// The receiver refused spans for good.
        Refused = ("export", "refused"),
        /// The receiver accepted a request but not all of its spans (OTLP partial success).
        PartialSuccess = ("export", "partial_success"),
        /// Spans were still in the queue when the agent had to leave.
        Shutdown = ("export", "shutdown"),
    }
}

table! {
    /// Something happened: `clew_<name>_total`.
    Count {
        /// Records read from the ring buffer.
        Records = ("records"),
        /// Chunks handled.
        Chunks = ("chunks"),
        /// Bytes captured.
        CapturedBytes = ("captured_bytes"),
        /// Bytes of chunks that were counted but not captured.
        UncapturedBytes = ("uncaptured_bytes"),
        /// Holes in a connection's stream.
        Gaps = ("gaps"),
        /// Chunks left out in the kernel, inside bodies of known length.
        KernelSkipped = ("kernel_skipped_chunks"),
        /// Chunks whose bytes could not be read (sendfile, splice, io_uring).
        KernelUnreadable = ("kernel_unreadable_chunks"),
        /// Requests that got a header (counted in the kernel, as those that follow).
        HeaderInserted = ("headers_inserted"),
        /// Requests that got none: they had a `traceparent` of their own.
        HeaderOwn = ("headers_not_inserted_own"),
        /// There was no context to send.
        HeaderNoContext = ("headers_not_inserted_no_context"),
        /// The head was not complete in the message in which it began.
        HeaderSplit = ("headers_not_inserted_split"),
        /// The head is longer than what is looked at.
        HeaderTooLong = ("headers_not_inserted_too_long"),
        /// The head may be understood in more than one way.
        HeaderMalformed = ("headers_not_inserted_malformed"),
        /// It is a `CONNECT`.
        HeaderTunnel = ("headers_not_inserted_tunnel"),
        /// The socket, or the kernel's memory for sockets, was nearly full.
        HeaderNoRoom = ("headers_not_inserted_no_room"),
        /// The kernel had no memory.
        HeaderNoMemory = ("headers_not_inserted_no_memory"),
        /// Messages of which nobody knew whether a request begins in them.
        HeaderBoundaryUnknown = ("header_boundary_unknown_messages"),
        /// Boundaries that were told to the kernel when they had been passed.
        HeaderBoundaryLate = ("header_boundaries_late"),
        /// Connections that turned out to carry no HTTP/1 requests.
        HeaderNotHttp = ("header_connections_not_http"),
        /// Connections seen.
        Connections = ("connections"),
        /// Connections left alone because no parser knows their protocol.
        ConnectionsIgnored = ("connections_ignored"),
        /// Connections that were no more when the agent looked, though no event had told their end.
        ConnectionsFoundEnded = ("connections_found_ended"),
        /// Exchanges begun.
        ExchangesStarted = ("exchanges_started"),
        /// Exchanges ended.
        ExchangesFinished = ("exchanges_finished"),
        /// Notes that parsers made.
        Notes = ("notes"),
        /// Spans made.
        Spans = ("spans"),
        /// Spans that left before their parent was known for good, because too many waited.
        WaitsCut = ("waits_cut"),
        /// Spans not exported because their trace is not sampled.
        SpansUnsampled = ("spans_unsampled"),
        /// Sampling thresholds of others (`ot=th:` in `tracestate`) that were erased because they were
        /// wrong or contradicted the sampled flag, and ones of ours that found no room.
        ThresholdsLost = ("sampling_thresholds_lost"),
        /// Traces of others that were sampled by their id, though nobody said that it is random.
        RandomnessPresumed = ("sampling_randomness_presumed"),
        /// Spans exported.
        SpansExported = ("spans_exported"),
        /// Export requests sent.
        ExportRequests = ("export_requests"),
        /// Export requests sent again.
        ExportRetries = ("export_retries"),
        /// Parents asserted by a header.
        ParentHeader = ("parent_header"),
        /// Parents asserted by a TCP option.
        ParentTcpOption = ("parent_tcp_option"),
        /// Parents asserted by the other end of the connection.
        ParentSocket = ("parent_socket"),
        /// Parents asserted by the thread.
        ParentThread = ("parent_thread"),
        /// Parents asserted by timing.
        ParentTiming = ("parent_timing"),
        /// Spans that begin a trace: nothing came before.
        ParentRoot = ("parent_none_root"),
        /// Client spans sent while nothing was served.
        ParentNotServing = ("parent_none_not_serving"),
        /// Spans of requests that carry telemetry.
        ParentTelemetry = ("parent_none_telemetry"),
        /// Spans without a parent because several were possible.
        ParentAmbiguous = ("parent_none_ambiguous"),
        /// Spans without a parent because tasks share the thread.
        ParentSharedThread = ("parent_none_shared_thread"),
        /// Spans without a parent because their request left with another trace's context.
        ParentOtherTrace = ("parent_none_other_trace"),
        /// Requests that left with their context in a TCP option.
        OptionsSent = ("tcp_options_sent"),
        /// Contexts received in TCP options.
        OptionsReceived = ("tcp_options_received"),
        /// Spans without a parent because their request named a trace, but no span of it.
        ParentTraceOnly = ("parent_none_trace_only"),
    }
}

table! {
    /// A present amount: `clew_<name>`.
    Gauge {
        /// The most bytes read from the ring buffer at one look in the last second.
        RingRead = ("ring_read_max_bytes"),
        /// Size of the ring buffer in bytes.
        RingCapacity = ("ring_capacity_bytes"),
        /// The longest time between two looks at the ring buffer in the last second, in
        /// microseconds: what the ring must be able to hold.
        RingUnread = ("ring_unread_max_microseconds"),
        /// Connections in the table.
        OpenConnections = ("open_connections"),
        /// Exchanges begun and not ended.
        OpenExchanges = ("open_exchanges"),
        /// Bytes held by parsers.
        ParserMemory = ("parser_memory_bytes"),
        /// Processes known.
        Processes = ("processes"),
        /// Spans in the export queue.
        QueuedSpans = ("queued_spans"),
    }
}

/// All of the agent's counters. Cheap to clone; every part holds one.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    drops: Vec<AtomicU64>,
    counts: Vec<AtomicU64>,
    gauges: Vec<AtomicU64>,
}

impl Default for Inner {
    fn default() -> Self {
        let zeros = |n| std::iter::repeat_with(AtomicU64::default).take(n).collect();
        Self {
            drops: zeros(Drop::ALL.len()),
            counts: zeros(Count::ALL.len()),
            gauges: zeros(Gauge::ALL.len()),
        }
    }
}

impl Metrics {
    /// Counts `n` lost things.
    pub fn drop(&self, what: Drop, n: u64) {
        self.0.drops[what as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Sets a drop counter that is kept elsewhere (in the kernel).
    pub fn set_drops(&self, what: Drop, total: u64) {
        self.0.drops[what as usize].store(total, Ordering::Relaxed);
    }

    /// Counts `n` events.
    pub fn count(&self, what: Count, n: u64) {
        self.0.counts[what as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Sets a count that is kept elsewhere (in the kernel).
    pub fn set_count(&self, what: Count, total: u64) {
        self.0.counts[what as usize].store(total, Ordering::Relaxed);
    }

    /// Sets a present amount.
    pub fn gauge(&self, what: Gauge, amount: u64) {
        self.0.gauges[what as usize].store(amount, Ordering::Relaxed);
    }

    /// How many of `what` were lost.
    #[must_use]
    pub fn drops(&self, what: Drop) -> u64 {
        self.0.drops[what as usize].load(Ordering::Relaxed)
    }

    /// How many of `what` happened.
    #[must_use]
    pub fn counted(&self, what: Count) -> u64 {
        self.0.counts[what as usize].load(Ordering::Relaxed)
    }

    /// The present amount of `what`.
    #[must_use]
    pub fn amount(&self, what: Gauge) -> u64 {
        self.0.gauges[what as usize].load(Ordering::Relaxed)
    }
}
