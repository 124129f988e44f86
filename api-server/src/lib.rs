//! The Kubernetes wire API over a store, for Meseta's kinds and the few built-in ones tools need.
//!
//! ```text
//!  kubectl, agents ──TLS──► meseta_serve ─┐                       ┌─► caches ◄──watch── store
//!                                         ├─► ApiServer ─ server ─┤                       ▲
//!  controllers ──in process──► client ────┘   authz, handlers     └─► storage ──write─────┘
//!                                                                 └─► live ──TLS──► agents, leader
//! ```
//!
//! - `request`: what is asked for · `authz`: who may · `handlers`: one module per verb
//! - `admission`: from what was sent to what is stored · `storage`: compare-and-swap
//! - `cache`: what reads and watches are served from · `object`: one record
//! - `registry`, `schema`, `selector`, `table`, `discovery`, `openapi`, `status`,
//!   `syntax`: the API's own terms
//! - `live`: what is not stored · `background`: garbage, namespaces, compaction
//!
//! **Invariants:**
//! - Nothing is acknowledged that the store has not acknowledged.
//! - Nobody is served without an identity, and nobody anything that `authz` does not allow.
//! - The server keeps nothing of its own: everything in memory can be read again from the store.

mod admission;
mod answer;
mod authority;
mod authz;
mod background;
mod bootstrap;
mod cache;
mod discovery;
mod handlers;
mod live;
mod object;
mod openapi;
mod registry;
mod request;
mod schema;
mod selector;
mod server;
mod status;
mod storage;
mod syntax;
mod table;
#[cfg(test)]
mod testing;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};
use http::{Request, Response};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use meseta_serve::Identity;
use meseta_store::Store;
use tokio_util::sync::CancellationToken;

pub use answer::Body;
pub use authority::authority;
pub use live::source::{Leader, LiveCollection, LiveEvent, LiveObject, Within};

use crate::answer::BoxError;
use crate::live::Live;
use crate::registry::Registry;
use crate::server::Server;

/// How a server is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How control planes dial agents, for logs, and their leader; without it such requests are
    /// refused with 503.
    pub agents: Option<meseta_serve::Client>,
    /// What is offered, where the allocator is; without it such requests are refused with 503.
    pub offers: Option<Arc<dyn LiveCollection>>,
    /// Kinds to serve beside the built-in ones and Meseta's own.
    pub definitions: Vec<CustomResourceDefinition>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be read or written.
    #[error("the store does not do what the API server needs")]
    Store(#[from] meseta_store::Error),
    /// The certificate authority cannot be made or read.
    #[error("there is no certificate authority")]
    Authority(#[from] meseta_pki::Error),
    /// What must exist could not be created.
    #[error("cannot create what must exist: {why}")]
    Bootstrap {
        /// What the server itself said to it.
        why: String,
    },
}

/// The API server: a tower service, for [`meseta_serve::serve`] and for clients in this process.
/// A clone is another handle.
#[derive(Clone)]
pub struct ApiServer {
    server: Arc<Server>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Loads the caches, creates what must exist (namespaces, our definitions) and starts the work
    /// in the background (garbage collection, emptying of namespaces, compaction), which ends with
    /// `shutdown`, as do all watches.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Bootstrap`].
    pub async fn start(
        store: Arc<dyn Store>,
        options: Options,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        let Options { agents, offers, definitions } = options;
        let registry = Registry::of([meseta_crds::definitions::all(), definitions].concat());
        let live = Live::new(&registry, agents.as_ref(), offers.as_ref());
        let server = Server::new(Arc::clone(&store), registry, live, shutdown.clone());
        let server = Arc::new(server);
        let caches = server.resources().iter().map(|resource| &resource.cache);
        try_join_all(caches.map(|cache| cache.start(Arc::clone(&store), shutdown.clone()))).await?;
        bootstrap::run(&server)
            .await
            .map_err(|failure| Error::Bootstrap { why: failure.message().to_owned() })?;
        background::spawn(&server);
        Ok(Self { server })
    }

    /// A client in the same process, acting as `identity`.
    #[must_use]
    pub fn client(&self, identity: Identity) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |mut request: Request<kube::client::Body>| {
            request.extensions_mut().insert(identity.clone());
            let mut server = server.clone();
            tower::Service::call(&mut server, request)
        });
        kube::Client::new(service, "default")
    }

    /// How many watchers were looked at for all changes so far: what a change costs in watches.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.server.deliveries()
    }
}

impl<B> tower::Service<Request<B>> for ApiServer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = Arc::clone(&self.server);
        Box::pin(async move { Ok(server.respond(request).await) })
    }
}
