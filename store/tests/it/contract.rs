//! What every store promises, test by test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::join_all;
use meseta_store::{
    Change, Error, Event, Expect, LeaseId, MAX_KEY_BYTES, MAX_VALUE_BYTES, Record, Version,
    WatchItem,
};

use crate::stores::{Kind, StoreExt as _, Subject, Text, next_event, soon, text, texts};

/// Runs each test against each store.
macro_rules! against_all {
    ($($test:ident)*) => {
        mod memory { $(#[tokio::test] async fn $test() {
            super::$test(super::Subject::new(super::Kind::Memory).await).await;
        })* }
        mod embedded { $(#[tokio::test(flavor = "multi_thread")] async fn $test() {
            super::$test(super::Subject::new(super::Kind::Embedded).await).await;
        })* }
        mod etcd { $(#[tokio::test(flavor = "multi_thread")] async fn $test() {
            super::$test(super::Subject::new(super::Kind::Etcd).await).await;
        })* }
    };
}

against_all! {
    a_record_is_created_replaced_and_deleted
    a_write_that_finds_something_else_changes_nothing
    keys_are_listed_in_order_and_only_below_the_prefix
    the_pages_of_one_list_show_one_version
    old_versions_are_listed_as_they_were
    a_version_that_is_not_written_yet_cannot_be_listed
    a_watch_gives_every_change_with_what_it_replaced
    a_watch_sees_what_comes_after_it_began
    a_watch_cut_at_any_event_loses_none_and_repeats_none
    history_survives_a_restart
    what_was_compacted_is_refused
    a_compaction_keeps_what_can_still_be_read
    a_long_history_is_swept_and_read_on
    of_writers_in_conflict_one_wins
    a_lease_takes_its_keys_with_it_when_it_ends
    a_renewed_lease_lives_on
    a_revoked_lease_takes_its_keys_with_it_at_once
    a_key_written_without_its_lease_stays
    a_lease_that_is_not_there_is_refused
    a_lease_survives_a_restart
    keys_and_values_up_to_their_limits_are_kept
    a_generation_is_for_life
    watches_say_how_far_they_are_when_asked
}

async fn a_record_is_created_replaced_and_deleted(subject: Subject) {
    let store = &*subject.store;
    assert_eq!(store.get("/a").await.unwrap(), None);
    let created = store.create("/a", "one").await;
    assert_eq!(
        text(&store.get("/a").await.unwrap().unwrap()),
        ("/a".into(), "one".into(), created)
    );
    let replaced = store.update("/a", created, "two").await;
    assert!(replaced > created);
    assert_eq!(
        text(&store.get("/a").await.unwrap().unwrap()),
        ("/a".into(), "two".into(), replaced)
    );
    let deleted = store.delete("/a", replaced).await;
    assert!(deleted > replaced);
    assert_eq!(store.get("/a").await.unwrap(), None);
    assert!(store.version().await.unwrap() >= deleted);
    let again = store.create("/a", "").await;
    assert!(again > deleted);
    assert_eq!(text(&store.get("/a").await.unwrap().unwrap()), ("/a".into(), String::new(), again));
}

async fn a_write_that_finds_something_else_changes_nothing(subject: Subject) {
    let store = &*subject.store;
    let conflict = |result: Result<Version, Error>| match result {
        Err(Error::Conflict { current }) => current.as_ref().map(text),
        other => panic!("{other:?} is no conflict"),
    };
    let absent = Expect::Version(Version(5));
    assert_eq!(conflict(store.put("/a", absent, "x").await), None);
    assert_eq!(conflict(store.write("/a", absent, Change::Delete).await), None);
    assert_eq!(conflict(store.write("/a", Expect::Absent, Change::Delete).await), None);

    let old = store.create("/a", "one").await;
    let new = store.update("/a", old, "two").await;
    let there = Some(("/a".to_owned(), "two".to_owned(), new));
    assert_eq!(conflict(store.put("/a", Expect::Absent, "x").await), there);
    assert_eq!(conflict(store.put("/a", Expect::Version(old), "x").await), there);
    assert_eq!(conflict(store.write("/a", Expect::Version(old), Change::Delete).await), there);

    let events = store.events("/", Version(0), new).await;
    assert_eq!(events.len(), 2, "only what succeeded: {events:?}");
}

