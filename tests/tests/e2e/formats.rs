//! Trace contexts in every format that is understood, on their way through a proxy.
//!
//! The caller is curl, left out of the trace as if it were on another host; what it sends passes
//! nginx, which hands on all headers as they came, and ends at a Python service.

use clew_tests::otlp::Span;
use clew_tests::service::{self, CURL, NGINX, Runtime};
use clew_tests::{Backend, Kind, Stage};

on_each_backend!(every_format_goes_on);

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
/// The beginning of the SHA-256 of `abc123`, and of `order-17`.
const ABC123: &str = "6ca13d52ca70c883e0f0bb101e425a89";
const ORDER_17: &str = "72a90ea3da8b5dd01bde2f27314e02e2";

/// What is sent, and what must come of it.
struct Case {
    name: &'static str,
    headers: Vec<String>,
    trace: String,
    /// `None` where the format names no span.
    parent: Option<&'static str>,
    /// What else the spans of both requests say.
    attribute: Option<(&'static str, &'static str)>,
}

impl Case {
    fn new(name: &'static str, headers: &[&str]) -> Self {
        let fill = |header: &&str| {
            let low = u64::from_str_radix(&TRACE[16..], 16).unwrap().to_string();
            let span = u64::from_str_radix(SPAN, 16).unwrap().to_string();
            header
                .replace("TRACE8", &TRACE[..8])
                .replace("TRACE24", &TRACE[8..])
                .replace("TRACE16HIGH", &TRACE[..16])
                .replace("TRACE16", &TRACE[16..])
                .replace("TRACEDECIMAL", &low)
                .replace("TRACE", TRACE)
                .replace("SPANDECIMAL", &span)
                .replace("SPAN", SPAN)
        };
        Self {
            name,
            headers: headers.iter().map(fill).collect(),
            trace: TRACE.to_owned(),
            parent: Some(SPAN),
            attribute: None,
        }
    }

    fn of(self, trace: &str) -> Self {
        let trace = trace.to_owned();
        Self { trace, ..self }
    }

    fn without_parent(self) -> Self {
        Self {
            parent: None,
            ..self
        }
    }

    fn saying(self, key: &'static str, value: &'static str) -> Self {
        Self {
            attribute: Some((key, value)),
            ..self
        }
    }
}

fn continued() -> Vec<Case> {
    let narrow = format!("{:0>32}", &TRACE[16..]);
    // `order-17` and `1` in base64.
    let sw8_hashed = "sw8: 1-b3JkZXItMTc=-MQ==-0-YQ==-YQ==-YQ==-YQ==";
    // The trace id as a UUID; the segment 0123…, of which span 1 is this one, as the Collector's
    // SkyWalking receiver reckons.
    let sw8 = "sw8: 1-MGFmNzY1MTktMTZjZC00M2RkLTg0NDgtZWIyMTFjODAzMTlj-\
               MDEyMzQ1Njc4OWFiY2RlZjAwMDAwMDAwMDAwMDAwMDA=-1-YQ==-YQ==-YQ==-YQ==";
    vec![
        Case::new("w3c", &["traceparent: 00-TRACE-SPAN-01"]),
        Case::new("b3", &["b3: TRACE-SPAN-1"]),
        Case::new("b3-narrow", &["b3: TRACE16-SPAN-d"]).of(&narrow),
        Case::new("b3-deferred", &["b3: TRACE-SPAN"]),
        Case::new(
            "b3-multi",
            &["X-B3-TraceId: TRACE", "X-B3-SpanId: SPAN", "X-B3-Flags: 1"],
        ),
        Case::new("jaeger", &["uber-trace-id: TRACE%3ASPAN%3A0%3A1"]),
        Case::new(
            "xray",
            &["X-Amzn-Trace-Id: Root=1-TRACE8-TRACE24;Parent=SPAN;Sampled=1"],
        ),
        Case::new("xray-root", &["X-Amzn-Trace-Id: Root=1-TRACE8-TRACE24"]).without_parent(),
        Case::new(
            "cloud-trace",
            &["X-Cloud-Trace-Context: TRACE/SPANDECIMAL;o=1"],
        ),
        Case::new(
            "datadog",
            &[
                "x-datadog-trace-id: TRACEDECIMAL",
                "x-datadog-parent-id: SPANDECIMAL",
                "x-datadog-sampling-priority: 1",
                "x-datadog-tags: _dd.p.tid=TRACE16HIGH",
            ],
        ),
        Case {
            parent: Some("0023456789abcdef"),
            ..Case::new("sw8", &[sw8])
        }
        .saying("sw8.trace_id", "0af76519-16cd-43dd-8448-eb211c80319c"),
        Case::new("sw8-hashed", &[sw8_hashed])
            .of(ORDER_17)
            .without_parent()
            .saying("sw8.trace_id", "order-17"),
        Case::new("custom", &["trace-id: abc123"])
            .of(ABC123)
            .without_parent()
            .saying("http.request.header.trace-id", "abc123"),
        // The first in the list holds, if it is valid.
        Case::new(
            "several",
            &["trace-id: abc123", "b3: 1", "traceparent: 00-TRACE-SPAN-01"],
        ),
        Case::new("second", &["traceparent: 00-0-0-01", "b3: TRACE-SPAN-1"]),
    ]
}

