//! Against receivers of this process: they take, delay, refuse, vanish and return.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::sync::oneshot;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::testing::{resource, server};
use super::*;
use crate::metrics::{Count, Drop};

/// What the receiver does with the next request; it takes those after the last entry.
enum Act {
    Partial(i64),
    Fail(Status),
    Hang,
}

#[derive(Clone, Default)]
struct Receiver {
    acts: Arc<Mutex<VecDeque<Act>>>,
    taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    tokens: Arc<Mutex<Vec<String>>>,
    times: Arc<Mutex<Vec<Instant>>>,
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.times.lock().unwrap().push(Instant::now());
        if let Some(token) = request.metadata().get("x-token") {
            self.tokens
                .lock()
                .unwrap()
                .push(token.to_str().unwrap().to_owned());
        }
        let act = self.acts.lock().unwrap().pop_front();
        let mut response = ExportTraceServiceResponse::default();
        match act {
            Some(Act::Fail(status)) => return Err(status),
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Partial(rejected_spans)) => {
                response.partial_success = Some(ExportTracePartialSuccess {
                    rejected_spans,
                    error_message: "too old".to_owned(),
                });
            }
            None => {}
        }
        self.taken.lock().unwrap().push(request.into_inner());
        Ok(Response::new(response))
    }
}

impl Receiver {
    fn with(acts: impl IntoIterator<Item = Act>) -> Self {
        let receiver = Self::default();
        receiver.acts.lock().unwrap().extend(acts);
        receiver
    }

    fn spans(&self) -> usize {
        let taken = self.taken.lock().unwrap();
        let groups = taken.iter().flat_map(|request| &request.resource_spans);
        groups.map(|group| group.scope_spans[0].spans.len()).sum()
    }

    /// Serves until the returned handle is dropped.
    fn serve(&self, listener: TcpListener) -> Serving {
        self.serve_with(listener, None)
    }

