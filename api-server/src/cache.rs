//! What every read is served from: the objects of one kind in memory, and who watches them.
//!
//! One [`Cache`] per kind, fed by one watch of the store ([`feed`]):
//!
//! ```text
//!  store ──watch──► feed ──► State ┬─ objects   sorted by key, and by each selectable field
//!                                  ├─ ring      recent events, bounded by bytes and time
//!                                  └─ watchers  by name, by field value, by namespace, or all
//!                                        └────► bounded queue per watcher ──► streams
//! ```
//!
//! A change looks only at the watchers it can concern: those of its object's name, of the old and
//! new value of each selectable field, of its namespace, and those of everything. An event is
//! encoded once per representation and shared by all who are sent it.
//!
//! **Invariants:**
//! - What the cache shows at its version is what the store held at that version.
//! - A watcher gets every event after its start, in order, or its stream ends; a watcher that does
//!   not keep up is cut and can resume from the ring.

mod event;
mod feed;
mod index;
mod ring;
mod state;
mod watchers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meseta_store::{Store, Version};
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use event::{Change, Event, Form, line, metadata, table, write_object};
pub(crate) use index::Selection;
pub(crate) use state::{Found, Start};
pub(crate) use watchers::{Delivery, Subscription};

use crate::object::Object;
use crate::registry::Kind;
use crate::status::Failure;

/// How long a read waits for the cache to reach a version, as kube-apiserver's.
const MAX_WAIT: Duration = Duration::from_secs(3);
/// A store that is idle is asked this often, while somebody waits, how far it is; as
/// kube-apiserver's.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The objects of one kind; see the module.
pub(crate) struct Cache {
    kind: Arc<Kind>,
    state: Mutex<state::State>,
    /// The version of the state, for those who wait.
    version: watch::Sender<Version>,
    /// Bytes of all changes seen since the start, for whoever bounds history.
    changed_bytes: AtomicU64,
}

impl Cache {
    /// An empty cache. `deliveries` counts the watchers that changes are looked at for.
    pub(crate) fn new(kind: Arc<Kind>, deliveries: Arc<AtomicU64>) -> Self {
        Self {
            state: Mutex::new(state::State::new(&kind, deliveries)),
            kind,
            version: watch::Sender::new(Version::default()),
            changed_bytes: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, state::State> {
        // A panic under the lock would be a bug in code that does not panic; readers go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version that reads show.
    pub(crate) fn version(&self) -> Version {
        *self.version.borrow()
    }

    /// Follows the version, to wake up with each change.
    pub(crate) fn follow(&self) -> watch::Receiver<Version> {
        self.version.subscribe()
    }

    /// Bytes of all changes seen since the start.
    pub(crate) fn changed_bytes(&self) -> u64 {
        self.changed_bytes.load(Ordering::Relaxed)
    }

    /// The object with this key (`namespace/name` or `name`), as the cache has it.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.state().get(key)
    }

    /// Up to `limit` objects that are selected, in key order, after the key `after`.
    pub(crate) fn list(
        &self,
        selection: &Selection,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Found {
        self.state().list(selection, after, limit)
    }

    /// As [`Cache::list`], if nothing has changed since `version`.
    pub(crate) fn list_at(
        &self,
        version: Version,
        selection: &Selection,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Option<Found> {
        let state = self.state();
        state.shows(version).then(|| state.list(selection, after, limit))
    }

    /// Begins to watch.
    ///
    /// # Errors
    /// [`state::TooOld`] where the events after the start are forgotten.
    pub(crate) fn watch(
        self: &Arc<Self>,
        selection: Selection,
        start: Start,
    ) -> Result<Subscription, state::TooOld> {
        let begun = self.state().watch(selection, start)?;
        Ok(Subscription::new(Arc::clone(self), begun))
    }

    /// The events after `version`, oldest first, and the version they lead to; `None` where they
    /// are forgotten.
    pub(crate) fn events_after(&self, version: Version) -> Option<(Vec<Arc<Event>>, Version)> {
        self.state().events_after(version)
    }

    /// Waits until the cache shows `version`.
    ///
    /// # Errors
    /// 504 after [`MAX_WAIT`]; 503 where the store does not answer.
    pub(crate) async fn wait_for(
        &self,
        store: &dyn Store,
        version: Version,
    ) -> Result<(), Failure> {
        let mut reached = self.version.subscribe();
        let deadline = Instant::now() + MAX_WAIT;
        while *reached.borrow_and_update() < version {
            if Instant::now() >= deadline {
                return Err(Failure::timeout_future(version.0, self.version().0));
            }
            store.request_progress().await?;
            // A change is looked at above; a timeout asks again.
            drop(
                tokio::time::timeout(PROGRESS_INTERVAL, async {
                    while *reached.borrow_and_update() < version {
                        if reached.changed().await.is_err() {
                            std::future::pending::<()>().await;
                        }
                    }
                })
                .await,
            );
        }
        Ok(())
    }

    /// Waits until the cache shows everything that was acknowledged before the call.
    ///
    /// # Errors
    /// As [`Cache::wait_for`].
    pub(crate) async fn wait_for_now(&self, store: &dyn Store) -> Result<Version, Failure> {
        let newest = store.version().await?;
        self.wait_for(store, newest).await?;
        Ok(newest)
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("resource", &self.kind.resource())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
