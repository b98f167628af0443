//! Trace contexts in whole heads: which fields are found, and which context holds.

use super::*;
use crate::config::{ContextFormat, Inbound};
use crate::context::Extractor;
use crate::model::RemoteContext;

const TRACE: &str = "12345678901234567890123456789012";
const SPAN: &str = "1234567890123456";

/// What is said of a request with these header lines, each `name: value`.
fn exchange(extractor: Extractor, headers: &[String]) -> (Started, Finished) {
    exchange_within(Limits::default(), extractor, headers)
}

fn exchange_within(
    limits: Limits,
    extractor: Extractor,
    headers: &[String],
) -> (Started, Finished) {
    let (redaction, extractor) = (Arc::default(), Arc::new(extractor));
    let mut parser = Http1::new(&connection(true), limits, &redaction, &extractor);
    let mut events = Vec::new();
    let head = format!("GET / HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"));
    let answer = "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
    for (direction, text) in [(Direction::Received, head), (Direction::Sent, answer)] {
        let chunk = Chunk {
            connection: ConnectionId(1),
            direction,
            position: START[index(direction)],
            gap: 0,
            length: text.len() as u64,
            data: text.as_bytes(),
            time: Timestamp(1),
            task: Task::thread(1, 1),
        };
        parser.chunk(&chunk, &mut events);
    }
    match <[ParserEvent; 2]>::try_from(events) {
        Ok(
            [
                ParserEvent::Started(started),
                ParserEvent::Finished(finished),
            ],
        ) => (started, finished),
        other => panic!("{other:?}"),
    }
}

