//! The records with this agent's name, as the watch tells of them, and which of them are to be decided
//! about. Pure.
//!
//! **Invariant:** what was decided about costs nothing until something new is told of it, however many
//! records of tasks that are over wait for their schedulers. What is here without a record is decided
//! about each time: whether it is forgotten depends on time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::runtime::watcher::Event;
use meseta_crds::Task;

use crate::report::{self, Record};

/// All records, by uid.
#[derive(Debug, Default)]
pub(super) struct Records {
    known: BTreeMap<String, Arc<Task>>,
    /// What a list that is under way has shown so far.
    listing: Option<BTreeMap<String, Arc<Task>>>,
    /// Whether they were listed once.
    complete: bool,
    /// Uids that are to be decided about.
    open: BTreeSet<String>,
}

/// What is different after an event.
#[derive(Debug)]
pub(super) enum Change {
    /// Everything may be.
    All,
    /// The record of this uid has become that.
    One(String, Record),
}

impl Records {
    /// Takes in what the watch tells.
    pub(super) fn take(&mut self, event: Event<Task>) -> Option<Change> {
        match event {
            Event::Init => self.listing = Some(BTreeMap::new()),
            Event::InitApply(task) => {
                let uid = task.metadata.uid.clone()?;
                self.listing.get_or_insert_default().insert(uid, Arc::new(task));
            }
            Event::InitDone => {
                self.known = self.listing.take().unwrap_or_default();
                self.complete = true;
                self.open = self.known.keys().cloned().collect();
                return Some(Change::All);
            }
            Event::Apply(task) => {
                let uid = task.metadata.uid.clone()?;
                let task = Arc::new(task);
                self.known.insert(uid.clone(), Arc::clone(&task));
                self.open.insert(uid.clone());
                return Some(Change::One(uid, Record::Present(task)));
            }
            Event::Delete(task) => {
                let uid = task.metadata.uid.clone()?;
                self.known.remove(&uid);
                self.open.insert(uid.clone());
                // Only a deletion that was asked for is one: a store can lose records.
                let record = if report::is_deleting(&task) {
                    Record::Deleted(Arc::new(task))
                } else {
                    Record::Missing
                };
                return Some(Change::One(uid, record));
            }
        }
        None
    }

    /// Whether these are all there are.
    pub(super) fn complete(&self) -> bool {
        self.complete
    }

    pub(super) fn get(&self, uid: &str) -> Option<&Arc<Task>> {
        self.known.get(uid)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Task> {
        self.known.values().map(Arc::as_ref)
    }

    /// Uid of the executor that a task names, if that is placed here.
    pub(super) fn executor_of(&self, task: &Task) -> Option<String> {
        let name = task.spec.executor_name.as_ref()?;
        let namespace = &task.metadata.namespace;
        let is_it = |other: &Task| {
            other.metadata.name.as_ref() == Some(name)
                && other.metadata.namespace == *namespace
                && other.spec.executor.is_some()
        };
        let found = self.known.iter().find(|(_, other)| is_it(other));
        found.map(|(uid, _)| uid.clone())
    }

    /// Uids that are to be decided about, of records and of what is here without one.
    pub(super) fn to_decide(&self) -> impl Iterator<Item = &String> {
        self.open.iter()
    }

    /// What is here of a task has changed, other than by its owner's seeing it off.
    pub(super) fn open(&mut self, uid: &str) {
        self.open.insert(uid.to_owned());
    }

    /// A task was seen off by its owner: of its record the watch is yet to tell.
    pub(super) fn seen_off(&mut self, uid: &str) {
        if self.known.contains_key(uid) {
            self.open.remove(uid);
        } else {
            self.open(uid);
        }
    }

    /// All that was open is decided about; `is_here` tells of what something is here.
    pub(super) fn decided(&mut self, is_here: impl Fn(&str) -> bool) {
        self.open.retain(|uid| !self.known.contains_key(uid) && is_here(uid));
    }
}

#[cfg(test)]
mod tests {
    use meseta_crds::TaskSpec;

    use super::*;

    fn task(uid: &str) -> Task {
        let mut task = Task::new(uid, TaskSpec::default());
        task.metadata.uid = Some(uid.to_owned());
        task
    }

    fn listed(uids: &[&str]) -> Records {
        let mut records = Records::default();
        records.take(Event::Init);
        for uid in uids {
            records.take(Event::InitApply(task(uid)));
        }
        assert!(!records.complete());
        assert!(matches!(records.take(Event::InitDone), Some(Change::All)));
        records
    }

    fn open(records: &Records) -> Vec<&str> {
        records.to_decide().map(String::as_str).collect()
    }

    #[test]
    fn what_was_decided_about_is_left_alone_until_something_is_told_of_it() {
        let mut records = listed(&["a", "b", "c"]);
        assert_eq!(open(&records), ["a", "b", "c"]);
        records.decided(|_| true);
        assert_eq!(open(&records), [""; 0]);
        records.take(Event::Apply(task("b")));
        assert_eq!(open(&records), ["b"]);
        records.decided(|_| true);
        records.open("c");
        assert_eq!(open(&records), ["c"], "its owner failed");
    }

    #[test]
    fn what_was_seen_off_is_not_decided_about_until_the_watch_tells_something_new() {
        let mut records = listed(&["a"]);
        records.seen_off("a");
        assert_eq!(open(&records), [""; 0]);
        records.take(Event::Apply(task("a")));
        assert_eq!(open(&records), ["a"]);
    }

    #[test]
    fn what_is_here_without_a_record_is_decided_about_each_time() {
        let mut records = listed(&["a", "b"]);
        records.decided(|_| true);
        let told = records.take(Event::Delete(task("a")));
        assert!(matches!(told, Some(Change::One(uid, Record::Missing)) if uid == "a"));
        records.seen_off("c");
        for _ in 0..2 {
            assert_eq!(open(&records), ["a", "c"]);
            records.decided(|uid| uid != "x");
        }
        records.decided(|uid| uid == "c");
        assert_eq!(open(&records), ["c"]);
        records.take(Event::Apply(task("c")));
        records.decided(|_| true);
        assert_eq!(open(&records), [""; 0]);
    }
}
