//! Who a span happened in, and a span ready to leave.

use std::sync::Arc;

use super::{Attribute, Span};

/// The process, container and host that a span belongs to (an OpenTelemetry resource).
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// `service.name`, also among the attributes.
    pub service: String,
    /// The resource's attributes.
    pub attributes: Vec<Attribute>,
}

/// A span with its resource and its wall-clock times.
#[derive(Clone, Debug)]
pub struct ExportSpan {
    /// The span.
    pub span: Span,
    /// Its resource, shared by all spans of a process.
    pub resource: Arc<Resource>,
    /// Start, nanoseconds since the Unix epoch.
    pub start_unix_nanos: u64,
    /// End, nanoseconds since the Unix epoch.
    pub end_unix_nanos: u64,
}
