//! Serving a router: an accept loop that bounds what a connection may cost, and that drains before it ends.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::HOST;
use axum::http::{Request, Version};
use axum::response::{IntoResponse as _, Response};
use doorward_http::Draining;
use doorward_http::problem::{Kind, Problem};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::settings::ConnectionLimits;

/// How long requests in flight may take once the service is told to end. Below the 10 seconds after which
/// supervisors lose patience.
const DRAIN: Duration = Duration::from_secs(8);
/// How long accepting pauses when the process is out of file descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
/// The longest request line and header together, in bytes; above it 431.
const HEADER_BYTES: usize = 32 * 1024;

/// Serves `router` on `listener` until `end` resolves, then finishes the requests in flight and returns, within
/// 8 seconds.
///
/// A connection that has not sent a whole header in time is closed, whether it is idle or slow; one above the
/// limit waits to be accepted.
pub async fn serve(listener: TcpListener, router: Router, limits: ConnectionLimits, end: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let draining = GracefulShutdown::new();
    let (begin_draining, ending) = Draining::channel();
    let mut end = std::pin::pin!(end);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut end => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                continue;
            }
        };
        let mut stream = TimeoutStream::new(stream);
        // A client that takes nothing of its answer holds the connection as a slow sender would.
        stream.set_write_timeout(Some(limits.header_timeout));
        let router = router.clone();
        let ending = ending.clone();
        let service = service_fn(move |request| answer(router.clone(), peer, ending.clone(), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let connection = draining.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // A client that goes away or is too slow is everyday business.
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    // Whoever waits for news gets an answer now.
    begin_draining.send(true).unwrap_or_default();
    if tokio::time::timeout(DRAIN, draining.shutdown()).await.is_err() {
        tracing::warn!("requests were still in flight when the time to drain was over");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are small and written at once; waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}

async fn answer(
    router: Router,
    peer: SocketAddr,
    ending: Draining,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    // RFC 9112 section 3.2: one `Host`, or none in HTTP/1.0.
    let hosts = request.headers().get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Ok(Problem::from(Kind::BadRequest).with_detail("The request needs one Host header").into_response());
    }
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(ending);
    router.oneshot(request).await
}
