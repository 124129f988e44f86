//! The observed tasks sorted into the sets and indexes of the spec.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use meseta_crds::TaskState;
use meseta_crds::framework::TaskSet;

use super::{Desired, MAX_REPLACEMENT_DELAY, Observed, Task, names};

/// One set of the spec and what fills it.
pub(super) struct Set<'a> {
    pub(super) spec: &'a TaskSet,
    pub(super) template_hash: &'a str,
    /// Incarnations of the current template that failed.
    pub(super) failed: i64,
    /// Whether the status has said before that all of this generation's tasks finished.
    was_complete: bool,
    /// By index, `0..replicas` only; an index without tasks has no entry.
    filled: BTreeMap<i64, Slot<'a>>,
}

/// One index of a set.
#[derive(Clone, Copy, Default)]
pub(super) struct Slot<'a> {
    /// The observed incarnation with the highest number.
    pub(super) latest: Option<&'a Task>,
    finished: bool,
}

/// Sorts `observed` by the sets of `desired`, in the order of the spec.
pub(super) fn sets<'a>(desired: &'a Desired<'_>, observed: &'a Observed<'_>) -> Vec<Set<'a>> {
    let mut by_set: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for task in &observed.tasks {
        by_set.entry(&task.task_set).or_default().push(task);
    }
    let previous =
        observed.status.filter(|status| status.observed_generation == Some(desired.generation));
    let specs = desired.spec.task_sets.iter().zip(&desired.template_hashes);
    specs
        .map(|(spec, template_hash)| {
            let tasks = by_set.get(spec.name.as_str()).map_or(&[][..], Vec::as_slice);
            let previous =
                previous.and_then(|status| status.task_sets.iter().find(|s| s.name == spec.name));
            let template = names::template_part(template_hash);
            let failed = tasks
                .iter()
                .filter(|task| task.state == TaskState::Failed)
                .filter(|task| names::template_part(&task.template_hash) == template)
                .count();
            let failed = i64::try_from(failed).unwrap_or(i64::MAX);
            let mut filled: BTreeMap<i64, Slot<'a>> = BTreeMap::new();
            for task in tasks.iter().filter(|task| (0..spec.replicas).contains(&task.index)) {
                filled.entry(task.index).or_default().add(task);
            }
            Set {
                spec,
                template_hash,
                failed: previous.map_or(failed, |previous| failed.max(previous.failed)),
                was_complete: previous.is_some_and(|set| set.succeeded >= spec.replicas),
                filled,
            }
        })
        .collect()
}

impl<'a> Slot<'a> {
    fn add(&mut self, task: &'a Task) {
        self.finished |= task.state == TaskState::Finished;
        let earlier = self.latest.is_some_and(|latest| latest.incarnation >= task.incarnation);
        if !earlier {
            self.latest = Some(task);
        }
    }

    /// The incarnation to create, unless the index is filled or done.
    pub(super) fn next_incarnation(&self) -> Option<i64> {
        match self.latest {
            _ if self.finished => None,
            None => Some(0),
            Some(latest) => latest.state.is_terminal().then_some(latest.incarnation + 1),
        }
    }

    /// How long the replacement has to wait still: none for the first, then 1 s, 2 s, 4 s, …
    pub(super) fn delay_left(&self, now: Timestamp) -> Duration {
        let Some(latest) = self.latest.filter(|latest| latest.incarnation > 0) else {
            return Duration::ZERO;
        };
        let doublings = u32::try_from(latest.incarnation - 1).unwrap_or(u32::MAX).min(16);
        let delay = Duration::from_secs(1 << doublings).min(MAX_REPLACEMENT_DELAY);
        let ended = latest.ended.unwrap_or(latest.created);
        let passed = Duration::try_from(now.duration_since(ended)).unwrap_or_default();
        delay.saturating_sub(passed)
    }
}

impl<'a> Set<'a> {
    /// Every index, filled or not.
    pub(super) fn slots(&self) -> impl Iterator<Item = (i64, Slot<'a>)> + '_ {
        (0..self.spec.replicas)
            .map(|index| (index, self.filled.get(&index).copied().unwrap_or_default()))
    }

    /// Indexes that are done.
    pub(super) fn succeeded(&self) -> i64 {
        if self.was_complete {
            return self.spec.replicas;
        }
        count(self.filled.values().filter(|slot| slot.finished))
    }

    /// The tasks that are not terminal, one per index at most.
    pub(super) fn active(&self) -> impl Iterator<Item = &'a Task> + '_ {
        self.filled.values().filter_map(|slot| slot.latest).filter(|task| !task.state.is_terminal())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.succeeded() >= self.spec.replicas
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed > self.spec.max_failures && !self.is_complete()
    }

    /// The sets that have to succeed first and have not.
    pub(super) fn waits_for<'b>(&self, sets: &'b [Set<'a>]) -> Vec<&'b Set<'a>> {
        sets.iter()
            .filter(|set| self.spec.depends_on.contains(&set.spec.name) && !set.is_complete())
            .collect()
    }

    /// Whether an active task of this set is the one that fills its index.
    pub(super) fn wants(&self, task: &Task) -> bool {
        self.filled
            .get(&task.index)
            .is_some_and(|slot| slot.latest.is_some_and(|latest| latest.uid == task.uid))
    }

    /// Whether a terminal task tells nothing that its successors do not: failures count and results
    /// are looked for, the others only show why there is a successor. The last before the current
    /// one stays, so that the incarnation is still known if somebody deletes the current one.
    pub(super) fn is_superseded(&self, task: &Task) -> bool {
        let keeps = match task.state {
            TaskState::Finished | TaskState::Failed => true,
            TaskState::Killed | TaskState::Dropped | TaskState::Lost => false,
            TaskState::Pending
            | TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing
            | TaskState::Unreachable => true,
        };
        let latest = self.filled.get(&task.index).and_then(|slot| slot.latest);
        !keeps && latest.is_some_and(|latest| latest.incarnation > task.incarnation + 1)
    }

    /// Whether the task was made from another template or for another count.
    pub(super) fn is_outdated(&self, task: &Task) -> bool {
        task.template_hash != self.template_hash
    }

    /// Whether the task was made from another template.
    pub(super) fn has_other_template(&self, task: &Task) -> bool {
        names::template_part(&task.template_hash) != names::template_part(self.template_hash)
    }
}

/// A count as the records have it.
pub(super) fn count<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}
