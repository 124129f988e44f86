//! What a record wants of a task that has not ended. Pure.
//!
//! **Absence never kills:** a record that is missing, or not known, wants nothing.

use meseta_crds::task::Kill;

use crate::checkpoint::StopCause;
use crate::report::{self, Record};

/// That a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Why.
    pub(crate) cause: StopCause,
    /// What `spec.kill` says, if it does.
    pub(crate) kill: Option<Kill>,
}

impl Wish {
    /// What the record wants, if it wants the task's end.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let (task, gone) = match record {
            Record::Present(task) => (task, false),
            Record::Deleted(task) => (task, true),
            Record::Missing | Record::Unknown => return None,
        };
        let cause = if !gone && report::is_terminal(task) {
            StopCause::Superseded
        } else if gone || report::is_deleting(task) {
            StopCause::Deleted
        } else if task.spec.kill.is_some() {
            StopCause::Killed
        } else {
            return None;
        };
        Some(Self { cause, kill: task.spec.kill })
    }

    /// How long the end may take: as long as the kill says, or else the task's `own` time; the
    /// shorter one where the task is not only killed.
    pub(crate) fn grace_millis(self, own: i64) -> i64 {
        let of_kill = self.kill.and_then(|kill| kill.grace_period_seconds);
        let of_kill = of_kill.map(|seconds| seconds.max(0).saturating_mul(1000));
        match (self.cause, of_kill) {
            (_, None) => own,
            (StopCause::Killed, Some(of_kill)) => of_kill,
            (_, Some(of_kill)) => of_kill.min(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use meseta_crds::condition::Time;
    use meseta_crds::{Task, TaskSpec, TaskState, TaskStatus};

    use super::*;

    fn task(kill: Option<Option<i64>>, deleting: bool, state: TaskState) -> Task {
        let kill = kill.map(|grace_period_seconds| Kill { grace_period_seconds, repeats: 0 });
        let mut task = Task::new("t", TaskSpec { kill, ..TaskSpec::default() });
        task.metadata.deletion_timestamp = deleting.then_some(Time(jiff::Timestamp::UNIX_EPOCH));
        task.status = Some(TaskStatus { state, ..TaskStatus::default() });
        task
    }

    /// Cause and grace of a task with 5 s of its own.
    fn wish(record: &Record) -> Option<(StopCause, i64)> {
        Wish::of(record).map(|wish| (wish.cause, wish.grace_millis(5000)))
    }

    #[test]
    fn a_record_says_why_and_how_fast() {
        let present = |kill, deleting| {
            wish(&Record::Present(Arc::new(task(kill, deleting, TaskState::Running))))
        };
        assert_eq!(present(None, false), None);
        assert_eq!(present(Some(None), false), Some((StopCause::Killed, 5000)));
        assert_eq!(present(Some(Some(60)), false), Some((StopCause::Killed, 60_000)));
        assert_eq!(present(None, true), Some((StopCause::Deleted, 5000)));
        assert_eq!(present(Some(Some(60)), true), Some((StopCause::Deleted, 5000)));
        assert_eq!(present(Some(Some(1)), true), Some((StopCause::Deleted, 1000)));
    }

    #[test]
    fn what_is_absent_wants_nothing_and_what_was_given_up_is_ended() {
        assert_eq!(wish(&Record::Missing), None);
        assert_eq!(wish(&Record::Unknown), None);
        let lost = task(None, false, TaskState::Lost);
        assert_eq!(
            wish(&Record::Present(Arc::new(lost.clone()))),
            Some((StopCause::Superseded, 5000))
        );
        assert_eq!(wish(&Record::Deleted(Arc::new(lost))), Some((StopCause::Deleted, 5000)));
    }
}
