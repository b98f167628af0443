//! Trace context: W3C Trace Context ids and flags.

use std::fmt;

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
    /// No flag set.
    pub const NONE: Self = Self(0);

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

/// What a message says it was caused by: a trace and, where its format has one, the sender's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The trace that goes on.
    pub trace_id: TraceId,
    /// `None` where only the trace was named (X-Ray without `Parent`, a header of one's own): the
    /// trace is known then, the parent is not.
    pub span_id: Option<SpanId>,
}

/// A context that a message carried, in whichever format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteContext {
    /// `None` where the message carried a sampling decision and nothing else (`b3: 0`).
    pub origin: Option<Origin>,
    /// What the sender decided: the sampled flag, and the others that W3C Trace Context defines.
    /// `None` is a decision that was deferred: the receiver takes it. A trace that was forced (B3's
    /// and Jaeger's debug) counts as sampled; nothing here drops what its sender sampled.
    pub flags: Option<TraceFlags>,
    /// `tracestate`, as received.
    pub state: Option<Box<str>>,
}