async fn keys_are_listed_in_order_and_only_below_the_prefix(subject: Subject) {
    let store = &*subject.store;
    let keys = ["/a/1", "/a/10", "/a/2", "/a/ä", "/a/\u{10ffff}", "/a0", "/b/1", "/", "/a"];
    for key in keys {
        store.create(key, key).await;
    }
    let list = async |prefix: &str, after: Option<&str>, limit: usize| {
        let page = store.list(prefix, after, limit, None).await.unwrap();
        (page.records.into_iter().map(|record| record.key).collect::<Vec<_>>(), page.more)
    };
    let below = ["/a/1", "/a/10", "/a/2", "/a/ä", "/a/\u{10ffff}"].map(String::from).to_vec();
    assert_eq!(list("/a/", None, usize::MAX).await, (below.clone(), false));
    assert_eq!(list("/a/", None, 5).await, (below.clone(), false));
    assert_eq!(list("/a/", None, 4).await, (below[..4].to_vec(), true));
    assert_eq!(list("/a/", Some("/a/10"), 2).await, (below[2..4].to_vec(), true));
    assert_eq!(list("/a/", Some("/a/1"), 1).await, (below[1..2].to_vec(), true));
    assert_eq!(list("/a/", Some("/a/\u{10ffff}"), 9).await, (vec![], false));
    assert_eq!(list("/a/", Some("/a/1x"), 1).await, (below[2..3].to_vec(), true));
    assert_eq!(list("/a/", Some("/0"), 1).await, (below[..1].to_vec(), true));
    assert_eq!(list("/a/", Some("/z"), 1).await, (vec![], false));
    assert_eq!(list("/c", None, 9).await, (vec![], false));
    assert_eq!(list("", None, usize::MAX).await.0.len(), keys.len());
}

async fn the_pages_of_one_list_show_one_version(subject: Subject) {
    let store = &*subject.store;
    let mut expected = Vec::new();
    for index in 0..10 {
        let key = format!("/a/{index}");
        let version = store.create(&key, "old").await;
        expected.push((key, "old".to_owned(), version));
    }
    let mut page = store.list("/a/", None, 3, None).await.unwrap();
    let version = page.version;
    let mut listed = texts(&page);
    while page.more {
        // Behind the list's back: one more, and of those that are still to come one changed and
        // one gone.
        let next = listed.len();
        store.create(&format!("/a/{next}x"), "new").await;
        store.update(&expected[next].0, expected[next].2, "new").await;
        if let Some((key, _, current)) = expected.get(next + 1) {
            store.delete(key, *current).await;
        }
        let last = &listed[next - 1].0.clone();
        page = store.list("/a/", Some(last), 3, Some(version)).await.unwrap();
        assert_eq!(page.version, version);
        listed.extend(texts(&page));
    }
    assert_eq!(listed, expected);
}

