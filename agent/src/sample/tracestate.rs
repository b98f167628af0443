//! OpenTelemetry's member of a `tracestate`: `ot=th:c;rv:6e6d1a75832a2f`.
//!
//! <https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/>; the list around it is
//! W3C Trace Context's, section 3.3, whose rules on changing it (section 3.5) are followed here.

use std::fmt::Write as _;

use clew_common::sampling::{RANDOM_BITS, Threshold};

use crate::context::w3c::STATE_MAX;

/// Digits of a whole threshold or randomness.
const DIGITS: usize = RANDOM_BITS as usize / 4;
/// The longest value of `ot`, in bytes.
const VALUE_MAX: usize = 256;
/// The most members of a `tracestate`.
const MEMBERS_MAX: usize = 32;
/// Members longer than this go first where the whole is too long.
const MEMBER_LONG: usize = 128;

/// What a `tracestate` says about sampling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// `th`, or `Err` if it is there and wrong.
    pub threshold: Option<Result<Threshold, Invalid>>,
    /// A valid `rv`.
    pub randomness: Option<u64>,
}

/// A `th` that is not 1 to 14 lower-case hexadecimal digits, or not the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// Reads the `ot` member, if there is one.
pub(super) fn read(state: &str) -> Said {
    let mut said = Said::default();
    for (key, value) in own(state).into_iter().flat_map(pairs) {
        match key {
            "th" if said.threshold.is_some() => said.threshold = Some(Err(Invalid)),
            "th" => said.threshold = Some(threshold(value).ok_or(Invalid)),
            "rv" if value.len() == DIGITS => said.randomness = said.randomness.or(hex(value)),
            _ => {}
        }
    }
    said
}

/// The state with this `th`, or without any. What has changed stands first; everything else stays
/// as it was, as far as there is room.
///
/// `false` if the threshold found no room in the value of `ot`: then there is none.
pub(super) fn with_threshold(
    state: Option<&str>,
    threshold: Option<Threshold>,
) -> (Option<Box<str>>, bool) {
    let state = state.unwrap_or_default();
    if read(state).threshold == threshold.map(Ok) {
        return ((!state.is_empty()).then(|| state.into()), true);
    }
    let mut value = String::new();
    for (key, kept) in own(state).into_iter().flat_map(pairs) {
        if key != "th" {
            push(&mut value, ';', &[key, ":", kept]);
        }
    }
    let written = threshold.map(digits);
    let longer = written.as_ref().map_or(0, |th| ";th:".len() + th.len());
    let fits = value.len() + longer <= VALUE_MAX;
    if let Some(th) = written.filter(|_| fits) {
        push(&mut value, ';', &["th:", &th]);
    }
    let others = members(state).filter(|member| own(member).is_none());
    (list(&value, others), fits)
}

/// The list that begins with `ot`, within the limits of a `tracestate`.
fn list<'a>(value: &str, others: impl Iterator<Item = &'a str>) -> Option<Box<str>> {
    let first = match value {
        "" => String::new(),
        value => ["ot=", value].concat(),
    };
    let mut others: Vec<&str> = others.collect();
    others.truncate(MEMBERS_MAX - usize::from(!first.is_empty()));
    let length = |others: &[&str]| {
        let commas = others.len();
        first.len() + commas + others.iter().map(|member| member.len()).sum::<usize>()
    };
    while length(&others) > STATE_MAX
        && let Some(last) = others.len().checked_sub(1)
    {
        let long = others.iter().rposition(|m| m.len() > MEMBER_LONG);
        others.remove(long.unwrap_or(last));
    }
    let mut state = first;
    for member in others {
        push(&mut state, ',', &[member]);
    }
    (!state.is_empty()).then(|| state.into_boxed_str())
}

fn push(to: &mut String, separator: char, parts: &[&str]) {
    if !to.is_empty() {
        to.push(separator);
    }
    to.extend(parts.iter().copied());
}

fn members(state: &str) -> impl Iterator<Item = &str> {
    let blank = |c| matches!(c, ' ' | '\t');
    let members = state
        .split(',')
        .map(move |member| member.trim_matches(blank));
    members.filter(|member| !member.is_empty())
}

/// The value of the first `ot` member.
fn own(state: &str) -> Option<&str> {
    members(state).find_map(|member| member.strip_prefix("ot="))
}

/// The well-formed `key:value`s of an `ot` value.
fn pairs(value: &str) -> impl Iterator<Item = (&str, &str)> {
    let of_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let of_value = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    value
        .split(';')
        .filter_map(|pair| pair.split_once(':'))
        .filter(move |(key, value)| {
            key.starts_with(|c: char| c.is_ascii_lowercase())
                && key.bytes().all(of_key)
                && value.bytes().all(of_value)
        })
}

fn threshold(text: &str) -> Option<Threshold> {
    let missing = DIGITS.checked_sub(text.len())?;
    Some(Threshold::new(hex(text)? << (4 * missing)))
}

/// 1 to 14 lower-case hexadecimal digits.
fn hex(text: &str) -> Option<u64> {
    let lower = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if text.len() > DIGITS || !text.bytes().all(lower) {
        return None;
    }
    u64::from_str_radix(text, 16).ok()
}

