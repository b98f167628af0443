//! OTLP over gRPC.

use std::time::Duration;

use bytes::{BufMut, Bytes};
use hyper::http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tonic::client;
use tonic::codec::{Codec, CompressionEncoding, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};
use tonic_prost::ProstDecoder;
use tonic_types::StatusExt;

use super::http::{headers, read};
use super::retry::Outcome;
use super::{Compression, ExportError, OtlpConfig};

/// `TraceService.Export` of the OTLP specification.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A receiver reached by gRPC; connects when first used, and again when the connection is lost.
pub(super) struct Grpc {
    client: client::Grpc<Channel>,
    metadata: MetadataMap,
}

impl Grpc {
    pub(super) fn new(config: &OtlpConfig, timeout: Duration) -> Result<Self, ExportError> {
        let unusable = |reason: String| ExportError::Endpoint {
            endpoint: config.endpoint.clone(),
            reason,
        };
        let mut endpoint = Endpoint::from_shared(config.endpoint.clone())
            .map_err(|error| unusable(error.to_string()))?
            .connect_timeout(timeout)
            // A peer that vanished without a word is noticed between requests of one burst.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5));
        match endpoint.uri().scheme_str() {
            Some("http") => {}
            Some("https") => {
                endpoint = endpoint
                    .tls_config(tls(config)?)
                    .map_err(|error| ExportError::Tls(error.to_string()))?;
            }
            _ => return Err(unusable("its scheme must be http or https".to_owned())),
        }
        let mut client = client::Grpc::new(endpoint.connect_lazy());
        let encoding = match config.compression {
            Compression::None => None,
            Compression::Gzip => Some(CompressionEncoding::Gzip),
            Compression::Zstd => Some(CompressionEncoding::Zstd),
        };
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding).accept_compressed(encoding);
        }
        Ok(Self {
            client,
            metadata: MetadataMap::from_headers(headers(config)?),
        })
    }

    pub(super) async fn send(&self, request: Vec<u8>) -> Outcome {
        match self.export(request.into()).await {
            Ok(response) => super::otlp::accepted(response),
            Err(status) => classify(&status),
        }
    }

    async fn export(&self, request: Bytes) -> Result<ExportTraceServiceResponse, Status> {
        let mut request = Request::new(request);
        *request.metadata_mut() = self.metadata.clone();
        let mut client = self.client.clone();
        client
            .ready()
            .await
            .map_err(|error| Status::from_error(error.into()))?;
        let path = PathAndQuery::from_static(EXPORT);
        let response = client.unary(request, path, Encoded).await?;
        Ok(response.into_inner())
    }
}

/// Requests that are encoded already ([`super::encode`]).
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = ProstDecoder<ExportTraceServiceResponse>;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, request: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(request);
        Ok(())
    }
}

fn tls(config: &OtlpConfig) -> Result<ClientTlsConfig, ExportError> {
    let mut tls = ClientTlsConfig::new();
    tls = match &config.certificate {
        Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
        None => tls.with_native_roots(),
    };
    if let (Some(certificate), Some(key)) = (&config.client_certificate, &config.client_key) {
        tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(tls)
}

/// Characters of a receiver's message that are kept.
const MESSAGE_MAX: usize = 200;

/// OTLP specification, "OTLP/gRPC Response", failures.
fn classify(status: &Status) -> Outcome {
    let after = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    let retryable = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // Only a receiver that says when is one that can recover.
        Code::ResourceExhausted => after.is_some(),
        // A status with a source is this side's word for a connection that failed (tonic calls
        // some of those UNKNOWN): the receiver has refused nothing.
        _ => std::error::Error::source(status).is_some(),
    };
    // The receiver's words go into our log: cut, and without what could forge a line of it.
    let message: String = status.message().chars().take(MESSAGE_MAX).collect();
    let mut reason = format!("{:?}: {}", status.code(), message.escape_debug());
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        reason = format!("{reason}: {error}");
        source = error.source();
    }
    if retryable {
        Outcome::Retry { after, reason }
    } else {
        Outcome::Refused { reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn codes() {
        let retried: Vec<i32> = (0..17)
            .filter(|code| {
                let status = Status::new(Code::from_i32(*code), "");
                matches!(classify(&status), Outcome::Retry { .. })
            })
            .collect();
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
        assert_eq!(retried, [1, 4, 10, 11, 14, 15]);
    }

    #[test]
    fn resource_exhausted_with_retry_info() {
        let delay = Duration::from_secs(3);
        let details = ErrorDetails::with_retry_info(Some(delay));
        let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
        assert!(matches!(
            classify(&status),
            Outcome::Retry { after: Some(after), .. } if after == delay
        ));
    }
}