async fn old_versions_are_listed_as_they_were(subject: Subject) {
    let store = &*subject.store;
    let mut shown: Vec<(Version, Vec<Text>)> = Vec::new();
    let mut current: BTreeMap<String, (String, Version)> = BTreeMap::new();
    let mut note = |version, current: &BTreeMap<String, (String, Version)>| {
        let records = current.iter().map(|(k, (v, at))| (k.clone(), v.clone(), *at)).collect();
        shown.push((version, records));
    };
    for (key, value) in
        [("/a", "1"), ("/b", "1"), ("/a", "2"), ("/a", ""), ("/c", "1"), ("/b", ""), ("/a", "3")]
    {
        let before = current.get(key).map(|(_, version)| *version);
        let version = match (before, value) {
            (Some(before), "") => store.delete(key, before).await,
            (Some(before), value) => store.update(key, before, value).await,
            (None, value) => store.create(key, value).await,
        };
        if value.is_empty() {
            current.remove(key);
        } else {
            current.insert(key.to_owned(), (value.to_owned(), version));
        }
        note(version, &current);
    }
    for (version, records) in &shown {
        assert_eq!(&texts(&store.all("/", Some(*version)).await), records);
    }
    assert_eq!(texts(&store.all("/", None).await), shown.last().unwrap().1);
}

async fn a_version_that_is_not_written_yet_cannot_be_listed(subject: Subject) {
    let store = &*subject.store;
    store.create("/a", "1").await;
    let newest = store.version().await.unwrap();
    let asked = Version::new(newest.revision() + 1, 0);
    match store.list("/", None, 1, Some(asked)).await {
        Err(Error::Future { asked: said, newest }) => {
            assert_eq!(said, asked);
            assert!(newest < asked);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(store.compact(asked).await, Err(Error::Future { .. })));
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

async fn history_survives_a_restart(subject: Subject) {
    let (created, deleted) = {
        let store = &*subject.store;
        let created = store.create("/a", "one").await;
        let replaced = store.update("/a", created, "two").await;
        store.create("/b", "two").await;
        (created, store.delete("/a", replaced).await)
    };
    let newest = subject.store.version().await.unwrap();
    let subject = subject.reopened().await;
    let store = &*subject.store;
    assert!(store.version().await.unwrap() >= deleted);
    assert_eq!(store.events("/", Version(0), deleted).await.len(), 4);
    assert_eq!(store.events("/", created, deleted).await.len(), 3);
    assert_eq!(texts(&store.all("/", Some(created)).await), [("/a".into(), "one".into(), created)]);
    assert!(store.create("/c", "three").await > newest);
}

async fn what_was_compacted_is_refused(subject: Subject) {
    let store = &*subject.store;
    let mut versions = vec![store.create("/a", "0").await];
    for index in 1..6 {
        let last = versions[index - 1];
        versions.push(store.update("/a", last, &index.to_string()).await);
    }
    let running = store.watch("/", versions[0]).await.unwrap();
    store.compact(versions[3]).await.unwrap();
    for version in &versions[..2] {
        match store.list("/", None, 9, Some(*version)).await {
            Err(Error::Compacted { asked, oldest }) => {
                assert_eq!(asked, *version);
                assert!(oldest > asked && oldest <= versions[3]);
            }
            other => panic!("{other:?}"),
        }
        let refused = match store.watch("/", *version).await {
            Err(error) => Err(error),
            Ok(mut watch) => soon("a refusal", watch.next()).await.unwrap(),
        };
        assert!(matches!(refused, Err(Error::Compacted { .. })), "{refused:?}");
    }
    for (index, version) in versions.iter().enumerate().skip(3) {
        let page = store.all("/", Some(*version)).await;
        assert_eq!(texts(&page), [("/a".into(), index.to_string(), *version)]);
        let rest = store.events("/", *version, versions[5]).await;
        let rest: Vec<Version> = rest.iter().map(|event| event.version).collect();
        assert_eq!(rest, versions[index + 1..]);
    }
    // It never goes back, and again is not an error.
    store.compact(versions[2]).await.unwrap();
    store.compact(versions[3]).await.unwrap();
    assert!(store.list("/", None, 9, Some(versions[1])).await.is_err());

    // A watch that has not read meanwhile either still gets everything or is told.
    let mut seen = Vec::new();
    let mut running = running;
    loop {
        match soon("the rest", running.next()).await.unwrap() {
            Ok(WatchItem::Event(event)) => seen.push(event.version),
            Ok(WatchItem::Progress(_)) => {}
            Err(Error::Compacted { .. }) => break,
            Err(other) => panic!("{other:?}"),
        }
        if seen.last() == versions.last() {
            assert_eq!(seen, versions[1..]);
            break;
        }
    }
}

async fn a_compaction_keeps_what_can_still_be_read(subject: Subject) {
    let store = &*subject.store;
    let kept = store.create("/kept", "old and never changed").await;
    let gone = store.create("/gone", "x").await;
    store.delete("/gone", gone).await;
    let changed = store.create("/changed", "1").await;
    let at = store.update("/changed", changed, "2").await;
    let later = store.update("/changed", at, "3").await;
    store.compact(at).await.unwrap();
    let subject = subject.reopened().await;
    let store = &*subject.store;
    let expected = [
        ("/changed".to_owned(), "2".to_owned(), at),
        ("/kept".to_owned(), "old and never changed".to_owned(), kept),
    ];
    assert_eq!(texts(&store.all("/", Some(at)).await), expected);
    assert_eq!(text(&store.get("/kept").await.unwrap().unwrap()), expected[1]);
    let events = store.events("/", at, later).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].previous.as_ref().map(text).as_ref(), Some(&expected[0]));
    // What is compacted can be written on.
    store.update("/kept", kept, "new").await;
    store.create("/gone", "again").await;
    // Up to the newest version nothing but what is there remains.
    let newest = store.version().await.unwrap();
    store.compact(newest).await.unwrap();
    let subject = subject.reopened().await;
    let page = subject.store.all("/", None).await;
    let values: Vec<_> = texts(&page).into_iter().map(|(_, value, _)| value).collect();
    assert_eq!(values, ["3", "again", "new"]);
    assert!(page.version >= newest);
}

