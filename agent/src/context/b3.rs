//! B3, Zipkin's format: one `b3` header, or several `X-B3-*`.
//!
//! <https://github.com/openzipkin/b3-propagation>. Span ids are the sender's, although Zipkin's
//! servers take them for their own. A 64-bit trace id is widened by zeros on the left
//! (OpenTelemetry specification, "B3 Requirements").

use super::digits::lower_hex;
use super::ids::Ids;

/// `{trace id}-{span id}-{sampling state}-{parent span id}`, of which the last two may be missing;
/// or a sampling state alone: `1` accept, `0` deny, `d` debug, which implies accept.
#[must_use]
pub fn single(value: &[u8]) -> Option<Ids> {
    if let Some(sampled) = state(value) {
        return Some(Ids::decision(sampled));
    }
    let mut fields = value.split(|&byte| byte == b'-');
    let trace_id = trace_id(fields.next()?)?;
    let span_id = span_id(fields.next()?)?;
    let (decision, parent) = match (fields.next(), fields.next()) {
        (Some(parent), None) if parent.len() == 16 => (None, Some(parent)),
        both => both,
    };
    if fields.next().is_some() {
        return None;
    }
    let sampled = match decision {
        Some(text) => Some(state(text)?),
        None => None,
    };
    // The sender's own parent says nothing to its receiver; it must be well-formed all the same.
    if let Some(parent) = parent {
        self::span_id(parent)?;
    }
    Some(Ids {
        trace_id,
        span_id,
        sampled,
    })
}

/// The values of `X-B3-TraceId`, `X-B3-SpanId`, `X-B3-Sampled` and `X-B3-Flags`.
///
/// `X-B3-Flags: 1` is debug. A decision may come without ids; ids without a decision defer it.
/// `true` and `false` are what tracers wrote before the specification, which leaves it open to
/// accept them.
#[must_use]
pub fn multi(
    trace: Option<&[u8]>,
    span: Option<&[u8]>,
    sampled: Option<&[u8]>,
    flags: Option<&[u8]>,
) -> Option<Ids> {
    let sampled = match (flags, sampled) {
        (Some(b"1"), _) | (_, Some(b"1")) => Some(true),
        (_, Some(b"0")) => Some(false),
        (_, Some(text)) if text.eq_ignore_ascii_case(b"true") => Some(true),
        (_, Some(text)) if text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    };
    match (trace, span) {
        (None, None) => sampled.map(Ids::decision),
        (trace, span) => Some(Ids {
            trace_id: trace_id(trace?)?,
            span_id: span_id(span?)?,
            sampled,
        }),
    }
}

fn state(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"d" => Some(true),
        b"0" => Some(false),
        _ => None,
    }
}

/// 16 or 32 digits, not all zero.
fn trace_id(digits: &[u8]) -> Option<u128> {
    if !matches!(digits.len(), 16 | 32) {
        return None;
    }
    lower_hex(digits).filter(|id| *id != 0)
}

