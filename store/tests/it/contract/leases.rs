//! Leases and the keys that depend on them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use meseta_store::{Change, Error, Expect, LeaseId};

use crate::stores::{StoreExt as _, Subject, next_event, soon};

/// Short enough to be waited for, long enough that a machine which others load does not lose a lease
/// between its grant and its first use.
const SHORT_SECONDS: i64 = 3;

against_all! {
    a_lease_takes_its_keys_with_it_when_it_ends
    a_renewed_lease_lives_on
    a_revoked_lease_takes_its_keys_with_it_at_once
    a_key_written_without_its_lease_stays
    a_lease_that_is_not_there_is_refused
    a_lease_survives_a_restart
}

async fn a_lease_takes_its_keys_with_it_when_it_ends(subject: Subject) {
    let store = &*subject.store;
    let lease = store.grant_lease(SHORT_SECONDS).await.unwrap();
    let last = {
        store.put_under("/a/1", lease).await.unwrap();
        store.put_under("/a/2", lease).await.unwrap()
    };
    let mut watch = store.watch("/a/", last).await.unwrap();
    let mut ended = [next_event(&mut watch).await, next_event(&mut watch).await];
    assert!(ended[0].version < ended[1].version);
    ended.sort_by(|a, b| a.key.cmp(&b.key));
    for (event, key) in ended.iter().zip(["/a/1", "/a/2"]) {
        assert_eq!((event.key.as_str(), &event.value), (key, &None));
        assert_eq!(event.previous.as_ref().unwrap().value, "leased");
    }
    assert_eq!(store.all("/", None).await.records, []);
    assert!(matches!(store.renew_lease(lease).await, Err(Error::LeaseNotFound(id)) if id == lease));
}

async fn a_renewed_lease_lives_on(subject: Subject) {
    let store = &*subject.store;
    // Both are granted for the same time; that one lives and the other does not shows the renewal.
    let renewed = store.grant_lease(SHORT_SECONDS).await.unwrap();
    store.put_under("/renewed", renewed).await.unwrap();
    let left = store.grant_lease(SHORT_SECONDS).await.unwrap();
    store.put_under("/left", left).await.unwrap();
    let ended = async {
        while store.get("/left").await.unwrap().is_some() {
            store.renew_lease(renewed).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon("the end of the lease that is not renewed", ended).await;
    assert!(store.get("/renewed").await.unwrap().is_some());
    store.renew_lease(renewed).await.unwrap();
}

async fn a_revoked_lease_takes_its_keys_with_it_at_once(subject: Subject) {
    const KEYS: usize = 700;
    let store = &subject.store;
    let lease = store.grant_lease(3600).await.unwrap();
    let puts = (0..KEYS).map(|key| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.put_under(&format!("/{key:03}"), lease).await.unwrap() })
    });
    let last = join_all(puts).await.into_iter().map(Result::unwrap).max().unwrap();
    store.create("/other", "stays").await;
    store.revoke_lease(lease).await.unwrap();
    assert_eq!(store.all("/", None).await.records.len(), 1);
    let newest = store.version().await.unwrap();
    let events = store.events("/", last, newest).await;
    assert_eq!(events.iter().filter(|event| event.value.is_none()).count(), KEYS);
    assert!(events.is_sorted_by(|a, b| a.version < b.version));
    assert!(matches!(store.revoke_lease(lease).await, Err(Error::LeaseNotFound(_))));
}

async fn a_key_written_without_its_lease_stays(subject: Subject) {
    let store = &*subject.store;
    let lease = store.grant_lease(3600).await.unwrap();
    let other = store.grant_lease(3600).await.unwrap();
    let freed = store.put_under("/freed", lease).await.unwrap();
    store.update("/freed", freed, "free").await;
    let moved = store.put_under("/moved", lease).await.unwrap();
    let change = Change::Put { value: Bytes::from_static(b"moved"), lease: Some(other) };
    store.write("/moved", Expect::Version(moved), change).await.unwrap();
    let deleted = store.put_under("/recreated", lease).await.unwrap();
    store.delete("/recreated", deleted).await;
    store.create("/recreated", "again").await;
    store.put_under("/bound", lease).await.unwrap();
    let keys = async || {
        let page = store.all("/", None).await;
        page.records.into_iter().map(|record| record.key).collect::<Vec<_>>()
    };
    store.revoke_lease(lease).await.unwrap();
    assert_eq!(keys().await, ["/freed", "/moved", "/recreated"]);
    store.revoke_lease(other).await.unwrap();
    assert_eq!(keys().await, ["/freed", "/recreated"]);
}

async fn a_lease_that_is_not_there_is_refused(subject: Subject) {
    let store = &*subject.store;
    let none = LeaseId(4711);
    let refused = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::LeaseNotFound(id)) if id == none), "{result:?}");
    };
    refused(store.renew_lease(none).await);
    refused(store.revoke_lease(none).await);
    refused(store.put_under("/a", none).await.map(drop));
    // Among others that are well.
    let writes = (0..20).map(|index| {
        let store = Arc::clone(&subject.store);
        tokio::spawn(async move {
            let key = format!("/{index}");
            if index == 10 {
                store.put_under(&key, none).await
            } else {
                Ok(store.create(&key, "x").await)
            }
        })
    });
    for (index, result) in join_all(writes).await.into_iter().enumerate() {
        match result.unwrap() {
            Ok(_) => assert_ne!(index, 10),
            error => refused(error.map(drop)),
        }
    }
    assert_eq!(store.all("/", None).await.records.len(), 19);
}

async fn a_lease_survives_a_restart(subject: Subject) {
    let short = subject.store.grant_lease(SHORT_SECONDS).await.unwrap();
    let long = subject.store.grant_lease(3600).await.unwrap();
    subject.store.put_under("/short", short).await.unwrap();
    subject.store.put_under("/long", long).await.unwrap();
    let subject = subject.reopened().await;
    let store = &*subject.store;
    store.renew_lease(long).await.unwrap();
    let ended = async {
        while store.get("/short").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("the end of the short lease", ended).await;
    assert!(store.get("/long").await.unwrap().is_some());
    assert!(store.grant_lease(1).await.unwrap() != long);
    store.revoke_lease(long).await.unwrap();
    assert_eq!(store.all("/", None).await.records, []);
}