/// A threshold of a trace that is kept, without the zeros at its end.
fn digits(threshold: Threshold) -> String {
    let mut text = String::with_capacity(DIGITS);
    // Writing to a String cannot fail.
    let _ = write!(text, "{:0DIGITS$x}", threshold.value());
    let length = text.trim_end_matches('0').len().max(1);
    text.truncate(length);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading() {
        let value = |digits: u64| Some(Ok(Threshold::new(digits)));
        let quarter = value(0xc0_0000_0000_0000);
        let explicit = Some(0x6e_6d1a_7583_2a2f);
        for (state, threshold, randomness) in [
            ("", None, None),
            ("ot=", None, None),
            ("vendor=1", None, None),
            ("ot=th:0", value(0), None),
            ("ot=th:c", quarter, None),
            ("ot=th:c0000000000000", quarter, None),
            ("ot=th:08", value(0x08_0000_0000_0000), None),
            ("ot=th:fd70a4", value(0xfd_70a4_0000_0000), None),
            ("ot=rv:6e6d1a75832a2f", None, explicit),
            ("a=1, ot=p:8;rv:6e6d1a75832a2f;th:c ,b=2", quarter, explicit),
            ("ot=th:c,ot=th:8", quarter, None),
            ("vot=th:c", None, None),
            ("t@ot=th:c", None, None),
            // Wrong ones.
            ("ot=th:", Some(Err(Invalid)), None),
            ("ot=th:C", Some(Err(Invalid)), None),
            ("ot=th:-1", Some(Err(Invalid)), None),
            ("ot=th:c00000000000000", Some(Err(Invalid)), None),
            ("ot=th:c;th:c", Some(Err(Invalid)), None),
            ("ot=rv:6e6d1a75832a2", None, None),
            ("ot=rv:6e6d1a75832a2f0", None, None),
            ("ot=rv:6E6D1A75832A2F", None, None),
            ("ot=rv;th=c", None, None),
        ] {
            let wanted = Said {
                threshold,
                randomness,
            };
            assert_eq!(read(state), wanted, "{state:?}");
        }
    }

    #[test]
    fn writing() {
        let quarter = Some(Threshold::new(0xc0_0000_0000_0000));
        for (state, threshold, wanted) in [
            ("", quarter, "ot=th:c"),
            ("", Some(Threshold::ALWAYS), "ot=th:0"),
            ("", Some(Threshold::new(0xe6_6600_0000_0000)), "ot=th:e666"),
            ("", Some(Threshold::new(1)), "ot=th:00000000000001"),
            ("", None, ""),
            ("a=1,b=2", quarter, "ot=th:c,a=1,b=2"),
            (
                "a=1,ot=th:8;rv:6e6d1a75832a2f,b=2",
                quarter,
                "ot=rv:6e6d1a75832a2f;th:c,a=1,b=2",
            ),
            ("a=1,ot=p:8;th:8", None, "ot=p:8,a=1"),
            ("a=1,ot=th:8", None, "a=1"),
            ("ot=th:X", None, ""),
            ("ot=th:8;th:c", quarter, "ot=th:c"),
            // What is no pair is not passed on in a value that is ours; a second `ot` neither.
            ("ot=junk;p:8,ot=r:1", quarter, "ot=p:8;th:c"),
            // Nothing to change: nothing moves.
            ("a=1,ot=junk;th:c0", quarter, "a=1,ot=junk;th:c0"),
            ("a=1,ot=junk", None, "a=1,ot=junk"),
        ] {
            let (written, fits) = with_threshold(Some(state), threshold);
            assert_eq!(written.as_deref().unwrap_or_default(), wanted, "{state:?}");
            assert!(fits, "{state:?}");
        }
    }

    #[test]
    fn limits() {
        let quarter = Some(Threshold::new(0xc0_0000_0000_0000));
        let write = |state: &str| {
            let (written, fits) = with_threshold(Some(state), quarter);
            (written.unwrap_or_default().into_string(), fits)
        };
        // The value of `ot`: 251 bytes leave room for `;th:c`, 252 do not.
        let full = format!("ot=x:{}", "v".repeat(249));
        assert_eq!(write(&full), (format!("{full};th:c"), true));
        let over = format!("ot=x:{}", "v".repeat(250));
        assert_eq!(write(&format!("{over};th:8")), (over, false));

        // Members: the last goes.
        let many = |n: usize| {
            (0..n)
                .map(|i| format!("k{i}=v"))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(write(&many(32)).0, format!("ot=th:c,{}", many(31)));
        assert_eq!(write(&many(31)).0, format!("ot=th:c,{}", many(31)));
        let with_own = format!("{},ot=th:8", many(31));
        assert_eq!(write(&with_own).0, format!("ot=th:c,{}", many(31)));

        // Bytes: the last of the long ones goes, then the last.
        let long = |key: char| format!("{key}={}", "v".repeat(254));
        let kept = ('a'..='o').map(long).collect::<Vec<_>>().join(",");
        let state = format!("{kept},p={}", "v".repeat(237));
        assert_eq!(state.len(), STATE_MAX - 2);
        assert_eq!(write(&state).0, format!("ot=th:c,{kept}"));
        let short = format!("{kept},z={}", "v".repeat(120));
        let more = format!("{short},y={},x=1", "v".repeat(STATE_MAX - short.len() - 7));
        assert_eq!(more.len(), STATE_MAX);
        let without = more.replacen(&format!(",{}", long('o')), "", 1);
        assert_eq!(write(&more).0, format!("ot=th:c,{without}"));
    }
}
