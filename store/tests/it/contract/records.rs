//! What one key holds, and how keys are listed.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use meseta_store::{Change, Error, Expect, MAX_KEY_BYTES, MAX_VALUE_BYTES, Record, Version};

use crate::stores::{StoreExt as _, Subject, text};

against_all! {
    a_record_is_created_replaced_and_deleted
    a_write_that_finds_something_else_changes_nothing
    keys_are_listed_in_order_and_only_below_the_prefix
    of_writers_in_conflict_one_wins
    keys_and_values_up_to_their_limits_are_kept
    a_generation_is_for_life
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
