//! Serves the executor API on a socket.

use std::convert::Infallible;

use meseta_serve::{Bodies, Limits, serve_plain};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::endpoint::{Endpoint, LIMITS};
use crate::executors::Executors;

/// Connections at a time: executors have two each.
const MAX_CONNECTIONS: usize = 1024;

/// Serves executors until `shutdown`; then their streams end, and they come back to whoever listens
/// at this address next. Dropping the future cuts them at once.
pub async fn serve(listener: TcpListener, executors: Executors, shutdown: CancellationToken) {
    let own = listener.local_addr().ok().map(|address| address.ip());
    let endpoint =
        Endpoint { executors, own, bodies: Bodies::new(LIMITS), shutdown: shutdown.clone() };
    let service = tower::service_fn(move |request| {
        let endpoint = endpoint.clone();
        async move { Ok::<_, Infallible>(endpoint.answer(request).await) }
    });
    let limits = Limits { max_connections: MAX_CONNECTIONS, ..Limits::default() };
    serve_plain(listener, limits, service, shutdown).await;
}
