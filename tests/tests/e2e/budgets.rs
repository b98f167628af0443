//! A tenth of every limit, and more than that asked for: what is lost is counted, and the agent goes
//! on being right.

use std::io::Write as _;
use std::net::TcpStream;

use clew_testbed::Deadline;
use clew_tests::service::{self, CURL, NGINX};
use clew_tests::{Backend, Stage, raw};

use crate::protocol::after_all_else;

on_each_backend!(a_tenth_of_each);

const PORT: u16 = 8080;
const HELLO: &str = "server { listen 127.0.0.1:8080; return 200 'hello\n'; }";

/// A tenth of the defaults (agent/src/config/limits.rs), and of the export queue's spans.
const LIMITS: &str = "limits:
  connections: 6553
  open_exchanges: 6553
  pipelined_exchanges: 25
  head_bytes: 1638
  parser_memory: 3355443
  held_spans: 1638
  processes: 1638
  export_queue_bytes: 3355443
";

/// Each is two to the agent, which sees both ends.
const CONNECTIONS: usize = 4000;

/// More than such an agent needs by far, and less than what has no limit would take.
const MEMORY_MAX: u64 = 128 << 20;

fn a_tenth_of_each(backend: Backend) {
    let directory = clew_testbed::temp_dir().unwrap();
    let file = directory.path().join("clew.yaml");
    std::fs::write(&file, LIMITS).unwrap();
    let arguments = ["--config", file.to_str().unwrap()];
    let Some(stage) = Stage::own("tenth", backend, &[CURL, NGINX], &arguments) else {
        return;
    };
    let (_, hard) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let enough = 3 * CONNECTIONS as u64;
    nix::sys::resource::setrlimit(
        nix::sys::resource::Resource::RLIMIT_NOFILE,
        enough.max(hard),
        enough.max(hard),
    )
    .unwrap();
    let _nginx = service::nginx(&stage, "nginx", HELLO, PORT).unwrap();
    after_all_else(&stage, PORT);

    // Nobody answers: every request stays open, at both ends.
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 8081));
    let open = || -> std::io::Result<Vec<(TcpStream, TcpStream)>> {
        let listener = std::net::TcpListener::bind(address)?;
        let pair = |number: usize| {
            let mut client = TcpStream::connect(address)?;
            let (mut server, _) = listener.accept()?;
            write!(client, "GET /open/{number} HTTP/1.1\r\nHost: a\r\n\r\n")?;
            std::io::Read::read(&mut server, &mut [0; 256])?;
            Ok((client, server))
        };
        (0..CONNECTIONS).map(pair).collect()
    };
    let open = stage.namespace().enter(open).unwrap().unwrap();
    let agent = stage.agent();
    let counted = |reason: &str| {
        let some = || (agent.metrics().drops(reason) > 0.0).then_some(());
        assert!(
            Deadline::after(Stage::SOON).poll(some).is_some(),
            "no {reason}: {}",
            agent.metrics().text()
        );
    };
    counted("connection_budget");
    counted("connection_forgotten");
    let kept = agent.metrics().sum("clew_open_connections", ("", ""));
    assert!(kept <= 6553.0, "{kept} connections");
    drop(open);

    // More requests on one connection than are followed, and a head longer than is kept.
    let (many, path) = (
        "GET /many HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100),
        stage.path("long"),
    );
    let close = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    raw::exchange(&stage, PORT, format!("{many}{close}").as_bytes(), 1 << 20).unwrap();
    let long = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\nConnection: close\r\n\r\n",
        "x".repeat(3000)
    );
    raw::exchange(&stage, PORT, long.as_bytes(), 1 << 20).unwrap();
    for span in stage.spans_of(&path, 2) {
        assert!(
            span.attribute("clew.notes").contains("request head cut"),
            "{span:#?}"
        );
    }

    after_all_else(&stage, PORT);
    let resident = agent.resident().unwrap();
    assert!(resident < MEMORY_MAX, "{resident} bytes");
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}
