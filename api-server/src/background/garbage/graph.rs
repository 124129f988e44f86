//! Who names whom as owner.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// One object: its resource's index, and its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Item {
    pub(super) resource: usize,
    pub(super) key: Arc<str>,
}

/// Owners by dependent, and dependents by owner's uid.
#[derive(Debug, Default)]
pub(super) struct Graph {
    owners: HashMap<Item, BTreeSet<String>>,
    dependents: HashMap<String, BTreeSet<Item>>,
}

impl Graph {
    /// Sets the uids of an object's owners; none for an object that has none, or is gone.
    pub(super) fn set(&mut self, item: &Item, uids: BTreeSet<String>) {
        let before = self.owners.remove(item).unwrap_or_default();
        for uid in before.difference(&uids) {
            if let Some(items) = self.dependents.get_mut(uid) {
                items.remove(item);
                if items.is_empty() {
                    self.dependents.remove(uid);
                }
            }
        }
        for uid in uids.difference(&before) {
            self.dependents.entry(uid.clone()).or_default().insert(item.clone());
        }
        if !uids.is_empty() {
            self.owners.insert(item.clone(), uids);
        }
    }

    /// Those that name `uid` as an owner.
    pub(super) fn dependents(&self, uid: &str) -> Vec<Item> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str) -> Item {
        Item { resource: 0, key: key.into() }
    }

    fn uids(uids: &[&str]) -> BTreeSet<String> {
        uids.iter().copied().map(str::to_owned).collect()
    }

    #[test]
    fn dependents_are_found_by_each_of_their_owners() {
        let mut graph = Graph::default();
        graph.set(&item("a"), uids(&["1", "2"]));
        graph.set(&item("b"), uids(&["2"]));
        assert_eq!(graph.dependents("1"), [item("a")]);
        assert_eq!(graph.dependents("2"), [item("a"), item("b")]);
    }

    #[test]
    fn what_has_no_owner_any_more_leaves_nothing_behind() {
        let mut graph = Graph::default();
        graph.set(&item("a"), uids(&["1", "2"]));
        graph.set(&item("a"), uids(&["2"]));
        assert_eq!(graph.dependents("1"), []);
        graph.set(&item("a"), uids(&[]));
        assert!(graph.owners.is_empty() && graph.dependents.is_empty());
    }
}
