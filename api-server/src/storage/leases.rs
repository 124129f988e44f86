//! Leases of the store under which events lie, so that they vanish after a while.
//!
//! Many events share one lease, as in kube-apiserver, since each lease costs the store something.

use meseta_store::{Error, LeaseId, Store};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an event is kept after its last write, as in Kubernetes.
const EVENT_SECONDS: i64 = 60 * 60;
/// For how long writes share a lease.
const SHARED_SECONDS: u64 = 60;
/// How many writes share a lease: it ends them all in one go.
const SHARED_WRITES: usize = 1000;

/// The lease in use.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<Option<Shared>>);

#[derive(Debug)]
struct Shared {
    lease: LeaseId,
    granted: Instant,
    writes: usize,
}

impl Leases {
    /// The lease for the next write.
    ///
    /// # Errors
    /// Where the store grants none.
    pub(super) async fn lease(&self, store: &dyn Store) -> Result<LeaseId, Error> {
        let mut shared = self.0.lock().await;
        if let Some(shared) = shared.as_mut()
            && shared.granted.elapsed().as_secs() < SHARED_SECONDS
            && shared.writes < SHARED_WRITES
        {
            shared.writes += 1;
            return Ok(shared.lease);
        }
        grant(&mut shared, store).await
    }

    /// A lease for a write that found `lost` ended.
    ///
    /// # Errors
    /// Where the store grants none.
    pub(super) async fn replace(&self, store: &dyn Store, lost: LeaseId) -> Result<LeaseId, Error> {
        let mut shared = self.0.lock().await;
        match shared.as_ref() {
            Some(shared) if shared.lease != lost => Ok(shared.lease),
            _ => grant(&mut shared, store).await,
        }
    }
}

async fn grant(shared: &mut Option<Shared>, store: &dyn Store) -> Result<LeaseId, Error> {
    let seconds = EVENT_SECONDS + i64::try_from(SHARED_SECONDS).expect("a minute is small");
    let lease = store.grant_lease(seconds).await?;
    *shared = Some(Shared { lease, granted: Instant::now(), writes: 1 });
    Ok(lease)
}
