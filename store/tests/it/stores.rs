//! The stores under test, each new and alone.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use meseta_store::embedded::EmbeddedStore;
use meseta_store::memory::MemoryStore;
use meseta_store::{
    Change, Error, Event, Expect, LeaseId, Page, Record, Store, Version, Watch, WatchItem,
};
use tempfile::TempDir;

use crate::etcd_server::Server;

/// What a test waits for at most; generous, since other tests load the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Embedded,
    Etcd,
}

/// Where stores are in etcd.
pub(crate) const PREFIX: &str = "/meseta";

/// A new store with what it lives in.
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    // Dropped in this order.
    pub(crate) store: Arc<dyn Store>,
    place: Place,
}

enum Place {
    Nowhere,
    Directory(TempDir),
    Server(Server),
}

impl Subject {
    pub(crate) async fn new(kind: Kind) -> Self {
        let (store, place): (Arc<dyn Store>, _) = match kind {
            Kind::Etcd => {
                let server = Server::start(&["--unsafe-no-fsync"]).await;
                (Arc::new(server.store(PREFIX).await), Place::Server(server))
            }
            Kind::Memory => (Arc::new(MemoryStore::new()), Place::Nowhere),
            Kind::Embedded => {
                let directory = TempDir::new().unwrap();
                (
                    Arc::new(EmbeddedStore::open(directory.path()).unwrap()),
                    Place::Directory(directory),
                )
            }
        };
        Self { kind, store, place }
    }

    /// The store after all of its clients have gone and a new one has come; the one in memory is
    /// what it was.
    pub(crate) async fn reopened(self) -> Self {
        let Self { kind, store, place } = self;
        let store: Arc<dyn Store> = match &place {
            Place::Nowhere => store,
            Place::Server(server) => {
                drop(store);
                Arc::new(server.store(PREFIX).await)
            }
            Place::Directory(directory) => {
                drop(store);
                Arc::new(EmbeddedStore::open(directory.path()).unwrap())
            }
        };
        Self { kind, store, place }
    }
}

/// `future`, but not longer than a test waits.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// Shorter calls for tests.
pub(crate) trait StoreExt {
    async fn put(&self, key: &str, expect: Expect, value: &str) -> Result<Version, Error>;
    async fn put_under(&self, key: &str, lease: LeaseId) -> Result<Version, Error>;
    async fn create(&self, key: &str, value: &str) -> Version;
    async fn update(&self, key: &str, from: Version, value: &str) -> Version;
    async fn delete(&self, key: &str, from: Version) -> Version;
    async fn all(&self, prefix: &str, at: Option<Version>) -> Page;
    async fn events(&self, prefix: &str, after: Version, through: Version) -> Vec<Event>;
}

impl StoreExt for dyn Store {
    async fn put(&self, key: &str, expect: Expect, value: &str) -> Result<Version, Error> {
        let value = Bytes::copy_from_slice(value.as_bytes());
        self.write(key, expect, Change::Put { value, lease: None }).await
    }

    async fn put_under(&self, key: &str, lease: LeaseId) -> Result<Version, Error> {
        let change = Change::Put { value: Bytes::from_static(b"leased"), lease: Some(lease) };
        self.write(key, Expect::Absent, change).await
    }

    async fn create(&self, key: &str, value: &str) -> Version {
        self.put(key, Expect::Absent, value).await.unwrap()
    }

    async fn update(&self, key: &str, from: Version, value: &str) -> Version {
        self.put(key, Expect::Version(from), value).await.unwrap()
    }

    async fn delete(&self, key: &str, from: Version) -> Version {
        self.write(key, Expect::Version(from), Change::Delete).await.unwrap()
    }

    async fn all(&self, prefix: &str, at: Option<Version>) -> Page {
        self.list(prefix, None, usize::MAX, at).await.unwrap()
    }

    /// The events after `after` up to `through`, which must be a version that was written.
    async fn events(&self, prefix: &str, after: Version, through: Version) -> Vec<Event> {
        let mut watch = self.watch(prefix, after).await.unwrap();
        self.request_progress().await.unwrap();
        let mut events = Vec::new();
        loop {
            match soon("progress", watch.next()).await.unwrap().unwrap() {
                WatchItem::Event(event) => events.push(event),
                WatchItem::Progress(version) if version >= through => return events,
                WatchItem::Progress(_) => self.request_progress().await.unwrap(),
            }
        }
    }
}

/// The next event of a watch.
pub(crate) async fn next_event(watch: &mut Watch) -> Event {
    loop {
        if let WatchItem::Event(event) = soon("an event", watch.next()).await.unwrap().unwrap() {
            return event;
        }
    }
}

/// A record to be compared: key, value, version.
pub(crate) type Text = (String, String, Version);

/// A record as text.
pub(crate) fn text(record: &Record) -> Text {
    let value = String::from_utf8(record.value.to_vec()).unwrap();
    (record.key.clone(), value, record.version)
}

/// The records of a page as text.
pub(crate) fn texts(page: &Page) -> Vec<Text> {
    page.records.iter().map(text).collect()
}