    fn serve_with(&self, listener: TcpListener, tls: Option<ServerTlsConfig>) -> Serving {
        let service = TraceServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = runtime().unwrap();
            runtime.block_on(async move {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let incoming = tonic::transport::server::TcpIncoming::from(listener);
                let mut builder = tonic::transport::Server::builder();
                if let Some(tls) = tls {
                    builder = builder.tls_config(tls).unwrap();
                }
                let server = builder.add_service(service).serve_with_incoming(incoming);
                tokio::select! {
                    result = server => result.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Serving {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

struct Serving {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl std::ops::Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn config(address: SocketAddr) -> ExportConfig {
    let mut otlp = OtlpConfig::new(Protocol::Grpc, format!("http://{address}"));
    otlp.timeout = Duration::from_millis(400);
    ExportConfig {
        otlp: Some(otlp),
        batch: BatchConfig {
            schedule_delay: Duration::from_millis(20),
            ..BatchConfig::default()
        },
        ..ExportConfig::default()
    }
}

fn spans(count: u64) -> Vec<ExportSpan> {
    let shop = resource("shop");
    (1..=count).map(|id| server(&shop, 1, id, 0, 1)).collect()
}

/// Waits for a condition that must become true; a bound, not a pace.
#[expect(
    clippy::disallowed_methods,
    reason = "a test polls for what another thread does; nothing here has to stop early"
)]
fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends ten spans to a receiver that acts so; returns it and the metrics when all are settled.
fn ten(acts: impl IntoIterator<Item = Act>) -> (Receiver, Metrics) {
    let receiver = Receiver::with(acts);
    let (listener, address) = listener();
    let _serving = receiver.serve(listener);
    let metrics = Metrics::default();
    let exporter = start(&config(address), &metrics).unwrap();
    exporter.send(spans(10));
    until("all spans settled", || {
        let lost: u64 = Drop::ALL.iter().map(|drop| metrics.drops(*drop)).sum();
        lost + metrics.counted(Count::SpansExported) == 10
    });
    exporter.shutdown(Duration::from_secs(1));
    (receiver, metrics)
}

#[test]
fn every_outcome_is_counted() {
    let retry_info = ErrorDetails::with_retry_info(Some(Duration::from_millis(300)));
    let exhausted = |details| Status::with_error_details(Code::ResourceExhausted, "", details);
    for (acts, exported, refused, partial, retries) in [
        (vec![], 10, 0, 0, 0),
        (vec![Act::Partial(3)], 7, 0, 3, 0),
        (vec![Act::Partial(99)], 0, 0, 10, 0),
        (vec![Act::Partial(-5)], 10, 0, 0, 0),
        (vec![Act::Fail(Status::invalid_argument("no"))], 0, 10, 0, 0),
        (vec![Act::Fail(exhausted(ErrorDetails::new()))], 0, 10, 0, 0),
        (vec![Act::Fail(exhausted(retry_info))], 10, 0, 0, 1),
        (
            vec![Act::Fail(Status::unavailable("x")), Act::Hang],
            10,
            0,
            0,
            2,
        ),
    ] {
        let (receiver, metrics) = ten(acts);
        assert_eq!(metrics.counted(Count::SpansExported), exported);
        assert_eq!(metrics.drops(Drop::Refused), refused);
        assert_eq!(metrics.drops(Drop::PartialSuccess), partial);
        assert_eq!(metrics.counted(Count::ExportRetries), retries);
        assert_eq!(receiver.spans() as u64, exported + partial);
    }
}

#[test]
fn retry_info_is_obeyed() {
    let delay = Duration::from_millis(700);
    let details = ErrorDetails::with_retry_info(Some(delay));
    let status = Status::with_error_details(Code::Unavailable, "later", details);
    let (receiver, _) = ten([Act::Fail(status)]);
    let times = receiver.times.lock().unwrap();
    assert!(times[1] - times[0] >= delay, "{:?}", times[1] - times[0]);
}

#[test]
fn headers_and_compression() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let receiver = Receiver::default();
        let (listener, address) = listener();
        let _serving = receiver.serve(listener);
        let mut config = config(address);
        if let Some(otlp) = &mut config.otlp {
            otlp.compression = compression;
            otlp.headers = vec![("x-token".to_owned(), "secret".to_owned())];
        }
        let exporter = start(&config, &Metrics::default()).unwrap();
        exporter.send(spans(3));
        exporter.shutdown(Duration::from_secs(5));
        assert_eq!(
            receiver.spans(),
            3,
            "{compression:?}: shutdown sends what waits"
        );
        assert_eq!(*receiver.tokens.lock().unwrap(), ["secret"]);
    }
}

/// Down at the start, full queue meanwhile, and all that was kept arrives once it is there.
#[test]
fn an_outage_is_bounded_counted_and_made_up_for() {
    let (listener, address) = listener();
    drop(listener);
    let mut config = config(address);
    config.batch.max_queue_size = 1000;
    let metrics = Metrics::default();
    let exporter = start(&config, &metrics).unwrap();
    let begun = Instant::now();
    for _ in 0..50 {
        exporter.send(spans(100));
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "send never waits");
    until("a failed attempt", || {
        metrics.counted(Count::ExportRetries) > 1
    });
    let receiver = Receiver::default();
    let _serving = receiver.serve(TcpListener::bind(address).unwrap());
    until("the queue is sent", || {
        metrics.counted(Count::SpansExported) + metrics.drops(Drop::QueueFull) == 5000
    });
    assert_eq!(metrics.drops(Drop::QueueFull), 4000);
    assert_eq!(receiver.spans(), 1000);

    // It vanishes and returns: nothing is lost while the queue has room.
    drop(_serving);
    let retries = metrics.counted(Count::ExportRetries);
    exporter.send(spans(10));
    until("an attempt in vain", || {
        metrics.counted(Count::ExportRetries) > retries
    });
    let _serving = receiver.serve(TcpListener::bind(address).unwrap());
    until("the rest", || metrics.counted(Count::SpansExported) == 1010);
    exporter.shutdown(Duration::from_secs(1));
}

#[test]
fn shutdown_keeps_its_deadline_and_counts_the_rest() {
    // One that is not there, and one that does not answer.
    for hang in [false, true] {
        let receiver = Receiver::with((0..100).map(|_| Act::Hang));
        let (listener, address) = listener();
        let _serving = hang.then(|| receiver.serve(listener));
        let metrics = Metrics::default();
        let exporter = start(&config(address), &metrics).unwrap();
        exporter.send(spans(700));
        let begun = Instant::now();
        exporter.shutdown(Duration::from_millis(600));
        assert!(begun.elapsed() < Duration::from_millis(1500));
        assert_eq!(metrics.drops(Drop::Shutdown), 700, "hang: {hang}");
    }
}

#[test]
fn bytes_are_bounded_too() {
    let (listener, address) = listener();
    drop(listener);
    let mut config = config(address);
    config.batch.max_queue_bytes = 100 << 10;
    let metrics = Metrics::default();
    let exporter = start(&config, &metrics).unwrap();
    let mut large = spans(100);
    for span in &mut large {
        span.span.state = Some("x".repeat(10 << 10).into());
    }
    exporter.send(large);
    assert!(metrics.drops(Drop::QueueFull) >= 90);
    exporter.shutdown(Duration::ZERO);
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let address = "127.0.0.1:1".parse().unwrap();
    let try_with = |change: &dyn Fn(&mut OtlpConfig)| {
        let mut config = config(address);
        config.otlp.as_mut().map(change);
        start(&config, &Metrics::default())
            .err()
            .unwrap()
            .to_string()
    };
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        for endpoint in ["", "localhost:4317", "ftp://h", "http://"] {
            let error = try_with(&|otlp| {
                otlp.protocol = protocol;
                otlp.endpoint = endpoint.to_owned();
            });
            assert!(error.contains("endpoint"), "{endpoint}: {error}");
        }
        let error = try_with(&|otlp| {
            otlp.protocol = protocol;
            otlp.headers = vec![("x-key".to_owned(), "se\ncret".to_owned())];
        });
        assert!(
            error.contains("x-key") && !error.contains("cret"),
            "{error}"
        );
        let error = try_with(&|otlp| {
            otlp.protocol = protocol;
            otlp.endpoint = "https://localhost:1".to_owned();
            otlp.certificate = Some("/nonexistent/ca.pem".into());
        });
        assert!(error.contains("/nonexistent/ca.pem"), "{error}");
    }
}

/// Answers each HTTP request with the next of `responses`; returns the requests' heads and when
/// they came.
fn http_server(listener: TcpListener, responses: Vec<String>) -> Requests {
    std::thread::spawn(move || {
        let mut requests = Vec::new();
        for response in responses {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut head).unwrap() > 0, "head cut: {head}");
            }
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            requests.push((head, Instant::now()));
            reader.get_mut().write_all(response.as_bytes()).unwrap();
        }
        requests
    })
}

