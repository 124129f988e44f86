use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use futures::FutureExt as _;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::sync::oneshot;

use super::{MAX_GROUP_BYTES, MAX_GROUP_WRITES, Waiting, take_group};
use crate::room::Room;
use crate::{Change, Expect, MAX_VALUE_BYTES, Version};

/// A write of `bytes` to `key`; the version it expects says which one it is.
fn waiting(index: usize, key: &str, bytes: usize) -> Waiting {
    let room = Room::new().take(0).now_or_never().unwrap();
    let expect = Expect::Version(Version(index as u64));
    let change = Change::Put { value: Bytes::from(vec![0; bytes]), lease: None };
    let (reply, _) = oneshot::channel();
    Waiting { key: key.to_owned(), expect, change, reply, _room: room }
}

fn keys(writes: &[Waiting]) -> Vec<&str> {
    writes.iter().map(|write| write.key.as_str()).collect()
}

#[test]
fn a_key_is_in_a_group_once_and_its_next_write_is_in_the_next() {
    let mut queue: VecDeque<Waiting> =
        ["a", "b", "a", "c", "a", "b"].map(|key| waiting(0, key, 1)).into();
    assert_eq!(keys(&take_group(&mut queue)), ["a", "b", "c"]);
    assert_eq!(keys(&take_group(&mut queue)), ["a", "b"]);
    assert_eq!(keys(&take_group(&mut queue)), ["a"]);
    assert!(queue.is_empty());
}

#[test]
fn the_largest_write_goes_alone() {
    let sizes = [("a", 10), ("b", MAX_VALUE_BYTES), ("c", MAX_VALUE_BYTES), ("d", 10)];
    let mut queue: VecDeque<Waiting> = sizes.map(|(key, bytes)| waiting(0, key, bytes)).into();
    for (key, _) in sizes {
        assert_eq!(keys(&take_group(&mut queue)), [key]);
    }
}

proptest! {
    #[test]
    fn groups_keep_the_order_of_each_key_and_their_bounds(
        writes in vec(("[a-f][a-f]?[a-f]?", 0..200_000_usize), 0..300),
    ) {
        let mut offered: BTreeMap<&str, Vec<Expect>> = BTreeMap::new();
        let mut queue = VecDeque::new();
        for (index, (key, bytes)) in writes.iter().enumerate() {
            let write = waiting(index, key, *bytes);
            offered.entry(key).or_default().push(write.expect);
            queue.push_back(write);
        }
        let mut taken: BTreeMap<&str, Vec<Expect>> = BTreeMap::new();
        while !queue.is_empty() {
            let group = take_group(&mut queue);
            prop_assert!(!group.is_empty() && group.len() <= MAX_GROUP_WRITES);
            let bytes: usize = group.iter().map(Waiting::bytes).sum();
            prop_assert!(group.len() == 1 || bytes <= MAX_GROUP_BYTES);
            let distinct: BTreeSet<&str> = keys(&group).into_iter().collect();
            prop_assert_eq!(distinct.len(), group.len());
            for write in &group {
                let (key, _) = offered.get_key_value(write.key.as_str()).unwrap();
                taken.entry(key).or_default().push(write.expect);
            }
        }
        prop_assert_eq!(taken, offered);
    }
}
