//! One task's record as its owner knows it: what the watch told last, or its own later write.

use std::sync::Arc;

use meseta_crds::Task;
use tokio::sync::watch;

use super::WriteError;
use crate::node::Node;

/// What is known of a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Record {
    /// The records were not listed yet.
    #[default]
    Unknown,
    /// It exists.
    Present(Arc<Task>),
    /// The records were listed, and it is not among them. That proves nothing.
    Missing,
    /// It was seen to go while its deletion was asked for, without this agent's leave.
    Deleted(Arc<Task>),
}

/// A record, kept as new as this process knows it.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    inbox: watch::Receiver<Record>,
    /// The answer to the owner's own last request; `None` in it where there is no record.
    own: Option<Option<Arc<Task>>>,
}

impl Mirror {
    pub(crate) fn new(inbox: watch::Receiver<Record>) -> Self {
        Self { inbox, own: None }
    }

    /// The newest that is known.
    pub(crate) fn current(&mut self) -> Record {
        let told = self.inbox.borrow_and_update().clone();
        match (told, &self.own) {
            (Record::Present(told), Some(Some(own))) => {
                if version(own) > version(&told) {
                    Record::Present(Arc::clone(own))
                } else {
                    self.own = None;
                    Record::Present(told)
                }
            }
            // What the watch told is older than the answer that it is gone.
            (Record::Present(_), Some(None)) => Record::Missing,
            (other, _) => other,
        }
    }

    /// Waits until the watch has told something since [`Self::current`].
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn changed(&mut self) {
        if self.inbox.changed().await.is_err() {
            // Who told is gone, and this owner will be too.
            std::future::pending::<()>().await;
        }
        // It may be a record that has come back.
        if self.own == Some(None) {
            self.own = None;
        }
    }

    /// Takes over the answer to an own write.
    pub(crate) fn wrote(&mut self, task: Task) {
        self.own = Some(Some(Arc::new(task)));
    }

    /// Finds out how the record is after a write that did not go through. Whether another try makes
    /// sense at once.
    pub(crate) async fn after(&mut self, node: &Node, task: &Task, error: &WriteError) -> bool {
        match error {
            WriteError::NotFound => {
                self.own = Some(None);
                true
            }
            WriteError::Conflict | WriteError::Rejected(_) => {
                let found = super::read(node, task).await;
                let Ok(found) = found else { return false };
                let changed = found.as_ref().is_none_or(|found| version(found) != version(task));
                self.own = Some(found.map(Arc::new));
                changed
            }
            WriteError::Unavailable(_) | WriteError::TimedOut => false,
        }
    }
}

/// Versions are numbers that grow, here as on Kubernetes.
fn version(task: &Task) -> u64 {
    let version = task.metadata.resource_version.as_deref().unwrap_or_default();
    version.parse().unwrap_or_default()
}