/// 16 digits, not all zero.
fn span_id(digits: &[u8]) -> Option<u64> {
    if digits.len() != 16 {
        return None;
    }
    lower_hex(digits).map(|id| id as u64).filter(|id| *id != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ids::shown;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";
    const PARENT: &str = "05e3ac9a4f6e3b90";

    #[test]
    fn one_header() {
        let none = "0".repeat(32);
        let ids = format!("{TRACE} {SPAN}");
        let nothing = format!("{none} {}", "0".repeat(16));
        for (value, expected) in [
            (
                format!("{TRACE}-{SPAN}-1-{PARENT}"),
                format!("{ids} sampled"),
            ),
            (format!("{TRACE}-{SPAN}-1"), format!("{ids} sampled")),
            (format!("{TRACE}-{SPAN}-d"), format!("{ids} sampled")),
            (format!("{TRACE}-{SPAN}-0"), format!("{ids} unsampled")),
            (format!("{TRACE}-{SPAN}"), format!("{ids} deferred")),
            (
                format!("{TRACE}-{SPAN}-{PARENT}"),
                format!("{ids} deferred"),
            ),
            (
                format!("{}-{SPAN}-1", &TRACE[16..]),
                format!("0000000000000000{} {SPAN} sampled", &TRACE[16..]),
            ),
            ("0".to_owned(), format!("{nothing} unsampled")),
            ("1".to_owned(), format!("{nothing} sampled")),
            ("d".to_owned(), format!("{nothing} sampled")),
            (format!("{none}-{SPAN}-1"), "none".to_owned()),
            (format!("{TRACE}-0000000000000000-1"), "none".to_owned()),
            (
                format!("{}-{SPAN}-1", TRACE.to_uppercase()),
                "none".to_owned(),
            ),
            (format!("{}-{SPAN}-1", &TRACE[1..]), "none".to_owned()),
            (format!("{TRACE}-{}-1", &SPAN[1..]), "none".to_owned()),
            (format!("{TRACE}-{SPAN}-2"), "none".to_owned()),
            (format!("{TRACE}-{SPAN}-true"), "none".to_owned()),
            (format!("{TRACE}-{SPAN}-"), "none".to_owned()),
            (format!("{TRACE}-{SPAN}-1-"), "none".to_owned()),
            (
                format!("{TRACE}-{SPAN}-1-{}", &PARENT[1..]),
                "none".to_owned(),
            ),
            (format!("{TRACE}-{SPAN}-1-{PARENT}-1"), "none".to_owned()),
            (TRACE.to_owned(), "none".to_owned()),
            ("D".to_owned(), "none".to_owned()),
            ("-".to_owned(), "none".to_owned()),
            (String::new(), "none".to_owned()),
        ] {
            assert_eq!(shown(single(value.as_bytes())), expected, "{value}");
        }
    }

    /// Trace, span, sampled, flags; `-` is absent.
    #[test]
    fn several_headers() {
        let short = &TRACE[16..];
        let zeros = format!("{:032} {:016}", 0, 0);
        for (values, expected) in [
            ([TRACE, SPAN, "1", "-"], format!("{TRACE} {SPAN} sampled")),
            ([TRACE, SPAN, "0", "-"], format!("{TRACE} {SPAN} unsampled")),
            (
                [TRACE, SPAN, "True", "-"],
                format!("{TRACE} {SPAN} sampled"),
            ),
            (
                [TRACE, SPAN, "false", "-"],
                format!("{TRACE} {SPAN} unsampled"),
            ),
            ([TRACE, SPAN, "-", "-"], format!("{TRACE} {SPAN} deferred")),
            ([TRACE, SPAN, "-", "1"], format!("{TRACE} {SPAN} sampled")),
            ([TRACE, SPAN, "0", "1"], format!("{TRACE} {SPAN} sampled")),
            ([TRACE, SPAN, "0", "0"], format!("{TRACE} {SPAN} unsampled")),
            ([TRACE, SPAN, "2", "-"], format!("{TRACE} {SPAN} deferred")),
            (
                [short, SPAN, "1", "-"],
                format!("{short:0>32} {SPAN} sampled"),
            ),
            (["-", "-", "0", "-"], format!("{zeros} unsampled")),
            (["-", "-", "-", "1"], format!("{zeros} sampled")),
            (["-", "-", "-", "-"], "none".to_owned()),
            (["-", "-", "yes", "0"], "none".to_owned()),
            ([TRACE, "-", "1", "-"], "none".to_owned()),
            (["-", SPAN, "1", "-"], "none".to_owned()),
            ([&TRACE[2..], SPAN, "1", "-"], "none".to_owned()),
            ([TRACE, "xyz", "1", "-"], "none".to_owned()),
        ] {
            let [trace, span, sampled, flags] =
                values.map(|text| (text != "-").then_some(text.as_bytes()));
            let found = shown(multi(trace, span, sampled, flags));
            assert_eq!(found, expected, "{values:?}");
        }
    }
}
