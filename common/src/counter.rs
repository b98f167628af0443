//! Counters that the kernel programs keep, one slot each in the per-CPU array `COUNTERS`.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $label:literal),+ $(,)?) => {
        /// A counter of the kernel programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Counter { $($(#[$doc])* $name),+ }

        impl Counter {
            /// All counters, in the order of their slots.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The counter's name in metrics.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }
        }
    };
}

counters! {
    /// Chunks lost because the ring buffer was full.
    ChunkRingFull = "chunk_ring_full",
    /// Chunks lost because a program that was recording another was interrupted by this one.
    ChunkPreempted = "chunk_preempted",
    /// Connection, state and process events lost because the ring buffer was full.
    EventRingFull = "event_ring_full",
    /// Chunks whose bytes could not be read (sendfile, splice, io_uring, faults).
    ChunkUnreadable = "chunk_unreadable",
    /// Chunks not sent because user space said that they lie inside a body.
    ChunkSkipped = "chunk_skipped",
    /// Sockets for which no state could be kept (map full or out of memory): not traced.
    SocketStateFull = "socket_state_full",
    /// Requests that left with their context in a TCP option.
    OptionSent = "option_sent",
    /// Contexts received in TCP options.
    OptionReceived = "option_received",
    /// Contexts not sent because the header had no room left for the option.
    OptionNoRoom = "option_no_room",
    /// Contexts not sent because something on the way, or the peer, does not pass options on.
    OptionNotPassed = "option_not_passed",
    /// Headers inserted.
    HeaderInserted = "header_inserted",
    /// Requests that had a `traceparent` of their own.
    HeaderOwn = "header_own",
    /// Requests for which there was no context to send.
    HeaderNoContext = "header_no_context",
    /// Requests whose head was not complete in the message in which it began.
    HeaderSplit = "header_split",
    /// Requests whose head is longer than what is looked at.
    HeaderTooLong = "header_too_long",
    /// Requests whose head may be understood in more than one way.
    HeaderMalformed = "header_malformed",
    /// `CONNECT` requests.
    HeaderTunnel = "header_tunnel",
    /// Requests that found the socket, or the kernel's memory for sockets, nearly full.
    HeaderNoRoom = "header_no_room",
    /// Requests for which the kernel had no memory.
    HeaderNoMemory = "header_no_memory",
    /// Messages of which nobody knew whether a request begins in them.
    HeaderBoundaryUnknown = "header_boundary_unknown",
    /// Boundaries that user space told when they had been passed.
    HeaderBoundaryLate = "header_boundary_late",
    /// Connections that carry no HTTP/1 requests.
    HeaderNotHttp = "header_not_http",
}

/// Number of slots in `COUNTERS`.
pub const COUNTERS: u32 = Counter::ALL.len() as u32;
