//! The agent's listener: what control planes ask of it, over mutual TLS.
//!
//! ```text
//! GET  /v1/tasks/{uid}/log             the output of a task                        [`crate::logs`]
//! POST /v1/executors/{uid}/message     the body goes to an executor, as it is      [`crate::mesos`]
//! GET  /v1/messages                    what executors send to their schedulers, in RecordIO
//! ```
//!
//! **Invariant:** nobody but control planes and administrators is served.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, Limited, StreamBody};
use hyper::body::Incoming;
use meseta_mesos_agent::{Executors, Undelivered};
use meseta_serve::{Identity, Limits, serve, server_config};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Tls;
use crate::directory::{Directory, is_usable_uid};
use crate::logs::{self, Outputs};
use crate::mesos::messages::MAX_MESSAGE_BYTES;
use crate::mesos::registry::Registry;
use crate::node::Node;

/// Who is served; as `meseta-pki` has them, compared by a test.
pub(crate) const CONTROL_PLANE_GROUP: &str = "meseta:control-planes";
pub(crate) const ADMIN_GROUP: &str = "system:masters";

/// An answer, of whatever length.
pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// Why the listener does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Certificate or key cannot be used.
    #[error("cannot set up the agent's listener")]
    Tls(#[from] meseta_serve::Error),
    /// The address is in use, or not this machine's.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// The agent's listener.
pub(crate) struct Listener {
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    routes: Routes,
}

/// What is served.
#[derive(Clone)]
pub(crate) struct Routes {
    pub(crate) directory: Arc<Directory>,
    pub(crate) outputs: Outputs,
    pub(crate) registry: Arc<Registry>,
    pub(crate) executors: Option<Executors>,
}

impl Listener {
    /// Listens at `address`.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn bind(address: SocketAddr, tls: &Tls, node: &Node) -> Result<Self, Error> {
        let tls = server_config(&tls.ca_pem, &tls.certificate_pem, &tls.key_pem)?;
        let bind = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let routes = Routes {
            directory: Arc::clone(&node.directory),
            outputs: node.outputs.clone(),
            registry: Arc::clone(&node.mesos.registry),
            executors: node.mesos.executors().cloned(),
        };
        Ok(Self { listener, tls, routes })
    }

    /// Where it listens: the port is known now.
    ///
    /// # Errors
    /// The kernel does not say.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let Self { listener, tls, routes } = self;
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let routes = routes.clone();
            async move { Ok::<_, Infallible>(routes.answer(request).await) }
        });
        serve(listener, tls, Limits::default(), service, shutdown).await;
    }
}

impl Routes {
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let identity = request.extensions().get::<Identity>();
        let allowed =
            identity.is_some_and(|who| who.is_in(CONTROL_PLANE_GROUP) || who.is_in(ADMIN_GROUP));
        if !allowed {
            return refuse(StatusCode::FORBIDDEN, "Forbidden", "only control planes are served");
        }
        let path = request.uri().path().to_owned();
        let between = |prefix: &str, suffix: &str| {
            let uid = path.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
            uid.filter(|uid| is_usable_uid(uid)).map(str::to_owned)
        };
        if let Some(uid) = between("/v1/tasks/", "/log") {
            return match request.method() {
                &Method::GET => self.log(&uid, request.uri().query().unwrap_or_default()),
                _ => wrong_method("GET"),
            };
        }
        if let Some(uid) = between("/v1/executors/", "/message") {
            return match request.method() {
                &Method::POST => self.message(&uid, request.into_body()).await,
                _ => wrong_method("POST"),
            };
        }
        match (path.as_str(), request.method()) {
            ("/v1/messages", &Method::GET) => self.messages(),
            ("/v1/messages", _) => wrong_method("GET"),
            _ => refuse(StatusCode::NOT_FOUND, "NotFound", &format!("there is no `{path}`")),
        }
    }

    fn log(&self, uid: &str, query: &str) -> Answer {
        logs::answer(&self.directory, &self.outputs, uid, query)
    }

    /// Hands a message to an executor.
    async fn message<B>(&self, uid: &str, body: B) -> Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let data = match Limited::new(body, MAX_MESSAGE_BYTES).collect().await {
            Ok(data) => data.to_bytes(),
            Err(err) if err.is::<http_body_util::LengthLimitError>() => {
                let why = format!("a message has at most {MAX_MESSAGE_BYTES} bytes");
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &why);
            }
            Err(err) => return refuse(StatusCode::BAD_REQUEST, "BadRequest", &err.to_string()),
        };
        let sent = match &self.executors {
            Some(executors) => executors.message(uid, data),
            None => Err(Undelivered::NotConnected),
        };
        match sent {
            Ok(()) => {
                let body = Empty::new().map_err(|never| match never {});
                let mut response = Response::new(body.boxed_unsync());
                *response.status_mut() = StatusCode::ACCEPTED;
                response
            }
            Err(err @ Undelivered::NotConnected) => {
                refuse(StatusCode::NOT_FOUND, "NotFound", &err.to_string())
            }
            Err(err @ Undelivered::Full) => {
                refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &err.to_string())
            }
        }
    }

    /// All messages of executors from now on.
    fn messages(&self) -> Answer {
        let messages = self.registry.messages.listen();
        let records = futures::stream::unfold(messages, async |mut messages| {
            let record = messages.next().await?;
            Some((record, messages))
        });
        let frames = records.map(|record| Ok(Frame::data(record)));
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        let kind = header::HeaderValue::from_static("application/recordio");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

fn wrong_method(right: &str) -> Answer {
    let why = format!("only {right} is served");
    refuse(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &why)
}

/// A Status that says why not.
pub(crate) fn refuse(code: StatusCode, reason: &str, message: &str) -> Answer {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": reason, "message": message, "code": code.as_u16(),
    });
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = code;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests;
