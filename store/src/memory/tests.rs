//! What only the store in memory has: time that a test can move. The rest is in `tests/it`.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::time::{Instant, advance};

use super::MemoryStore;
use crate::watch::PROGRESS_INTERVAL;
use crate::{Change, Error, Expect, LeaseId, Store as _, Version, WatchItem};

async fn put_under(store: &MemoryStore, key: &str, lease: LeaseId) {
    let change = Change::Put { value: Bytes::from_static(b"v"), lease: Some(lease) };
    store.write(key, Expect::Absent, change).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_its_full_time_after_the_last_renewal() {
    let store = MemoryStore::new();
    let lease = store.grant_lease(10).await.unwrap();
    put_under(&store, "/a", lease).await;
    put_under(&store, "/b", lease).await;
    let written = store.version().await.unwrap();
    let mut watch = store.watch("/", written).await.unwrap();

    advance(Duration::from_secs(9)).await;
    store.renew_lease(lease).await.unwrap();
    let renewed = Instant::now();
    let mut deleted = Vec::new();
    while deleted.len() < 2 {
        if let WatchItem::Event(event) = watch.next().await.unwrap().unwrap() {
            assert_eq!(event.value, None);
            deleted.push((event.key, event.version));
        }
    }
    assert_eq!(renewed.elapsed().as_secs(), 10);
    let revision = written.revision() + 1;
    assert_eq!(
        deleted,
        [
            ("/a".to_owned(), Version::new(revision, 0)),
            ("/b".to_owned(), Version::new(revision, 1))
        ]
    );
    assert!(matches!(store.renew_lease(lease).await, Err(Error::LeaseNotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn an_idle_watch_shows_that_it_lives() {
    let store = MemoryStore::new();
    let mut watch = store.watch("/", Version(0)).await.unwrap();
    let begun = Instant::now();
    assert_eq!(watch.next().await.unwrap().unwrap(), WatchItem::Progress(Version(0)));
    assert_eq!(begun.elapsed(), PROGRESS_INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_the_future_says_nothing_before_it_begins() {
    let store = MemoryStore::new();
    let mut watch = store.watch("/", Version::new(1, 1)).await.unwrap();
    for key in ["/a", "/b"] {
        let change = Change::Put { value: Bytes::from_static(b"v"), lease: None };
        store.write(key, Expect::Absent, change).await.unwrap();
    }
    let WatchItem::Event(event) = watch.next().await.unwrap().unwrap() else {
        panic!("progress before the watch began")
    };
    assert_eq!(event.key, "/b");
}
