//! What it means for a call of gRPC that it was cancelled: `RST_STREAM` does not say why. gRPC's libraries
//! ask the clock: what is cancelled when the call's deadline has passed has ended by that (grpc-go,
//! `handleRSTStream`; gRPC's C core, `grpc_http2_error_to_grpc_status`). So it is done here.

use crate::model::Timestamp;

use super::head::Head;

/// Status codes of gRPC ("Status codes and their use in gRPC").
const CANCELLED: u16 = 1;
const DEADLINE_EXCEEDED: u16 = 4;

/// So much of its time (a part, and nanoseconds at least) before a deadline may be its end. gRPC's C core
/// names timeouts that are up to 4 % too long: it rounds them up, and sends one again that is much the same,
/// because that is shorter in HPACK. And a request leaves a little after its timeout was reckoned.
const SLACK_PART: u64 = 20;
const SLACK_MIN: u64 = 1_000_000;

/// When a call was to be over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Deadline {
    /// Nobody knows: not all fields of its request are known.
    #[default]
    Unknown,
    /// It had all the time.
    Never,
    /// Then.
    At(Timestamp),
}

impl Deadline {
    /// That of a request with these fields.
    pub(super) fn of(head: &Head, start: Timestamp) -> Self {
        match head.get(b"grpc-timeout") {
            Some(value) => timeout(value).map_or(Self::Unknown, |timeout| {
                let slack = (timeout / SLACK_PART).max(SLACK_MIN);
                Self::At(Timestamp(
                    start.0.saturating_add(timeout.saturating_sub(slack)),
                ))
            }),
            None if head.incomplete => Self::Unknown,
            None => Self::Never,
        }
    }

    /// The status of a call that was cancelled at a time, if it is known.
    pub(super) fn status(self, cancelled: Timestamp) -> Option<u16> {
        match self {
            Self::Unknown => None,
            Self::At(time) if cancelled >= time => Some(DEADLINE_EXCEEDED),
            Self::At(_) | Self::Never => Some(CANCELLED),
        }
    }
}

/// Nanoseconds ("gRPC over HTTP2", `Timeout`): up to eight digits, and a unit.
fn timeout(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    let unit: u64 = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    let few = matches!(digits.len(), 1..=8) && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok().filter(|_| few)?;
    Some(number.parse::<u64>().ok()?.saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        for (value, expected) in [
            ("300m", Some(300_000_000)),
            ("1n", Some(1)),
            ("99999999u", Some(99_999_999_000)),
            ("5S", Some(5_000_000_000)),
            ("2M", Some(120_000_000_000)),
            ("1H", Some(3_600_000_000_000)),
            ("99999999H", Some(u64::MAX)),
            ("999999999n", None),
            ("m", None),
            ("", None),
            ("5", None),
            ("+5S", None),
            ("5s", None),
        ] {
            assert_eq!(timeout(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn of_calls_that_are_cancelled() {
        const MS: u64 = 1_000_000;
        for (field, incomplete, after, expected) in [
            (Some("300m"), false, 284 * MS, Some(CANCELLED)),
            (Some("300m"), false, 285 * MS, Some(DEADLINE_EXCEEDED)),
            (Some("300m"), true, 310 * MS, Some(DEADLINE_EXCEEDED)),
            (Some("2m"), false, MS, Some(DEADLINE_EXCEEDED)),
            (Some("1n"), false, 0, Some(DEADLINE_EXCEEDED)),
            (Some("99999999H"), false, 310 * MS, Some(CANCELLED)),
            (Some("soon"), false, 310 * MS, None),
            (None, false, 310 * MS, Some(CANCELLED)),
            (None, true, 310 * MS, None),
        ] {
            let mut head = Head::default();
            if let Some(value) = field {
                head.add(Some(b"grpc-timeout"), Some(value.as_bytes()));
            }
            head.incomplete = incomplete;
            let start = Timestamp(7);
            let found = Deadline::of(&head, start).status(Timestamp(start.0 + after));
            assert_eq!(found, expected, "{field:?} {incomplete} {after}");
        }
    }
}
