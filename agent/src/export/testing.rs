//! Spans for this module's tests.

use std::sync::Arc;

use crate::model::{
    Attribute, Evidence, ExportSpan, NoParent, Parent, Resource, Span, SpanId, SpanKind,
    SpanStatus, Timestamp, TraceFlags, TraceId,
};

const EPOCH: u64 = 1_700_000_000_000_000_000;
const MILLI: u64 = 1_000_000;

pub(super) fn resource(service: &str) -> Arc<Resource> {
    Arc::new(Resource {
        service: service.to_owned(),
        attributes: vec![Attribute::new("service.name", service.to_owned())],
    })
}

/// A server span without a parent; times in milliseconds.
pub(super) fn server(of: &Arc<Resource>, trace: u128, id: u64, start: u64, end: u64) -> ExportSpan {
    let mut span = client(of, trace, id, start, end);
    span.span.kind = SpanKind::Server;
    span
}

/// A client span without a parent; times in milliseconds.
pub(super) fn client(of: &Arc<Resource>, trace: u128, id: u64, start: u64, end: u64) -> ExportSpan {
    ExportSpan {
        span: Span {
            trace_id: TraceId(trace),
            span_id: SpanId(id),
            flags: TraceFlags::SAMPLED,
            state: None,
            parent: Parent::None(NoParent::Root),
            kind: SpanKind::Client,
            name: "GET".into(),
            start: Timestamp(start * MILLI),
            end: Timestamp(end * MILLI),
            status: SpanStatus::Unset,
            attributes: vec![
                Attribute::new("http.request.method", "GET"),
                Attribute::new("url.path", "/pay"),
                Attribute::new("http.response.status_code", 200),
            ],
            links: Vec::new(),
            notes: Vec::new(),
            pid: 1,
        },
        resource: Arc::clone(of),
        start_unix_nanos: EPOCH + start * MILLI,
        end_unix_nanos: EPOCH + end * MILLI,
    }
}

/// The same span below another one.
pub(super) fn below(mut span: ExportSpan, parent: u64, evidence: Evidence) -> ExportSpan {
    span.span.parent = Parent::Span {
        id: SpanId(parent),
        evidence,
    };
    span
}
