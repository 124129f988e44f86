//! Task groups that are not complete yet: an executor is given a group as a whole. Pure.
//!
//! **Invariant:** a group is complete once, or broken, and then for good: it is forgotten when all of
//! its tasks are over.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use meseta_mesos_agent::Launch;

use super::inner::Early;

/// Which group: uid of the executor's record, and the group's id.
pub(crate) type Key = (String, String);

/// Groups of which some tasks are here.
#[derive(Debug, Default)]
pub(crate) struct Groups(HashMap<Key, Group>);

#[derive(Debug)]
enum Group {
    /// The tasks that are here, by position.
    Waiting(BTreeMap<i64, Launch>),
    /// One of its tasks will not come.
    Broken {
        /// For this.
        early: Early,
        /// Positions of the tasks that are over, or will not come.
        gone: BTreeSet<i64>,
    },
}

/// What a task finds that joins its group.
#[derive(Debug)]
pub(crate) enum Joined {
    /// It was the last: all of them, in order.
    Complete(Vec<Launch>),
    /// Others are to come.
    Waiting,
    /// One of the others will not come, for this.
    Broken(Early),
}

impl Groups {
    /// Adds a task at its position to a group of `size`; a repeat changes nothing.
    pub(crate) fn join(&mut self, key: &Key, size: i64, index: i64, launch: Launch) -> Joined {
        let group = self.0.entry(key.clone()).or_insert_with(|| Group::Waiting(BTreeMap::new()));
        let members = match group {
            Group::Waiting(members) => members,
            Group::Broken { early, .. } => return Joined::Broken(early.clone()),
        };
        members.insert(index, launch);
        if i64::try_from(members.len()).unwrap_or(i64::MAX) < size {
            return Joined::Waiting;
        }
        let complete = std::mem::take(members).into_values().collect();
        self.0.remove(key);
        Joined::Complete(complete)
    }

    /// The group will not be complete, for the first of such causes; uids of its tasks that waited.
    pub(crate) fn break_up(&mut self, key: &Key, early: &Early) -> Vec<String> {
        if let Some(Group::Broken { .. }) = self.0.get(key) {
            return Vec::new();
        }
        let broken = Group::Broken { early: early.clone(), gone: BTreeSet::new() };
        match self.0.insert(key.clone(), broken) {
            Some(Group::Waiting(members)) => members.into_values().map(|task| task.uid).collect(),
            Some(Group::Broken { .. }) | None => Vec::new(),
        }
    }

    /// The task at this position of a group of `size` is over, or will not come.
    pub(crate) fn leave(&mut self, key: &Key, size: i64, index: i64) {
        let Some(Group::Broken { gone, .. }) = self.0.get_mut(key) else { return };
        gone.insert(index);
        if i64::try_from(gone.len()).unwrap_or(i64::MAX) >= size {
            self.0.remove(key);
        }
    }

    /// The executor is gone, and its groups with it.
    pub(crate) fn forget(&mut self, executor: &str) {
        self.0.retain(|(of, _), _| of != executor);
    }
}

#[cfg(test)]
mod tests {
    use meseta_mesos_agent::Progress;
    use meseta_mesos_wire::v1::TaskInfo;

    use super::*;

    fn launch(uid: &str) -> Launch {
        Launch { uid: uid.to_owned(), task: TaskInfo::default(), progress: Progress::New }
    }

    #[test]
    fn a_group_is_complete_when_its_last_task_joins() {
        let mut groups = Groups::default();
        let key = ("e".to_owned(), "g".to_owned());
        assert!(matches!(groups.join(&key, 2, 1, launch("b")), Joined::Waiting));
        assert!(matches!(groups.join(&key, 2, 1, launch("b")), Joined::Waiting));
        let Joined::Complete(all) = groups.join(&key, 2, 0, launch("a")) else { panic!() };
        let uids: Vec<_> = all.iter().map(|launch| launch.uid.as_str()).collect();
        assert_eq!(uids, ["a", "b"]);
        assert!(groups.0.is_empty());
    }

    #[test]
    fn a_broken_group_stays_broken_while_one_of_its_tasks_may_come() {
        let mut groups = Groups::default();
        let key = ("e".to_owned(), "g".to_owned());
        groups.join(&key, 3, 0, launch("a"));
        assert_eq!(groups.break_up(&key, &Early::Killed), ["a"]);
        assert!(groups.break_up(&key, &Early::GroupBroken).is_empty());
        let joined = groups.join(&key, 3, 1, launch("b"));
        assert!(matches!(joined, Joined::Broken(Early::Killed)), "{joined:?}");
        groups.forget("e");
        assert!(groups.0.is_empty());
    }

    #[test]
    fn a_broken_group_is_forgotten_with_the_last_of_its_tasks() {
        let mut groups = Groups::default();
        let key = ("e".to_owned(), "g".to_owned());
        groups.join(&key, 2, 0, launch("a"));
        groups.break_up(&key, &Early::Killed);
        groups.leave(&key, 2, 0);
        groups.leave(&key, 2, 0);
        assert!(matches!(groups.join(&key, 2, 1, launch("b")), Joined::Broken(_)));
        groups.leave(&key, 2, 1);
        assert!(groups.0.is_empty());
    }
}
