//! The listener's service: from a request to its answer, in the order of checks of a Mesos master.
//!
//! ```text
//!  path ─► access ─► leader? ─► synced? ─► POST? ─► encoding ─► body ─► call ─► session
//!  404     401 403    307 503     503       405      400 415    400 413  400     400 403 202 200
//! ```
//!
//! **Invariant:** a request is answered by the first check that fails, and no check after it is made.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod decoding;
pub(crate) mod negotiate;
mod route;
mod scheduler;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, StatusCode, Uri};
use hyper::body::Incoming;
use meseta_runtime::{LeaderAddress, Leadership};
use meseta_serve::Bodies;
use tokio::sync::{Semaphore, watch};

use self::answer::{Answer, Refusal};
use self::route::Route;
use crate::access::{Access, OPERATOR_REALM, SCHEDULER_REALM};
use crate::address::{Advertised, split};
use crate::sync::Gateway;

/// Ties the calls of a scheduler to its stream.
pub(crate) const STREAM_ID: http::HeaderName = http::HeaderName::from_static("mesos-stream-id");
/// Streams of events at a time: twice the frameworks that are built for, since an older stream of
/// one may still be read while the newer has begun.
const MAX_STREAMS: usize = 2000;

/// What answers need; one for all requests.
pub(crate) struct Server {
    access: Access,
    advertised: Advertised,
    leadership: watch::Receiver<Leadership>,
    gateway: Arc<Gateway>,
    streams: Arc<Semaphore>,
    bodies: Bodies,
}

impl Server {
    pub(crate) fn new(
        access: Access,
        advertised: Advertised,
        leadership: watch::Receiver<Leadership>,
        gateway: Arc<Gateway>,
    ) -> Arc<Self> {
        let streams = Arc::new(Semaphore::new(MAX_STREAMS));
        Arc::new(Self {
            access,
            advertised,
            leadership,
            gateway,
            streams,
            bodies: Bodies::new(body::LIMITS),
        })
    }

    /// The service that [`meseta_serve::serve_plain`] runs.
    pub(crate) fn service(
        self: Arc<Self>,
    ) -> impl tower::Service<Request<Incoming>, Response = Answer, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static {
        tower::service_fn(move |request| {
            let server = Arc::clone(&self);
            async move { Ok(server.answer(request).await.unwrap_or_else(Answer::from)) }
        })
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        match route::route(request.uri().path()) {
            None => Err(Refusal::new(StatusCode::NOT_FOUND, "There is nothing at this path")),
            Some(Route::Health) => Ok(answer::empty(StatusCode::OK)),
            Some(Route::Version) => Ok(answer::json(&meseta_mesos_wire::version())),
            Some(Route::Redirect) => Ok(answer::redirect(&format!("//{}", self.leader()?))),
            Some(Route::Operator) => {
                self.admit(&request, OPERATOR_REALM)?;
                if let Some(elsewhere) = self.elsewhere(request.uri())? {
                    return Ok(elsewhere);
                }
                if request.method() != http::Method::POST {
                    return Err(Refusal::method_not_allowed(request.method()));
                }
                Err(Refusal::new(
                    StatusCode::NOT_IMPLEMENTED,
                    "The operator API is not served; use kubectl",
                ))
            }
            Some(Route::Scheduler) => {
                let principal = self.admit(&request, SCHEDULER_REALM)?;
                if let Some(elsewhere) = self.elsewhere(request.uri())? {
                    return Ok(elsewhere);
                }
                self.scheduler(request, principal).await
            }
        }
    }

    fn admit(
        &self,
        request: &Request<Incoming>,
        realm: &'static str,
    ) -> Result<Option<String>, Refusal> {
        let peer = request.extensions().get::<SocketAddr>().copied();
        self.access.admit(request.headers(), peer, realm)
    }

    /// The redirect to the leader; nothing where that is this process.
    fn elsewhere(&self, uri: &Uri) -> Result<Option<Answer>, Refusal> {
        if matches!(*self.leadership.borrow(), Leadership::Leading(_)) {
            return Ok(None);
        }
        let leader = self.leader()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Some(answer::redirect(&format!("//{leader}{path}"))))
    }

    /// `host:port` of the leader.
    fn leader(&self) -> Result<String, Refusal> {
        match &*self.leadership.borrow() {
            Leadership::Leading(_) => Ok(self.advertised.to_string()),
            Leadership::Following(leader) => followed(leader, &self.advertised.to_string()),
            Leadership::Unknown => Err(Refusal::unavailable("No leader elected")),
        }
    }
}

/// `host:port` of a leader that is not this process, which itself is at `own`.
fn followed(leader: &LeaderAddress, own: &str) -> Result<String, Refusal> {
    match &leader.mesos {
        Some(mesos) if split(mesos).is_none() => Err(Refusal::unavailable("No leader elected")),
        // It would send callers round in circles: each machine has a loopback of its own.
        Some(mesos) if mesos == own => Err(Refusal::unavailable(
            "The leader serves Mesos schedulers on its own machine only; see --mesos-listen",
        )),
        Some(mesos) => Ok(mesos.clone()),
        None => Err(Refusal::unavailable("The leader serves no Mesos schedulers")),
    }
}

#[cfg(test)]
mod tests;
