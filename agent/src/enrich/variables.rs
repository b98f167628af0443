//! What a process declares of itself in `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`.

use crate::config::{Pairs, parse_pairs};

/// Attributes taken from one process; more is no description but an accident.
const ATTRIBUTES_MAX: usize = 64;
/// Bytes of one declared value.
const VALUE_MAX: usize = 1024;

/// What a process declares of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Its service name, if it says one.
    pub service: Option<String>,
    /// Its other resource attributes.
    pub attributes: Pairs,
}

impl Declared {
    /// Searches a NUL-separated environment, which may be cut: then its last entry may be too, and
    /// `complete` is false.
    #[must_use]
    pub fn find(environment: &[u8], complete: bool) -> Self {
        let mut name = None;
        let mut attributes = None;
        let mut entries = environment.split(|byte| *byte == 0).peekable();
        while let Some(entry) = entries.next() {
            if entries.peek().is_none() && !complete {
                break;
            }
            // The first of several wins, as in getenv(3).
            if let Some(value) = entry.strip_prefix(b"OTEL_SERVICE_NAME=") {
                name.get_or_insert(value);
            } else if let Some(value) = entry.strip_prefix(b"OTEL_RESOURCE_ATTRIBUTES=") {
                attributes.get_or_insert(value);
            }
        }
        let mut declared = Self::default();
        if let Some(text) = attributes.and_then(|value| std::str::from_utf8(value).ok()) {
            // "In case of any error […] the entire environment variable value SHOULD be discarded"
            // (OpenTelemetry specification, "Resource SDK").
            for (key, value) in parse_pairs(text).unwrap_or_default() {
                if value.is_empty() || value.len() > VALUE_MAX || key.len() > VALUE_MAX {
                    continue;
                }
                if key == "service.name" {
                    declared.service = Some(value);
                } else if declared.attributes.len() < ATTRIBUTES_MAX {
                    declared.attributes.retain(|(known, _)| *known != key);
                    declared.attributes.push((key, value));
                }
            }
        }
        let name = name.and_then(|value| std::str::from_utf8(value).ok());
        if let Some(name) = name.map(str::trim)
            && !name.is_empty()
            && name.len() <= VALUE_MAX
        {
            declared.service = Some(name.to_owned());
        }
        declared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments() {
        for (environment, complete, service, attributes) in [
            (&b""[..], true, None, &[][..]),
            (b"PATH=/bin\0HOME=/\0", true, None, &[]),
            (b"A=1\0OTEL_SERVICE_NAME=pay\0", true, Some("pay"), &[]),
            (b"OTEL_SERVICE_NAME=pay", true, Some("pay"), &[]),
            (b"OTEL_SERVICE_NAME=pa", false, None, &[]),
            (
                b"OTEL_SERVICE_NAME=a\0OTEL_SERVICE_NAME=b\0",
                true,
                Some("a"),
                &[],
            ),
            (b"OTEL_SERVICE_NAME= \0", true, None, &[]),
            (b"OTEL_SERVICE_NAME=\xff\0", true, None, &[]),
            (
                b"OTEL_RESOURCE_ATTRIBUTES=service.name=x,service.version=1%2E2\0",
                true,
                Some("x"),
                &[("service.version", "1.2")],
            ),
            (
                b"OTEL_RESOURCE_ATTRIBUTES=service.name=x\0OTEL_SERVICE_NAME=y\0",
                true,
                Some("y"),
                &[],
            ),
            (
                b"OTEL_RESOURCE_ATTRIBUTES=a=1,nonsense,b=2\0",
                true,
                None,
                &[],
            ),
            (
                b"OTEL_RESOURCE_ATTRIBUTES=a=1,a=2,b=\0",
                true,
                None,
                &[("a", "2")],
            ),
            (b"XOTEL_SERVICE_NAME=x\0", true, None, &[]),
        ] {
            let found = Declared::find(environment, complete);
            let wanted: Pairs = attributes
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(
                (found.service.as_deref(), found.attributes),
                (service, wanted),
                "{}",
                environment.escape_ascii()
            );
        }
    }
}
