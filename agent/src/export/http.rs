//! OTLP over HTTP with protobuf bodies, and what both transports need of HTTP and TLS.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::retry::{Outcome, retry_after};
use super::{Compression, ExportError, OtlpConfig};

/// Longest response that is read: a receiver's word on partial success is short.
const MAX_RESPONSE: usize = 64 << 10;
/// How much of an error's text is logged.
const MAX_REASON: usize = 200;

/// A receiver reached by HTTP/1.1.
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    compression: Compression,
}

impl Http {
    pub(super) fn new(config: &OtlpConfig) -> Result<Self, ExportError> {
        let unusable = |reason: String| ExportError::Endpoint {
            endpoint: config.endpoint.clone(),
            reason,
        };
        let uri: Uri = config
            .endpoint
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| unusable(error.to_string()))?;
        let tls = match uri.scheme_str() {
            // The connector wants a configuration, though nothing is encrypted.
            Some("http") => tls(config, RootCertStore::empty())?,
            Some("https") => tls(config, roots(config)?)?,
            _ => return Err(unusable("its scheme must be http or https".to_owned())),
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let mut headers = headers(config)?;
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        let encoding = match config.compression {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        };
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!(
                "clew/",
                env!("CARGO_PKG_VERSION")
            )));
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            uri,
            headers,
            compression: config.compression,
        })
    }

    pub(super) async fn send(&self, request: Vec<u8>) -> Outcome {
        let retry = |reason: String| Outcome::Retry {
            after: None,
            reason,
        };
        let body = match compress(request, self.compression) {
            Ok(body) => body,
            Err(error) => {
                let reason = format!("the request could not be compressed: {error}");
                return Outcome::Refused { reason };
            }
        };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return retry(in_words(&error)),
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_RESPONSE).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes);
        if !head.status.is_success() {
            return refused(&Response::from_parts(head, body.unwrap_or_default()));
        }
        match body {
            // A body that is not the expected message does not undo the success.
            Ok(body) => {
                super::otlp::accepted(ExportTraceServiceResponse::decode(body).unwrap_or_default())
            }
            // Whether it was taken is unknown; a span twice is better than none.
            Err(error) => retry(format!("the response was cut short: {error}")),
        }
    }
}

/// OTLP specification, "OTLP/HTTP Response", failures.
fn refused(response: &Response<Bytes>) -> Outcome {
    let status = response.status();
    // The body should be a `google.rpc.Status`; proxies answer in HTML.
    let text = match tonic_types::Status::decode(response.body().clone()) {
        Ok(status) => status.message,
        Err(_) => String::from_utf8_lossy(response.body()).into_owned(),
    };
    let text: String = text.chars().take(MAX_REASON).collect();
    let reason = format!("HTTP {status}: {}", text.escape_debug());
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let after = response.headers().get(RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok());
            let after = after.and_then(|value| retry_after(value, SystemTime::now()));
            Outcome::Retry { after, reason }
        }
        _ => Outcome::Refused { reason },
    }
}

fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

fn compress(body: Vec<u8>, compression: Compression) -> std::io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(body),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(
                Vec::with_capacity(body.len() / 4),
                flate2::Compression::fast(),
            );
            encoder.write_all(&body)?;
            encoder.finish()
        }
        Compression::Zstd => zstd::bulk::compress(&body, 1),
    }
}

/// The configured headers, checked.
pub(super) fn headers(config: &OtlpConfig) -> Result<HeaderMap, ExportError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let wrong = || ExportError::Header { name: name.clone() };
        let key = HeaderName::try_from(name.as_str()).map_err(|_| wrong())?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| wrong())?;
        // Often a token: kept out of debug prints.
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}

/// Reads a certificate or key file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ExportError> {
    std::fs::read(path).map_err(|error| file(path, &error))
}

fn file(path: &Path, reason: &impl ToString) -> ExportError {
    ExportError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn roots(config: &OtlpConfig) -> Result<RootCertStore, ExportError> {
    let mut roots = RootCertStore::empty();
    match &config.certificate {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| file(path, &error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        let reason = "no certificate authority is known; name one with the certificate option";
        return Err(ExportError::Tls(reason.to_owned()));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ExportError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| file(path, &error))
}

fn tls(config: &OtlpConfig, roots: RootCertStore) -> Result<ClientConfig, ExportError> {
    let wrong = |error: rustls::Error| ExportError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(roots);
    match (&config.client_certificate, &config.client_key) {
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, &error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, key)
                .map_err(wrong)
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        for (status, retry) in [
            (400, false),
            (401, false),
            (404, false),
            (429, true),
            (500, false),
            (501, false),
            (502, true),
            (503, true),
            (504, true),
        ] {
            let response = Response::builder()
                .status(status)
                .body(Bytes::from_static(b"<html>\x1b[31m"))
                .unwrap();
            match refused(&response) {
                Outcome::Retry { .. } => assert!(retry, "{status}"),
                Outcome::Refused { reason } => {
                    assert!(!retry, "{status}");
                    assert!(
                        !reason.contains('\x1b'),
                        "terminal codes in a log: {reason}"
                    );
                }
                Outcome::Accepted { .. } => panic!("{status} is no success"),
            }
        }
    }
}
