//! Spans to the bytes of an OTLP request.
//!
//! All spans go through the same one message of `opentelemetry-proto`, one after the other. A whole
//! request made of messages takes thirty allocations and some kilobytes a span, which have left the
//! processor's caches by the time they are encoded.
//!
//! On the wire a field that holds a message looks as if it held the message's bytes, and messages
//! that follow each other are one, with the repeated fields of all (Protocol Buffers, "Encoding"). So
//! what is encoded already is put into the message around it as bytes.

use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use opentelemetry_proto::tonic::trace::v1::Span as OtlpSpan;
use prost::Message;

use super::convert::{self, Texts};
use crate::model::ExportSpan;

/// Memory for the spans of a resource that is kept from request to request, in bytes: a batch of
/// the usual size.
const KEPT: usize = 1 << 20;

/// Before each span in `ScopeSpans`: field 2, whose length follows.
const SPANS: u8 = (2 << 3) | 2;

/// `ExportTraceServiceRequest`, of one resource.
#[derive(Clone, PartialEq, Message)]
struct Part {
    #[prost(message, optional, tag = "1")]
    resource_spans: Option<ResourceSpans>,
}

/// `ResourceSpans`, of one scope.
#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<OtlpResource>,
    /// A message.
    #[prost(bytes = "vec", tag = "2")]
    scope_spans: Vec<u8>,
}

/// Encodes requests, each with the memory of the one before.
#[derive(Default)]
pub struct Encoder {
    span: OtlpSpan,
    texts: Texts,
    scope_spans: Vec<u8>,
}

impl Encoder {
    /// The bytes of [`convert::request`].
    #[must_use]
    pub fn request(&mut self, spans: &[ExportSpan]) -> Vec<u8> {
        let mut request = Vec::new();
        for (resource, spans) in convert::by_resource(spans) {
            let part = Part {
                resource_spans: Some(ResourceSpans {
                    resource: Some(convert::resource(resource)),
                    scope_spans: self.scope_spans(&spans),
                }),
            };
            request.reserve(part.encoded_len());
            // A vector takes everything.
            let _ = part.encode(&mut request);
            self.scope_spans = part
                .resource_spans
                .map(|spans| spans.scope_spans)
                .filter(|bytes| bytes.capacity() <= KEPT)
                .unwrap_or_default();
        }
        request
    }

    fn scope_spans(&mut self, spans: &[&ExportSpan]) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.scope_spans);
        bytes.clear();
        // A vector takes everything.
        let _ = convert::scope_spans().encode(&mut bytes);
        for span in spans {
            convert::fill(&mut self.span, span, &mut self.texts);
            bytes.push(SPANS);
            let _ = self.span.encode_length_delimited(&mut bytes);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::Encoder;
    use crate::export::convert;
    use crate::export::testing::{below, client, resource, server};
    use crate::model::{
        Attribute, Evidence, ExportSpan, Link, NoParent, Parent, SpanId, SpanStatus, TraceFlags,
        TraceId, Value,
    };

    /// Spans of two processes, each with something that the one after it has not.
    fn spans() -> Vec<ExportSpan> {
        let (shop, bank) = (resource("shop"), resource("bank"));
        let mut full = below(server(&shop, 1, 0xa, 0, 5), 0xff, Evidence::Header);
        full.span.name = "GET /pay/{card}".into();
        full.span.state = Some("k=v".into());
        full.span.status = SpanStatus::Error;
        full.span.notes = vec!["head cut at capture cap", "another"];
        full.span.links = vec![Link {
            trace_id: TraceId(7),
            span_id: SpanId(8),
            flags: TraceFlags::SAMPLED,
        }];
        full.span.attributes = vec![
            Attribute::new("text", "x".repeat(5000)),
            Attribute::new("nothing", ""),
            Attribute::new("number", -1),
            Attribute::new("truth", false),
            Attribute::new("texts", Value::Texts(Box::new(["a".into(), "b".into()]))),
        ];
        let mut doubtful = client(&bank, 1, 0xb, 1, 4);
        doubtful.span.parent = Parent::None(NoParent::Ambiguous);
        let mut bare = server(&shop, 2, 0xc, 1, 4);
        bare.span.attributes.clear();
        vec![full, doubtful, bare, client(&shop, 3, 0xd, 2, 3)]
    }

    #[test]
    fn nothing_is_left_of_a_span_in_the_next() {
        let mut encoder = Encoder::default();
        let mut spans = spans();
        for turn in 0..spans.len() {
            spans.rotate_left(turn);
            let bytes = encoder.request(&spans);
            assert_eq!(bytes, convert::request(&spans).encode_to_vec(), "{turn}");
        }
        assert!(encoder.request(&[]).is_empty());
    }

    #[test]
    fn memory_is_given_back() {
        let mut encoder = Encoder::default();
        let mut spans = spans();
        spans[0].span.attributes[0] = Attribute::new("text", "x".repeat(2 * super::KEPT));
        let _ = encoder.request(&spans);
        assert!(encoder.scope_spans.capacity() <= super::KEPT);
        let _ = encoder.request(&self::spans());
        assert!(encoder.texts.bytes() <= 128 * 1024);
    }
}
