//! The OTLP receiver that the agent exports to: it counts spans, and accepts everything.
//!
//! Not the OpenTelemetry Collector, which the end-to-end tests use: decoding takes the Collector a
//! multiple of what the agent may take, on the processor that both would share.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::{self, SendResponse};
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};

use super::otlp::{self, Spans};

/// A receiver on a thread of its own, for as long as this program runs.
pub struct Receiver {
    address: SocketAddr,
    tally: Arc<Mutex<Tally>>,
}

/// What is counted at present.
#[derive(Default)]
struct Tally {
    marker: Vec<u8>,
    spans: Spans,
}

impl Receiver {
    /// Starts to receive OTLP over gRPC at a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let tally = Arc::<Mutex<Tally>>::default();
        let shared = Arc::clone(&tally);
        thread::Builder::new()
            .name("receiver".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    while let Ok((stream, _)) = listener.accept().await {
                        let tally = Arc::clone(&shared);
                        tokio::spawn(async move {
                            // It ends with an error whenever the agent is stopped first.
                            let _ended = serve(stream, &tally).await;
                        });
                    }
                });
            })
            .context("starting the receiver's thread")?;
        Ok(Self { address, tally })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Counts from zero the spans that mention `marker`.
    pub fn expect(&self, marker: &str) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        *tally = Tally {
            marker: marker.into(),
            spans: Spans::default(),
        };
    }

    /// What has come since [`Receiver::expect`].
    pub fn spans(&self) -> Spans {
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spans
    }
}

async fn serve(stream: TcpStream, tally: &Arc<Mutex<Tally>>) -> Result<()> {
    // As much at once as an exporter may want to send.
    const WINDOW: u32 = 16 << 20;
    stream.set_nodelay(true)?;
    let mut connection = server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(1 << 20)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let tally = Arc::clone(tally);
        tokio::spawn(async move {
            let _refused_or_gone = answer(request.into_body(), respond, &tally).await;
        });
    }
    Ok(())
}

/// Counts a request's spans and answers with an empty `ExportTraceServiceResponse`: all accepted.
async fn answer(
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    tally: &Mutex<Tally>,
) -> Result<()> {
    let mut message = BytesMut::new();
    while let Some(data) = poll_fn(|context| body.poll_data(context)).await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        message.extend_from_slice(&data);
    }
    // gRPC's frame: compressed or not, then four bytes of length.
    let (prefix, content) = message.split_at_checked(5).context("no gRPC message")?;
    ensure!(prefix[0] == 0, "a compressed message: none was asked for");
    {
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = otlp::count(content, &tally.marker);
        tally.spans += spans;
    }

    let head = Response::builder()
        .header("content-type", "application/grpc")
        .body(())?;
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(Bytes::from_static(&[0; 5]), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)?;
    Ok(())
}
