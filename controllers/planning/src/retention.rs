//! Decides which finished tasks are forgotten.
//!
//! Only tasks that were applied alone: those of a framework are kept with it, and its plan says
//! which of them go. Pure: no I/O, no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

/// Records deleted in one pass. A full pass is followed by the next after a second, so as many tasks a
/// second may end for ever.
pub const MAX_DELETES_PER_PASS: usize = 1000;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Finished tasks kept in each namespace; the oldest go first.
    pub max_count: usize,
    /// How long a finished task is kept.
    pub max_age: Duration,
}

impl Default for Policy {
    /// A day, as long as there are not more than a thousand: 1 MB of records in a namespace.
    fn default() -> Self {
        Self { max_count: 1000, max_age: Duration::from_secs(24 * 60 * 60) }
    }
}

/// A terminal task without an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Namespace of the record.
    pub namespace: String,
    /// Name of the record.
    pub name: String,
    /// Uid of the record.
    pub uid: String,
    /// When it became terminal; when it was made, if that is not known.
    pub ended: Timestamp,
}

/// A record to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Namespace of the record.
    pub namespace: String,
    /// Name of the record.
    pub name: String,
    /// Only if it is still this record.
    pub uid: String,
}

/// What goes now, and when to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Oldest first.
    pub deletes: Vec<Delete>,
    /// When the next task reaches its age, if nothing else happens.
    pub requeue_after: Option<Duration>,
}

/// Returns what `policy` does not keep of `tasks`.
#[must_use]
pub fn plan(now: Timestamp, tasks: &[Task], policy: Policy) -> Plan {
    let mut by_namespace: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        by_namespace.entry(&task.namespace).or_default().push(task);
    }
    let mut doomed: Vec<&Task> = Vec::new();
    let mut requeue_after: Option<Duration> = None;
    for tasks in by_namespace.values_mut() {
        tasks.sort_by_key(|task| (task.ended, &task.name));
        let surplus = tasks.len().saturating_sub(policy.max_count);
        for (position, task) in tasks.iter().enumerate() {
            let age = Duration::try_from(now.duration_since(task.ended)).unwrap_or_default();
            let left = policy.max_age.saturating_sub(age);
            if position < surplus || left.is_zero() {
                doomed.push(task);
            } else {
                requeue_after = Some(requeue_after.map_or(left, |earlier| earlier.min(left)));
            }
        }
    }
    doomed.sort_by_key(|task| (task.ended, &task.namespace, &task.name));
    if doomed.len() > MAX_DELETES_PER_PASS {
        doomed.truncate(MAX_DELETES_PER_PASS);
        requeue_after = Some(Duration::ZERO);
    }
    let deletes = doomed
        .into_iter()
        .map(|task| Delete {
            namespace: task.namespace.clone(),
            name: task.name.clone(),
            uid: task.uid.clone(),
        })
        .collect();
    Plan { deletes, requeue_after }
}

#[cfg(test)]
mod tests;