type Requests = std::thread::JoinHandle<Vec<(String, Instant)>>;

#[test]
fn http_retry_after_partial_success_and_refusal() {
    use prost::Message;
    let partial = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 4,
            error_message: "x".to_owned(),
        }),
    };
    let partial = String::from_utf8(partial.encode_to_vec()).unwrap();
    let answer = |status: &str, headers: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let later = answer("503 Service Unavailable", "Retry-After: 1\r\n", "");
    for (last, exported, rejected, refused) in [
        (answer("200 OK", "", ""), 10, 0, 0),
        (answer("200 OK", "", &partial), 6, 4, 0),
        (answer("200 OK", "", "no protobuf"), 10, 0, 0),
        (answer("400 Bad Request", "", "<html>"), 0, 0, 10),
        (answer("500 Internal Server Error", "", ""), 0, 0, 10),
    ] {
        let (listener, address) = listener();
        let requests = http_server(listener, vec![later.clone(), last]);
        let mut config = config(address);
        if let Some(otlp) = &mut config.otlp {
            otlp.protocol = Protocol::HttpProtobuf;
            otlp.endpoint = format!("http://{address}/v1/traces");
            otlp.headers = vec![("x-token".to_owned(), "secret".to_owned())];
            otlp.compression = Compression::Gzip;
        }
        let metrics = Metrics::default();
        let exporter = start(&config, &metrics).unwrap();
        exporter.send(spans(10));
        let requests = requests.join().unwrap();
        exporter.shutdown(Duration::from_secs(2));
        for line in [
            "POST /v1/traces HTTP/1.1\r\n",
            "content-type: application/x-protobuf\r\n",
            "content-encoding: gzip\r\n",
            "x-token: secret\r\n",
        ] {
            assert!(requests[0].0.contains(line), "{line}: {}", requests[0].0);
        }
        // 10 ms for the clock's start: the delay counts from the answer.
        assert!(requests[1].1 - requests[0].1 >= Duration::from_millis(990));
        assert_eq!(metrics.counted(Count::SpansExported), exported);
        assert_eq!(metrics.drops(Drop::PartialSuccess), rejected);
        assert_eq!(metrics.drops(Drop::Refused), refused);
    }
}

/// The receiver proves who it is, and demands the same of the agent. Over HTTP
/// only the reading of the files is tried: the receiver here speaks gRPC.
#[test]
fn tls_with_certificates_of_both_sides() {
    let folder = std::env::temp_dir().join(format!("clew-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let issue = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let (server_certificate, server_key) = issue("localhost");
    let (client_certificate, client_key) = issue("agent");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(server_certificate, server_key))
        .client_ca_root(Certificate::from_pem(authority.pem()));
    let receiver = Receiver::default();
    let (listener, address) = listener();
    let _serving = receiver.serve_with(listener, Some(tls));
    let mut config = config(address);
    let otlp = config.otlp.as_mut().unwrap();
    otlp.timeout = Duration::from_secs(5);
    otlp.endpoint = format!("https://localhost:{}", address.port());
    otlp.certificate = file("ca.pem", &authority.pem());
    for ours in [false, true] {
        if ours {
            let otlp = config.otlp.as_mut().unwrap();
            otlp.client_certificate = file("client.pem", &client_certificate);
            otlp.client_key = file("client.key", &client_key);
        }
        let metrics = Metrics::default();
        let exporter = start(&config, &metrics).unwrap();
        exporter.send(spans(3));
        until("an attempt", || {
            metrics.counted(Count::ExportRetries) + metrics.counted(Count::SpansExported) > 0
        });
        assert_eq!(receiver.spans(), if ours { 3 } else { 0 });
        exporter.shutdown(Duration::ZERO);
    }
    config.otlp.as_mut().unwrap().protocol = Protocol::HttpProtobuf;
    start(&config, &Metrics::default())
        .unwrap()
        .shutdown(Duration::ZERO);
    std::fs::remove_dir_all(&folder).unwrap();
}
