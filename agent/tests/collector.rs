//! Against the OpenTelemetry Collector (built from `tests/collector`): what Clew exports must
//! arrive in somebody else's code, by gRPC and HTTP, plain and compressed.
//!
//! `CLEW_TEST_COLLECTOR` names the executable. Without it the test says that it is skipped, or
//! fails where `CLEW_REQUIRE=1` says that everything must be there.

use std::error::Error;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clew::export::{BatchConfig, Compression, ExportConfig, OtlpConfig, Protocol};
use clew::metrics::{Count, Metrics};
use clew::model::{
    Attribute, Evidence, ExportSpan, Parent, Resource, Span, SpanId, SpanKind, SpanStatus,
    Timestamp, TraceFlags, TraceId,
};

struct Collector {
    child: Child,
    folder: PathBuf,
    grpc: u16,
    http: u16,
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Collector {
    fn start(executable: &Path) -> Result<Self, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("clew-collector-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        // Both held until both are chosen, so that they differ.
        let free = [
            TcpListener::bind("127.0.0.1:0")?,
            TcpListener::bind("127.0.0.1:0")?,
        ];
        let (grpc, http) = (free[0].local_addr()?.port(), free[1].local_addr()?.port());
        drop(free);
        let config = folder.join("collector.yaml");
        std::fs::write(
            &config,
            format!(
                "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{grpc}'}}, \
                 http: {{endpoint: '127.0.0.1:{http}'}}}}}}}}\n\
                 exporters: {{file: {{path: '{}', flush_interval: 50ms}}}}\n\
                 service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: \
                 {{receivers: [otlp], exporters: [file]}}}}}}\n",
                folder.join("spans.json").display()
            ),
        )?;
        let child = Command::new(executable)
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            folder,
            grpc,
            http,
        })
    }

    /// Counts a text in what was received, until it is there as often as wanted or 30 s are over.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test polls for what another process does; nothing here has to stop early"
    )]
    fn wait_for(&self, text: &str, count: usize) -> usize {
        let start = Instant::now();
        loop {
            let seen = self.received().matches(text).count();
            if seen >= count || start.elapsed() > Duration::from_secs(30) {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn received(&self) -> String {
        std::fs::read_to_string(self.folder.join("spans.json")).unwrap_or_default()
    }
}

fn span(service: &Arc<Resource>, trace: u128, id: u64) -> ExportSpan {
    ExportSpan {
        span: Span {
            trace_id: TraceId(trace),
            span_id: SpanId(id),
            flags: TraceFlags::SAMPLED,
            state: Some("vendor=1".into()),
            parent: Parent::Span {
                id: SpanId(0xabcd),
                evidence: Evidence::Header,
            },
            kind: SpanKind::Server,
            name: "GET /pay".into(),
            start: Timestamp(1),
            end: Timestamp(2),
            status: SpanStatus::Error,
            attributes: vec![
                Attribute::new("url.path", "/pay"),
                Attribute::new("http.response.status_code", 503),
            ],
            links: Vec::new(),
            notes: vec!["head cut at capture cap"],
            pid: 1,
        },
        resource: Arc::clone(service),
        start_unix_nanos: 1_700_000_000_000_000_001,
        end_unix_nanos: 1_700_000_000_900_000_002,
    }
}

#[test]
fn spans_arrive_by_both_protocols_and_all_compressions() -> Result<(), Box<dyn Error>> {
    let Some(executable) = std::env::var_os("CLEW_TEST_COLLECTOR") else {
        let required = std::env::var_os("CLEW_REQUIRE").is_some_and(|value| value == "1");
        assert!(
            !required,
            "CLEW_TEST_COLLECTOR is not set, and CLEW_REQUIRE=1"
        );
        eprintln!("skipped: CLEW_TEST_COLLECTOR does not name a Collector (see tests/collector)");
        return Ok(());
    };
    let collector = Collector::start(Path::new(&executable))?;
    let shop = Arc::new(Resource {
        service: "shop".to_owned(),
        attributes: vec![Attribute::new("service.name", "shop")],
    });
    let http = format!("http://127.0.0.1:{}/v1/traces", collector.http);
    let grpc = format!("http://127.0.0.1:{}", collector.grpc);
    let mut trace = 0x5eed_0000;
    for (protocol, endpoint) in [(Protocol::Grpc, grpc), (Protocol::HttpProtobuf, http)] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            trace += 1;
            let metrics = Metrics::default();
            let mut otlp = OtlpConfig::new(protocol, endpoint.clone());
            otlp.compression = compression;
            let config = ExportConfig {
                otlp: Some(otlp),
                batch: BatchConfig {
                    schedule_delay: Duration::from_millis(20),
                    ..BatchConfig::default()
                },
                ..ExportConfig::default()
            };
            let exporter = clew::export::start(&config, &metrics)?;
            // The Collector may still be starting: that is what retries are for.
            exporter.send((1..=700).map(|id| span(&shop, trace, id)).collect());
            let arrived = collector.wait_for(&format!("{trace:032x}"), 700);
            assert_eq!(arrived, 700, "{protocol:?} {compression:?}");
            exporter.shutdown(Duration::from_secs(2));
            assert_eq!(metrics.counted(Count::SpansExported), 700);
        }
    }
    let received = collector.received();
    for part in [
        "\"stringValue\":\"shop\"",
        "\"parentSpanId\":\"000000000000abcd\"",
        "\"traceState\":\"vendor=1\"",
        "\"startTimeUnixNano\":\"1700000000000000001\"",
        "\"key\":\"http.response.status_code\",\"value\":{\"intValue\":\"503\"}",
        "\"key\":\"clew.parent.evidence\",\"value\":{\"stringValue\":\"header\"}",
        "{\"arrayValue\":{\"values\":[{\"stringValue\":\"head cut at capture cap\"}]}}",
        "\"status\":{\"code\":2}",
        "\"flags\":769",
    ] {
        assert!(
            received.contains(part),
            "{part} is not in what the Collector wrote"
        );
    }
    Ok(())
}
