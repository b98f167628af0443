//! What exporting a span costs, two ways: `opentelemetry-otlp` with one exporter per resource over
//! a shared channel, and Clew's own export. See `docs/decisions/0002-otlp-export.md`.
//!
//! ```text
//! cargo run --release -p clew --example export_cost
//! ```
//!
//! The receiver is another process, so only the sender's processor time is counted.

use std::error::Error;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clew::export::{BatchConfig, ExportConfig, OtlpConfig, Protocol};
use clew::metrics::{Count, Metrics};
use clew::model::{
    Attribute, ExportSpan, NoParent, Parent, Resource, Span, SpanId, SpanKind, SpanStatus,
    Timestamp, TraceFlags, TraceId,
};
use opentelemetry::trace::{SpanContext, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

const BATCH: usize = 512;
const BATCHES: usize = 400;
/// In `/proc/self/stat`; a constant of the kernel's interface (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

struct Sink;

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        _: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Ends the receiver whichever way the measurement ends.
struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(address) = std::env::args().nth(1) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Sink));
        return Ok(runtime.block_on(server.serve(address.parse()?))?);
    }
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let child = Command::new(std::env::current_exe()?)
        .arg(address.to_string())
        .stdout(Stdio::null())
        .spawn()?;
    let _receiver = Receiver(child);
    let start = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        if start.elapsed() > Duration::from_secs(5) {
            return Err("the receiver did not start".into());
        }
        pause(Duration::from_millis(10));
    }
    println!("processor time per span, {BATCHES} batches of {BATCH} spans, 16 attributes each");
    println!(
        "cloning the spans is part of both figures; alone: {:.2} µs",
        cloning()?
    );
    println!(
        "{:>9} {:>22} {:>12}",
        "services", "opentelemetry-otlp", "clew"
    );
    for services in [1, 5, 20] {
        let other = crates_way(&format!("http://{address}"), services)?;
        let ours = clews_way(&format!("http://{address}"), services)?;
        println!(
            "{services:>9} {other:>19.2} µs {ours:>9.2} µs  ({:.1} times)",
            other / ours
        );
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the measurement waits for the export thread; nothing here has to stop early"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn cpu_micros() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    // utime and stime are the 14th and 15th field; the name is the second.
    let ticks = fields[12].parse::<f64>()? + fields[13].parse::<f64>()?;
    Ok(ticks / TICKS_PER_SECOND * 1e6)
}

fn per_span(begun: f64) -> Result<f64, Box<dyn Error>> {
    Ok((cpu_micros()? - begun) / (BATCH * BATCHES) as f64)
}

fn crates_way(endpoint: &str, services: usize) -> Result<f64, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(endpoint.to_owned())?.connect_lazy();
        let mut exporters = Vec::new();
        for service in 0..services {
            let mut exporter = SpanExporter::builder()
                .with_tonic()
                .with_channel(channel.clone())
                .with_timeout(Duration::from_secs(10))
                .build()?;
            let resource = opentelemetry_sdk::Resource::builder_empty()
                .with_service_name(format!("service-{service}"))
                .build();
            exporter.set_resource(&resource);
            exporters.push(exporter);
        }
        let template = sdk_span();
        let begun = cpu_micros()?;
        for _ in 0..BATCHES {
            for (at, exporter) in exporters.iter().enumerate() {
                let share = (at..BATCH).step_by(services).count();
                exporter.export(vec![template.clone(); share]).await?;
            }
        }
        per_span(begun)
    })
}

fn clews_way(endpoint: &str, services: usize) -> Result<f64, Box<dyn Error>> {
    let metrics = Metrics::default();
    let config = ExportConfig {
        otlp: Some(OtlpConfig::new(Protocol::Grpc, endpoint)),
        batch: BatchConfig::default(),
        ..ExportConfig::default()
    };
    let exporter = clew::export::start(&config, &metrics)?;
    let resources: Vec<_> = (0..services)
        .map(|service| {
            let service = format!("service-{service}");
            Arc::new(Resource {
                attributes: vec![Attribute::new("service.name", service.clone())],
                service,
            })
        })
        .collect();
    let template: Vec<ExportSpan> = (0..BATCH)
        .map(|at| clew_span(&resources[at % services]))
        .collect();
    let begun = cpu_micros()?;
    for batch in 1..=BATCHES {
        exporter.send(template.clone());
        while metrics.counted(Count::SpansExported) < ((batch - 1) * BATCH) as u64 {
            pause(Duration::from_micros(500));
        }
    }
    while metrics.counted(Count::SpansExported) < (BATCHES * BATCH) as u64 {
        pause(Duration::from_millis(1));
    }
    let cost = per_span(begun)?;
    exporter.shutdown(Duration::from_secs(1));
    Ok(cost)
}

/// What the example's own cloning of Clew's spans costs; the agent moves its spans.
fn cloning() -> Result<f64, Box<dyn Error>> {
    let resource = Arc::new(Resource {
        service: String::new(),
        attributes: Vec::new(),
    });
    let template: Vec<ExportSpan> = (0..BATCH).map(|_| clew_span(&resource)).collect();
    let begun = cpu_micros()?;
    for _ in 0..BATCHES {
        drop(std::hint::black_box(template.clone()));
    }
    per_span(begun)
}

/// Names and values as an HTTP span has them.
fn attributes() -> impl Iterator<Item = (&'static str, String)> {
    [
        ("http.request.method", "GET"),
        ("url.path", "/api/v1/customers/81723/orders"),
        ("url.query", "page=2&size=50"),
        ("url.scheme", "http"),
        ("http.route", "/api/v1/customers/{id}/orders"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "1.1"),
        ("network.transport", "tcp"),
        ("network.type", "ipv4"),
        ("network.peer.address", "10.17.3.22"),
        ("server.address", "orders.internal.example"),
        ("client.address", "10.17.3.22"),
        ("user_agent.original", "curl/8.5.0"),
        ("error.type", "500"),
        ("http.response.status_code", "500"),
        ("http.response.body.size", "1834"),
    ]
    .into_iter()
    .map(|(key, value)| (key, value.to_owned()))
}

fn clew_span(resource: &Arc<Resource>) -> ExportSpan {
    ExportSpan {
        span: Span {
            trace_id: TraceId(0x1234_5678),
            span_id: SpanId(0x1234),
            flags: TraceFlags::SAMPLED,
            state: None,
            parent: Parent::None(NoParent::Root),
            kind: SpanKind::Server,
            name: "GET".into(),
            start: Timestamp(1),
            end: Timestamp(2),
            status: SpanStatus::Unset,
            attributes: attributes()
                .map(|(key, value)| Attribute::new(key, value))
                .collect(),
            links: Vec::new(),
            notes: Vec::new(),
            pid: 1,
        },
        resource: Arc::clone(resource),
        start_unix_nanos: 1_700_000_000_000_000_000,
        end_unix_nanos: 1_700_000_000_001_000_000,
    }
}

fn sdk_span() -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            0x1234_5678_u128.into(),
            0x1234_u64.into(),
            opentelemetry::TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: opentelemetry::SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: opentelemetry::trace::SpanKind::Server,
        name: "GET".into(),
        start_time: SystemTime::now(),
        end_time: SystemTime::now(),
        attributes: attributes()
            .map(|(key, value)| KeyValue::new(key, value))
            .collect(),
        dropped_attributes_count: 0,
        events: opentelemetry_sdk::trace::SpanEvents::default(),
        links: opentelemetry_sdk::trace::SpanLinks::default(),
        status: opentelemetry::trace::Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("clew").build(),
    }
}
