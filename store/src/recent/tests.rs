use bytes::Bytes;

use super::{Entry, Recent};
use crate::watch::BATCH_EVENTS;
use crate::{Error, Event, Version};

fn put(key: &str, version: u64) -> Entry {
    Entry::Event(Event {
        key: key.to_owned(),
        version: Version(version),
        value: Some(Bytes::from_static(b"v")),
        previous: None,
    })
}

/// What a read gives: versions, and how far it came.
fn read(recent: &Recent, prefix: &str, after: u64) -> Option<(Vec<u64>, u64)> {
    let batch = recent.after(prefix, Version(after))?.unwrap();
    Some((batch.events.iter().map(|event| event.version.0).collect(), batch.through.0))
}

#[test]
fn it_gives_what_comes_after_and_only_under_the_prefix() {
    let recent = Recent::new(Version(10));
    recent.push([put("/a/1", 11), put("/b/1", 12), put("/a/2", 14)], Version(20));
    assert_eq!(read(&recent, "/a/", 10), Some((vec![11, 14], 20)));
    assert_eq!(read(&recent, "/a/", 11), Some((vec![14], 20)));
    assert_eq!(read(&recent, "/a/", 12), Some((vec![14], 20)));
    assert_eq!(read(&recent, "/", 14), Some((vec![], 20)));
    assert_eq!(read(&recent, "/", 30), Some((vec![], 20)));
    assert_eq!(recent.newest(), Version(20));
}

#[test]
fn before_its_floor_it_knows_nothing() {
    let recent = Recent::new(Version(10));
    assert_eq!(read(&recent, "/", 9), None);
    // Room for two.
    let limit = put("/a", 0).bytes() * 2;
    recent.push_within(limit, (11..=15).map(|version| put("/a", version)), Version(15));
    assert_eq!(read(&recent, "/", 12), None);
    assert_eq!(read(&recent, "/", 13), Some((vec![14, 15], 15)));
}

#[test]
fn one_event_larger_than_the_limit_is_not_kept() {
    let recent = Recent::new(Version(0));
    recent.push_within(1, [put("/a", 1)], Version(1));
    assert_eq!(read(&recent, "/", 0), None);
    assert_eq!(read(&recent, "/", 1), Some((vec![], 1)));
}

#[test]
fn a_full_batch_goes_as_far_as_its_last_event() {
    let recent = Recent::new(Version(0));
    let count = u64::try_from(BATCH_EVENTS).unwrap() + 5;
    recent.push((1..=count).map(|version| put("/a", version)), Version(count));
    let (versions, through) = read(&recent, "/", 0).unwrap();
    assert_eq!(versions.len(), BATCH_EVENTS);
    assert_eq!(read(&recent, "/", through).unwrap().0.len(), 5);
}

#[test]
fn a_corrupt_value_stops_only_those_who_watch_its_key() {
    let recent = Recent::new(Version(0));
    let corrupt =
        Entry::Corrupt { key: "/b".to_owned(), version: Version(2), why: "torn".to_owned() };
    recent.push([put("/a", 1), corrupt, put("/a", 3)], Version(3));
    assert_eq!(read(&recent, "/a", 0), Some((vec![1, 3], 3)));
    assert_eq!(read(&recent, "/", 0), Some((vec![1], 1)));
    assert!(matches!(
        recent.after("/", Version(1)),
        Some(Err(Error::Corrupt { key, .. })) if key == "/b"
    ));
    assert_eq!(read(&recent, "/", 2), Some((vec![3], 3)));
}
