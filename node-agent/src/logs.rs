//! The output of tasks, for control planes: `GET /v1/tasks/{uid}/log?stream=&follow=&tailLines=`.
//!
//! ```text
//! stdout.1 ─► stdout ─► (grows) ─► rotated: the rest of what is open, then the new stdout
//! ```
//!
//! What is sent is what the files hold, oldest first; with `follow` until the task has ended and all
//! of it is sent. Nobody but control planes and administrators is served, and a slow reader costs
//! some chunks of memory.

mod follow;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use meseta_serve::{Identity, Limits, serve, server_config};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Tls;
use crate::directory::{Directory, Stream, is_usable_uid};
use follow::{Follow, Wanted};

/// Who is served; as `meseta-pki` has them, compared by a test.
const CONTROL_PLANE_GROUP: &str = "meseta:control-planes";
const ADMIN_GROUP: &str = "system:masters";

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// Outputs that may still grow: those of tasks that have not ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outputs(Arc<Mutex<HashMap<String, CancellationToken>>>);

/// The output of a task grows until this is dropped.
#[derive(Debug)]
pub(crate) struct Growing {
    uid: String,
    outputs: Outputs,
}

impl Outputs {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The output of a task may grow.
    pub(crate) fn open(&self, uid: &str) -> Growing {
        self.lock().insert(uid.to_owned(), CancellationToken::new());
        Growing { uid: uid.to_owned(), outputs: self.clone() }
    }

    /// Cancelled when the output of a task does not grow any more.
    fn ended(&self, uid: &str) -> CancellationToken {
        self.lock().get(uid).cloned().unwrap_or_else(|| {
            let ended = CancellationToken::new();
            ended.cancel();
            ended
        })
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        if let Some(ended) = self.outputs.lock().remove(&self.uid) {
            ended.cancel();
        }
    }
}

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
pub(crate) struct LogServer {
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    directory: Arc<Directory>,
    outputs: Outputs,
}

impl LogServer {
    /// Listens at `address`.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn bind(
        address: SocketAddr,
        tls: &Tls,
        directory: Arc<Directory>,
        outputs: Outputs,
    ) -> Result<Self, Error> {
        let tls = server_config(&tls.ca_pem, &tls.certificate_pem, &tls.key_pem)?;
        let bind = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        Ok(Self { listener, tls, directory, outputs })
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
        let Self { listener, tls, directory, outputs } = self;
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let answer = answer(&request, &directory, &outputs);
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        serve(listener, tls, Limits::default(), service, shutdown).await;
    }
}

fn answer<B>(request: &Request<B>, directory: &Directory, outputs: &Outputs) -> Answer {
    let identity = request.extensions().get::<Identity>();
    let allowed =
        identity.is_some_and(|who| who.is_in(CONTROL_PLANE_GROUP) || who.is_in(ADMIN_GROUP));
    if !allowed {
        return refuse(StatusCode::FORBIDDEN, "Forbidden", "only control planes are served");
    }
    let path = request.uri().path();
    let uid = path.strip_prefix("/v1/tasks/").and_then(|rest| rest.strip_suffix("/log"));
    let Some(uid) = uid.filter(|uid| is_usable_uid(uid)) else {
        return refuse(StatusCode::NOT_FOUND, "NotFound", &format!("there is no `{path}`"));
    };
    if *request.method() != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "only GET is served");
    }
    let wanted = match Wanted::parse(request.uri().query().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, "BadRequest", &why),
    };
    let task = directory.task(uid);
    if !task.exists() {
        let why = format!("this agent has no output of task {uid}");
        return refuse(StatusCode::NOT_FOUND, "NotFound", &why);
    }
    let follow = Follow::new(&task, wanted, outputs.ended(uid));
    let chunks = follow.chunks().map(|chunk| chunk.map(Frame::data));
    let mut response = Response::new(StreamBody::new(chunks).boxed_unsync());
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    // What a task wrote is never more than text, whatever it looks like.
    let as_it_says = header::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, as_it_says);
    response
}

fn refuse(code: StatusCode, reason: &str, message: &str) -> Answer {
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

/// The stream that a query names.
fn stream(name: &str) -> Option<Stream> {
    [Stream::Stdout, Stream::Stderr].into_iter().find(|stream| stream.as_str() == name)
}

#[cfg(test)]
mod tests;
