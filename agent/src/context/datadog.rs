//! Datadog's headers: `x-datadog-trace-id`, `-parent-id`, `-sampling-priority` and `-tags`.
//!
//! <https://docs.datadoghq.com/tracing/trace_collection/trace_context_propagation/>. Ids are 64 bits
//! in decimal. The upper half of a longer trace id is the tag `_dd.p.tid`, 16 hexadecimal digits;
//! without it the id is widened by zeros, and a wrong one is as good as none, as in Datadog's own
//! tracers.

use super::digits::{decimal, lower_hex};
use super::ids::Ids;

/// The values of the four headers.
#[must_use]
pub fn parse(
    trace: &[u8],
    parent: Option<&[u8]>,
    priority: Option<&[u8]>,
    tags: Option<&[u8]>,
) -> Option<Ids> {
    let low = decimal(trace).filter(|id| *id != 0)?;
    // 0 is what a root says of its parent.
    let span_id = match parent {
        Some(digits) => decimal(digits)?,
        None => 0,
    };
    let high = tags.and_then(upper_half).unwrap_or(0);
    Some(Ids {
        trace_id: u128::from(high) << 64 | u128::from(low),
        span_id,
        sampled: priority.and_then(sampled),
    })
}

/// -1 and 0 drop (by a user's wish, by chance), 1 and 2 keep (by chance, by a user's wish).
fn sampled(priority: &[u8]) -> Option<bool> {
    match priority {
        [b'-', digits @ ..] => decimal(digits).map(|_| false),
        digits => decimal(digits).map(|number| number > 0),
    }
}

fn upper_half(tags: &[u8]) -> Option<u64> {
    let digits = tags
        .split(|&byte| byte == b',')
        .find_map(|tag| tag.trim_ascii().strip_prefix(b"_dd.p.tid="))?;
    match digits.len() {
        16 => lower_hex(digits).map(|half| half as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ids::shown;

    /// Trace, parent, priority, tags; `-` is absent.
    #[test]
    fn values() {
        let tid = "_dd.p.dm=-4, _dd.p.tid=640cfd8d00000000";
        let low = format!("{:016x}", 1234567890123456789u64);
        let (short, long) = (format!("{low:0>32}"), format!("640cfd8d00000000{low}"));
        let trace = "1234567890123456789";
        for (values, expected) in [
            (
                [trace, "987", "1", "-"],
                format!("{short} {:016x} sampled", 987),
            ),
            (
                [trace, "987", "2", tid],
                format!("{long} {:016x} sampled", 987),
            ),
            (
                [trace, "987", "0", tid],
                format!("{long} {:016x} unsampled", 987),
            ),
            (
                [trace, "987", "-1", tid],
                format!("{long} {:016x} unsampled", 987),
            ),
            (
                [trace, "987", "-", tid],
                format!("{long} {:016x} deferred", 987),
            ),
            (
                [trace, "987", "keep", tid],
                format!("{long} {:016x} deferred", 987),
            ),
            ([trace, "0", "1", tid], format!("{long} {:016x} sampled", 0)),
            ([trace, "-", "1", tid], format!("{long} {:016x} sampled", 0)),
            (
                [trace, "1", "1", "_dd.p.tid=640CFD8D00000000"],
                format!("{short} {:016x} sampled", 1),
            ),
            (
                [trace, "1", "1", "_dd.p.tid=640cfd8d"],
                format!("{short} {:016x} sampled", 1),
            ),
            (
                ["18446744073709551615", "1", "1", ",=,"],
                format!("{:032x} {:016x} sampled", u64::MAX, 1),
            ),
            (["0", "1", "1", tid], "none".to_owned()),
            (["18446744073709551616", "1", "1", "-"], "none".to_owned()),
            (["12ab", "1", "1", "-"], "none".to_owned()),
            ([trace, "x", "1", "-"], "none".to_owned()),
            (["", "1", "1", "-"], "none".to_owned()),
        ] {
            let [_, parent, priority, tags] =
                values.map(|text| (text != "-").then_some(text.as_bytes()));
            let found = shown(parse(values[0].as_bytes(), parent, priority, tags));
            assert_eq!(found, expected, "{values:?}");
        }
    }
}
