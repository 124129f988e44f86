//! The listener over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod plain;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use meseta_pki::CertificateAuthority;
use meseta_serve::{Client, Identity, Limits, client_config, serve, server_config};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(20);
/// Limits short enough to be waited for.
const SHORT: Duration = Duration::from_millis(300);

struct Server {
    ca: CertificateAuthority,
    address: SocketAddr,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
    /// `/slow` has been reached.
    reached: Arc<Notify>,
    /// Lets `/slow` answer.
    release: Arc<Notify>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let ca = CertificateAuthority::generate().unwrap();
        let issued = ca.issue_server(&["localhost".to_owned()]).unwrap();
        let tls =
            server_config(ca.certificate_pem(), &issued.certificate_pem, &issued.key_pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (reached, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let service = tower::service_fn({
            let (reached, release) = (Arc::clone(&reached), Arc::clone(&release));
            move |request| answer(request, Arc::clone(&reached), Arc::clone(&release))
        });
        let ended = tokio::spawn(serve(listener, tls, limits, service, shutdown.clone()));
        Self { ca, address, shutdown, ended, reached, release }
    }

    fn client_of(&self, ca: &CertificateAuthority) -> Client {
        let issued = ca.issue_client("ann", &["readers".to_owned()]).unwrap();
        Client::new(self.ca.certificate_pem(), &issued.certificate_pem, &issued.key_pem).unwrap()
    }

    async fn get(&self, client: &Client, path: &str) -> Result<String, meseta_serve::Error> {
        let response = client.get(&self.address.to_string(), "localhost", path).await?;
        Ok(text(response).await)
    }

    /// A TLS connection that speaks whatever is written into it.
    async fn raw(&self, alpn: &[u8]) -> TlsStream<TcpStream> {
        let issued = self.ca.issue_client("ann", &[]).unwrap();
        let mut config =
            client_config(self.ca.certificate_pem(), &issued.certificate_pem, &issued.key_pem)
                .unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        let socket = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("localhost").unwrap(), socket)
            .await
            .unwrap()
    }
}

async fn answer(
    request: Request<Incoming>,
    reached: Arc<Notify>,
    release: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/slow" {
        reached.notify_one();
        release.notified().await;
    }
    let identity = request.extensions().get::<Identity>().unwrap().clone();
    if request.method() == http::Method::POST {
        return Ok(Response::new(Full::new(
            request.into_body().collect().await.unwrap().to_bytes(),
        )));
    }
    let text = format!("{} {} {:?}", identity.user, identity.groups.join(","), request.version());
    Ok(Response::new(Full::new(Bytes::from(text))))
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Reads until the peer closes; says how long it took.
async fn until_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> (Vec<u8>, Duration) {
    let begun = Instant::now();
    let mut read = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await;
    // A close without TLS's goodbye is an error, and a close.
    drop(closed.expect("the server keeps the connection"));
    (read, begun.elapsed())
}

#[tokio::test]
async fn the_service_sees_who_the_certificate_names() {
    let server = Server::start(Limits::default()).await;
    let answer = server.get(&server.client_of(&server.ca), "/").await.unwrap();
    assert_eq!(answer, "ann readers HTTP/1.1");
}

#[tokio::test]
async fn a_posted_body_reaches_the_service() {
    let server = Server::start(Limits::default()).await;
    let address = server.address.to_string();
    let client = server.client_of(&server.ca);
    let answer = client.post(&address, "localhost", "/", Bytes::from_static(b"hello")).await;
    assert_eq!(text(answer.unwrap()).await, "hello");
}

#[tokio::test]
async fn http2_is_served_on_the_same_port() {
    let server = Server::start(Limits::default()).await;
    let stream = hyper_util::rt::TokioIo::new(server.raw(b"h2").await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), stream)
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(text(sender.send_request(request).await.unwrap()).await, "ann  HTTP/2.0");
    drop(sender);
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let server = Server::start(Limits::default()).await;
    let other = CertificateAuthority::generate().unwrap();
    server.get(&server.client_of(&other), "/").await.unwrap_err();
}