/// More changes than one step of sweeping, one batch of a watch or one commit takes.
async fn a_long_history_is_swept_and_read_on(subject: Subject) {
    const KEYS: usize = 150;
    const CHANGES: usize = 10;
    let store = &subject.store;
    let writers = (0..KEYS).map(|key| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let key = format!("/{key:03}");
            let mut version = store.create(&key, "0").await;
            for change in 1..CHANGES {
                version = store.update(&key, version, &change.to_string()).await;
            }
            if key.ends_with('7') { store.delete(&key, version).await } else { version }
        })
    });
    let newest = join_all(writers).await.into_iter().map(Result::unwrap).max().unwrap();
    let events = store.events("/", Version(0), newest).await;
    assert_eq!(events.len(), KEYS * CHANGES + KEYS / 10);
    let middle = events[events.len() / 2].version;
    let shown = texts(&store.all("/", Some(middle)).await);
    store.compact(middle).await.unwrap();
    let subject = subject.reopened().await;
    let store = &subject.store;
    assert_eq!(texts(&store.all("/", Some(middle)).await), shown);
    assert_eq!(store.events("/", middle, newest).await, events[events.len() / 2 + 1..]);
    assert_eq!(store.all("/", None).await.records.len(), KEYS - KEYS / 10);
}

async fn of_writers_in_conflict_one_wins(subject: Subject) {
    const WRITERS: usize = 8;
    const EACH: usize = 10;
    let store = &subject.store;
    store.create("/counter", "0").await;
    let writers = (0..WRITERS).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut current = store.get("/counter").await.unwrap().unwrap();
            for _ in 0..EACH {
                loop {
                    let (_, value, version) = text(&current);
                    let next = (value.parse::<usize>().unwrap() + 1).to_string();
                    match store.put("/counter", Expect::Version(version), &next).await {
                        Ok(version) => {
                            let value = Bytes::from(next);
                            current = Record { key: "/counter".to_owned(), value, version };
                            break;
                        }
                        Err(Error::Conflict { current: Some(there) }) => {
                            assert!(there.version > version, "the conflict is newer");
                            current = there;
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    let (_, value, newest) = text(&store.get("/counter").await.unwrap().unwrap());
    assert_eq!(value, (WRITERS * EACH).to_string());
    let events = store.events("/", Version(0), newest).await;
    let values: Vec<_> = events.into_iter().filter_map(|event| event.value).collect();
    let expected: Vec<Bytes> = (0..=WRITERS * EACH).map(|n| n.to_string().into()).collect();
    assert_eq!(values, expected, "each value once, in order");

    // One key, created by all at once.
    let creators = (0..WRITERS).map(|_| store.put("/one", Expect::Absent, "x"));
    let created = join_all(creators).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(created, 1);
}

async fn a_lease_takes_its_keys_with_it_when_it_ends(subject: Subject) {
    let store = &*subject.store;
    let lease = store.grant_lease(1).await.unwrap();
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
    let renewed = store.grant_lease(2).await.unwrap();
    store.put_under("/renewed", renewed).await.unwrap();
    let left = store.grant_lease(2).await.unwrap();
    store.put_under("/left", left).await.unwrap();
    let ended = async {
        while store.get("/left").await.unwrap().is_some() {
            store.renew_lease(renewed).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
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
    let short = subject.store.grant_lease(1).await.unwrap();
    let long = subject.store.grant_lease(3600).await.unwrap();
    subject.store.put_under("/short", short).await.unwrap();
    subject.store.put_under("/long", long).await.unwrap();
    let subject = subject.reopened().await;
    let store = &*subject.store;
    store.renew_lease(long).await.unwrap();
    let ended = async {
        while store.get("/short").await.unwrap().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    soon("the end of the short lease", ended).await;
    assert!(store.get("/long").await.unwrap().is_some());
    assert!(store.grant_lease(1).await.unwrap() != long);
    store.revoke_lease(long).await.unwrap();
    assert_eq!(store.all("/", None).await.records, []);
}

async fn keys_and_values_up_to_their_limits_are_kept(subject: Subject) {
    let store = &subject.store;
    let long = |length: usize| format!("/{}", "k".repeat(length - 1));
    let refused = store.put(&long(MAX_KEY_BYTES + 1), Expect::Absent, "v").await;
    assert!(matches!(refused, Err(Error::TooLarge { what: "key", .. })), "{refused:?}");
    let refused = store.put("/v", Expect::Absent, &"v".repeat(MAX_VALUE_BYTES + 1)).await;
    match refused {
        Err(Error::TooLarge { what: "value", bytes, limit }) => {
            assert_eq!((bytes, limit), (MAX_VALUE_BYTES + 1, MAX_VALUE_BYTES));
        }
        other => panic!("{other:?}"),
    }
    store.create(&long(MAX_KEY_BYTES), "v").await;
    // Several at once, so that they meet in a group, and in a page and a watch.
    let value = Bytes::from("v".repeat(MAX_VALUE_BYTES));
    let puts = (0..8).map(|index| {
        let (store, value) = (Arc::clone(store), value.clone());
        tokio::spawn(async move {
            let change = Change::Put { value, lease: None };
            store.write(&format!("/large/{index}"), Expect::Absent, change).await.unwrap()
        })
    });
    let newest = join_all(puts).await.into_iter().map(Result::unwrap).max().unwrap();
    let page = store.all("/large/", None).await;
    assert_eq!(page.records.len(), 8);
    assert!(page.records.iter().all(|record| record.value == value));
    let events = store.events("/large/", Version(0), newest).await;
    assert_eq!(events.len(), 8);
    assert!(events.iter().all(|event| event.value.as_ref() == Some(&value)));
}

async fn a_generation_is_for_life(subject: Subject) {
    let generation = subject.store.generation().to_owned();
    assert!(!generation.is_empty());
    let other = Subject::new(subject.kind).await;
    assert_ne!(other.store.generation(), generation);
    assert_eq!(subject.reopened().await.store.generation(), generation);
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
