//! What the server does by itself: collecting garbage, emptying namespaces, compacting the store.
//!
//! Every control plane does all of it. That is safe, since each write says which incarnation, and
//! where it matters which version, it is about: the second one finds nothing to do.

mod change;
mod compaction;
mod garbage;
mod namespaces;

use std::future::Future;
use std::sync::Arc;

use crate::server::Server;

/// Starts everything; it ends with the server.
pub(crate) fn spawn(server: &Arc<Server>) {
    until_shutdown(server, compaction::run(Arc::clone(server)));
    until_shutdown(server, garbage::run(Arc::clone(server)));
    until_shutdown(server, namespaces::run(Arc::clone(server)));
}

fn until_shutdown(server: &Arc<Server>, work: impl Future<Output = ()> + Send + 'static) {
    let shutdown = server.shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = work => {}
            () = shutdown.cancelled() => {}
        }
    });
}
