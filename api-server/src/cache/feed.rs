//! Keeps a cache equal to the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use meseta_store::{Error, Record, Store, Version, Watch, WatchItem};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::Cache;
use crate::object::Object;

/// Records in one page of the first list.
const PAGE: usize = 1000;
/// The first wait after the store has failed.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
/// The longest.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

impl Cache {
    /// Reads everything of the kind, then follows the store until `shutdown`. Returns when
    /// everything is read; following goes on in a task.
    ///
    /// # Errors
    /// What the store says to the first list.
    pub(crate) async fn start(
        self: &Arc<Self>,
        store: Arc<dyn Store>,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        self.load(&*store).await?;
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = cache.follow_store(&*store) => {}
                () = shutdown.cancelled() => {}
            }
            cache.state().cut_all();
        });
        Ok(())
    }

    /// Replaces what is there by what the store holds now.
    async fn load(&self, store: &dyn Store) -> Result<(), Error> {
        let prefix = self.kind.key_prefix();
        let mut objects = Vec::new();
        let mut after = None;
        let mut at = None;
        let version = loop {
            let page = store.list(&prefix, after.as_deref(), PAGE, at).await?;
            after = page.records.last().map(|record| record.key.clone());
            objects.extend(page.records.into_iter().filter_map(|record| self.decode(record)));
            if !page.more {
                break page.version;
            }
            at = Some(page.version);
        };
        debug!(resource = self.kind.resource(), objects = objects.len(), %version, "loaded");
        self.state().load(&objects, version);
        self.version.send_replace(version);
        Ok(())
    }

    fn decode(&self, record: Record) -> Option<Arc<Object>> {
        match Object::from_record(&self.kind, &self.kind.key_prefix(), record) {
            Ok(object) => Some(Arc::new(object)),
            Err(error) => {
                error!(%error, "left out");
                None
            }
        }
    }

    async fn follow_store(&self, store: &dyn Store) {
        let mut backoff = MIN_BACKOFF;
        loop {
            let begun = self.version();
            let ended = match store.watch(&self.kind.key_prefix(), begun).await {
                Ok(watch) => self.take_in(watch).await,
                Err(error) => error,
            };
            let resource = self.kind.resource();
            match ended {
                Error::Compacted { oldest, .. } => {
                    warn!(resource, at = %begun, %oldest, "history is gone; lists anew");
                    if let Err(error) = self.load(store).await {
                        warn!(resource, %error, "cannot list");
                    }
                }
                error => warn!(resource, %error, "the store's watch ended"),
            }
            if self.version() > begun {
                backoff = MIN_BACKOFF;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// Takes in the items of a watch until it ends, and says why it did.
    async fn take_in(&self, mut watch: Watch) -> Error {
        let prefix = self.kind.key_prefix();
        while let Some(item) = watch.next().await {
            let version = match item {
                Ok(WatchItem::Event(event)) => {
                    self.apply(&prefix, event);
                    self.state().version()
                }
                Ok(WatchItem::Progress(version)) => {
                    let mut state = self.state();
                    state.progress(version);
                    state.version()
                }
                Err(error) => return error,
            };
            self.reach(version);
        }
        Error::Lagged
    }

    fn apply(&self, prefix: &str, event: meseta_store::Event) {
        let meseta_store::Event { key, version, value, .. } = event;
        let key = key.strip_prefix(prefix).unwrap_or(&key);
        let object = match value.map(|body| Object::decode(&self.kind, key, version, body)) {
            None => None,
            Some(Ok(object)) => Some(object),
            Some(Err(error)) => return error!(%error, "left out"),
        };
        let bytes = self.state().apply(key, version, object);
        self.changed_bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn reach(&self, version: Version) {
        self.version.send_if_modified(|reached| {
            let grown = version > *reached;
            *reached = version.max(*reached);
            grown
        });
    }
}
