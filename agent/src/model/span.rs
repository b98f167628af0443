//! A finished span, before it is told who its process is.

use std::borrow::Cow;

use super::{Attribute, Note, SpanId, Timestamp, TraceFlags, TraceId};

/// OpenTelemetry's span kinds, as far as traffic shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpanKind {
    /// Serves a request.
    Server,
    /// Sends a request.
    Client,
    /// Hands a message to a broker.
    Producer,
    /// Takes a message and works on it.
    Consumer,
}

/// Another span that a span has to do with (OpenTelemetry "Link").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The other's trace.
    pub trace_id: TraceId,
    /// The other.
    pub span_id: SpanId,
    /// Flags of the other's trace, as they came.
    pub flags: TraceFlags,
}

/// OpenTelemetry's span status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanStatus {
    /// Nothing to say: the default, also for successes.
    #[default]
    Unset,
    /// The operation failed; `error.type` says how.
    Error,
}

/// Why a parent was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The request carried a context in a header.
    Header,
    /// The request's segment carried a context in a TCP option.
    TcpOption,
    /// Both ends of the connection are on this host: the parent is the span at the other end.
    Socket,
    /// The thread that sent the request was serving the parent, and nothing else.
    Thread,
    /// The parent was the only request open in the process, which never sends of its own accord.
    Timing,
}

impl Evidence {
    /// The value of `clew.parent.evidence`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::TcpOption => "tcp_option",
            Self::Socket => "socket",
            Self::Thread => "thread",
            Self::Timing => "timing",
        }
    }
}

/// Why a span has no parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoParent {
    /// A request from outside of what is traced: it begins a trace.
    Root,
    /// A request sent while nothing was being served: it begins a trace.
    NotServing,
    /// Two or more requests could have caused it and nothing decides.
    Ambiguous,
    /// It exports telemetry, which is nobody's request.
    Telemetry,
    /// Other requests are open in the process, and its threads are known (or must be feared) to
    /// run several at a time.
    SharedThread,
    /// The request left with the context of another trace than the one that its cause turned out to
    /// belong to.
    OtherTrace,
    /// The request carried the id of its trace, but of no span in it.
    TraceOnly,
}

impl NoParent {
    /// Whether a parent may exist that could not be told. The other reasons are the ordinary ways
    /// in which a trace begins.
    #[must_use]
    pub const fn is_doubt(self) -> bool {
        matches!(
            self,
            Self::Ambiguous | Self::SharedThread | Self::OtherTrace | Self::TraceOnly
        )
    }

    /// The value of `clew.parent.none`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::NotServing => "not_serving",
            Self::Telemetry => "telemetry",
            Self::Ambiguous => "ambiguous",
            Self::SharedThread => "shared_thread",
            Self::OtherTrace => "other_trace",
            Self::TraceOnly => "trace_only",
        }
    }
}

/// A span's parent, or the reason for its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// This span, for this reason.
    Span {
        /// The parent's id, in the same trace.
        id: SpanId,
        /// Why.
        evidence: Evidence,
    },
    /// None.
    None(NoParent),
}

/// A finished span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The trace's flags, as they go on.
    pub flags: TraceFlags,
    /// The trace's `tracestate`, as it goes on.
    pub state: Option<Box<str>>,
    /// Parent.
    pub parent: Parent,
    /// Kind.
    pub kind: SpanKind,
    /// Name.
    pub name: Cow<'static, str>,
    /// First byte of the request.
    pub start: Timestamp,
    /// Last byte of the response.
    pub end: Timestamp,
    /// Status.
    pub status: SpanStatus,
    /// Attributes, complete but for `clew.parent.*` and `clew.notes`, which the exporter writes
    /// from the fields here.
    pub attributes: Vec<Attribute>,
    /// Links.
    pub links: Vec<Link>,
    /// Notes.
    pub notes: Vec<Note>,
    /// The process it happened in.
    pub pid: u32,
}