/// `trace span flags state`, with `-` for what is not there.
fn show(context: Option<&RemoteContext>) -> String {
    let Some(context) = context else {
        return "none".to_owned();
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let trace = or_dash(context.origin.map(|origin| origin.trace_id.to_string()));
    let span = context.origin.and_then(|origin| origin.span_id);
    let span = or_dash(span.map(|span| span.to_string()));
    let flags = or_dash(context.flags.map(|flags| format!("{:02x}", flags.0)));
    let state = context.state.as_deref().unwrap_or("-");
    format!("{trace} {span} {flags} {state}")
}

fn read(headers: &[String]) -> String {
    show(exchange(Extractor::default(), headers).0.context.as_ref())
}

fn owned(headers: &[&str]) -> Vec<String> {
    headers.iter().map(|&header| header.to_owned()).collect()
}

/// The cases of W3C's own test suite (`test/test.py` in github.com/w3c/trace-context, at its strict
/// level) that concern what is received. What it expects of a `traceparent` that is wrong is a new
/// trace: here, no context.
#[test]
fn w3c_traceparent() {
    let accepted = [
        format!("traceparent: 00-{TRACE}-{SPAN}-01"),
        // header_name_valid_casing
        format!("TraceParent: 00-{TRACE}-{SPAN}-01"),
        format!("TrAcEpArEnT: 00-{TRACE}-{SPAN}-01"),
        format!("TRACEPARENT: 00-{TRACE}-{SPAN}-01"),
        // version_0xcc
        format!("traceparent: cc-{TRACE}-{SPAN}-01"),
        format!("traceparent: cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"),
        // ows_handling
        format!("traceparent:  00-{TRACE}-{SPAN}-01"),
        format!("traceparent: \t00-{TRACE}-{SPAN}-01"),
        format!("traceparent: 00-{TRACE}-{SPAN}-01 "),
        format!("traceparent: 00-{TRACE}-{SPAN}-01\t"),
        format!("traceparent: \t 00-{TRACE}-{SPAN}-01 \t"),
    ];
    for header in accepted {
        assert_eq!(
            read(std::slice::from_ref(&header)),
            format!("{TRACE} {SPAN} 01 -"),
            "{header}"
        );
    }
    let zeros = "0".repeat(32);
    let (short, long) = (&TRACE[1..], format!("{TRACE}3"));
    let (short_span, long_span) = (&SPAN[1..], format!("{SPAN}7"));
    let refused = [
        // header_name
        format!("trace-parent: 00-{TRACE}-{SPAN}-01"),
        format!("trace.parent: 00-{TRACE}-{SPAN}-01"),
        // version_0x00
        format!("traceparent: 00-{TRACE}-{SPAN}-01."),
        format!("traceparent: 00-{TRACE}-{SPAN}-01-what-the-future-will-be-like"),
        // version_0xcc, version_0xff
        format!("traceparent: cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like"),
        format!("traceparent: ff-{TRACE}-{SPAN}-01"),
        // version_illegal_characters, _too_long, _too_short
        format!("traceparent: .0-{TRACE}-{SPAN}-01"),
        format!("traceparent: 0.-{TRACE}-{SPAN}-01"),
        format!("traceparent: 000-{TRACE}-{SPAN}-01"),
        format!("traceparent: 0000-{TRACE}-{SPAN}-01"),
        format!("traceparent: 0-{TRACE}-{SPAN}-01"),
        // trace_id_all_zero, _illegal_characters, _too_long, _too_short
        format!("traceparent: 00-{zeros}-{SPAN}-01"),
        format!("traceparent: 00-.{short}-{SPAN}-01"),
        format!("traceparent: 00-{short}.-{SPAN}-01"),
        format!("traceparent: 00-{long}-{SPAN}-01"),
        format!("traceparent: 00-{short}-{SPAN}-01"),
        // parent_id_all_zero, _illegal_characters, _too_long, _too_short
        format!("traceparent: 00-{TRACE}-0000000000000000-01"),
        format!("traceparent: 00-{TRACE}-.{short_span}-01"),
        format!("traceparent: 00-{TRACE}-{short_span}.-01"),
        format!("traceparent: 00-{TRACE}-{long_span}-01"),
        format!("traceparent: 00-{TRACE}-{short_span}-01"),
        // trace_flags_illegal_characters, _too_long, _too_short
        format!("traceparent: 00-{TRACE}-{SPAN}-.0"),
        format!("traceparent: 00-{TRACE}-{SPAN}-0."),
        format!("traceparent: 00-{TRACE}-{SPAN}-001"),
        format!("traceparent: 00-{TRACE}-{SPAN}-1"),
        // tracestate_included_traceparent_missing
        "tracestate: foo=1".to_owned(),
        "tracestate: foo=1,bar=2".to_owned(),
    ];
    for header in refused {
        assert_eq!(read(std::slice::from_ref(&header)), "none", "{header}");
    }
    // traceparent_duplicated; the same twice is no better.
    let other = format!("traceparent: 00-{}1-{SPAN}-01", &TRACE[1..]);
    let first = format!("traceparent: 00-{TRACE}-{SPAN}-01");
    assert_eq!(read(&[other, first.clone()]), "none");
    assert_eq!(read(&[first.clone(), first]), "none");
    assert_eq!(read(&[]), "none");
}

/// The same suite's cases for `tracestate`; a wrong one is discarded, and the parent stays.
#[test]
fn w3c_tracestate() {
    let numbers = |from: u32, to: u32| {
        let member = |n| format!("bar{n:02}={n:02}");
        let members: Vec<_> = (from..=to).map(member).collect();
        format!("tracestate: {}", members.join(","))
    };
    let many = |last| {
        vec![
            numbers(1, 10),
            numbers(11, 20),
            numbers(21, 30),
            numbers(31, last),
        ]
    };
    let all_of_them = (1..=32).map(|n| format!("bar{n:02}={n:02}"));
    let all_of_them = all_of_them.collect::<Vec<_>>().join(",");
    let key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let tenant = format!("{key}@a-z0-9_-*/");
    let value: String = (' '..='~').filter(|c| !matches!(c, ',' | '=')).collect();
    let (long, longer) = ("z".repeat(256), "z".repeat(257));
    let (system, longer_system) = ("v".repeat(14), "v".repeat(15));
    let (long_tenant, longer_tenant) = ("t".repeat(241), "t".repeat(242));
    let foo_and = |more: &str| owned(&["tracestate: foo=1", &format!("tracestate: {more}=1")]);

    let table: Vec<(Vec<String>, String)> = vec![
        (owned(&["tracestate: foo=1,bar=2"]), "foo=1,bar=2".into()),
        // header_name, header_name_valid_casing
        (owned(&["trace-state: foo=1"]), "-".into()),
        (owned(&["trace.state: foo=1"]), "-".into()),
        (owned(&["TraceState: foo=1"]), "foo=1".into()),
        (owned(&["TrAcEsTaTe: foo=1"]), "foo=1".into()),
        (owned(&["TRACESTATE: foo=1"]), "foo=1".into()),
        // empty_header
        (owned(&["tracestate: "]), "-".into()),
        (
            owned(&["tracestate: foo=1", "tracestate: "]),
            "foo=1".into(),
        ),
        (
            owned(&["tracestate: ", "tracestate: foo=1"]),
            "foo=1".into(),
        ),
        // multiple_headers_different_keys
        (
            owned(&[
                "tracestate: foo=1,bar=2",
                "tracestate: rojo=1,congo=2",
                "tracestate: baz=3",
            ]),
            "foo=1,bar=2,rojo=1,congo=2,baz=3".into(),
        ),
        // duplicated_keys
        (owned(&["tracestate: foo=1,foo=1"]), "-".into()),
        (owned(&["tracestate: foo=1,foo=2"]), "-".into()),
        (
            owned(&["tracestate: foo=1", "tracestate: foo=1"]),
            "-".into(),
        ),
        (
            owned(&["tracestate: foo=1", "tracestate: foo=2"]),
            "-".into(),
        ),
        // all_allowed_characters
        (
            vec![format!("tracestate: {key}={value}")],
            format!("{key}={value}"),
        ),
        (
            vec![format!("tracestate: {tenant}={value}")],
            format!("{tenant}={value}"),
        ),
        // ows_handling
        (
            owned(&["tracestate: foo=1 \t , \t bar=2, \t baz=3"]),
            "foo=1,bar=2,baz=3".into(),
        ),
        (
            owned(&["tracestate: foo=1\t \t,\t \tbar=2,\t \tbaz=3"]),
            "foo=1,bar=2,baz=3".into(),
        ),
        (owned(&["tracestate:  foo=1"]), "foo=1".into()),
        (owned(&["tracestate: \tfoo=1"]), "foo=1".into()),
        (owned(&["tracestate: foo=1 "]), "foo=1".into()),
        (owned(&["tracestate: foo=1\t"]), "foo=1".into()),
        (owned(&["tracestate: \t foo=1 \t"]), "foo=1".into()),
        // key_illegal_characters, key_illegal_vendor_format
        (owned(&["tracestate: foo =1"]), "-".into()),
        (owned(&["tracestate: FOO=1"]), "-".into()),
        (owned(&["tracestate: foo.bar=1"]), "-".into()),
        (owned(&["tracestate: foo@=1,bar=2"]), "-".into()),
        (owned(&["tracestate: @foo=1,bar=2"]), "-".into()),
        (owned(&["tracestate: foo@@bar=1,bar=2"]), "-".into()),
        (owned(&["tracestate: foo@bar@baz=1,bar=2"]), "-".into()),
        // member_count_limit
        (many(32), all_of_them),
        (many(33), "-".into()),
        // key_length_limit
        (foo_and(&long), format!("foo=1,{long}=1")),
        (foo_and(&longer), "-".into()),
        (
            foo_and(&format!("{long_tenant}@{system}")),
            format!("foo=1,{long_tenant}@{system}=1"),
        ),
        (foo_and(&format!("{longer_tenant}@v")), "-".into()),
        (foo_and(&format!("t@{longer_system}")), "-".into()),
        // value_illegal_characters
        (owned(&["tracestate: foo=bar=baz"]), "-".into()),
        (owned(&["tracestate: foo=,bar=3"]), "-".into()),
    ];
    for (mut headers, state) in table {
        headers.insert(0, format!("traceparent: 00-{TRACE}-{SPAN}-00"));
        assert_eq!(
            read(&headers),
            format!("{TRACE} {SPAN} 00 {state}"),
            "{headers:?}"
        );
    }
}

/// One of each format, in the order of the default list.
const ALL: [&str; 8] = [
    "traceparent: 00-00000000000000000000000000000001-0000000000000001-01",
    "b3: 00000000000000000000000000000002-0000000000000002-1",
    "uber-trace-id: 3:3:0:1",
    "X-Amzn-Trace-Id: Root=1-00000000-000000000000000000000004;Parent=0000000000000004;Sampled=1",
    "X-Cloud-Trace-Context: 00000000000000000000000000000005/5;o=1",
    "x-datadog-trace-id: 6",
    "sw8: 1-MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDc=-MQ==-0-YQ==-YQ==-YQ==-YQ==",
    "trace-id: 00000000-0000-0000-0000-000000000008",
];

fn inbound(formats: Option<&[ContextFormat]>, custom: &[&str]) -> Extractor {
    let mut config = Inbound::default();
    if let Some(formats) = formats {
        config.formats = formats.to_vec();
    }
    config.custom_headers = custom
        .iter()
        .map(|name| crate::config::Setting::read(name).expect("a header's name"))
        .collect();
    Extractor::new(&config)
}

#[test]
fn the_first_understood_holds() {
    let trace = |extractor: Extractor, headers: &[String]| -> u128 {
        let (started, _) = exchange(extractor, headers);
        let origin = started.context.and_then(|context| context.origin);
        origin.map_or(0, |origin| origin.trace_id.0)
    };
    for first in 0..ALL.len() {
        // Whatever the order in the head.
        let mut headers = owned(&ALL[first..]);
        headers.reverse();
        let custom = inbound(None, &["trace-id"]);
        assert_eq!(trace(custom, &headers), first as u128 + 1);
    }
    let headers = owned(&ALL);
    for (formats, expected) in [
        (&[ContextFormat::Custom, ContextFormat::B3][..], 8),
        (&[ContextFormat::B3Multi, ContextFormat::TraceContext], 2),
        (&[ContextFormat::SkyWalking], 7),
        (&[ContextFormat::None], 0),
        (&[], 0),
    ] {
        let extractor = inbound(Some(formats), &["trace-id"]);
        assert_eq!(trace(extractor, &headers), expected, "{formats:?}");
    }
    // What is wrong is passed over.
    let mut headers = owned(&ALL[..4]);
    headers[0] = "traceparent: 00-0-0-01".to_owned();
    headers[1] = "b3: x".to_owned();
    assert_eq!(trace(inbound(None, &[]), &headers), 3);
}

/// By the names of their fields, in any case; repeated fields as each format has it.
#[test]
fn fields_of_all_formats() {
    let trace = "80f198ee56343ba864fe8b2a57d3eff7";
    let span = "e457b5a2e4d86bd1";
    let ids = format!("{trace} {span}");
    for (headers, expected) in [
        (
            vec![
                format!("X-B3-TraceId: {trace}"),
                format!("x-b3-spanid: {span}"),
                "X-B3-ParentSpanId: 05e3ac9a4f6e3b90".into(),
                "X-B3-Sampled: 0".into(),
                // The first value of each holds.
                "X-B3-Sampled: 1".into(),
                "X-B3-TraceId: 1".into(),
            ],
            format!("{ids} 00 -"),
        ),
        (
            vec![
                "B3: 0".into(),
                format!("X-B3-TraceId: {trace}"),
                format!("X-B3-SpanId: {span}"),
            ],
            "- - 00 -".into(),
        ),
        (
            vec![
                "b3: x".into(),
                format!("X-B3-TraceId: {trace}"),
                format!("X-B3-SpanId: {span}"),
                "X-B3-Flags: 1".into(),
            ],
            format!("{ids} 01 -"),
        ),
        (vec![format!("b3: {trace}-{span}")], format!("{ids} - -")),
        (
            vec![format!("UBER-trace-id: {trace}%3A{span}%3A0%3A1")],
            format!("{ids} 01 -"),
        ),
        (
            vec![format!("uber-trace-id: {trace}:{span}:0:1"); 2],
            format!("{ids} 01 -"),
        ),
        (
            vec![
                format!("uber-trace-id: {trace}:{span}:0:1"),
                format!("uber-trace-id: {trace}:{span}:0:0"),
            ],
            "none".into(),
        ),
        (
            vec!["x-amzn-trace-id: Root=1-80f198ee-56343ba864fe8b2a57d3eff7".into()],
            format!("{trace} - - -"),
        ),
        (
            vec![format!("X-CLOUD-TRACE-CONTEXT: {trace}/1;o=0")],
            format!("{trace} 0000000000000001 00 -"),
        ),
        (
            vec![
                format!("X-Datadog-Trace-Id: {}", 0x64fe8b2a57d3eff7u64),
                format!("X-Datadog-Parent-Id: {}", 0xe457b5a2e4d86bd1u64),
                "X-Datadog-Sampling-Priority: 2".into(),
                "X-Datadog-Tags: _dd.p.tid=80f198ee56343ba8".into(),
            ],
            format!("{ids} 01 -"),
        ),
        (
            vec![
                "x-datadog-parent-id: 1".into(),
                "x-datadog-tags: a=b".into(),
            ],
            "none".into(),
        ),
        // A cut head: half a value is no value.
        (
            vec!["x-datadog-trace-id".into(), "b3".into()],
            "none".into(),
        ),
    ] {
        assert_eq!(read(&headers), expected, "{headers:?}");
    }
}

/// What is said of headers that were there and not understood, and of ids that are none of ours.
#[test]
fn notes_and_originals() {
    let note = ["trace context not understood"];
    let all = |headers: &[&str]| {
        exchange(
            inbound(None, &["trace-id", "x-session-id"]),
            &owned(headers),
        )
        .1
    };
    for (headers, notes) in [
        (&["b3: x"][..], &note[..]),
        (&["traceparent: x", "uber-trace-id: 1:1:0:1"], &[]),
        (&["tracestate: a=b"], &[]),
        (&["x-datadog-tags: a=b"], &[]),
        (&["trace-id: null"], &note),
        (&["Trace-Id: a", "trace-id: b"], &note),
        (&[], &[]),
    ] {
        assert_eq!(all(headers).notes, notes, "{headers:?}");
    }
    let unread = exchange(
        inbound(Some(&[ContextFormat::B3]), &[]),
        &owned(&["traceparent: x"]),
    );
    assert!(unread.1.notes.is_empty());

    let sw8 = "sw8: 1-b3JkZXItMTc=-MQ==-0-YQ==-YQ==-YQ==-YQ==";
    for (headers, key, shown_as) in [
        (
            &["Trace-Id: abc123"][..],
            "http.request.header.trace-id",
            "Texts([\"abc123\"])",
        ),
        (
            &["trace-id: 8448eb211c80319c"],
            "http.request.header.trace-id",
            "Texts([\"8448eb211c80319c\"])",
        ),
        (
            &["trace-id: caf\u{e9}"],
            "http.request.header.trace-id",
            "Texts([\"café\"])",
        ),
        (
            &["trace-id: null", "X-Session-Id: 7"],
            "http.request.header.x-session-id",
            "Texts([\"REDACTED\"])",
        ),
        (&[sw8], "sw8.trace_id", "order-17"),
    ] {
        assert_eq!(shown(&all(headers), key), shown_as, "{headers:?}");
    }
    let short = Limits {
        text: 6,
        ..Limits::default()
    };
    let headers = owned(&["trace-id: caf\u{e9}\u{e9}"]);
    let cut = exchange_within(short, inbound(None, &["trace-id"]), &headers).1;
    assert_eq!(cut.notes, ["value cut"]);
    let kept = shown(&cut, "http.request.header.trace-id");
    assert_eq!(kept, "Texts([\"café\"])");
    // Names that nobody asked for stay unread.
    let unasked = exchange(inbound(None, &[]), &owned(&["trace-id: abc123"]));
    assert_eq!(unasked.0.context, None);
    assert!(attribute(&unasked.1, "http.request.header.trace-id").is_none());
}

/// One text is one trace everywhere; the id is the beginning of the text's SHA-256.
#[test]
fn a_text_becomes_an_id() {
    let (started, _) = exchange(inbound(None, &["trace-id"]), &owned(&["trace-id: abc123"]));
    let expected = "6ca13d52ca70c883e0f0bb101e425a89 - - -";
    assert_eq!(show(started.context.as_ref()), expected);
}
