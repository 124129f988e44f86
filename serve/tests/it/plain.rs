//! The listener without TLS, byte by byte.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use meseta_serve::{Hangup, Limits, serve_plain};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{PATIENCE, SHORT, until_closed};

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let service = tower::service_fn(answer);
        let ended = tokio::spawn(serve_plain(listener, limits, service, shutdown.clone()));
        Self { address, shutdown, ended }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// `/stream`: a record every 100 ms, for ever; `/flood`: as much as there is room for, and after a
/// while the service hangs up; else the peer's address.
async fn answer(request: Request<Incoming>) -> Result<Answer, Infallible> {
    let peer = request.extensions().get::<SocketAddr>().unwrap().to_string();
    if request.uri().path() == "/flood" {
        let hangup = request.extensions().get::<Hangup>().unwrap().clone();
        tokio::spawn(async move {
            tokio::time::sleep(SHORT).await;
            hangup.hang_up();
        });
        let flood = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![0; 65536]))));
        return Ok(Response::new(UnsyncBoxBody::new(StreamBody::new(flood))));
    }
    if request.uri().path() != "/stream" {
        return Ok(Response::new(Full::new(Bytes::from(peer)).boxed_unsync()));
    }
    let records = futures::stream::unfold(0, |sent| async move {
        // The first three at once: they stay three chunks.
        let record = match sent {
            0 => "1\na",
            1 => "2\nbb",
            2 => "1\n.",
            _ => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                "1\n."
            }
        };
        Some((Ok(Frame::data(Bytes::from(record))), sent + 1))
    });
    Ok(Response::new(UnsyncBoxBody::new(StreamBody::new(records))))
}

/// Reads until `text` has come.
async fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let found = tokio::time::timeout(PATIENCE, async {
        while !String::from_utf8_lossy(&read).contains(text) {
            assert_ne!(socket.read_buf(&mut read).await.unwrap(), 0, "the server closed");
        }
    });
    found.await.unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&read)));
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn the_service_sees_the_peers_address() {
    let server = Server::start(Limits::default()).await;
    let mut socket = server.connect().await;
    let own = socket.local_addr().unwrap().to_string();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let read = read_until(&mut socket, &own).await;
    assert!(read.starts_with("HTTP/1.1 200 OK\r\n") && read.contains("content-length: "), "{read}");
}

#[tokio::test]
async fn connection_close_does_not_end_a_stream_and_each_frame_is_one_chunk() {
    let limits = Limits { header_read_timeout: SHORT, keep_alive: SHORT, ..Limits::default() };
    let server = Server::start(limits).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let read = read_until(&mut socket, "1\n.").await;
    assert!(read.contains("transfer-encoding: chunked\r\n"), "{read}");
    assert!(read.contains("\r\n\r\n3\r\n1\na\r\n4\r\n2\nbb\r\n3\r\n1\n.\r\n"), "{read:?}");
    // Beyond every limit on heads and idle connections.
    for _ in 0..8 {
        read_until(&mut socket, "3\r\n1\n.\r\n").await;
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_a_head() {
    let server = Server::start(Limits { header_read_timeout: SHORT, ..Limits::default() }).await;
    let mut socket = server.connect().await;
    for _ in 0..2 {
        socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_until(&mut socket, "127.0.0.1:").await;
        tokio::time::sleep(SHORT * 3).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_not_kept_for_ever() {
    let server = Server::start(Limits {
        header_read_timeout: SHORT,
        keep_alive: SHORT,
        ..Limits::default()
    })
    .await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until_closed(&mut socket).await;
}

#[tokio::test]
async fn one_that_comes_gets_the_place_of_the_one_that_is_idle_longest() {
    let server = Server::start(Limits { max_connections: 3, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut stream, "1\n.").await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for socket in [&mut first, &mut second] {
        socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_until(socket, "127.0.0.1:").await;
    }
    let mut third = server.connect().await;
    until_closed(&mut first).await;
    for socket in [&mut second, &mut third] {
        socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_until(socket, "127.0.0.1:").await;
    }
    read_until(&mut stream, "3\r\n1\n.\r\n").await;
}

#[tokio::test]
async fn a_connection_on_which_a_call_succeeded_is_one_in_use() {
    let limits = Limits { max_connections: 300, ..Limits::default() };
    let server = Server::start(limits).await;
    let mut caller = server.connect().await;
    let call = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    caller.write_all(call).await.unwrap();
    read_until(&mut caller, "127.0.0.1:").await;
    let mut others = Vec::new();
    for _ in 0..limits.max_connections * 2 {
        others.push(server.connect().await);
    }
    until_closed(&mut others[0]).await;
    caller.write_all(call).await.unwrap();
    read_until(&mut caller, "127.0.0.1:").await;
}

#[tokio::test]
async fn a_dripping_head_is_cut_also_after_an_answer() {
    let server = Server::start(Limits { header_read_timeout: SHORT, ..Limits::default() }).await;
    for head in ["", "GET / HTTP/1.1\r\nx: ", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut socket = server.connect().await;
        socket.write_all(head.as_bytes()).await.unwrap();
        if head.ends_with("\r\n\r\n") {
            read_until(&mut socket, "127.0.0.1:").await;
            socket.write_all(b"GET / HT").await.unwrap();
        }
        until_closed(&mut socket).await;
    }
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let server = Server::start(Limits { max_header_bytes: 8 * 1024, ..Limits::default() }).await;
    let mut socket = server.connect().await;
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    socket.write_all(head.as_bytes()).await.ok();
    let (read, _) = until_closed(&mut socket).await;
    let read = String::from_utf8_lossy(&read);
    assert!(read.is_empty() || read.starts_with("HTTP/1.1 431"), "{read}");
}

#[tokio::test]
async fn shutdown_cuts_streams_after_the_drain_time() {
    let server = Server::start(Limits { drain: SHORT, ..Limits::default() }).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut socket, "1\n.").await;
    server.shutdown.cancel();
    until_closed(&mut socket).await;
    tokio::time::timeout(PATIENCE, server.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_reads_nothing_can_be_hung_up_on() {
    let server = Server::start(Limits { drain: PATIENCE, ..Limits::default() }).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    socket.readable().await.unwrap();
    tokio::time::sleep(SHORT * 2).await;
    // Nothing is left to drain.
    server.shutdown.cancel();
    tokio::time::timeout(PATIENCE / 2, server.ended).await.unwrap().unwrap();
    drop(socket);
}
