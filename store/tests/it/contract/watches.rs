//! What watches give, wherever they begin and are cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::join_all;
use meseta_store::{Event, Record, Version, WatchItem};

use crate::stores::{Kind, StoreExt as _, Subject, next_event, soon};

against_all! {
    a_watch_gives_every_change_with_what_it_replaced
    a_watch_sees_what_comes_after_it_began
    a_watch_cut_at_any_event_loses_none_and_repeats_none
    watches_say_how_far_they_are_when_asked
}

async fn a_watch_gives_every_change_with_what_it_replaced(subject: Subject) {
    let store = &*subject.store;
    let created = store.create("/a", "one").await;
    store.create("/b", "other").await;
    let replaced = store.update("/a", created, "two").await;
    let deleted = store.delete("/a", replaced).await;
    let record = |value: &'static str, version| {
        Some(Record { key: "/a".to_owned(), value: Bytes::from_static(value.as_bytes()), version })
    };
    let event = |version, value: Option<&'static str>, previous| Event {
        key: "/a".to_owned(),
        version,
        value: value.map(|value| Bytes::from_static(value.as_bytes())),
        previous,
    };
    let expected = [
        event(created, Some("one"), None),
        event(replaced, Some("two"), record("one", created)),
        event(deleted, None, record("two", replaced)),
    ];
    assert_eq!(store.events("/a", Version(0), deleted).await, expected);
    assert_eq!(store.events("/a", created, deleted).await, expected[1..]);
    assert_eq!(store.events("/a", replaced, deleted).await, expected[2..]);
    assert_eq!(store.events("/a", deleted, deleted).await, []);
    assert_eq!(store.events("/", Version(0), deleted).await.len(), 4);
}

async fn a_watch_sees_what_comes_after_it_began(subject: Subject) {
    let store = &*subject.store;
    let before = store.create("/a/1", "1").await;
    let mut from_list = {
        let page = store.all("/a/", None).await;
        store.watch("/a/", page.version).await.unwrap()
    };
    let mut from_write = store.watch("/a/", before).await.unwrap();
    store.create("/b/1", "1").await;
    let second = store.create("/a/2", "2").await;
    for watch in [&mut from_list, &mut from_write] {
        let event = next_event(watch).await;
        assert_eq!((event.key.as_str(), event.version), ("/a/2", second));
    }
    let third = store.delete("/a/2", second).await;
    for watch in [&mut from_list, &mut from_write] {
        let event = next_event(watch).await;
        assert_eq!((event.value, event.version), (None, third));
    }
}

/// Many writers at once, so that commits have several events; then cuts everywhere.
async fn a_watch_cut_at_any_event_loses_none_and_repeats_none(subject: Subject) {
    let store = &subject.store;
    let writers = (0..48).map(|writer: u32| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            // Some live on, some change, some go.
            let key = format!("/w/{writer:02}");
            let created = store.create(&key, "one").await;
            let replaced = if writer.is_multiple_of(2) {
                store.update(&key, created, "two").await
            } else {
                created
            };
            if writer.is_multiple_of(3) { store.delete(&key, replaced).await } else { replaced }
        })
    });
    let mut watch = store.watch("/w/", Version(0)).await.unwrap();
    let acknowledged: Vec<Version> =
        join_all(writers).await.into_iter().map(Result::unwrap).collect();
    let newest = *acknowledged.iter().max().unwrap();

    let events = store.events("/w/", Version(0), newest).await;
    assert_eq!(events.len(), 48 + 24 + 16);
    assert!(events.is_sorted_by(|a, b| a.version < b.version));
    let versions: BTreeSet<Version> = events.iter().map(|event| event.version).collect();
    assert!(acknowledged.iter().all(|version| versions.contains(version)));
    for event in &events {
        assert_eq!(&next_event(&mut watch).await, event, "the watch from before saw the same");
    }
    if subject.kind != Kind::Memory {
        let revisions: BTreeSet<u64> = versions.iter().map(|version| version.revision()).collect();
        assert!(revisions.len() < versions.len(), "no commit had two writes");
    }

    let mut current: BTreeMap<String, (Bytes, Version)> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        let rest = store.events("/w/", event.version, newest).await;
        assert_eq!(rest, events[index + 1..], "cut at {}", event.version);

        let before = current.get(&event.key).cloned();
        let previous = event.previous.clone().map(|record| (record.value, record.version));
        assert_eq!(previous, before);
        match event.value.clone() {
            Some(value) => current.insert(event.key.clone(), (value, event.version)),
            None => current.remove(&event.key),
        };
        let listed = store.all("/w/", Some(event.version)).await;
        let listed: BTreeMap<_, _> =
            listed.records.into_iter().map(|r| (r.key, (r.value, r.version))).collect();
        assert_eq!(listed, current, "listed at {}", event.version);
    }
}

async fn watches_say_how_far_they_are_when_asked(subject: Subject) {
    let store = &*subject.store;
    let mut empty = store.watch("/none/", Version(0)).await.unwrap();
    let mut busy = store.watch("/a", Version(0)).await.unwrap();
    let written = store.create("/a", "1").await;
    store.request_progress().await.unwrap();
    let mut seen = false;
    loop {
        match soon("progress", busy.next()).await.unwrap().unwrap() {
            WatchItem::Event(event) => seen = event.version == written,
            WatchItem::Progress(version) if version >= written => break,
            WatchItem::Progress(_) => store.request_progress().await.unwrap(),
        }
    }
    assert!(seen, "progress came before the event");
    loop {
        match soon("progress", empty.next()).await.unwrap().unwrap() {
            WatchItem::Event(event) => panic!("{event:?} is not under the prefix"),
            WatchItem::Progress(version) if version >= written => break,
            WatchItem::Progress(_) => store.request_progress().await.unwrap(),
        }
    }
}
