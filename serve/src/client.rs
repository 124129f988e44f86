//! Calls from a control plane to an agent, or to the leading control plane.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tracing::debug;

use crate::{Error, client_config};

/// Time for the connection and its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time from the request to the head of its answer; the body may take for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls over mutual TLS, each on a connection of its own that ends with the answer's body.
#[derive(Clone)]
pub struct Client {
    tls: Arc<ClientConfig>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client that trusts `ca_pem` and shows the given certificate.
    ///
    /// # Errors
    /// [`Error::Pem`], [`Error::Tls`].
    pub fn new(ca_pem: &str, certificate_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let mut tls = client_config(ca_pem, certificate_pem, key_pem)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(tls) })
    }

    /// `GET path_and_query` from the listener at `address` (`host:port`) whose certificate is for
    /// `server_name`. Dropping the answer's body closes the connection.
    ///
    /// # Errors
    /// [`Error::Connect`] where nothing answers or the certificate is another's,
    /// [`Error::Timeout`], [`Error::Http`].
    pub async fn get(
        &self,
        address: &str,
        server_name: &str,
        path_and_query: &str,
    ) -> Result<Response<Incoming>, Error> {
        self.call(Method::GET, address, server_name, path_and_query, Bytes::new()).await
    }

    /// `POST path_and_query` with `body`, as [`Client::get`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(
        &self,
        address: &str,
        server_name: &str,
        path_and_query: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Error> {
        self.call(Method::POST, address, server_name, path_and_query, body).await
    }

    async fn call(
        &self,
        method: Method,
        address: &str,
        server_name: &str,
        path_and_query: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Error> {
        let request = Request::builder().method(method).uri(path_and_query).body(body);
        let request =
            request.map_err(|e| Error::Http { address: address.to_owned(), source: e.into() })?;
        self.send(address, server_name, request).await
    }

    /// Sends `request`, whose URI is path and query alone, as [`Client::get`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn send(
        &self,
        address: &str,
        server_name: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Incoming>, Error> {
        let http = |source: Box<dyn std::error::Error + Send + Sync>| Error::Http {
            address: address.to_owned(),
            source,
        };
        let timeout = |limit: Duration| Error::Timeout {
            address: address.to_owned(),
            seconds: limit.as_secs(),
        };
        let mut request = request.map(Full::new);
        let host = HeaderValue::from_str(server_name).map_err(|e| http(e.into()))?;
        request.headers_mut().insert(header::HOST, host);
        let name = ServerName::try_from(server_name.to_owned()).map_err(|e| http(e.into()))?;
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, async {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            TlsConnector::from(Arc::clone(&self.tls)).connect(name, socket).await
        })
        .await
        .map_err(|_| timeout(CONNECT_TIMEOUT))?
        .map_err(|source| Error::Connect { address: address.to_owned(), source })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| http(e.into()))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "call ended");
            }
        });
        tokio::time::timeout(ANSWER_TIMEOUT, sender.send_request(request))
            .await
            .map_err(|_| timeout(ANSWER_TIMEOUT))?
            .map_err(|e| http(e.into()))
    }
}
