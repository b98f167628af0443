//! The words that all parts of the agent share: connection, chunk, exchange, context, span.
//!
//! Nothing here reads a clock, the kernel or a file: what enters the core is data.

mod attribute;
mod chunk;
mod connection;
mod context;
mod exchange;
mod resource;
mod span;

pub use attribute::{Attribute, Value};
pub use chunk::{Chunk, Direction, Task, Timestamp};
pub use connection::{Address, Connection, ConnectionEnd, ConnectionId, EndReason, Role};
pub use context::{
    Carried, Cause, Origin, Provenance, RemoteContext, SpanId, TraceContext, TraceFlags, TraceId,
};
pub use exchange::{Finished, Note, Outcome, ParserEvent, Protocol, Side, Started};
pub use resource::{ExportSpan, Resource};
pub use span::{Evidence, Link, NoParent, Parent, Span, SpanKind, SpanStatus};
