//! Jaeger's `uber-trace-id`: `{trace id}:{span id}:{parent span id}:{flags}`.
//!
//! <https://www.jaegertracing.io/docs/1.76/client-libraries/#propagation-format>. Ids may be written
//! without their leading zeros; clients write the colons as they are or percent-encoded.

use super::digits::hex;
use super::ids::Ids;

/// Bit 0 of the flags.
const SAMPLED: u128 = 1;
/// Bit 1, which is to imply the first.
const DEBUG: u128 = 2;

/// The value of `uber-trace-id`.
#[must_use]
pub fn parse(value: &[u8]) -> Option<Ids> {
    let (trace, rest) = field(value)?;
    let (span, rest) = field(rest)?;
    // Deprecated, and ignored by receivers.
    let (_parent, flags) = field(rest)?;
    if span.len() > 16 || flags.len() > 2 {
        return None;
    }
    let (trace_id, span_id) = (hex(trace)?, hex(span)? as u64);
    let flags = hex(flags)?;
    (trace_id != 0 && span_id != 0).then_some(Ids {
        trace_id,
        span_id,
        sampled: Some(flags & (SAMPLED | DEBUG) != 0),
    })
}

/// What is before the next colon, and after it.
fn field(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| matches!(byte, b':' | b'%'))?;
    let (before, rest) = text.split_at(at);
    let after = match rest {
        [b':', after @ ..] | [b'%', b'3', b'A' | b'a', after @ ..] => after,
        _ => return None,
    };
    Some((before, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ids::shown;

    #[test]
    fn values() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let span = "b7ad6b7169203331";
        let ids = format!("{trace} {span}");
        for (value, expected) in [
            (format!("{trace}:{span}:0:1"), format!("{ids} sampled")),
            (format!("{trace}:{span}:0:01"), format!("{ids} sampled")),
            (format!("{trace}:{span}:0:0"), format!("{ids} unsampled")),
            (format!("{trace}:{span}:0:3"), format!("{ids} sampled")),
            (format!("{trace}:{span}:0:2"), format!("{ids} sampled")),
            // Bits that are not used, or say other things (firehose).
            (format!("{trace}:{span}:0:fc"), format!("{ids} unsampled")),
            (format!("{trace}:{span}:{span}:1"), format!("{ids} sampled")),
            (format!("{trace}:{span}::1"), format!("{ids} sampled")),
            (
                format!("{trace}%3A{span}%3a0%3A1"),
                format!("{ids} sampled"),
            ),
            (
                format!("{}:{}:0:1", trace.to_uppercase(), span.to_uppercase()),
                format!("{ids} sampled"),
            ),
            (
                "abc:1:0:1".to_owned(),
                format!("{:0>32} {:0>16} sampled", "abc", "1"),
            ),
            (
                format!("{}:{span}:0:1", &trace[1..]),
                format!("{ids} sampled"),
            ),
            (format!("0:{span}:0:1"), "none".to_owned()),
            (format!("{trace}:0:0:1"), "none".to_owned()),
            (format!("0{trace}:{span}:0:1"), "none".to_owned()),
            (format!("{trace}:0{span}:0:1"), "none".to_owned()),
            (format!("{trace}:{span}:0:001"), "none".to_owned()),
            (format!("{trace}:{span}:0:"), "none".to_owned()),
            (format!("{trace}:{span}:0:x"), "none".to_owned()),
            (format!("{trace}:{span}:0:1:1"), "none".to_owned()),
            (format!("{trace}:{span}:1"), "none".to_owned()),
            (format!("{trace}::0:1"), "none".to_owned()),
            (format!(":{span}:0:1"), "none".to_owned()),
            (format!("{trace}%3B{span}:0:1"), "none".to_owned()),
            (format!("{trace}%"), "none".to_owned()),
            (String::new(), "none".to_owned()),
        ] {
            assert_eq!(shown(parse(value.as_bytes())), expected, "{value}");
        }
    }
}
