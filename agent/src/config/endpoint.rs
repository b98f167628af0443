//! Where OTLP goes: from what was written to a complete URL.
//!
//! OpenTelemetry has two variables with different rules, and people write `collector:4317`. The
//! result is always a URL that says everything: scheme, host, port and, for HTTP, the path.

use super::layers::Standard;
use super::value::Setting;

/// What was written, and by which rule it is completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    text: String,
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: a base, to which the signal's path is added.
    Base,
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`: as it is.
    Exact,
    /// Our own flag, variable and file: a base as long as it has no path.
    Either,
}

/// The variables' rules. Their values are checked when they are completed, and a wrong one is
/// refused: ignoring it would send traces elsewhere.
pub fn variables() -> [Standard<Written>; 2] {
    [
        Standard {
            name: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            read: |text| Ok(Written::new(text, Rule::Exact)),
        },
        Standard {
            name: "OTEL_EXPORTER_OTLP_ENDPOINT",
            read: |text| Ok(Written::new(text, Rule::Base)),
        },
    ]
}

impl Setting for Written {
    const PRIVATE: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self::new(text, Rule::Either))
    }

    fn write(&self) -> String {
        self.text.clone()
    }
}

const EXPECTED: &str =
    "expected a URL, such as `http://localhost:4317` or `https://collector.example:4318`";

impl Written {
    fn new(text: &str, rule: Rule) -> Self {
        Self {
            text: text.to_owned(),
            rule,
        }
    }

    /// The port that is written, if any.
    pub fn port(&self) -> Option<u16> {
        Parts::split(&self.text)?.port()
    }

    /// The complete URL. `http` says whether the protocol is OTLP over HTTP (else gRPC);
    /// `insecure` holds for an endpoint without a scheme, where the specification allows that
    /// (gRPC only).
    ///
    /// # Errors
    ///
    /// It is no such URL, or a scheme is missing where none can be assumed.
    pub fn complete(&self, http: bool, insecure: bool) -> Result<String, String> {
        let parts = Parts::split(&self.text).ok_or(EXPECTED)?;
        let scheme = match (parts.scheme, http) {
            (Some(scheme @ ("http" | "https")), _) => scheme,
            (Some(_), _) => return Err(EXPECTED.to_owned()),
            (None, false) if insecure => "http",
            (None, false) => "https",
            (None, true) => {
                return Err("expected `http://` or `https://` before the host".to_owned());
            }
        };
        let authority = match parts.port() {
            Some(_) => parts.authority.to_owned(),
            // Written without a port, an HTTP URL means the scheme's own (80, 443): behind a
            // gateway that is what is meant. gRPC has no such custom.
            None if http => parts.authority.to_owned(),
            None => format!("{}:4317", parts.authority),
        };
        let path = match (http, self.rule) {
            (false, _) => "",
            (true, Rule::Exact) if parts.path.is_empty() => "/",
            (true, Rule::Exact) => parts.path,
            (true, Rule::Either) if !matches!(parts.path, "" | "/") => parts.path,
            (true, Rule::Base | Rule::Either) => {
                let base = parts.path.trim_end_matches('/');
                return Ok(format!("{scheme}://{authority}{base}/v1/traces"));
            }
        };
        Ok(format!("{scheme}://{authority}{path}"))
    }
}

/// A URL without its user name and password, for whoever looks on.
pub fn redacted(url: &str) -> String {
    match Parts::split(url) {
        Some(parts) if parts.authority.contains('@') => {
            let host = parts.authority.rsplit('@').next().unwrap_or_default();
            let scheme = parts.scheme.unwrap_or_default();
            format!("{scheme}://<redacted>@{host}{}", parts.path)
        }
        _ => url.to_owned(),
    }
}

struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: &'a str,
    path: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits as far as it is needed here (RFC 3986, section 3); the exporter's own URL parser has
    /// the last word.
    fn split(text: &'a str) -> Option<Self> {
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return None;
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let (authority, path) = match rest.find(['/', '?']) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        let parts = Self {
            scheme,
            authority,
            path,
        };
        let (host, port) = parts.host_and_port();
        let port_is_right = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        (!host.is_empty() && port_is_right).then_some(parts)
    }

    fn port(&self) -> Option<u16> {
        self.host_and_port().1?.parse().ok()
    }

    fn host_and_port(&self) -> (&'a str, Option<&'a str>) {
        let host = match self.authority.rsplit_once('@') {
            Some((_, host)) => host,
            None => self.authority,
        };
        // The colons inside of `[::1]` separate nothing.
        let name_end = host.rfind(']').unwrap_or(0);
        match host[name_end..].find(':') {
            Some(colon) => {
                let (host, port) = host.split_at(name_end + colon);
                (host, Some(&port[1..]))
            }
            None => (host, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completed() {
        use Rule::{Base, Either, Exact};
        let needs_scheme = None;
        for (text, rule, grpc, http) in [
            (
                "http://h:4317",
                Base,
                "http://h:4317",
                Some("http://h:4317/v1/traces"),
            ),
            (
                "https://h/otlp/",
                Base,
                "https://h:4317",
                Some("https://h/otlp/v1/traces"),
            ),
            ("http://h:1", Exact, "http://h:1", Some("http://h:1/")),
            ("http://h:1/x", Exact, "http://h:1", Some("http://h:1/x")),
            (
                "http://h:1",
                Either,
                "http://h:1",
                Some("http://h:1/v1/traces"),
            ),
            ("http://h:1/x", Either, "http://h:1", Some("http://h:1/x")),
            (
                "collector:4317",
                Either,
                "https://collector:4317",
                needs_scheme,
            ),
            ("collector", Base, "https://collector:4317", needs_scheme),
            (
                "http://[::1]",
                Either,
                "http://[::1]:4317",
                Some("http://[::1]/v1/traces"),
            ),
            (
                "http://[::1]:9",
                Either,
                "http://[::1]:9",
                Some("http://[::1]:9/v1/traces"),
            ),
        ] {
            let written = Written::new(text, rule);
            let complete = |http| written.complete(http, false).ok();
            assert_eq!(complete(false).as_deref(), Some(grpc), "{text} over gRPC");
            assert_eq!(complete(true).as_deref(), http, "{text} over HTTP");
        }
        let written = Written::new("h:1", Either);
        assert_eq!(written.complete(false, true).as_deref(), Ok("http://h:1"));
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "http://",
            "ftp://h",
            "http://h:port",
            "http://h:0",
            "http://h:70000",
            "http://h h",
            "http://:4317",
        ] {
            let written = Written::new(text, Rule::Either);
            assert!(written.complete(true, false).is_err(), "{text:?}");
            assert!(written.complete(false, false).is_err(), "{text:?}");
        }
    }

    #[test]
    fn credentials_are_hidden() {
        for (url, wanted) in [
            ("https://u:p@h:1/x", "https://<redacted>@h:1/x"),
            ("https://h:1/x", "https://h:1/x"),
        ] {
            assert_eq!(redacted(url), wanted);
        }
    }
}
