//! Headers of one's own that carry a trace's id: `trace-id: abc123`.
//!
//! Digits that are an id already stay one: 32 of them, or 16 (widened by zeros), or a UUID. Any
//! other text is hashed. No span is named, and nothing is said of sampling.

use super::digits::{hex, uuid};
use super::hash;
use super::ids::Ids;

/// What programs write where they have no id. All requests that carry one of these would become one
/// trace.
const PLACEHOLDERS: [&[u8]; 8] = [
    b"null",
    b"(null)",
    b"nil",
    b"none",
    b"undefined",
    b"unknown",
    b"n/a",
    b"nan",
];

/// Longest value, in bytes: what is longer is no id, and not worth the time of hashing it.
const LONGEST: usize = 512;

/// A header's value. `None` where it is no id: empty, too long, a placeholder, or with control
/// characters.
#[must_use]
pub fn parse(value: &[u8]) -> Option<Ids> {
    let id = match value.len() {
        16 => hex(value),
        _ => uuid(value),
    };
    let trace_id = match id {
        Some(id) => id,
        None if is_id(value) => hash::trace_id(value),
        None => return None,
    };
    (trace_id != 0).then_some(Ids {
        trace_id,
        span_id: 0,
        sampled: None,
    })
}

fn is_id(value: &[u8]) -> bool {
    let mut words = PLACEHOLDERS.iter();
    let placeholder = words.any(|word| value.eq_ignore_ascii_case(word));
    let blank = value
        .iter()
        .all(|byte| matches!(byte, b'0' | b'-' | b'"' | b' '));
    let control = value.iter().any(u8::is_ascii_control);
    value.len() <= LONGEST && !placeholder && !blank && !control
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let (long, longer) = ("x".repeat(LONGEST), "x".repeat(LONGEST + 1));
        let hashed = |text: &str| Some(hash::trace_id(text.as_bytes()));
        for (value, expected) in [
            (
                "0af7651916cd43dd8448eb211c80319c",
                Some(0x0af7651916cd43dd8448eb211c80319c),
            ),
            (
                "0AF7651916CD43DD8448EB211C80319C",
                Some(0x0af7651916cd43dd8448eb211c80319c),
            ),
            (
                "0af76519-16cd-43dd-8448-eb211c80319c",
                Some(0x0af7651916cd43dd8448eb211c80319c),
            ),
            ("8448eb211c80319c", Some(0x8448eb211c80319c)),
            ("abc123", hashed("abc123")),
            ("8448eb211c80319", hashed("8448eb211c80319")),
            ("8448eb211c80319x", hashed("8448eb211c80319x")),
            (
                "0af76519-16cd-43dd-8448-eb211c80319x",
                hashed("0af76519-16cd-43dd-8448-eb211c80319x"),
            ),
            ("1", hashed("1")),
            ("caf\u{e9} 7", hashed("caf\u{e9} 7")),
            (&long, hashed(&long)),
            (&longer, None),
            ("", None),
            ("-", None),
            ("0", None),
            ("\"\"", None),
            ("00000000-0000-0000-0000-000000000000", None),
            ("0000000000000000", None),
            ("00000000000000000000000000000000", None),
            ("null", None),
            ("Undefined", None),
            ("a\r\n b", None),
            ("a\tb", None),
        ] {
            let found = parse(value.as_bytes());
            assert_eq!(found.map(|ids| ids.trace_id), expected, "{value}");
            assert!(found.is_none_or(|ids| ids.span_id == 0 && ids.sampled.is_none()));
        }
    }
}
