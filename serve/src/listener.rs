//! Accepting connections and serving requests on them.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};
use tracing::{Instrument as _, debug, info, warn};

use crate::Identity;
use crate::idle::Idle;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How much a listener bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; one more waits for a place, the others in the kernel's backlog. 10,000
    /// agents and their watches come over one connection each.
    pub max_connections: usize,
    /// Time for the TLS handshake.
    pub handshake_timeout: Duration,
    /// Time from the handshake to the first whole request head, and over HTTP/1.1 to each
    /// following one: an idle HTTP/1.1 connection lives no longer.
    pub header_read_timeout: Duration,
    /// Bytes of a request's head.
    pub max_header_bytes: u32,
    /// Requests at a time on one HTTP/2 connection, watches included; as kube-apiserver's.
    pub max_streams: u32,
    /// After this time without a byte an HTTP/2 peer is pinged, and cut when it does not answer
    /// within the same time.
    pub ping_interval: Duration,
    /// Time that requests have to end after shutdown was asked for.
    pub drain: Duration,
    /// Without TLS only: how long a connection may be kept without a request, while there are places
    /// for others. Long, because clients written for Mesos keep one for their calls and fail when it
    /// is gone.
    pub keep_alive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
            max_header_bytes: 64 * 1024,
            max_streams: 250,
            ping_interval: Duration::from_secs(20),
            drain: Duration::from_secs(5),
            keep_alive: Duration::from_secs(24 * 3600),
        }
    }
}

/// Serves until `shutdown`, then finishes what runs within [`Limits::drain`] and returns.
///
/// Each request carries the caller's [`Identity`] and its [`SocketAddr`] as extensions. Dropping
/// the future cuts all connections at once.
pub async fn serve<S, B>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: Limits,
    service: S,
    shutdown: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let acceptor = TlsAcceptor::from(tls);
    let stop = shutdown.clone();
    // Nobody gives up a place: idle connections end soon, and nobody comes without a certificate.
    accept_all(listener, &limits, &shutdown, &Idle::default(), move |socket, peer| {
        connection(socket, peer, acceptor.clone(), limits, service.clone(), stop.clone())
    })
    .await;
}

/// Accepts until `shutdown` and runs `connection` for each peer, at most
/// [`Limits::max_connections`] at a time, where one of `idle` gives its place to the next; then
/// waits for them for [`Limits::drain`].
pub(crate) async fn accept_all<F>(
    listener: TcpListener,
    limits: &Limits,
    shutdown: &CancellationToken,
    idle: &Idle,
    connection: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(limits.max_connections));
    let mut connections = JoinSet::new();
    loop {
        // Finished connections are taken out as new ones come in.
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &room, idle) => accepted,
        };
        let (socket, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connection = connection(socket, peer);
        connections.spawn(
            async move {
                connection.await;
                drop(permit);
            }
            .in_current_span(),
        );
    }
    drop(listener);
    let drained = tokio::time::timeout(limits.drain, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        info!(connections = connections.len(), "connections cut after the drain time");
    }
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    idle: &Idle,
) -> std::io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let (socket, peer) = listener.accept().await?;
    let permit = tokio::select! {
        biased;
        permit = Arc::clone(room).acquire_owned() => permit,
        () = idle.cut_one() => Arc::clone(room).acquire_owned().await,
    };
    let permit = permit.expect("the semaphore is never closed");
    Ok((socket, peer, permit))
}

async fn connection<S, B>(
    socket: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    limits: Limits,
    service: S,
    shutdown: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // Watches are small writes that must not wait for each other.
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%peer, %error, "peer gone before the handshake");
        return;
    }
    let handshake = tokio::time::timeout(limits.handshake_timeout, acceptor.accept(socket));
    let stream = tokio::select! {
        () = shutdown.cancelled() => return,
        stream = handshake => match stream {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return debug!(%peer, %error, "handshake refused"),
            Err(_) => return debug!(%peer, "handshake took too long"),
        },
    };
    let Some(identity) = identity(&stream) else {
        return debug!(%peer, "certificate without a user");
    };
    let http = protocol(&stream, &limits);
    let requested = Arc::new(AtomicBool::new(false));
    let answer = service_fn({
        let requested = Arc::clone(&requested);
        move |request| {
            requested.store(true, Ordering::Relaxed);
            respond(service.clone(), request, identity.clone(), peer)
        }
    });
    let mut connection = pin!(http.serve_connection_with_upgrades(TokioIo::new(stream), answer));
    let mut first_request = pin!(tokio::time::sleep(limits.header_read_timeout));
    let mut waiting = true;
    let mut draining = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.as_mut().poll(cx)) => break ended,
            () = &mut first_request, if waiting => {
                waiting = false;
                if !requested.load(Ordering::Relaxed) {
                    return debug!(%peer, "no request came in time");
                }
            }
            () = shutdown.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        debug!(%peer, error = %Chain(&*error), "connection ended");
    }
}

fn identity(stream: &TlsStream<TcpStream>) -> Option<Identity> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    Identity::from_certificate(certificate).ok()
}

/// HTTP as negotiated in the handshake, so that no byte is waited for to tell the versions apart.
fn protocol(stream: &TlsStream<TcpStream>, limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    let header_bytes = usize::try_from(limits.max_header_bytes).expect("usize has 32 bits");
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size(header_bytes.max(8 * 1024));
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.max_header_bytes)
        .max_concurrent_streams(limits.max_streams)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_interval);
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http.http2_only()
    } else {
        http.http1_only()
    }
}

async fn respond<S, B>(
    service: S,
    mut request: Request<Incoming>,
    identity: Identity,
    peer: SocketAddr,
) -> Result<Response<B>, BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    let begun = Instant::now();
    let logged = tracing::enabled!(tracing::Level::DEBUG)
        .then(|| (request.method().clone(), request.uri().clone(), identity.user.clone()));
    request.extensions_mut().insert(identity);
    request.extensions_mut().insert(peer);
    let response = service.oneshot(request).await.map_err(Into::into);
    if let Some((method, uri, user)) = logged {
        let status = response.as_ref().map_or(0, |response| response.status().as_u16());
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(%method, %uri, user, status, micros, "served");
    }
    response
}

/// An error with its causes, on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
