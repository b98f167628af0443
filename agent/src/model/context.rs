//! Trace context: W3C Trace Context ids and flags.

use std::fmt;

use super::{ConnectionId, NoParent};

/// A trace id (16 bytes, not all zero).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

/// A span id (8 bytes, not all zero).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The `trace-flags` of W3C Trace Context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceFlags(pub u8);

impl TraceFlags {
    /// Only the sampled flag set.
    pub const SAMPLED: Self = Self(1);

    /// Whether the caller may have recorded the trace.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.0 & 1 != 0
    }
}

/// A span's place in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// Flags.
    pub flags: TraceFlags,
    /// `tracestate`, as received.
    pub state: Option<Box<str>>,
}

/// What the kernel programs know of a message's context, from before the agent saw the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The trace that the message belongs to for whoever else was told.
    pub trace_id: TraceId,
    /// Whether that trace is sampled.
    pub flags: TraceFlags,
    /// How it came to that.
    pub origin: Origin,
}

/// Where a message's context in the kernel comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Received: a TCP option named the sender's span.
    Option(SpanId),
    /// Received: it named none; the trace begins with it.
    Begun,
    /// Sent, standing for this span.
    Sent {
        /// The span's id, as the receiver was told.
        span_id: SpanId,
        /// What caused it.
        cause: Cause,
    },
}

/// What caused a request, as the kernel decided while it was leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The request that this connection had brought: the thread served only that.
    Thread(ConnectionId),
    /// The request that this connection had brought: the process served only that.
    Process(ConnectionId),
    /// None.
    None(NoParent),
}

/// A context that a message carried: `span_id` is the sender's span.
pub type RemoteContext = TraceContext;
