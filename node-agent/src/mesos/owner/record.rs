//! Keeps the record of a task inside an executor as its journal says.

use std::time::Duration;

use meseta_crds::{Task, TaskState};

use super::{LOOK_INTERVAL, Owner, written};
use crate::checkpoint::Outcome;
use crate::mesos::journal::{Entry, Journal};
use crate::node::unix_millis;
use crate::report::{self, Mirror, Record, TRANSITION_MILLIS, View};
use crate::task::conclude::ORPHAN_KEPT;
use crate::task::life::Reached;
use crate::task::run::chain;

/// What a pass leads to.
pub(super) enum Next {
    /// Another one, at once.
    Again,
    /// Another one after this time, or when something has changed.
    Wait(Option<Duration>),
    /// The task is over and told, or nobody is there to be told.
    Over(Outcome),
}

impl Owner<'_> {
    /// Brings the record to what the journal says.
    pub(super) async fn report(
        &mut self,
        record: &Record,
        mirror: &mut Mirror,
        over: &impl Fn(),
    ) -> Next {
        let journal = self.journal().await;
        let ended = journal.end().map(outcome);
        let view = self.view(&journal, record);
        drop(journal);
        if let Some(outcome) = &ended {
            over();
            let directory = self.node.directory.task(&self.task.uid);
            if directory.exists() {
                // Its loss is made good by the journal.
                drop(directory.write_outcome(outcome));
            }
        }
        let now = unix_millis();
        match (record, ended) {
            (Record::Present(task), Some(outcome)) if report::is_terminal(task) => {
                Next::Over(outcome)
            }
            (Record::Deleted(_), Some(outcome)) => Next::Over(outcome),
            (Record::Missing, Some(outcome)) => {
                let age = now.saturating_sub(outcome.ended_unix_millis);
                let kept = i64::try_from(ORPHAN_KEPT.as_millis()).unwrap_or(i64::MAX);
                if self.node.memory.absence_is_believed(now) || age >= kept {
                    Next::Over(outcome)
                } else {
                    Next::Wait(Some(LOOK_INTERVAL))
                }
            }
            (Record::Present(task), _) if !report::is_terminal(task) && !view.is_in(task) => {
                self.write(task, mirror, &view, now).await
            }
            _ => Next::Wait(None),
        }
    }

    async fn write(&mut self, task: &Task, mirror: &mut Mirror, view: &View, now: i64) -> Next {
        let left = u64::try_from(view.due - now).unwrap_or(0);
        if left > 0 {
            return Next::Wait(Some(Duration::from_millis(left)));
        }
        match report::write_status(self.node, task, view).await {
            Ok(task) => {
                mirror.wrote(task);
                self.backoff.reset();
                Next::Again
            }
            Err(err) => {
                tracing::debug!(error = chain(&err), task = task.metadata.name, "not reported");
                if mirror.after(self.node, task, &err).await {
                    Next::Again
                } else {
                    Next::Wait(Some(self.backoff.next()))
                }
            }
        }
    }

    fn view(&self, journal: &Journal, record: &Record) -> View {
        let window = match record {
            // Nobody is going to acknowledge anything: the last word is enough.
            Record::Present(task) if !report::has_scheduler(task) => journal.last_word(),
            _ => journal.window(written(record)),
        };
        let Some(last) = window.last else {
            return View {
                state: TaskState::Staging,
                reason: None,
                message: Some("waits for its executor".to_owned()),
                container: None,
                due: self.begun + TRANSITION_MILLIS,
                updates: Some(window.updates),
                reached: Reached::default(),
            };
        };
        View {
            reason: last.reason.clone(),
            message: last.message.as_deref().map(report::told),
            updates: Some(window.updates),
            ..View::of_outcome(&outcome(last))
        }
    }
}

/// The end of a task as others are told of it.
fn outcome(end: &Entry) -> Outcome {
    Outcome {
        state: end.state,
        reason: end.reason.clone().unwrap_or_default(),
        message: end.message.clone().unwrap_or_default(),
        container: None,
        ended_unix_millis: end.at,
    }
}
