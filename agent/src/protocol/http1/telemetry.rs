//! Requests that carry telemetry of the program itself.
//!
//! An OpenTelemetry SDK exports in the background, on whatever thread, while its process serves
//! requests that have nothing to do with it. Known by their `User-Agent`, which the specification
//! gives ("OpenTelemetry Protocol Exporter", section "User Agent"; Go's has blanks), or by OTLP's
//! default paths with its content type ("OTLP/HTTP Request"), or by the services of OTLP/gRPC. What a
//! gateway passes on counts likewise.

use super::head::{Fields, RequestLine};

const USER_AGENTS: [&[u8]; 2] = [b"OTel-OTLP-Exporter-", b"OTel OTLP Exporter "];

/// A prefix may stand before them.
const PATHS: [&[u8]; 4] = [
    b"/v1/traces",
    b"/v1/metrics",
    b"/v1/logs",
    b"/v1development/profiles",
];

/// Where the services of OTLP/gRPC are.
const SERVICES: &[u8] = b"/opentelemetry.proto.collector.";

/// Whether a request exports telemetry by OTLP.
pub(in crate::protocol) fn is_export(line: &RequestLine<'_>, fields: &Fields<'_>) -> bool {
    let by_name = || {
        let agent = fields.user_agent.unwrap_or_default();
        USER_AGENTS.iter().any(|name| agent.starts_with(name))
    };
    let by_path = || fields.is_protobuf && PATHS.iter().any(|path| line.target.ends_with(path));
    let by_service = || line.target.starts_with(SERVICES);
    line.method == "POST" && (by_name() || by_path() || by_service())
}

#[cfg(test)]
mod tests {
    use super::super::head;
    use super::*;

    #[test]
    fn requests_of_exporters() {
        let table = [
            ("POST /v1/traces", "OTel-OTLP-Exporter-Python/1.45.1", true),
            ("POST /v1/traces", "OTel OTLP Exporter Go/1.47.0", true),
            ("POST /elsewhere", "OTel-OTLP-Exporter-Java/1.60.0", true),
            ("GET /v1/traces", "OTel-OTLP-Exporter-Java/1.60.0", false),
            ("POST /v1/traces", "curl/7.88.1", false),
            ("POST /v1/traces", "curl OTel-OTLP-Exporter-", false),
        ];
        for (line, agent, expected) in table {
            let head = format!("{line} HTTP/1.1\r\nUser-Agent: {agent}\r\n\r\n");
            assert_eq!(is(&head), expected, "{head}");
        }
        let table = [
            ("POST /v1/traces", "application/x-protobuf", true),
            ("POST /v1/metrics", "Application/X-Protobuf", true),
            ("POST /tenant/v1/logs", "application/x-protobuf", true),
            ("POST /v1/traces/7", "application/x-protobuf", false),
            ("POST /v1/traces", "application/json", false),
            ("PUT /v1/traces", "application/x-protobuf", false),
            ("POST /orders", "application/x-protobuf", false),
        ];
        for (line, content, expected) in table {
            let head = format!("{line} HTTP/1.1\r\nContent-Type: {content}\r\n\r\n");
            assert_eq!(is(&head), expected, "{head}");
        }
    }

    fn is(head: &str) -> bool {
        let (line, rest) = head::request(head.as_bytes()).expect("a request");
        is_export(&line, &head::fields(rest, None))
    }
}
