//! Settings that say which trace contexts are understood.

use super::layers::{Layers, Standard};
use super::value::{Setting, choice};

choice! {
    /// A format in which a message may carry a trace context.
    ContextFormat {
        /// W3C Trace Context: `traceparent`, `tracestate`.
        TraceContext = "tracecontext",
        /// Zipkin: `b3`, else `X-B3-*`.
        B3 = "b3",
        /// The same: OpenTelemetry has two names for it, which differ in what is sent.
        B3Multi = "b3multi",
        /// Jaeger: `uber-trace-id`.
        Jaeger = "jaeger",
        /// AWS X-Ray: `X-Amzn-Trace-Id`.
        XRay = "xray",
        /// Google: `X-Cloud-Trace-Context`.
        CloudTrace = "cloudtrace",
        /// Datadog: `x-datadog-*`.
        Datadog = "datadog",
        /// SkyWalking: `sw8`.
        SkyWalking = "skywalking",
        /// The headers of `context.custom_headers`, in their order.
        Custom = "custom",
        /// No format at all.
        None = "none",
    }
}

impl ContextFormat {
    /// All formats; a context that says more comes before one that says less.
    const ALL: [Self; 8] = [
        Self::TraceContext,
        Self::B3,
        Self::Jaeger,
        Self::XRay,
        Self::CloudTrace,
        Self::Datadog,
        Self::SkyWalking,
        Self::Custom,
    ];
}

/// The name of a header field (RFC 9110, section 5.1), in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName(String);

impl HeaderName {
    /// Longest name, in bytes: it becomes part of an attribute's key.
    const LONGEST: usize = 64;
    /// Fields whose values are credentials.
    const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for HeaderName {
    fn read(text: &str) -> Result<Self, String> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let name = text.to_ascii_lowercase();
        if name.is_empty() || name.len() > Self::LONGEST || !name.bytes().all(token) {
            return Err("expected the name of a header, such as `trace-id`".to_owned());
        }
        if Self::CREDENTIALS.contains(&name.as_str()) {
            return Err("expected a header that holds an id, and no credentials".to_owned());
        }
        Ok(Self(name))
    }

    fn write(&self) -> String {
        self.0.clone()
    }
}

/// Which contexts are understood when a message carries several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The first of them that a message carries, and that is valid, holds.
    pub formats: Vec<ContextFormat>,
    /// Headers that carry the id of a trace and nothing else.
    pub custom_headers: Vec<HeaderName>,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
            formats: ContextFormat::ALL.to_vec(),
            custom_headers: Vec::new(),
        }
    }
}

impl Inbound {
    /// Each is looked for among all fields of each message.
    const MOST_CUSTOM_HEADERS: usize = 8;

    pub(super) fn read(layers: &mut Layers<'_>) -> Self {
        let default = Self::default();
        let mut formats = layers.list_or_standard(
            "context.formats",
            &[Standard {
                name: "OTEL_PROPAGATORS",
                read: propagators,
            }],
            "Trace contexts that are understood, the first one found holds: tracecontext, b3, …; or none.",
            default.formats,
        );
        if formats.len() > 1 && formats.contains(&ContextFormat::None) {
            layers.refuse("context.formats", "`none` stands alone");
        }
        let custom_headers = layers.list(
            "context.custom_headers",
            "Headers that carry the id of a trace, such as trace-id; other texts than ids are hashed.",
            default.custom_headers,
        );
        if custom_headers.len() > Self::MOST_CUSTOM_HEADERS {
            let most = Self::MOST_CUSTOM_HEADERS;
            layers.refuse("context.custom_headers", format!("at most {most}"));
        }
        // A header that was named is meant to be read; where the list does not place it, last.
        if !custom_headers.is_empty() && !formats.contains(&ContextFormat::Custom) {
            formats.push(ContextFormat::Custom);
        }
        Self {
            formats,
            custom_headers,
        }
    }
}

/// `OTEL_PROPAGATORS` (OpenTelemetry specification, "Environment Variable Specification"). Baggage is
/// no trace context.
fn propagators(text: &str) -> Result<Vec<ContextFormat>, String> {
    let names = text.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty() && *name != "baggage")
        .map(|name| ContextFormat::read(name).map_err(|message| format!("{message}, not `{name}`")))
        .collect()
}
