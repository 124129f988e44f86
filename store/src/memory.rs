//! The simplest right implementation: everything in maps behind one lock.
//!
//! It is the model that the others are tested against, and what tests of the layers above run on.
//! It promises all that the contract promises but durability. Each write is a commit of its own;
//! the end of a lease deletes all of its keys in one commit.
//!
//! Time is tokio's, so that tests can move it; leases need a runtime.

mod state;

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::state::State;
use crate::watch::{Batch, History, PROGRESS_INTERVAL, Signal};
use crate::{Change, Error, Expect, LeaseId, Page, Record, Store, Version, Watch};

/// A store that is gone when it is dropped.
#[derive(Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    /// Kept apart from what watches hold, so that they end with the store.
    signal: Arc<watch::Sender<Signal>>,
    generation: String,
}

/// What the store, its watches and its leases' timers look at.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::default(),
            signal: Arc::new(watch::Sender::new(Signal::default())),
            generation: crate::new_generation(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }

    /// Runs `change` and wakes the watches if it committed something.
    fn commit<T>(&self, signal: &watch::Sender<Signal>, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let newest = state.newest();
        // Under the lock, so that the signal never goes back.
        signal.send_if_modified(|signal| {
            let grown = signal.newest != newest;
            signal.newest = newest;
            grown
        });
        result
    }
}

impl History for Shared {
    fn read<'a>(&'a self, prefix: &'a str, after: Version) -> BoxFuture<'a, Result<Batch, Error>> {
        async move { self.lock().events(prefix, after) }.boxed()
    }
}

/// Waits for the end of a lease and carries it out, unless the store or the lease ended before.
async fn expire(
    shared: Weak<Shared>,
    signal: Weak<watch::Sender<Signal>>,
    lease: LeaseId,
    mut end: Instant,
) {
    loop {
        sleep_until(end).await;
        let Some(shared) = shared.upgrade() else { return };
        let now_ends = shared.lock().lease_end(lease);
        match now_ends {
            None => return,
            Some(renewed) if renewed > end => end = renewed,
            Some(_) => break,
        }
    }
    if let (Some(shared), Some(signal)) = (shared.upgrade(), signal.upgrade()) {
        // It may have been revoked meanwhile, which is as good.
        let _ended = shared.commit(&signal, |state| state.end_lease(lease));
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, Error>> {
        async move { Ok(self.shared.lock().get(key)) }.boxed()
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        at: Option<Version>,
    ) -> BoxFuture<'a, Result<Page, Error>> {
        async move { self.shared.lock().list(prefix, after, limit, at) }.boxed()
    }

    fn write<'a>(
        &'a self,
        key: &'a str,
        expect: Expect,
        change: Change,
    ) -> BoxFuture<'a, Result<Version, Error>> {
        async move {
            crate::check_limits(key, &change)?;
            self.shared.commit(&self.signal, |state| state.write(key, expect, change))
        }
        .boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Version) -> BoxFuture<'a, Result<Watch, Error>> {
        async move {
            self.shared.lock().check_compacted(after)?;
            let signal = self.signal.subscribe();
            let history = Arc::clone(&self.shared);
            Ok(crate::watch::watch(history, signal, prefix, after, Some(PROGRESS_INTERVAL)))
        }
        .boxed()
    }

    fn version(&self) -> BoxFuture<'_, Result<Version, Error>> {
        async move { Ok(self.shared.lock().newest()) }.boxed()
    }

    fn request_progress(&self) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.signal.send_modify(|signal| signal.asked += 1);
            Ok(())
        }
        .boxed()
    }

    fn compact(&self, version: Version) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.shared.lock().compact(version) }.boxed()
    }

    fn grant_lease(&self, ttl_seconds: i64) -> BoxFuture<'_, Result<LeaseId, Error>> {
        async move {
            let (lease, end) = self.shared.lock().grant_lease(ttl_seconds, Instant::now());
            let (shared, signal) = (Arc::downgrade(&self.shared), Arc::downgrade(&self.signal));
            tokio::spawn(expire(shared, signal, lease, end));
            Ok(lease)
        }
        .boxed()
    }

    fn renew_lease(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.shared.lock().renew_lease(lease, Instant::now()) }.boxed()
    }

    fn revoke_lease(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.shared.commit(&self.signal, |state| state.end_lease(lease)) }.boxed()
    }

    fn generation(&self) -> &str {
        &self.generation
    }
}

#[cfg(test)]
mod tests;