#[tokio::test]
async fn without_a_certificate_nobody_is_served() {
    let server = Server::start(Limits::default()).await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = server.ca.certificate_pem().as_bytes();
    let der = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(pem);
    roots.add(der.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    // With TLS 1.3 the client's half of the handshake ends before the refusal arrives.
    if let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, socket).await {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.ok();
        let (read, _) = until_closed(&mut stream).await;
        assert!(read.is_empty(), "{}", String::from_utf8_lossy(&read));
    }
}

#[tokio::test]
async fn an_agents_name_is_checked_by_the_caller() {
    let server = Server::start(Limits::default()).await;
    let client = server.client_of(&server.ca);
    let address = server.address.to_string();
    let error = client.get(&address, "a1.agent.meseta.internal", "/").await.unwrap_err();
    assert!(matches!(error, meseta_serve::Error::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_half_open_handshake_is_cut() {
    let server = Server::start(Limits { handshake_timeout: SHORT, ..Limits::default() }).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let (_, after) = until_closed(&mut socket).await;
    assert!(after >= SHORT / 2 && after < PATIENCE / 2, "{after:?}");
}

#[tokio::test]
async fn a_dripping_request_head_is_cut() {
    let server = Server::start(Limits { header_read_timeout: SHORT, ..Limits::default() }).await;
    for (alpn, head) in [
        (&b"http/1.1"[..], &b"GET / HTTP/1.1\r\nx: "[..]),
        (b"http/1.1", b""),
        (b"h2", b"PRI * HTTP/2.0\r\n"),
        (b"h2", b""),
    ] {
        let mut stream = server.raw(alpn).await;
        stream.write_all(head).await.unwrap();
        let (_, after) = until_closed(&mut stream).await;
        assert!(after < PATIENCE / 2, "{after:?}");
    }
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let server = Server::start(Limits { max_header_bytes: 8 * 1024, ..Limits::default() }).await;
    let mut stream = server.raw(b"http/1.1").await;
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    stream.write_all(head.as_bytes()).await.ok();
    let (read, _) = until_closed(&mut stream).await;
    let read = String::from_utf8_lossy(&read);
    assert!(read.is_empty() || read.starts_with("HTTP/1.1 431"), "{read}");
}

#[tokio::test]
async fn beyond_the_connection_limit_others_wait_their_turn() {
    let server = Server::start(Limits { max_connections: 1, ..Limits::default() }).await;
    let client = server.client_of(&server.ca);
    let first = server.raw(b"http/1.1").await;
    let second = server.get(&client, "/");
    let mut second = std::pin::pin!(second);
    assert!(tokio::time::timeout(SHORT, &mut second).await.is_err(), "both were served");
    drop(first);
    tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_lets_a_running_request_finish() {
    let server = Server::start(Limits::default()).await;
    let client = server.client_of(&server.ca);
    let request = server.get(&client, "/slow");
    let stop = async {
        server.reached.notified().await;
        server.shutdown.cancel();
        server.release.notify_one();
    };
    let (answer, ()) = tokio::join!(request, stop);
    assert_eq!(answer.unwrap(), "ann readers HTTP/1.1");
    tokio::time::timeout(PATIENCE, server.ended).await.unwrap().unwrap();
    TcpStream::connect(server.address).await.unwrap_err();
}

#[tokio::test]
async fn shutdown_waits_no_longer_than_the_drain_time() {
    let server = Server::start(Limits { drain: SHORT, ..Limits::default() }).await;
    let client = server.client_of(&server.ca);
    let request = server.get(&client, "/slow");
    let stop = async {
        server.reached.notified().await;
        server.shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(request, stop);
    answer.unwrap_err();
    tokio::time::timeout(PATIENCE, server.ended).await.unwrap().unwrap();
}
