//! Others in the same etcd: other control planes, other programs, and administrators who write
//! behind the store's back.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use etcd_client::DeleteOptions;
use futures::StreamExt as _;
use futures::future::join_all;
use meseta_store::{Error, Event, Expect, Record, Store, Version, WatchItem};

use crate::etcd_server::Server;
use crate::stores::{PREFIX, StoreExt as _, next_event, soon};

/// Writes in groups: creates, replaces and deletes; returns the newest version.
async fn write_groups(store: &Arc<dyn Store>, name: &str) -> Version {
    let writers = (0..40).map(|writer: u32| {
        let (store, key) = (Arc::clone(store), format!("/{name}/{writer:02}"));
        tokio::spawn(async move {
            let created = store.create(&key, "one").await;
            match writer % 4 {
                0 => store.update(&key, created, "two").await,
                1 => store.delete(&key, created).await,
                _ => created,
            }
        })
    });
    join_all(writers).await.into_iter().map(Result::unwrap).max().unwrap()
}

/// What follows from events: the records after each of them.
fn states(events: &[Event]) -> Vec<(Version, Vec<Record>)> {
    let mut current: BTreeMap<String, Record> = BTreeMap::new();
    let state = |event: &Event| {
        let key = event.key.clone();
        match event.value.clone() {
            Some(value) => {
                current.insert(key.clone(), Record { key, value, version: event.version })
            }
            None => current.remove(&key),
        };
        (event.version, current.values().cloned().collect())
    };
    events.iter().map(state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_control_plane_sees_the_same_versions() {
    let server = Server::start(&["--unsafe-no-fsync"]).await;
    let one: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    let two: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    assert_eq!(one.generation(), two.generation());
    let (of_one, of_two) = tokio::join!(write_groups(&one, "one"), write_groups(&two, "two"));
    let newest = of_one.max(of_two);
    let events = one.events("/", Version(0), newest).await;
    assert_eq!(events.len(), 2 * (40 + 20));
    assert_eq!(two.events("/", Version(0), newest).await, events);
    // One that comes later has nothing of this in memory and takes it all from etcd: from every
    // event on, and every list, also in the middle of a group.
    let late: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    let mut watches = Vec::new();
    for (index, event) in events.iter().enumerate().step_by(7) {
        let (late, event, rest) = (Arc::clone(&late), event.version, events[index + 1..].to_vec());
        watches.push(tokio::spawn(async move {
            assert_eq!(late.events("/", event, newest).await, rest, "cut at {event}");
        }));
    }
    for (version, records) in states(&events).into_iter().step_by(7) {
        let late = Arc::clone(&late);
        watches.push(tokio::spawn(async move {
            assert_eq!(late.all("/", Some(version)).await.records, records, "at {version}");
            // The same in pages, each of which may have to undo something.
            let mut paged = Vec::new();
            let mut after: Option<String> = None;
            loop {
                let page = late.list("/", after.as_deref(), 5, Some(version)).await.unwrap();
                paged.extend(page.records);
                if !page.more {
                    break;
                }
                after = paged.last().map(|record: &Record| record.key.clone());
            }
            assert_eq!(paged, records, "in pages at {version}");
        }));
    }
    for watch in watches {
        watch.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_by_somebody_else_is_noticed() {
    let server = Server::start(&["--unsafe-no-fsync"]).await;
    let store: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    let newest = write_groups(&store, "a").await;
    let events = store.events("/", Version(0), newest).await;
    let shown = states(&events);
    let middle = events[events.len() / 2].version.revision();
    server.client().await.compact(i64::try_from(middle).unwrap(), None).await.unwrap();
    let late: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    for (index, (version, records)) in shown.into_iter().enumerate() {
        let readable = version.revision() > middle;
        match late.list("/", None, usize::MAX, Some(version)).await {
            Ok(page) => assert_eq!(page.records, records, "at {version}"),
            Err(Error::Compacted { asked, oldest }) => {
                assert!(!readable, "{version} can be read");
                assert_eq!((asked, oldest), (version, Version::end_of(middle)));
            }
            Err(other) => panic!("{other:?}"),
        }
        let mut watch = late.watch("/", version).await.unwrap();
        let mut rest = Vec::new();
        let result = loop {
            if rest.last().is_some_and(|event: &Event| event.version == newest) || version == newest
            {
                break Ok(());
            }
            match soon("an event", watch.next()).await.unwrap() {
                Ok(WatchItem::Event(event)) => rest.push(event),
                Ok(WatchItem::Progress(_)) => {}
                Err(error) => break Err(error),
            }
        };
        match result {
            Ok(()) => assert_eq!(rest, events[index + 1..], "after {version}"),
            Err(Error::Compacted { .. }) => assert!(!readable && rest.is_empty(), "{version}"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_not_ours_concerns_its_key_only() {
    let server = Server::start(&["--unsafe-no-fsync"]).await;
    let store: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    let before = store.create("/a/1", "well").await;
    let mut of_others = store.watch("/a/", before).await.unwrap();
    let mut of_all = store.watch("/", before).await.unwrap();
    let mut client = server.client().await;
    client.put("/meseta/records/b/1", "{\"kind\":\"Task\"}", None).await.unwrap();
    let after = store.create("/a/2", "well").await;

    let corrupt = |error: Error| match error {
        Error::Corrupt { key, why } => (key, why),
        other => panic!("{other:?}"),
    };
    let expected = ("/b/1".to_owned(), "envelope version 123 is unknown".to_owned());
    assert_eq!(corrupt(store.get("/b/1").await.unwrap_err()), expected);
    assert_eq!(corrupt(store.list("/", None, 9, None).await.unwrap_err()), expected);
    assert_eq!(corrupt(store.put("/b/1", Expect::Absent, "x").await.unwrap_err()), expected);
    assert_eq!(store.all("/a/", None).await.records.len(), 2);
    assert_eq!(next_event(&mut of_others).await.version, after);
    let end = loop {
        match soon("the corrupt value", of_all.next()).await.unwrap() {
            Ok(WatchItem::Progress(_)) => {}
            Ok(WatchItem::Event(event)) => panic!("{event:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(corrupt(end), expected);
    // Who removes it has repaired everything.
    client.delete("/meseta/records/b/1", None).await.unwrap();
    store.create("/b/1", "well").await;
    assert_eq!(store.all("/", None).await.records.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_below_other_prefixes_is_not_seen() {
    let server = Server::start(&["--unsafe-no-fsync"]).await;
    let mut client = server.client().await;
    // etcd has a past, part of which is compacted.
    for n in 0..50 {
        client.put("/meseta2/records/a", n.to_string(), None).await.unwrap();
        client.put("/registry/pods/a", n.to_string(), None).await.unwrap();
    }
    let header = client.get("/registry/pods/a", None).await.unwrap();
    let now = header.header().unwrap().revision();
    client.compact(now - 10, None).await.unwrap();

    let store: Arc<dyn Store> = Arc::new(server.store("/meseta/").await);
    let page = store.all("", None).await;
    assert_eq!(page.records, []);
    let mut watch = store.watch("", page.version).await.unwrap();
    client.put("/registry/pods/b", "x", None).await.unwrap();
    let other: Arc<dyn Store> = Arc::new(server.store("/other").await);
    other.create("/a", "theirs").await;
    let created = store.create("/a", "ours").await;
    assert_eq!(next_event(&mut watch).await.version, created);
    assert_eq!(store.all("", None).await.records.len(), 1);
    assert_ne!(store.generation(), other.generation());
    // From before its own first write it can be watched unless that was compacted.
    assert!(matches!(
        soon("a refusal", store.watch("", Version(0)).await.unwrap().next()).await,
        Some(Err(Error::Compacted { .. }))
    ));
    let again: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    assert_eq!(again.get("/a").await.unwrap().unwrap().version, created);
}

/// More changes in one commit than there are positions: nobody can watch through that, and
/// everybody can go on behind it.
#[tokio::test(flavor = "multi_thread")]
async fn when_somebody_deletes_everything_at_once_watches_begin_anew() {
    let server = Server::start(&["--unsafe-no-fsync"]).await;
    let store: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    let mut newest = Version(0);
    for round in 0..3 {
        let creates = (0..400).map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.create(&format!("/{round}/{n}"), "x").await })
        });
        newest = join_all(creates).await.into_iter().map(Result::unwrap).max().unwrap();
    }
    let mut watch = store.watch("/", newest).await.unwrap();
    let all = DeleteOptions::new().with_prefix();
    server.client().await.delete("/meseta/records", Some(all)).await.unwrap();
    let end = async {
        loop {
            match watch.next().await.unwrap() {
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    };
    let end = soon("the end of the watch", end).await;
    assert!(matches!(end, Error::Compacted { .. }), "{end:?}");
    let page = store.all("/", None).await;
    assert_eq!(page.records, []);
    let mut watch = store.watch("/", page.version).await.unwrap();
    let created = store.create("/after", "x").await;
    let event = next_event(&mut watch).await;
    assert_eq!((event.version, event.value), (created, Some(Bytes::from_static(b"x"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn into_a_store_of_another_generation_nothing_is_written() {
    let server = Server::start(&["--unsafe-no-fsync"]).await;
    let store: Arc<dyn Store> = Arc::new(server.store(PREFIX).await);
    store.create("/a", "1").await;
    // As if it were another store, without the connection being lost.
    server.client().await.put("/meseta/generation", "another", None).await.unwrap();
    let refused = store.put("/b", Expect::Absent, "1").await;
    let Err(Error::Unavailable(why)) = refused else { panic!("{refused:?}") };
    assert_eq!(
        why.to_string(),
        "etcd holds another store than when it was opened, or an older state of it"
    );
    assert_eq!(store.get("/b").await.unwrap(), None);
}
