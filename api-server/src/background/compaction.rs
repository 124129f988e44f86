//! Bounds the store's history: by time, and by what was written.
//!
//! At full speed, five minutes of history alone outgrow etcd's default quota; so the older bound of
//! the two is not the one that counts, the nearer is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use meseta_store::{Error, Version};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::server::Server;

/// History that is kept, as in Kubernetes.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// Bytes of changes that are kept: an eighth of etcd's default quota of 2 GiB, which counts what
/// is there now as well, and twice until it is defragmented.
const KEPT_BYTES: u64 = 256 * 1024 * 1024;
/// How often the store is looked at; as many samples fit into [`KEPT`].
const INTERVAL: Duration = Duration::from_secs(5);

/// The store at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    at: Instant,
    version: Version,
    /// Bytes of all changes until then.
    bytes: u64,
}

/// Compacts until the future is dropped.
pub(super) async fn run(server: Arc<Server>) {
    let mut samples = VecDeque::new();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let version = match server.store().version().await {
            Ok(version) => version,
            Err(error) => {
                warn!(%error, "cannot ask the store for its version");
                continue;
            }
        };
        let bytes = server.resources().iter().map(|resource| resource.cache.changed_bytes()).sum();
        let now = Sample { at: Instant::now(), version, bytes };
        if let Some(until) = due(&mut samples, now) {
            compact(&server, until).await;
        }
    }
}

/// Adds a sample and returns the version up to which history is to be forgotten, if it has grown
/// over a bound.
fn due(samples: &mut VecDeque<Sample>, now: Sample) -> Option<Version> {
    if samples.back().is_none_or(|newest| newest.version < now.version) {
        samples.push_back(now);
    }
    let mut until = None;
    while let Some(oldest) = samples.front()
        && (now.at.duration_since(oldest.at) >= KEPT
            || now.bytes.saturating_sub(oldest.bytes) > KEPT_BYTES)
    {
        until = Some(oldest.version);
        samples.pop_front();
    }
    until
}

async fn compact(server: &Server, until: Version) {
    // Caches of kinds that do not change must not fall behind what is left.
    if let Err(error) = server.store().request_progress().await {
        return warn!(%error, "cannot ask the store for progress");
    }
    match server.store().compact(until).await {
        // Somebody else may have compacted further.
        Ok(()) | Err(Error::Compacted { .. }) => debug!(%until, "compacted"),
        Err(error) => warn!(%until, %error, "cannot compact"),
    }
}

#[cfg(test)]
mod tests;
