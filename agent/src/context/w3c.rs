//! W3C Trace Context: the `traceparent` and `tracestate` headers.
//!
//! <https://www.w3.org/TR/trace-context/> (level 1) and <https://www.w3.org/TR/trace-context-2/>.
//! What does not follow the specification is treated as absent, as it demands: a caller whose
//! header is wrong has no trace that could be continued.

use super::digits::lower_hex;
use crate::model::{Origin, RemoteContext, SpanId, TraceFlags, TraceId};

/// Length of a version 00 `traceparent`; later versions are at least as long.
const TRACEPARENT_LENGTH: usize = 55;
/// The flags that level 2 defines: sampled (bit 0) and random trace id (bit 1). Others must be
/// ignored.
const KNOWN_FLAGS: u8 = 0b11;
/// Most members of a `tracestate` (section 3.3.1.1).
const STATE_MEMBERS_MAX: usize = 32;
/// Longest `tracestate` kept, in bytes. The specification asks for 512 at least; 32 members of
/// greatest length would be 16 KiB, for every open exchange.
pub const STATE_MAX: usize = 4096;

/// The context that a message's `traceparent` and `tracestate` carry.
///
/// `state` is the value of the only `tracestate` header, or the values of several joined by commas
/// in their order. A state that is wrong or longer than [`STATE_MAX`] is left out; the parent
/// counts all the same (section 3.3).
#[must_use]
pub fn parse(parent: &[u8], state: Option<&[u8]>) -> Option<RemoteContext> {
    let (trace_id, span_id, flags) = traceparent(trim(parent))?;
    Some(RemoteContext {
        origin: Some(Origin {
            trace_id: TraceId(trace_id),
            span_id: Some(SpanId(span_id)),
        }),
        flags: Some(TraceFlags(flags)),
        state: state.and_then(tracestate),
    })
}

/// Trace id, span id and known flags of `version "-" trace-id "-" parent-id "-" trace-flags` (section
/// 3.2.2). Digits are lower-case; upper case is invalid (section 3.2.2.2).
fn traceparent(text: &[u8]) -> Option<(u128, u64, u8)> {
    if text.len() < TRACEPARENT_LENGTH {
        return None;
    }
    let dashes = text[2] == b'-' && text[35] == b'-' && text[52] == b'-';
    let version = lower_hex(&text[..2])?;
    // A later version may append fields, each after a dash (section 4.3).
    let tail = match version {
        0 => text.len() == TRACEPARENT_LENGTH,
        0xff => false,
        _ => text
            .get(TRACEPARENT_LENGTH)
            .is_none_or(|&byte| byte == b'-'),
    };
    let trace_id = lower_hex(&text[3..35])?;
    let span_id = lower_hex(&text[36..52])?;
    let flags = lower_hex(&text[53..55])?;
    if !dashes || !tail || trace_id == 0 || span_id == 0 {
        return None;
    }
    Some((trace_id, span_id as u64, flags as u8 & KNOWN_FLAGS))
}

/// A list of `key=value` (section 3.3.1, which allows one entry per key), without the blanks and empty
/// members that it may have.
fn tracestate(text: &[u8]) -> Option<Box<str>> {
    if text.len() > STATE_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let mut kept = String::with_capacity(text.len());
    let mut members = 0;
    for member in text.split(',') {
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        members += 1;
        let (key, value) = member.split_once('=')?;
        let twice = || kept.split(',').any(|other| key_of(other) == key);
        if members > STATE_MEMBERS_MAX || !is_key(key) || !is_value(value) || twice() {
            return None;
        }
        if !kept.is_empty() {
            kept.push(',');
        }
        kept.push_str(member);
    }
    (!kept.is_empty()).then(|| kept.into_boxed_str())
}

fn key_of(member: &str) -> &str {
    member.split_once('=').map_or(member, |(key, _)| key)
}

/// Up to 256 of `a-z 0-9 _ - * /`, beginning with a letter or (level 2, and tenants) a digit; with
/// an at sign, a tenant of up to 241 and a system of up to 14 that begins with a letter.
fn is_key(key: &str) -> bool {
    let part = |text: &str, longest: usize| {
        let mut bytes = text.bytes();
        text.len() <= longest
            && bytes
                .next()
                .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && bytes.all(|b| {
                b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || matches!(b, b'_' | b'-' | b'*' | b'/')
            })
    };
    match key.split_once('@') {
        None => part(key, 256),
        Some((tenant, system)) => {
            part(tenant, 241)
                && part(system, 14)
                && system.starts_with(|c: char| c.is_ascii_lowercase())
        }
    }
}

