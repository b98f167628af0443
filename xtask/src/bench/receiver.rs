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
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::otlp::{self, Spans};

/// What is done with the content of an export request: an `ExportTraceServiceRequest`.
type Take = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Where OTLP over gRPC is received, on a thread of its own, for as long as this program runs.
pub struct Endpoint {
    address: SocketAddr,
    away: watch::Sender<bool>,
}

impl Endpoint {
    /// Starts to receive at a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start(take: impl Fn(&[u8]) + Send + Sync + 'static) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let (away, mut wanted_away) = watch::channel(false);
        let take: Take = Arc::new(take);
        thread::Builder::new()
            .name("receiver".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let mut listener = Some(listener);
                    loop {
                        if let Some(listener) = listener.take() {
                            tokio::select! {
                                () = accept(&listener, &take) => {}
                                _ = wanted_away.wait_for(|&away| away) => {}
                            }
                        }
                        if wanted_away.wait_for(|&away| !away).await.is_err() {
                            return;
                        }
                        listener = TcpListener::bind(address).await.ok();
                    }
                });
            })
            .context("starting the receiver's thread")?;
        Ok(Self { address, away })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leaves, with all connections cut, or comes back to the same address.
    pub fn stay_away(&self, away: bool) {
        self.away.send_replace(away);
    }
}

/// Accepts until this is dropped, which ends all connections.
async fn accept(listener: &TcpListener, take: &Take) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Those that have ended.
        while connections.try_join_next().is_some() {}
        let take = Arc::clone(take);
        connections.spawn(async move {
            // It ends with an error whenever the agent is stopped first.
            let _ended = serve(stream, &take).await;
        });
    }
}

/// A receiver that counts spans.
pub struct Receiver {
    endpoint: Endpoint,
    tally: Arc<Mutex<Tally>>,
}

/// What is counted at present.
#[derive(Default)]
struct Tally {
    marker: Vec<u8>,
    spans: Spans,
}

impl Receiver {
    /// Starts to receive.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start() -> Result<Self> {
        let tally = Arc::<Mutex<Tally>>::default();
        let endpoint = Endpoint::start({
            let tally = Arc::clone(&tally);
            move |content| {
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                let spans = otlp::count(content, &tally.marker);
                tally.spans += spans;
            }
        })?;
        Ok(Self { endpoint, tally })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        self.endpoint.url()
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

async fn serve(stream: TcpStream, take: &Take) -> Result<()> {
    // As much at once as an exporter may want to send.
    const WINDOW: u32 = 16 << 20;
    stream.set_nodelay(true)?;
    let mut connection = server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(1 << 20)
        .handshake::<_, Bytes>(stream)
        .await?;
    // Ended with the connection.
    let mut requests = JoinSet::new();
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        while requests.try_join_next().is_some() {}
        let take = Arc::clone(take);
        requests.spawn(async move {
            let _refused_or_gone = answer(request.into_body(), respond, &take).await;
        });
    }
    Ok(())
}

/// Hands a request on and answers with an empty `ExportTraceServiceResponse`: all accepted.
async fn answer(mut body: RecvStream, mut respond: SendResponse<Bytes>, take: &Take) -> Result<()> {
    let mut message = BytesMut::new();
    while let Some(data) = poll_fn(|context| body.poll_data(context)).await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        message.extend_from_slice(&data);
    }
    // gRPC's frame: compressed or not, then four bytes of length.
    let (prefix, content) = message.split_at_checked(5).context("no gRPC message")?;
    ensure!(prefix[0] == 0, "a compressed message: none was asked for");
    take(content);

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
