//! What holds of any value and any head.

use proptest::prelude::*;

use super::*;
use crate::config::{Inbound, Setting};
use crate::model::{Origin, RemoteContext, SpanId, TraceFlags, TraceId};
use ids::Ids;

/// Text that looks like a context here and there.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let digits = prop_oneof![
        "[0-9a-f]{16}",
        "[0-9a-f]{32}",
        "[0-9]{1,21}",
        "[A-Za-z0-9+/]{0,60}={0,2}"
    ];
    let sign = prop_oneof![
        "[-:/;=.,%?]",
        "%3A",
        "Root=1-",
        ";Parent=",
        ";Sampled=",
        ";o=",
        "_dd.p.tid="
    ];
    let piece = prop_oneof![
        4 => digits.prop_map(String::into_bytes),
        4 => sign.prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

fn decision() -> impl Strategy<Value = Option<bool>> {
    proptest::option::of(any::<bool>())
}

fn ids() -> impl Strategy<Value = Ids> {
    (1..=u128::MAX, 1..=u64::MAX, decision()).prop_map(|(trace_id, span_id, sampled)| Ids {
        trace_id,
        span_id,
        sampled,
    })
}

const NAMES: [&str; 18] = [
    "traceparent",
    "tracestate",
    "b3",
    "X-B3-TraceId",
    "X-B3-SpanId",
    "X-B3-Sampled",
    "X-B3-Flags",
    "uber-trace-id",
    "X-Amzn-Trace-Id",
    "X-Cloud-Trace-Context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "sw8",
    "Trace-Id",
    "X-Request-Id",
    "Host",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any fields are read calmly; what comes out is an id or a decision, never a zero.
    #[test]
    fn anything_goes(fields in proptest::collection::vec((0..NAMES.len(), value()), 0..8)) {
        let config = Inbound {
            custom_headers: ["trace-id", "x-request-id"]
                .map(|name| Setting::read(name).expect("a header's name"))
                .to_vec(),
            ..Inbound::default()
        };
        let extractor = Extractor::new(&config);
        let mut carrier = Carrier::default();
        for (name, value) in &fields {
            carrier.set(NAMES[*name].as_bytes(), value, extractor.custom_headers());
        }
        if let Ok(Some(found)) = extractor.extract(&carrier) {
            let RemoteContext { origin, flags, state } = found.context;
            prop_assert!(origin.is_some() || flags.is_some());
            prop_assert!(origin.is_none_or(|o| o.trace_id.0 != 0 && o.span_id != Some(SpanId(0))));
            prop_assert!(state.is_none_or(|state| state.len() <= w3c::STATE_MAX));
        }
    }

    /// Every parser takes any bytes.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), value in value()) {
        for bytes in [&bytes[..], &value[..]] {
            let some = Some(bytes);
            let parsed = [
                b3::single(bytes),
                b3::multi(some, some, some, some),
                jaeger::parse(bytes),
                xray::parse(bytes),
                cloud_trace::parse(bytes),
                datadog::parse(bytes, some, some, some),
                skywalking::parse(bytes).map(|(ids, _)| ids),
                custom::parse(bytes),
            ];
            for ids in parsed.into_iter().flatten() {
                prop_assert!(ids.trace_id != 0 || ids.sampled.is_some(), "{:?}", ids);
            }
            let w3c = w3c::parse(bytes, some);
            prop_assert!(w3c.is_none_or(|context| context.origin.is_some()));
        }
    }

    /// What a sender writes is what is read.
    #[test]
    fn there_and_back(ids in ids(), parent in 1..=u64::MAX, random in any::<bool>()) {
        let Ids { trace_id, span_id, sampled } = ids;
        let digit = |yes: bool| u8::from(yes);

        let decision = sampled.map_or(String::new(), |sampled| format!("-{}", digit(sampled)));
        let b3 = format!("{trace_id:032x}-{span_id:016x}{decision}");
        prop_assert_eq!(b3::single(b3.as_bytes()), Some(ids));
        let b3 = format!("{b3}-{parent:016x}");
        prop_assert_eq!(b3::single(b3.as_bytes()), Some(ids));
        let texts = [format!("{trace_id:032x}"), format!("{span_id:016x}")];
        let [trace, span] = texts.each_ref().map(|text| Some(text.as_bytes()));
        let word = sampled.map(|sampled| digit(sampled).to_string());
        let multi = b3::multi(trace, span, word.as_deref().map(str::as_bytes), None);
        prop_assert_eq!(multi, Some(ids));

        let yes = sampled.unwrap_or_default();
        let decided = Ids { sampled: Some(yes), ..ids };
        let jaeger = format!("{trace_id:x}:{span_id:x}:{parent:x}:{:x}", digit(yes));
        prop_assert_eq!(jaeger::parse(jaeger.as_bytes()), Some(decided));
        let encoded = jaeger.replace(':', "%3A");
        prop_assert_eq!(jaeger::parse(encoded.as_bytes()), Some(decided));

        let decision = sampled.map_or("?".to_owned(), |sampled| digit(sampled).to_string());
        let (time, number) = (trace_id >> 96, trace_id & (u128::MAX >> 32));
        let xray = format!("Root=1-{time:08x}-{number:024x};Parent={span_id:016x};Sampled={decision}");
        prop_assert_eq!(xray::parse(xray.as_bytes()), Some(ids));

        let options = sampled.map_or(String::new(), |sampled| format!(";o={}", digit(sampled)));
        let cloud = format!("{trace_id:032x}/{span_id}{options}");
        prop_assert_eq!(cloud_trace::parse(cloud.as_bytes()), Some(ids));

        let low = trace_id as u64;
        let (low_text, span_text) = (low.to_string(), span_id.to_string());
        let tags = format!("_dd.p.dm=-1,_dd.p.tid={:016x}", (trace_id >> 64) as u64);
        let datadog = datadog::parse(
            low_text.as_bytes(),
            Some(span_text.as_bytes()),
            word.as_deref().map(str::as_bytes),
            Some(tags.as_bytes()),
        );
        prop_assert_eq!(datadog, (low != 0).then_some(ids));

        let flags = digit(yes) | digit(random) << 1;
        let w3c = format!("00-{trace_id:032x}-{span_id:016x}-{flags:02x}");
        let expected = RemoteContext {
            origin: Some(Origin {
                trace_id: TraceId(trace_id),
                span_id: Some(SpanId(span_id)),
            }),
            flags: Some(TraceFlags(flags)),
            state: Some("a=b".into()),
        };
        prop_assert_eq!(w3c::parse(w3c.as_bytes(), Some(b"a=b")), Some(expected));

        let own = custom::parse(format!("{trace_id:032x}").as_bytes());
        prop_assert_eq!(own.map(|ids| ids.trace_id), Some(trace_id));
    }
}
