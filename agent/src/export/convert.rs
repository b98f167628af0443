//! From Clew's spans to OTLP's messages.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as OtlpSpan, SpanFlags, Status, span, status,
};

use crate::model::{
    Attribute, Evidence, ExportSpan, Link, NoParent, Parent, Resource, SpanKind, SpanStatus, Value,
};

/// One request for all spans, grouped by resource (by its identity: one per process).
#[must_use]
pub fn request(spans: &[ExportSpan]) -> ExportTraceServiceRequest {
    // A batch holds few resources: a search by pointer, newest first, beats a map.
    let mut groups: Vec<(*const Resource, ResourceSpans)> = Vec::new();
    for span in spans {
        let key = Arc::as_ptr(&span.resource);
        let at = groups.iter().rposition(|(other, _)| *other == key);
        let at = at.unwrap_or_else(|| {
            groups.push((key, group(&span.resource)));
            groups.len() - 1
        });
        groups[at].1.scope_spans[0].spans.push(convert(span));
    }
    ExportTraceServiceRequest {
        resource_spans: groups.into_iter().map(|(_, group)| group).collect(),
    }
}

fn group(resource: &Resource) -> ResourceSpans {
    ResourceSpans {
        resource: Some(OtlpResource {
            attributes: resource.attributes.iter().map(attribute).collect(),
            ..OtlpResource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "clew".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

fn convert(source: &ExportSpan) -> OtlpSpan {
    let from = &source.span;
    let mut attributes = Vec::with_capacity(from.attributes.len() + 2);
    attributes.extend(from.attributes.iter().map(attribute));
    // Whether the parent lies in another process is known for a header and an option; a thread's parent and the
    // timing one are of this process; a socket's is the span at the other end, of another process
    // in all but odd cases (a process that calls itself).
    let mut flags = u32::from(from.flags.0) | SpanFlags::ContextHasIsRemoteMask as u32;
    let mut parent_span_id = Vec::new();
    match from.parent {
        Parent::Span { id, evidence } => {
            parent_span_id = id.0.to_be_bytes().to_vec();
            attributes.push(text("clew.parent.evidence", evidence.label()));
            if matches!(
                evidence,
                Evidence::Header | Evidence::TcpOption | Evidence::Socket
            ) {
                flags |= SpanFlags::ContextIsRemoteMask as u32;
            }
        }
        // Nothing is missing before a root.
        Parent::None(NoParent::Root) => {}
        Parent::None(reason) => attributes.push(text("clew.parent.none", reason.label())),
    }
    if !from.notes.is_empty() {
        let notes = from.notes.iter().map(|note| (*note).to_owned()).collect();
        attributes.push(attribute(&Attribute::new(
            "clew.notes",
            Value::Texts(notes),
        )));
    }
    OtlpSpan {
        trace_id: from.trace_id.0.to_be_bytes().to_vec(),
        span_id: from.span_id.0.to_be_bytes().to_vec(),
        trace_state: from.state.as_deref().unwrap_or_default().to_owned(),
        parent_span_id,
        flags,
        name: from.name.to_string(),
        kind: match from.kind {
            SpanKind::Server => span::SpanKind::Server,
            SpanKind::Client => span::SpanKind::Client,
            SpanKind::Producer => span::SpanKind::Producer,
            SpanKind::Consumer => span::SpanKind::Consumer,
        } as i32,
        start_time_unix_nano: source.start_unix_nanos,
        end_time_unix_nano: source.end_unix_nanos,
        attributes,
        links: from.links.iter().map(link).collect(),
        status: match from.status {
            SpanStatus::Unset => None,
            SpanStatus::Error => Some(Status {
                code: status::StatusCode::Error as i32,
                ..Status::default()
            }),
        },
        ..OtlpSpan::default()
    }
}

fn link(link: &Link) -> span::Link {
    span::Link {
        trace_id: link.trace_id.0.to_be_bytes().to_vec(),
        span_id: link.span_id.0.to_be_bytes().to_vec(),
        // It came with a message, so it is another process's.
        flags: u32::from(link.flags.0)
            | SpanFlags::ContextHasIsRemoteMask as u32
            | SpanFlags::ContextIsRemoteMask as u32,
        ..span::Link::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, any_value::Value::StringValue(value.to_owned()))
}

fn key_value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn attribute(attribute: &Attribute) -> KeyValue {
    use any_value::Value as Any;
    let value = match &attribute.value {
        Value::Text(text) => Any::StringValue(text.to_string()),
        Value::Integer(number) => Any::IntValue(*number),
        Value::Bool(truth) => Any::BoolValue(*truth),
        Value::Texts(texts) => Any::ArrayValue(ArrayValue {
            values: texts
                .iter()
                .map(|text| AnyValue {
                    value: Some(Any::StringValue(text.clone())),
                })
                .collect(),
        }),
    };
    key_value(&attribute.key, value)
}

#[cfg(test)]
mod tests {
    use super::request;
    use crate::export::testing::{client, resource, server};
    use crate::model::{Evidence, NoParent, Parent, SpanId, SpanStatus};

    #[test]
    fn golden_json() {
        let shop = resource("shop");
        let mut first = server(&shop, 1, 0xa, 0, 5);
        first.span.state = Some("k=v".into());
        first.span.status = SpanStatus::Error;
        first.span.notes = vec!["head cut at capture cap"];
        first.span.parent = Parent::Span {
            id: SpanId(0xff),
            evidence: Evidence::Header,
        };
        let mut second = client(&shop, 1, 0xb, 1, 4);
        second.span.parent = Parent::None(NoParent::Ambiguous);
        let json = serde_json::to_value(request(&[first, second])).unwrap();
        let group = &json["resourceSpans"][0];
        assert_eq!(json["resourceSpans"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            group["resource"]["attributes"][0]["value"]["stringValue"],
            "shop"
        );
        assert_eq!(group["scopeSpans"][0]["scope"]["name"], "clew");
        let span = &group["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "00000000000000000000000000000001");
        assert_eq!(span["spanId"], "000000000000000a");
        assert_eq!(span["parentSpanId"], "00000000000000ff");
        assert_eq!(span["flags"], 0x301);
        assert_eq!(span["kind"], 2);
        assert_eq!(span["traceState"], "k=v");
        assert_eq!(span["status"]["code"], 2);
        assert_eq!(span["startTimeUnixNano"], "1700000000000000000");
        assert_eq!(span["endTimeUnixNano"], "1700000000005000000");
        let attributes = span["attributes"].as_array().unwrap();
        let find = |key: &str| attributes.iter().find(|a| a["key"] == key).unwrap();
        assert_eq!(
            find("http.response.status_code")["value"]["intValue"],
            "200"
        );
        assert_eq!(
            find("clew.parent.evidence")["value"]["stringValue"],
            "header"
        );
        assert_eq!(
            find("clew.notes")["value"]["arrayValue"]["values"][0]["stringValue"],
            "head cut at capture cap"
        );
        let span = &group["scopeSpans"][0]["spans"][1];
        assert_eq!(span["kind"], 3);
        assert_eq!(span["flags"], 0x101);
        assert!(span["attributes"].as_array().unwrap().iter().any(|a| {
            a["key"] == "clew.parent.none" && a["value"]["stringValue"] == "ambiguous"
        }));
    }

    #[test]
    fn one_group_per_resource_and_root_says_nothing() {
        let (a, b) = (resource("a"), resource("b"));
        let spans = [
            server(&a, 1, 1, 0, 1),
            server(&b, 1, 2, 0, 1),
            server(&a, 1, 3, 0, 1),
        ];
        let request = request(&spans);
        let sizes: Vec<_> = request
            .resource_spans
            .iter()
            .map(|group| group.scope_spans[0].spans.len())
            .collect();
        assert_eq!(sizes, [2, 1]);
        let root = &request.resource_spans[0].scope_spans[0].spans[0];
        assert!(root.parent_span_id.is_empty());
        assert!(!root.attributes.iter().any(|a| a.key.starts_with("clew.")));
        assert!(root.status.is_none());
    }
}
