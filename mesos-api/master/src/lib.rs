//! The Mesos scheduler API: schedulers written for Mesos as frameworks of Meseta.
//!
//! Every control plane listens; the leader's gateway works, the others send callers to it.
//!
//! ```text
//!  scheduler ─► server (route, access, encoding, validation)
//!                 │ call                                  ▲ events
//!                 ▼                                       │
//!               session: one per framework, its calls in order, its stream
//!                 │ offers, launches        │ records     ▲ rows
//!                 ▼                         ▼             │
//!               runtime::Market          runtime::Writer  sync: watches, one pass per change
//! ```
//!
//! What Mesos' rules say is in [`core`], pure. [`run`] is the entry.
//!
//! **Invariants:** everything a session knows is rebuilt from records and from what its scheduler
//! sends when it subscribes again; nothing else survives a term. What is written goes through the
//! term's writer. Nobody waits for a scheduler that does not read.

mod access;
mod address;
pub mod core;
mod server;
mod session;
mod sync;

use std::sync::Arc;

use meseta_runtime::Handle;
use meseta_serve::Limits;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::address::Advertised;
use crate::server::Server;

/// How the gateway is reached and where it keeps its records.
#[derive(Debug)]
pub struct Config {
    /// The socket to serve, without TLS.
    pub listener: TcpListener,
    /// `host:port` that schedulers and other control planes reach it at; the listener's own address
    /// where it is `None`.
    pub advertise: Option<String>,
    /// Namespace of the `Framework` and `Task` records it creates.
    pub namespace: String,
}

/// Why the gateway could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener has no address.
    #[error("the listener of the Mesos API has no address")]
    Listener(#[source] std::io::Error),
    /// The advertised address cannot be used.
    #[error("{0:?} is no address for the Mesos API, which is host:port")]
    Advertise(String),
}

/// Serves until `shutdown`, then ends all streams and returns.
///
/// `client` reads the records, and writes them while `handle` says that this process leads;
/// `agents` carries messages to and from executors.
///
/// # Errors
/// See [`Error`].
pub async fn run(
    config: Config,
    client: kube::Client,
    agents: meseta_serve::Client,
    handle: Handle,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let Config { listener, advertise, namespace } = config;
    let local = listener.local_addr().map_err(Error::Listener)?;
    let advertised = Advertised::new(advertise, local)?;
    let (access, follow_access) = access::follow(client.clone());
    let gateway = sync::Gateway::new(advertised.clone(), namespace, client, agents);
    let server = Server::new(access, advertised, handle.leadership(), Arc::clone(&gateway));
    // Streams end before the listener waits for them.
    let terms = gateway.run(handle.leadership(), shutdown.clone());
    let serve = meseta_serve::serve_plain(listener, limits(), server.service(), shutdown.clone());
    let background = shutdown.run_until_cancelled(follow_access);
    tokio::join!(terms, serve, background);
    Ok(())
}

fn limits() -> Limits {
    // A scheduler has two connections, or one per call; a thousand frameworks are built for.
    Limits { max_connections: 8192, ..Limits::default() }
}
