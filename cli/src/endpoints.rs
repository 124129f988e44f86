//! One client for several control planes.
//!
//! Requests go to one control plane until it fails; then to the next in turn. What still streams
//! from a control plane that was given up is ended, so that watches begin again at the next one
//! instead of waiting for a peer that is gone without a word.
//!
//! ```text
//!  request ─► current ─► answered ─► body, until that control plane is given up
//!                │ no connection, or no answer in time: give it up, next
//!                ▼
//!             next … (each once), but a write only where no connection was made
//! ```
//!
//! **Invariant:** a write that may have arrived is not sent a second time; its caller is told.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::warn;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Time for a connection; the next control plane is a short way off.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time from a request to the head of its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that uses the control planes at `servers` in turn, with the identity of `config`.
pub(crate) fn client(config: &kube::Config, servers: &[String]) -> anyhow::Result<Client> {
    let clients = servers
        .iter()
        .map(|server| {
            let mut config = config.clone();
            config.cluster_url =
                server.parse().with_context(|| format!("`{server}` is not a URL"))?;
            config.connect_timeout = Some(CONNECT_TIMEOUT);
            // The next control plane is the retry; kube's own may last for minutes.
            config.default_retry = false;
            Client::try_from(config).with_context(|| format!("cannot set up a client for {server}"))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(!clients.is_empty(), "no control plane was named");
    let state = State { current: 0, in_use: CancellationToken::new() };
    let endpoints = Endpoints {
        servers: servers.into(),
        clients: clients.into(),
        state: Arc::new(Mutex::new(state)),
        answer_timeout: ANSWER_TIMEOUT,
    };
    Ok(Client::new(endpoints, config.default_namespace.clone()))
}

/// Which control plane is in use; the token ends when it is given up.
#[derive(Debug)]
struct State {
    current: usize,
    in_use: CancellationToken,
}

#[derive(Clone)]
struct Endpoints {
    servers: Arc<[String]>,
    clients: Arc<[Client]>,
    state: Arc<Mutex<State>>,
    answer_timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{server} did not answer within {seconds} s")]
    Timeout { server: String, seconds: u64 },
    #[error("the control plane was given up for another one")]
    GivenUp,
}

impl Endpoints {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves on, unless somebody else did already.
    fn give_up(&self, failed: usize, error: &BoxError) {
        if self.clients.len() == 1 {
            return;
        }
        let mut state = self.state();
        if state.current != failed {
            return;
        }
        state.current = (failed + 1) % self.clients.len();
        let next = &self.servers[state.current];
        warn!(server = self.servers[failed], next, error, "control plane given up");
        std::mem::take(&mut state.in_use).cancel();
    }

    async fn send(self, request: Request<Body>) -> Result<Response<UntilGivenUp>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut tried = 0;
        loop {
            let (current, in_use) = {
                let state = self.state();
                (state.current, state.in_use.clone())
            };
            let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
            let answer = self.clients[current].send(request);
            let error: BoxError = match tokio::time::timeout(self.answer_timeout, answer).await {
                Ok(Ok(response)) => {
                    let given_up = Box::pin(in_use.cancelled_owned());
                    return Ok(response.map(|body| UntilGivenUp { body, given_up }));
                }
                Ok(Err(error)) => error.into(),
                Err(_) => Box::new(Error::Timeout {
                    server: self.servers[current].clone(),
                    seconds: self.answer_timeout.as_secs(),
                }),
            };
            self.give_up(current, &error);
            tried += 1;
            let repeatable = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
            if tried >= self.clients.len() || !(repeatable || never_connected(&*error)) {
                return Err(error);
            }
        }
    }
}

/// Whether the request cannot have arrived.
fn never_connected(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return error.is_connect();
        }
        // A boxed error hides its type one level down.
        cause = match error.downcast_ref::<kube::Error>() {
            Some(kube::Error::Service(inner)) => Some(&**inner),
            _ => error.source(),
        };
    }
    false
}

impl tower::Service<Request<Body>> for Endpoints {
    type Response = Response<UntilGivenUp>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// An answer's body that breaks off when its control plane is given up.
struct UntilGivenUp {
    body: Body,
    given_up: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl http_body::Body for UntilGivenUp {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // What has arrived already is given first.
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => self
                .given_up
                .as_mut()
                .poll(cx)
                .map(|()| Some(Err(Box::new(Error::GivenUp) as BoxError))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
