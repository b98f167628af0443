//! Google's `X-Cloud-Trace-Context`: `{trace id}/{span id};o={options}`.
//!
//! <https://cloud.google.com/trace/docs/trace-context#legacy-http-header>. The trace id is
//! hexadecimal, the span id decimal. Span id and options may be missing or empty.

use super::digits::{decimal, hex};
use super::ids::Ids;

/// The value of `X-Cloud-Trace-Context`.
#[must_use]
pub fn parse(value: &[u8]) -> Option<Ids> {
    let (ids, options) = cut(value, b';');
    let (trace, span) = cut(ids, b'/');
    if trace.len() != 32 {
        return None;
    }
    let trace_id = hex(trace).filter(|id| *id != 0)?;
    let span_id = match span {
        None | Some([]) => 0,
        Some(digits) => decimal(digits)?,
    };
    let sampled = match options {
        None | Some(b"" | b"o=") => None,
        // A set of bits, of which the first one is "the parent was sampled".
        Some(options) => Some(decimal(options.strip_prefix(b"o=")?)? & 1 != 0),
    };
    Some(Ids {
        trace_id,
        span_id,
        sampled,
    })
}

fn cut(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&byte| byte == at) {
        Some(place) => (&text[..place], Some(&text[place + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ids::shown;

    #[test]
    fn values() {
        let trace = "105445aa7843bc8bf206b12000100000";
        let with = |span: u64, decision: &str| format!("{trace} {span:016x} {decision}");
        for (value, expected) in [
            (format!("{trace}/789;o=1"), with(789, "sampled")),
            (format!("{trace}/789;o=0"), with(789, "unsampled")),
            (format!("{trace}/789;o=3"), with(789, "sampled")),
            (format!("{trace}/789;o="), with(789, "deferred")),
            (format!("{trace}/789;"), with(789, "deferred")),
            (format!("{trace}/789"), with(789, "deferred")),
            (
                format!("{trace}/18446744073709551615;o=1"),
                with(u64::MAX, "sampled"),
            ),
            (format!("{trace}/;o=1"), with(0, "sampled")),
            (format!("{trace}/0;o=1"), with(0, "sampled")),
            (format!("{trace};o=1"), with(0, "sampled")),
            (trace.to_owned(), with(0, "deferred")),
            (
                format!("{}/1;o=1", trace.to_uppercase()),
                with(1, "sampled"),
            ),
            (
                format!("{trace}/18446744073709551616;o=1"),
                "none".to_owned(),
            ),
            (format!("{trace}/a1;o=1"), "none".to_owned()),
            (format!("{trace}/1;o=x"), "none".to_owned()),
            (format!("{trace}/1;p=1"), "none".to_owned()),
            (format!("{}/1;o=1", &trace[1..]), "none".to_owned()),
            (format!("{}/1;o=1", "0".repeat(32)), "none".to_owned()),
            (String::new(), "none".to_owned()),
            ("/;".to_owned(), "none".to_owned()),
        ] {
            assert_eq!(shown(parse(value.as_bytes())), expected, "{value}");
        }
    }
}
