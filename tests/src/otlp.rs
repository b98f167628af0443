//! OTLP as JSON lines (the OpenTelemetry protocol's JSON encoding of
//! `ExportTraceServiceRequest`): what `clew run --output json` and the Collector's file exporter
//! write.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// A span's kind, as far as Clew makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Serves a request.
    Server,
    /// Sends a request.
    Client,
    /// Sends a message.
    Producer,
    /// Takes a message.
    Consumer,
}

/// An exported span with its resource.
#[derive(Clone, Debug)]
pub struct Span {
    /// Trace id, hexadecimal.
    pub trace: String,
    /// Span id, hexadecimal.
    pub id: String,
    /// Parent's span id; `None` for the root of a trace.
    pub parent: Option<String>,
    /// W3C `tracestate`, empty where there is none.
    pub state: String,
    /// W3C trace flags in the lowest byte, OTLP's `SpanFlags` above.
    pub flags: u32,
    /// Kind.
    pub kind: Kind,
    /// Name.
    pub name: String,
    /// Start, nanoseconds since the Unix epoch.
    pub start: u64,
    /// End, nanoseconds since the Unix epoch.
    pub end: u64,
    /// Whether its status is `Error`.
    pub error: bool,
    /// What it is linked to: trace and span, with a dash between them.
    pub links: Vec<String>,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Its resource's attributes, as text.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// An attribute's value as text, `""` where the span has no such attribute.
    #[must_use]
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// An attribute's value as a number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.attributes.get(key)?.parse().ok()
    }

    /// The URL path of the exchange: `url.path`, or the path in `url.full`.
    #[must_use]
    pub fn path(&self) -> &str {
        let path = self.attribute("url.path");
        if !path.is_empty() {
            return path;
        }
        let full = self.attribute("url.full");
        let after_scheme = full.split_once("://").map_or(full, |(_, rest)| rest);
        let path = after_scheme.find('/').map_or("", |at| &after_scheme[at..]);
        path.split(['?', '#']).next().unwrap_or_default()
    }

    /// `service.name` of its resource.
    #[must_use]
    pub fn service(&self) -> &str {
        self.resource.get("service.name").map_or("", String::as_str)
    }

    /// `process.pid` of its resource.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.resource.get("process.pid")?.parse().ok()
    }

    /// Why its parent was chosen, or why it has none: `clew.parent.evidence`, `clew.parent.none`.
    #[must_use]
    pub fn parent_reason(&self) -> &str {
        match self.attribute("clew.parent.evidence") {
            "" => self.attribute("clew.parent.none"),
            evidence => evidence,
        }
    }
}

/// The spans in one line: one export request.
///
/// # Errors
/// When the line is not the JSON encoding of an export request of traces with spans of the kinds
/// that Clew makes.
pub fn parse_line(line: &str) -> Result<Vec<Span>> {
    let request: Request = serde_json::from_str(line).with_context(|| shortened(line))?;
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = texts(&of_resource.resource.attributes);
        for of_scope in of_resource.scope_spans {
            for raw in of_scope.spans {
                spans.push(raw.into_span(&resource).with_context(|| shortened(line))?);
            }
        }
    }
    Ok(spans)
}

fn shortened(line: &str) -> String {
    let end = line.floor_char_boundary(300);
    format!("in the OTLP line {}", &line[..end])
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct ScopeSpans {
    spans: Vec<RawSpan>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpan {
    trace_id: String,
    span_id: String,
    #[serde(default)]
    parent_span_id: String,
    #[serde(default)]
    trace_state: String,
    #[serde(default)]
    flags: u32,
    name: String,
    kind: u8,
    start_time_unix_nano: Value,
    end_time_unix_nano: Value,
    #[serde(default)]
    attributes: Vec<KeyValue>,
    #[serde(default)]
    links: Vec<Link>,
    /// `null` where the exporter leaves it at its default (ProtoJSON allows that).
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    trace_id: String,
    span_id: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u8,
}

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    value: Value,
}

impl RawSpan {
    fn into_span(self, resource: &BTreeMap<String, String>) -> Result<Span> {
        check_id(&self.trace_id, 32)?;
        check_id(&self.span_id, 16)?;
        let parent = Some(self.parent_span_id).filter(|id| !id.is_empty());
        if let Some(parent) = &parent {
            check_id(parent, 16)?;
        }
        Ok(Span {
            trace: self.trace_id,
            id: self.span_id,
            parent,
            state: self.trace_state,
            flags: self.flags,
            // Numbers of `Span.SpanKind` in opentelemetry-proto.
            kind: match self.kind {
                2 => Kind::Server,
                3 => Kind::Client,
                4 => Kind::Producer,
                5 => Kind::Consumer,
                other => bail!("span kind {other}"),
            },
            name: self.name,
            start: nanos(&self.start_time_unix_nano)?,
            end: nanos(&self.end_time_unix_nano)?,
            // `Status.STATUS_CODE_ERROR`.
            error: self.status.is_some_and(|status| status.code == 2),
            links: self
                .links
                .iter()
                .map(|link| format!("{}-{}", link.trace_id, link.span_id))
                .collect(),
            attributes: texts(&self.attributes),
            resource: resource.clone(),
        })
    }
}

fn check_id(id: &str, digits: usize) -> Result<()> {
    let hexadecimal = id.bytes().all(|b| b.is_ascii_hexdigit());
    if id.len() != digits || !hexadecimal || id.bytes().all(|b| b == b'0') {
        bail!("{id:?} is not an id of {digits} hexadecimal digits");
    }
    Ok(())
}

/// 64-bit integers are decimal strings in OTLP's JSON; numbers are accepted too.
fn nanos(value: &Value) -> Result<u64> {
    scalar(value)
        .parse()
        .with_context(|| format!("time {value}"))
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), text(&attribute.value)))
        .collect()
}

