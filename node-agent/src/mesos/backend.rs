//! What the executor API asks of the agent.
//!
//! **Invariant:** what is asked for is on the disk when it is answered; nothing else is waited for.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use meseta_crds::TaskState;
use meseta_crds::task::{MesosUpdate, reason};
use meseta_mesos_agent::{Backend, Stored};
use meseta_mesos_wire::json;
use meseta_mesos_wire::v1::TaskStatus;

use super::inner::state_of;
use super::journal::{Entry, Journal};
use super::registry::{Inner, Registry};
use super::status;
use crate::directory::Directory;
use crate::node::{blocking, unix_millis};

/// The agent, as far as the executor API needs it.
pub(super) struct Disk {
    pub(super) registry: Arc<Registry>,
    /// In hand while something is written.
    pub(super) directory: Arc<Directory>,
}

impl Backend for Disk {
    fn hand_over(&self, tasks: Vec<String>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            for uid in tasks {
                let task = self.registry.task(&uid).ok_or_else(|| gone(&uid))?;
                self.grow(&task).await?;
                self.write(&task, Journal::hand_over).await?;
            }
            Ok(())
        })
    }

    fn store(&self, task: String, status: TaskStatus) -> BoxFuture<'_, io::Result<Stored>> {
        Box::pin(async move {
            // One without an owner gets another in a moment: nothing is taken that is not kept.
            let task = self.registry.task(&task).ok_or_else(|| gone(&task))?;
            let stored = self.write(&task, move |journal| {
                let (update, said, message) = taken(&journal.room().fit(status))?;
                let state = said.or_else(|| journal.state()).unwrap_or(TaskState::Staging);
                let reason = state.is_terminal().then(|| reason::REPORTED_BY_EXECUTOR.to_owned());
                journal.append(Entry { update, state, reason, message, at: unix_millis() })
            });
            let stored = stored.await?;
            task.changed.notify_one();
            Ok(stored)
        })
    }

    fn message(&self, executor: &str, data: Bytes) {
        self.registry.messages.send(executor, &data);
    }
}

impl Disk {
    /// Does something to the journal of a task, where it may block.
    async fn write<T: Send + 'static>(
        &self,
        task: &Inner,
        work: impl FnOnce(&mut Journal) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let mut journal = Arc::clone(&task.journal).lock_owned().await;
        let directory = Arc::clone(&self.directory);
        blocking(move || {
            let _in_hand = directory;
            work(&mut journal)
        })
        .await
    }

    /// Lets the executor's container use what the task was granted.
    async fn grow(&self, task: &Inner) -> io::Result<()> {
        let Some(executor) = self.registry.executor(&task.executor) else { return Ok(()) };
        let Some(group) = executor.group() else { return Ok(()) };
        let (limits, cgroups) = (executor.grant(task), self.registry.cgroups.clone());
        blocking(move || cgroups.grow(&group, &limits)).await
    }
}

/// An update as it is kept, where it leaves the task, and its words.
fn taken(status: &TaskStatus) -> io::Result<(MesosUpdate, Option<TaskState>, Option<String>)> {
    let uuid = status.uuid.as_deref().unwrap_or_default();
    let uuid = uuid.try_into().map_err(|_| io::Error::other("a uuid has 16 bytes"))?;
    let update = MesosUpdate { uuid: status::text(uuid), status: json::to_value(status) };
    Ok((update, state_of(status.state()), status.message.clone()))
}

fn gone(uid: &str) -> io::Error {
    io::Error::other(format!("task {uid} has no owner"))
}
