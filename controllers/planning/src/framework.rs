//! Decides how the tasks of one framework move toward its spec.
//!
//! Pure: no I/O, no clock, no randomness. Equal input gives an equal [`Plan`].
//!
//! A set has the indexes `0..replicas`; each index is filled by one task at a time, and each task is
//! one incarnation of its index:
//!
//! ```text
//!            create -0            Failed, Killed, Dropped, Lost
//!   (empty) ──────────► active ──────────────────────────────────► create -0-r1, -r2, …
//!                         │ Finished                                (after a growing delay)
//!                         ▼
//!                       succeeded, for good
//! ```
//!
//! - The incarnation is chosen from what was observed, and with it the name, so that a repeated
//!   attempt or one on a stale view is a conflict, never a second task.
//! - Only `Failed` counts against `maxFailures`, and only for the template the task was made from:
//!   a corrected template starts anew. One failure too many fails the framework; its remaining
//!   tasks are then ended, as a Kubernetes Job does.
//! - A silent agent's tasks (`Unreachable`) keep their index; they are replaced when they are `Lost`.
//! - After a change of template or replicas, tasks without an agent are made anew; tasks that have
//!   one go on as they are, and the status says so.
//! - With fewer replicas the highest indexes go, so that `MESETA_TASK_INDEX` stays dense.
//! - A set that was complete stays complete until the spec changes, even if its records are deleted.
//!
//! **Invariant:** nothing is deleted that was not observed, and never by name alone.

mod desired;
mod expand;
mod names;
mod report;
mod slots;

use std::time::Duration;

use jiff::Timestamp;
use meseta_crds::condition::Time;
use meseta_crds::{FrameworkStatus, TaskSpec, TaskState};

pub use desired::{Desired, Invalid};
pub use names::{label_value, short_hash};
use slots::Set;

/// Tasks created in one pass; the next pass follows at once. Bounds what a plan weighs: specs are
/// a few KB each.
pub const MAX_CREATES_PER_PASS: usize = 500;

/// Longest time between the end of a task and its replacement.
pub const MAX_REPLACEMENT_DELAY: Duration = Duration::from_secs(60);

/// What one read of the cluster showed; it may already be out of date.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// The time of the read.
    pub now: Time,
    /// Tasks whose owner is this framework, by uid, in any order.
    pub tasks: Vec<Task>,
    /// The status as it stands.
    pub status: Option<&'a FrameworkStatus>,
}

/// One task of the framework, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Name of the record.
    pub name: String,
    /// Uid of the record.
    pub uid: String,
    /// Version of the record that was seen.
    pub resource_version: String,
    /// Name of its set.
    pub task_set: String,
    /// Index in the set, from 0.
    pub index: i64,
    /// 0 for the first task of the index.
    pub incarnation: i64,
    /// `spec.owner.templateHash`.
    pub template_hash: String,
    /// Where it is in its life.
    pub state: TaskState,
    /// Cause of the state.
    pub reason: Option<String>,
    /// Whether it has an agent.
    pub placed: bool,
    /// Whether its deletion was asked for.
    pub deleting: bool,
    /// When the record was made.
    pub created: Timestamp,
    /// When it became terminal, if that is known.
    pub ended: Option<Timestamp>,
}

/// A task to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// A name that does not depend on the attempt.
    pub name: String,
    /// Labels of the record.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Annotations of the record.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// The whole spec.
    pub spec: TaskSpec,
}

/// One step, complete enough to be carried out without a further choice.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create the record; if the name exists, it is the same task or the name is taken.
    Create(Box<NewTask>),
    /// Delete the record.
    Delete {
        /// Name of the record.
        name: String,
        /// Only if it is still this record.
        uid: String,
        /// Only if it has not changed since (it would have been placed).
        resource_version: Option<String>,
    },
}

/// The steps, and what to say about the framework.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Steps that do not depend on each other; deletions come first, the least useful task first.
    pub actions: Vec<Action>,
    /// The status that describes what was observed.
    pub status: FrameworkStatus,
    /// When to plan again even if nothing changes.
    pub requeue_after: Option<Duration>,
}

/// Returns the steps that take `observed` toward `desired`.
#[must_use]
pub fn plan(desired: &Desired<'_>, observed: &Observed<'_>) -> Plan {
    let sets = slots::sets(desired, observed);
    let failed = sets.iter().any(Set::has_failed);
    let mut requeue_after = None;

    let mut actions = deletions(&sets, observed, failed);
    if !failed {
        let creations = creations(desired, &sets, observed, &mut requeue_after);
        actions.extend(creations.into_iter().map(|task| Action::Create(Box::new(task))));
    }
    Plan { actions, status: report::status(desired, &sets, observed), requeue_after }
}

/// The status of a framework whose spec cannot be carried out.
#[must_use]
pub fn invalid_status(
    invalid: &Invalid,
    generation: i64,
    observed: &Observed<'_>,
) -> FrameworkStatus {
    report::invalid(invalid, generation, observed)
}

/// What must go: surplus, superseded and outdated tasks, and everything active after a failure.
fn deletions(sets: &[Set<'_>], observed: &Observed<'_>, failed: bool) -> Vec<Action> {
    let mut doomed: Vec<(&Task, bool)> = Vec::new();
    for task in observed.tasks.iter().filter(|task| !task.deleting) {
        let set = sets.iter().find(|set| set.spec.name == task.task_set);
        let wanted = set.is_some_and(|set| set.wants(task)) && !failed;
        match task.state.is_terminal() {
            // The record of an end is kept, except where it says nothing that its successor does not.
            true => {
                if set.is_some_and(|set| set.is_superseded(task)) {
                    doomed.push((task, false));
                }
            }
            false if !wanted => doomed.push((task, false)),
            // Refused if it was placed meanwhile.
            false if set.is_some_and(|set| set.is_outdated(task)) && !task.placed => {
                doomed.push((task, true));
            }
            false => {}
        }
    }
    // Least useful first: what does not run before what runs, then the highest index.
    doomed.sort_by_key(|(task, _)| {
        (task.state == TaskState::Running, task.placed, std::cmp::Reverse(task.index), &task.name)
    });
    doomed
        .into_iter()
        .map(|(task, unchanged)| Action::Delete {
            name: task.name.clone(),
            uid: task.uid.clone(),
            resource_version: unchanged.then(|| task.resource_version.clone()),
        })
        .collect()
}

/// The tasks that are missing and may start now.
fn creations(
    desired: &Desired<'_>,
    sets: &[Set<'_>],
    observed: &Observed<'_>,
    requeue_after: &mut Option<Duration>,
) -> Vec<NewTask> {
    let mut created = Vec::new();
    for set in sets.iter().filter(|set| !set.is_complete() && set.waits_for(sets).is_empty()) {
        for (index, slot) in set.slots() {
            let Some(incarnation) = slot.next_incarnation() else { continue };
            let delay = slot.delay_left(observed.now.0);
            if !delay.is_zero() {
                *requeue_after = Some(requeue_after.map_or(delay, |earlier| earlier.min(delay)));
                continue;
            }
            if created.len() == MAX_CREATES_PER_PASS {
                *requeue_after = Some(Duration::ZERO);
                return created;
            }
            created.push(expand::task(desired, set, index, incarnation));
        }
    }
    created
}

#[cfg(test)]
mod tests;