/// An `AnyValue`: `{"stringValue": "…"}`, `{"intValue": "1"}`, `{"arrayValue": {"values": […]}}`.
fn text(any: &Value) -> String {
    let Some((kind, value)) = any.as_object().and_then(|members| members.iter().next()) else {
        return String::new();
    };
    match kind.as_str() {
        "arrayValue" => {
            let values = value["values"].as_array().map_or(&[][..], Vec::as_slice);
            values.iter().map(text).collect::<Vec<_>>().join(", ")
        }
        _ => scalar(value),
    }
}

fn scalar(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_two_services() {
        let line = r#"{"resourceSpans":[
            {"resource":{"attributes":[
                {"key":"service.name","value":{"stringValue":"nginx"}},
                {"key":"process.pid","value":{"intValue":"42"}}]},
             "scopeSpans":[{"scope":{"name":"clew"},"spans":[{
                "traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708",
                "parentSpanId":"1112131415161718","traceState":"a=b","name":"GET","kind":2,
                "startTimeUnixNano":"1700000000000000001","endTimeUnixNano":"1700000000000000005",
                "attributes":[
                    {"key":"url.path","value":{"stringValue":"/s/r.1"}},
                    {"key":"http.response.status_code","value":{"intValue":500}},
                    {"key":"clew.parent.evidence","value":{"stringValue":"socket"}},
                    {"key":"clew.notes","value":{"arrayValue":{"values":[
                        {"stringValue":"one"},{"stringValue":"two"}]}}}],
                "status":{"code":2},"flags":257}]}]},
            {"resource":{"attributes":[]},"scopeSpans":[{"spans":[{
                "traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"1112131415161718",
                "name":"GET","kind":3,"startTimeUnixNano":"1","endTimeUnixNano":"2",
                "attributes":[{"key":"url.full",
                    "value":{"stringValue":"http://h:8/s/r.1?q=1"}}],
                "status":null}]}]}]}"#;
        let spans = parse_line(line).unwrap();
        let [server, client] = spans.as_slice() else {
            panic!("{spans:?}");
        };
        assert_eq!(server.kind, Kind::Server);
        assert_eq!(server.path(), "/s/r.1");
        assert_eq!(server.parent.as_ref(), Some(&client.id));
        assert_eq!(server.end - server.start, 4);
        assert_eq!(server.number("http.response.status_code"), Some(500));
        assert_eq!(server.attribute("clew.notes"), "one, two");
        assert_eq!(server.parent_reason(), "socket");
        assert_eq!((server.service(), server.pid()), ("nginx", Some(42)));
        assert!(server.error && !client.error);
        assert_eq!((server.flags, client.flags), (0x101, 0));
        assert_eq!((client.kind, client.path()), (Kind::Client, "/s/r.1"));
        assert_eq!(client.parent, None);
    }

    #[test]
    fn lines_that_are_refused() {
        let span = |ids: &str, kind: u8| {
            format!(
                r#"{{"resourceSpans":[{{"resource":{{"attributes":[]}},"scopeSpans":[{{"spans":[{{
                {ids},"name":"n","kind":{kind},"startTimeUnixNano":"1","endTimeUnixNano":"2"}}]}}]}}]}}"#
            )
        };
        let good = r#""traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708""#;
        assert!(parse_line(&span(good, 2)).is_ok());
        let zero = good.replace("0102030405060708090a0b0c0d0e0f10", &"0".repeat(32));
        let short = good.replace("\"0102030405060708\"", "\"01\"");
        for line in [
            span(good, 1),
            span(&zero, 2),
            span(&short, 2),
            "{}".to_owned(),
            "a log line".to_owned(),
        ] {
            assert!(parse_line(&line).is_err(), "{line}");
        }
    }
}