/// 1 to 256 printable ASCII characters but `,` and `=`. (The last is not a blank: it was trimmed.)
fn is_value(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= 256
        && value
            .bytes()
            .all(|b| matches!(b, b' '..=b'~') && !matches!(b, b',' | b'='))
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    /// Parses and prints: `trace span flags [state]`, or `none`.
    fn read(parent: &str, state: Option<&str>) -> String {
        match parse(parent.as_bytes(), state.map(str::as_bytes)) {
            None => "none".to_owned(),
            Some(found) => {
                let origin = found.origin.expect("a trace");
                assert_eq!(origin.trace_id.to_string(), TRACE);
                assert_eq!(origin.span_id.expect("a span").to_string(), SPAN);
                format!(
                    "{:02x} {}",
                    found.flags.expect("flags").0,
                    found.state.as_deref().unwrap_or("-")
                )
            }
        }
    }

    #[test]
    fn traceparent_by_the_rules() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        let table = [
            (good.clone(), "01 -"),
            (format!("  {good}\t"), "01 -"),
            (format!("00-{TRACE}-{SPAN}-00"), "00 -"),
            (format!("00-{TRACE}-{SPAN}-03"), "03 -"),
            // Flags that nobody has defined yet are ignored.
            (format!("00-{TRACE}-{SPAN}-ff"), "03 -"),
            // Version 00 has an exact length; later ones may go on after a dash.
            (format!("{good}-extra"), "none"),
            (format!("{good}."), "none"),
            (format!("cc-{TRACE}-{SPAN}-01"), "01 -"),
            (format!("cc-{TRACE}-{SPAN}-01-what-the-future"), "01 -"),
            (format!("cc-{TRACE}-{SPAN}-01-"), "01 -"),
            (format!("cc-{TRACE}-{SPAN}-01.what"), "none"),
            (format!("ff-{TRACE}-{SPAN}-01"), "none"),
            (format!("0-{TRACE}-{SPAN}-01"), "none"),
            (format!(".0-{TRACE}-{SPAN}-01"), "none"),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), "none"),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), "none"),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), "none"),
            (format!("00-{TRACE}-{}-01", SPAN.to_uppercase()), "none"),
            (format!("00-{TRACE}-{SPAN}-0X"), "none"),
            (format!("00-{TRACE}-{SPAN}-1"), "none"),
            (format!("00-{TRACE}-{SPAN}-"), "none"),
            (format!("00_{TRACE}_{SPAN}_01"), "none"),
            (format!("00-.{}-{SPAN}-01", &TRACE[1..]), "none"),
            (format!("00-{}-{SPAN}-01", &TRACE[1..]), "none"),
            (String::new(), "none"),
        ];
        for (header, expected) in table {
            assert_eq!(read(&header, None), expected, "{header}");
        }
    }

    #[test]
    fn tracestate_by_the_rules() {
        let long_key = "k".repeat(256);
        let tenant = "t".repeat(241);
        let long_value = "v".repeat(256);
        let members = |n: usize| {
            (0..n)
                .map(|i| format!("k{i}=v"))
                .collect::<Vec<_>>()
                .join(",")
        };
        let table = [
            ("foo=1".to_owned(), "foo=1".to_owned()),
            ("foo=1,bar=2".to_owned(), "foo=1,bar=2".to_owned()),
            (" foo=1 \t,\t bar=2 ".to_owned(), "foo=1,bar=2".to_owned()),
            ("foo=1,,,bar=2,".to_owned(), "foo=1,bar=2".to_owned()),
            ("foo= a b".to_owned(), "foo= a b".to_owned()),
            ("1a-_*/=x".to_owned(), "1a-_*/=x".to_owned()),
            ("t@v=1,0t@v=2".to_owned(), "t@v=1,0t@v=2".to_owned()),
            ("foo=1,foo=2".to_owned(), "-".to_owned()),
            ("foo=1,bar=2,foo=1".to_owned(), "-".to_owned()),
            (
                "foo=bar,fo=1,foo@a=2".to_owned(),
                "foo=bar,fo=1,foo@a=2".to_owned(),
            ),
            (format!("{long_key}=1"), format!("{long_key}=1")),
            (format!("{long_key}k=1"), "-".to_owned()),
            (format!("{tenant}@system=1"), format!("{tenant}@system=1")),
            (format!("{tenant}t@system=1"), "-".to_owned()),
            ("t@fifteen-letters=1".to_owned(), "-".to_owned()),
            ("t@0v=1".to_owned(), "-".to_owned()),
            ("a@b@c=1".to_owned(), "-".to_owned()),
            (format!("foo={long_value}"), format!("foo={long_value}")),
            (format!("foo={long_value}v"), "-".to_owned()),
            (members(32), members(32)),
            (members(33), "-".to_owned()),
            ("foo =1".to_owned(), "-".to_owned()),
            ("FOO=1".to_owned(), "-".to_owned()),
            ("foo.bar=1".to_owned(), "-".to_owned()),
            ("foo".to_owned(), "-".to_owned()),
            ("foo=".to_owned(), "-".to_owned()),
            ("foo=bar=baz".to_owned(), "-".to_owned()),
            ("@foo=1".to_owned(), "-".to_owned()),
            ("foo@=1".to_owned(), "-".to_owned()),
            ("foo=ü".to_owned(), "-".to_owned()),
            (String::new(), "-".to_owned()),
            (" , ,".to_owned(), "-".to_owned()),
            (format!("foo=1,{}", " ".repeat(STATE_MAX)), "-".to_owned()),
        ];
        for (header, expected) in table {
            let read = read(&format!("00-{TRACE}-{SPAN}-01"), Some(&header));
            assert_eq!(read, format!("01 {expected}"), "{header}");
        }
    }

    #[test]
    fn a_state_without_a_parent_means_nothing() {
        assert_eq!(read("00-0-0-01", Some("foo=1")), "none");
    }
}
