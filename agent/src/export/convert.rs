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
    Evidence, ExportSpan, Link, NoParent, Parent, Resource, SpanKind, SpanStatus, Value,
};

/// One request for all spans, grouped by resource.
#[must_use]
pub fn request(spans: &[ExportSpan]) -> ExportTraceServiceRequest {
    let message = |source: &&ExportSpan| {
        let mut message = OtlpSpan::default();
        fill(&mut message, source, &mut Texts::default());
        message
    };
    let group = |(from, spans): (&Arc<Resource>, Vec<&ExportSpan>)| ResourceSpans {
        resource: Some(resource(from)),
        scope_spans: vec![ScopeSpans {
            spans: spans.iter().map(message).collect(),
            ..scope_spans()
        }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: by_resource(spans).into_iter().map(group).collect(),
    }
}

/// Spans with the same resource (by its identity: one per process), in the order of the first of each.
pub(super) fn by_resource(spans: &[ExportSpan]) -> Vec<(&Arc<Resource>, Vec<&ExportSpan>)> {
    let mut groups: Vec<(&Arc<Resource>, Vec<&ExportSpan>)> = Vec::new();
    for span in spans {
        // A batch holds few resources: a search, newest first, beats a map.
        let same = |group: &(&Arc<_>, _)| Arc::ptr_eq(group.0, &span.resource);
        let at = groups.iter().rposition(same).unwrap_or_else(|| {
            groups.push((&span.resource, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(span);
    }
    groups
}

/// A process, container and host.
pub(super) fn resource(from: &Resource) -> OtlpResource {
    let mut resource = OtlpResource::default();
    let mut texts = Texts::default();
    let mut to = Attributes::over(&mut resource.attributes, &mut texts);
    for attribute in &from.attributes {
        to.add(&attribute.key, &attribute.value);
    }
    resource
}

/// Without spans so far.
pub(super) fn scope_spans() -> ScopeSpans {
    ScopeSpans {
        scope: Some(InstrumentationScope {
            name: "clew".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        }),
        ..ScopeSpans::default()
    }
}

/// Strings that no message needs any more, for the next that needs one.
#[derive(Default)]
pub(super) struct Texts(Vec<String>);

impl Texts {
    /// Strings kept: more than the attributes of most spans take.
    const MOST: usize = 128;
    /// The room of a string that is kept, in bytes.
    const LONGEST: usize = 1024;

    fn get(&mut self) -> String {
        self.0.pop().unwrap_or_default()
    }

    fn keep(&mut self, text: String) {
        if self.0.len() < Self::MOST && text.capacity() <= Self::LONGEST {
            self.0.push(text);
        }
    }

    fn keep_of(&mut self, value: Option<any_value::Value>) {
        if let Some(any_value::Value::StringValue(text)) = value {
            self.keep(text);
        }
    }

    /// Bytes that are kept.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(String::capacity).sum()
    }
}

/// A message's attributes, written over those that it had.
struct Attributes<'m> {
    list: &'m mut Vec<KeyValue>,
    written: usize,
    texts: &'m mut Texts,
}

impl<'m> Attributes<'m> {
    const fn over(list: &'m mut Vec<KeyValue>, texts: &'m mut Texts) -> Self {
        Self {
            list,
            written: 0,
            texts,
        }
    }

    fn add(&mut self, key: &str, value: &Value) {
        use any_value::Value as Any;
        if self.written == self.list.len() {
            self.list.push(KeyValue {
                key: self.texts.get(),
                ..KeyValue::default()
            });
        }
        let attribute = &mut self.list[self.written];
        self.written += 1;
        set_text(&mut attribute.key, key);
        let old = &mut attribute.value.get_or_insert_default().value;
        let new = match (&mut *old, value) {
            (Some(Any::StringValue(old)), Value::Text(text)) => return set_text(old, text),
            (_, Value::Text(text)) => {
                let mut new = self.texts.get();
                set_text(&mut new, text);
                Any::StringValue(new)
            }
            (_, Value::Integer(number)) => Any::IntValue(*number),
            (_, Value::Bool(truth)) => Any::BoolValue(*truth),
            (_, Value::Texts(list)) => Any::ArrayValue(ArrayValue {
                values: list
                    .iter()
                    .map(|text| AnyValue {
                        value: Some(Any::StringValue(text.clone())),
                    })
                    .collect(),
            }),
        };
        self.texts.keep_of(old.replace(new));
    }

    /// What the message had beyond those that were written goes.
    fn end(self) {
        for attribute in self.list.drain(self.written..) {
            self.texts.keep(attribute.key);
            self.texts
                .keep_of(attribute.value.and_then(|value| value.value));
        }
    }
}

/// Makes a message of a span. What it held before is overwritten, and its memory used again.
pub(super) fn fill(message: &mut OtlpSpan, source: &ExportSpan, texts: &mut Texts) {
    let from = &source.span;
    let mut to = Attributes::over(&mut message.attributes, texts);
    for attribute in &from.attributes {
        to.add(&attribute.key, &attribute.value);
    }
    // Whether the parent lies in another process is known for a header and an option; a thread's parent and the
    // timing one are of this process; a socket's is the span at the other end, of another process
    // in all but odd cases (a process that calls itself).
    let mut flags = u32::from(from.flags.0) | SpanFlags::ContextHasIsRemoteMask as u32;
    message.parent_span_id.clear();
    match from.parent {
        Parent::Span { id, evidence } => {
            message.parent_span_id.extend(id.0.to_be_bytes());
            to.add("clew.parent.evidence", &evidence.label().into());
            if matches!(
                evidence,
                Evidence::Header | Evidence::TcpOption | Evidence::Socket
            ) {
                flags |= SpanFlags::ContextIsRemoteMask as u32;
            }
        }
        // Nothing is missing before a root.
        Parent::None(NoParent::Root) => {}
        Parent::None(reason) => to.add("clew.parent.none", &reason.label().into()),
    }
    if !from.notes.is_empty() {
        let notes = from.notes.iter().map(|note| (*note).to_owned()).collect();
        to.add("clew.notes", &Value::Texts(notes));
    }
    to.end();
    set_bytes(&mut message.trace_id, &from.trace_id.0.to_be_bytes());
    set_bytes(&mut message.span_id, &from.span_id.0.to_be_bytes());
    set_text(
        &mut message.trace_state,
        from.state.as_deref().unwrap_or_default(),
    );
    message.flags = flags;
    set_text(&mut message.name, &from.name);
    message.kind = match from.kind {
        SpanKind::Server => span::SpanKind::Server,
        SpanKind::Client => span::SpanKind::Client,
        SpanKind::Producer => span::SpanKind::Producer,
        SpanKind::Consumer => span::SpanKind::Consumer,
    } as i32;
    message.start_time_unix_nano = source.start_unix_nanos;
    message.end_time_unix_nano = source.end_unix_nanos;
    message.links = from.links.iter().map(link).collect();
    message.status = match from.status {
        SpanStatus::Unset => None,
        SpanStatus::Error => Some(Status {
            code: status::StatusCode::Error as i32,
            ..Status::default()
        }),
    };
}

fn set_bytes(field: &mut Vec<u8>, to: &[u8]) {
    field.clear();
    field.extend_from_slice(to);
}

fn set_text(field: &mut String, to: &str) {
    if field.capacity() > Texts::LONGEST {
        *field = String::new();
    }
    field.clear();
    field.push_str(to);
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
