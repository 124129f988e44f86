//! HTTP/1.1 without TLS, for clients that speak nothing else.
//!
//! hyper's own timeout of a request head also ends idle connections, so the times are kept here:
//!
//! ```text
//!  accepted ─┐ [header_read]      ┌─ first byte of the next head
//!            ▼                    ▼ [header_read]
//!          head ─► request ─► idle [keep_alive]
//!                  no limit: a stream lives until one side ends it
//! ```
//!
//! Where no further connection has a place, one without a request gives its own: see [`Idle`].
//!
//! **Invariants:** each frame of a response's body is one chunk. `Connection: close` in a request
//! ends the connection after its response, never within it.

mod progress;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};
use tracing::debug;

use self::progress::{Progress, Running};
use crate::Limits;
use crate::idle::Idle;
use crate::listener::{BoxError, Chain, accept_all};

/// hyper refuses smaller buffers for a request's head.
const LEAST_HEADER_BYTES: usize = 8 * 1024;

/// An extension of every request that came without TLS: cuts its connection.
///
/// Ending a body is not enough where the peer reads nothing: the connection then waits for room to
/// write what came before.
#[derive(Clone, Debug, Default)]
pub struct Hangup(CancellationToken);

impl Hangup {
    /// Cuts the connection, whatever is under way on it.
    pub fn hang_up(&self) {
        self.0.cancel();
    }
}

/// Serves until `shutdown`, then finishes what runs within [`Limits::drain`] and returns.
///
/// Each request carries the caller's [`SocketAddr`] and a [`Hangup`] as extensions. A service that answers with
/// streams should end them at shutdown. Dropping the future cuts all connections at once.
pub async fn serve_plain<S, B>(
    listener: TcpListener,
    limits: Limits,
    service: S,
    shutdown: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let stop = shutdown.clone();
    let idle = Arc::<Idle>::default();
    accept_all(listener, &limits, &shutdown, &idle, |socket, peer| {
        connection(socket, peer, limits, Arc::clone(&idle), service.clone(), stop.clone())
    })
    .await;
}

async fn connection<S, B>(
    socket: TcpStream,
    peer: SocketAddr,
    limits: Limits,
    idle: Arc<Idle>,
    service: S,
    shutdown: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // Events are small writes that must not wait for each other.
    if let Err(error) = socket.set_nodelay(true) {
        return debug!(%peer, %error, "peer gone before its first request");
    }
    let given_up = CancellationToken::new();
    let progress = Arc::new(Progress::new(idle, given_up.clone()));
    let io = TokioIo::new(Watched { socket, progress: Arc::clone(&progress) });
    let hangup = Hangup::default();
    let answer = service_fn({
        let (progress, hangup) = (Arc::clone(&progress), hangup.clone());
        move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(hangup.clone());
            respond(service.clone(), request, peer, progress.begin())
        }
    });
    let header_bytes = usize::try_from(limits.max_header_bytes).expect("usize has 32 bits");
    let mut http = http1::Builder::new();
    http.max_buf_size(header_bytes.max(LEAST_HEADER_BYTES));
    let mut connection = pin!(http.serve_connection(io, answer));
    // What is late is seen half a limit later at most.
    let mut look =
        tokio::time::interval(limits.header_read_timeout.max(Duration::from_millis(2)) / 2);
    let mut draining = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.as_mut().poll(cx)) => break ended,
            _ = look.tick() => if progress.is_late(&limits) {
                return debug!(%peer, "no request came in time");
            },
            () = hangup.0.cancelled() => return debug!(%peer, "hung up"),
            () = given_up.cancelled() => return debug!(%peer, "idle, and others need its place"),
            () = shutdown.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        debug!(%peer, error = %Chain(&error), "connection ended");
    }
}

async fn respond<S, B>(
    service: S,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    running: Running,
) -> Result<Response<Answer<B>>, BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
{
    let begun = Instant::now();
    let logged = tracing::enabled!(tracing::Level::DEBUG)
        .then(|| (request.method().clone(), request.uri().clone()));
    request.extensions_mut().insert(peer);
    let calls = request.method() == Method::POST;
    let response = service.oneshot(request).await.map_err(Into::into);
    if let Some((method, uri)) = logged {
        let status = response.as_ref().map_or(0, |response| response.status().as_u16());
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(%method, %uri, %peer, status, micros, "served");
    }
    let response = response?;
    if calls && response.status().is_success() {
        running.succeeded();
    }
    Ok(response.map(|body| Answer { body: Box::pin(body), _running: running }))
}

/// A response's body that says when it has ended.
struct Answer<B> {
    body: Pin<Box<B>>,
    _running: Running,
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.body.as_mut().poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that tells of the first byte of each head.
struct Watched {
    socket: TcpStream,
    progress: Arc<Progress>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.progress.bytes_came();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