/// Requests whose caller decided against sampling.
fn unsampled() -> Vec<Case> {
    vec![
        Case::new("w3c-not", &["traceparent: 00-TRACE-SPAN-00"]),
        Case::new("b3-not", &["b3: TRACE-SPAN-0"]),
        Case::new("b3-deny", &["b3: 0"]),
        Case::new("b3-multi-deny", &["X-B3-Sampled: 0"]),
        Case::new("jaeger-not", &["uber-trace-id: TRACE:SPAN:0:0"]),
        Case::new(
            "xray-not",
            &["X-Amzn-Trace-Id: Root=1-TRACE8-TRACE24;Parent=SPAN;Sampled=0"],
        ),
        Case::new("cloud-trace-not", &["X-Cloud-Trace-Context: TRACE/1;o=0"]),
        Case::new(
            "datadog-not",
            &["x-datadog-trace-id: 1", "x-datadog-sampling-priority: -1"],
        ),
        Case::new(
            "sw8-not",
            &["sw8: 0-b3JkZXItMTc=-MQ==-0-YQ==-YQ==-YQ==-YQ=="],
        ),
    ]
}

fn every_format_goes_on(backend: Backend) {
    let needs = [Runtime::NEEDS, &[CURL, NGINX]].concat();
    let options = ["--exclude-exe", "curl", "--trace-header", "Trace-Id"];
    let Some(stage) = Stage::own("formats", backend, &needs, &options) else {
        return;
    };
    let _service = Runtime::Python.start(&stage, 8001).unwrap();
    let front = "server { listen 8000; location /front/ { proxy_pass http://127.0.0.1:8001/; } }";
    let _nginx = service::nginx(&stage, "front", front, 8000).unwrap();
    let ask = |case: &Case| {
        let mut arguments = Vec::new();
        for header in &case.headers {
            arguments.extend(["--header", header]);
        }
        let url = format!("http://127.0.0.1:8000/front{}", stage.path(case.name));
        arguments.push(&url);
        stage.curl(&arguments);
    };
    unsampled().iter().for_each(ask);
    let continued = continued();
    continued.iter().for_each(ask);
    for case in &continued {
        check(case, &stage.spans_of_request(&stage.request(case.name), 3));
    }
    // Those came later, and are here.
    for case in unsampled() {
        let spans = stage.spans_of_request(&stage.request(case.name), 0);
        assert_eq!(spans.len(), 0, "{}: {spans:#?}", case.name);
    }
}

fn check(case: &Case, spans: &[Span]) {
    let name = case.name;
    assert_eq!(spans.len(), 3, "{name}: {spans:#?}");
    let find = |kind: Kind, prefix: &str| {
        let mut found = spans.iter();
        let found = found.find(|span| span.kind == kind && span.path().starts_with(prefix));
        found.unwrap_or_else(|| panic!("{name}: {spans:#?}"))
    };
    let front = find(Kind::Server, "/front/");
    let passed_on = find(Kind::Client, "/s/");
    let behind = find(Kind::Server, "/s/");
    for span in spans {
        assert_eq!(span.trace, case.trace, "{name}: {span:#?}");
        assert_eq!(span.flags & 0xff, 1, "{name}: {span:#?}");
        if let Some((key, value)) = case.attribute {
            assert!(span.attribute(key).contains(value), "{name}: {span:#?}");
        }
    }
    assert_eq!(front.parent.as_deref(), case.parent, "{name}: {front:#?}");
    let reason = match case.parent {
        Some(_) => "header",
        None => "trace_only",
    };
    assert_eq!(front.parent_reason(), reason, "{name}: {front:#?}");
    assert_eq!(
        passed_on.parent.as_ref(),
        Some(&front.id),
        "{name}: {passed_on:#?}"
    );
    assert_eq!(
        passed_on.parent_reason(),
        "header",
        "{name}: {passed_on:#?}"
    );
    assert_eq!(
        behind.parent.as_ref(),
        Some(&passed_on.id),
        "{name}: {behind:#?}"
    );
    assert_eq!(behind.parent_reason(), "socket", "{name}: {behind:#?}");
}
