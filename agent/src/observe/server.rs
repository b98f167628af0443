//! `GET /metrics` and `GET /healthz`.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};

use super::render_prometheus;
use crate::metrics::Metrics;

/// Connections served at a time; a scraper needs one.
const MAX_CONNECTIONS: usize = 16;
/// Longest life of a connection.
const LIFE: Duration = Duration::from_secs(30);

/// Why the endpoint cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("the metrics endpoint cannot be served on {address}: {source}")]
pub struct ObserveError {
    address: SocketAddr,
    source: io::Error,
}

/// The running endpoint; ends when dropped.
pub struct Server {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// Where it listens (the port chosen, where port 0 was asked for).
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves the metrics on a thread of its own.
///
/// # Errors
/// When the address cannot be listened on.
pub fn serve(address: SocketAddr, metrics: Metrics) -> Result<Server, ObserveError> {
    let failed = |source| ObserveError { address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let work = move || {
        runtime.block_on(async {
            tokio::select! {
                () = accept(listener, metrics) => {}
                _ = stopped => {}
            }
        });
    };
    std::thread::Builder::new()
        .name("clew-metrics".to_owned())
        .spawn(work)
        .map_err(failed)?;
    Ok(Server {
        address: bound,
        _stop: stop,
    })
}

async fn accept(listener: TcpListener, metrics: Metrics) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the metrics endpoint cannot be served: {error}"),
    };
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: not a reason to spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&request, &metrics);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // A client that leaves or stalls is no event.
            let _ = tokio::time::timeout(LIFE, connection).await;
            drop(permit);
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => (
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            render_prometheus(metrics),
        ),
        (&Method::GET | &Method::HEAD, "/healthz") => {
            (StatusCode::OK, "text/plain", "ok\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, _) => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "try /metrics or /healthz\n".to_owned(),
        ),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn endpoints() {
        let metrics = Metrics::default();
        let server = serve(([127, 0, 0, 1], 0).into(), metrics.clone()).unwrap();
        metrics.count(crate::metrics::Count::Spans, 42);
        let text = get(server.address(), "/metrics");
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("\nclew_spans_total 42\n"));
        assert!(get(server.address(), "/healthz").ends_with("ok\n"));
        assert!(get(server.address(), "/other").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn a_taken_address_is_an_error_in_words() {
        let first = serve(([127, 0, 0, 1], 0).into(), Metrics::default()).unwrap();
        let error = serve(first.address(), Metrics::default()).err().unwrap();
        assert!(error.to_string().contains(&first.address().to_string()));
    }
}
