//! Counts the spans in an OTLP export request without decoding it.
//!
//! A walk over the protobuf encoding that skips what it is not asked for: the receiver shares a
//! processor with the agent that is measured, so it must cost next to nothing.

use std::ops::AddAssign;

use memchr::memmem;

/// Spans, by the side that they were seen from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// Of kind SERVER.
    pub server: u64,
    /// Of kind CLIENT.
    pub client: u64,
    /// Of any other kind.
    pub other: u64,
}

impl AddAssign for Spans {
    fn add_assign(&mut self, more: Self) {
        self.server += more.server;
        self.client += more.client;
        self.other += more.other;
    }
}

// Field numbers of opentelemetry/proto: collector/trace/v1/trace_service.proto, trace/v1/trace.proto.
const REQUEST_RESOURCE_SPANS: u64 = 1;
const RESOURCE_SPANS_SCOPE_SPANS: u64 = 2;
const SCOPE_SPANS_SPANS: u64 = 2;
const SPAN_ID: u64 = 2;
const SPAN_KIND: u64 = 6;
const SPAN_START: u64 = 7;
const SPAN_END: u64 = 8;
const KIND_SERVER: u64 = 2;
const KIND_CLIENT: u64 = 3;

/// The spans of an `ExportTraceServiceRequest` in whose encoding `marker` occurs.
pub fn count(request: &[u8], marker: &[u8]) -> Spans {
    let finder = memmem::Finder::new(marker);
    let mut spans = Spans::default();
    for span in each(request) {
        if finder.find(span).is_some() {
            match kind(span) {
                KIND_SERVER => spans.server += 1,
                KIND_CLIENT => spans.client += 1,
                _ => spans.other += 1,
            }
        }
    }
    spans
}

/// The spans of an `ExportTraceServiceRequest`, encoded.
pub fn each(request: &[u8]) -> impl Iterator<Item = &[u8]> {
    let resources = messages(request, REQUEST_RESOURCE_SPANS);
    let scopes = resources.flat_map(|bytes| messages(bytes, RESOURCE_SPANS_SCOPE_SPANS));
    scopes.flat_map(|bytes| messages(bytes, SCOPE_SPANS_SPANS))
}

/// The id of an encoded span.
pub fn id(span: &[u8]) -> Option<u64> {
    let id = messages(span, SPAN_ID).last()?;
    id.try_into().ok().map(u64::from_be_bytes)
}

/// The beginning and the end of an encoded span, in nanoseconds since the Unix epoch.
pub fn times(span: &[u8]) -> Option<[u64; 2]> {
    let last = |wanted| {
        let fields = Fields { rest: span };
        let found = fields.filter_map(|(number, value)| match value {
            Value::Fixed(time) if number == wanted => Some(time),
            _ => None,
        });
        found.last()
    };
    Some([last(SPAN_START)?, last(SPAN_END)?])
}

fn kind(span: &[u8]) -> u64 {
    let fields = Fields { rest: span };
    let found = fields.filter_map(|(number, value)| match value {
        Value::Number(kind) if number == SPAN_KIND => Some(kind),
        _ => None,
    });
    // A field that is there twice counts the last time (protobuf's encoding, "Last One Wins").
    found.last().unwrap_or_default()
}

fn messages(bytes: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    Fields { rest: bytes }.filter_map(move |(number, value)| match value {
        Value::Bytes(bytes) if number == wanted => Some(bytes),
        _ => None,
    })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of eight bytes.
    Fixed(u64),
    /// Of four.
    Short,
}

/// The fields of a message, up to its end or to the first that is malformed.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = varint(&mut self.rest)?;
        // Wire types: protobuf's encoding, "Message Structure"; 3 and 4 are deprecated groups.
        let value = match key & 7 {
            0 => Value::Number(varint(&mut self.rest)?),
            1 => {
                let (bytes, rest) = self.rest.split_first_chunk()?;
                self.rest = rest;
                Value::Fixed(u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = varint(&mut self.rest)?;
                Value::Bytes(take(&mut self.rest, usize::try_from(length).ok()?)?)
            }
            5 => take(&mut self.rest, 4).map(|_| Value::Short)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("a short message");
        assert!(length < 0x80, "one byte of length");
        [&[number << 3 | 2, length], content].concat()
    }

    fn span(kind: u8, name: &str) -> Vec<u8> {
        // Name, kind, start time.
        let fixed = [7 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8];
        let fields = [
            message(5, name.as_bytes()),
            vec![6 << 3, kind],
            fixed.to_vec(),
        ];
        message(2, &fields.concat())
    }

    fn request(spans: &[Vec<u8>]) -> Vec<u8> {
        let scope = message(1, b"\x0a\x04clew");
        let scope_spans = message(2, &[scope, spans.concat()].concat());
        let resource = message(1, b"");
        message(1, &[resource, scope_spans].concat())
    }

    #[track_caller]
    fn check(request: &[u8], server: u64, client: u64, other: u64) {
        assert_eq!(
            count(request, b"/r7"),
            Spans {
                server,
                client,
                other
            }
        );
    }

    #[test]
    fn kinds_and_marker() {
        check(&[], 0, 0, 0);
        check(&request(&[]), 0, 0, 0);
        check(
            &request(&[span(2, "GET /r7"), span(3, "GET /r7"), span(3, "/r7")]),
            1,
            2,
            0,
        );
        check(&request(&[span(2, "GET /r8"), span(0, "GET /r7")]), 0, 0, 1);
        let two = [request(&[span(2, "/r7")]), request(&[span(3, "/r7")])];
        check(&two.concat(), 1, 1, 0);
    }

    #[test]
    fn ids() {
        let with_id = |id: &[u8]| message(2, &[message(2, id), message(5, b"GET")].concat());
        let spans = request(&[
            with_id(&[0, 0, 0, 0, 0, 0, 1, 2]),
            with_id(b"short"),
            span(2, ""),
        ]);
        let ids: Vec<Option<u64>> = each(&spans).map(id).collect();
        assert_eq!(ids, [Some(0x102), None, None]);
    }

    #[test]
    fn beginnings_and_ends() {
        let fixed =
            |number: u8, value: u64| [&[number << 3 | 1][..], &value.to_le_bytes()].concat();
        let whole = [
            fixed(7, 1 << 60),
            message(5, b"GET"),
            fixed(8, (1 << 60) + 9),
        ]
        .concat();
        assert_eq!(times(&whole), Some([1 << 60, (1 << 60) + 9]));
        assert_eq!(times(&fixed(7, 1)), None);
        assert_eq!(times(&whole[..whole.len() - 1]), None);
    }

    #[test]
    fn cut_anywhere_it_ends() {
        let whole = request(&[span(2, "/r7"), span(3, "/r7")]);
        for end in 0..whole.len() {
            // Lengths that do not fit make the message unreadable, whatever was in it.
            check(&whole[..end], 0, 0, 0);
        }
    }
}
