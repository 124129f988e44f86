//! What was can be read until it is compacted, and not after.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::join_all;
use meseta_store::{Error, Version, WatchItem};

use crate::stores::{StoreExt as _, Subject, Text, soon, text, texts};

against_all! {
    old_versions_are_listed_as_they_were
    the_pages_of_one_list_show_one_version
    a_version_that_is_not_written_yet_cannot_be_listed
    history_survives_a_restart
    what_was_compacted_is_refused
    a_compaction_keeps_what_can_still_be_read
    a_long_history_is_swept_and_read_on
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
