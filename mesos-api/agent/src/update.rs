//! Completes an executor's update, as a Mesos agent does before it takes it over.

use std::net::IpAddr;

use meseta_mesos_wire::v1;
use v1::task_status::Source;
use v1::{ContainerId, TaskState, TaskStatus};

use crate::backend::ExecutorFacts;
use crate::container;

/// What updates of one executor have in common.
pub(crate) struct Origin<'a> {
    pub(crate) agent: &'a v1::AgentInfo,
    pub(crate) executor: &'a ExecutorFacts,
    /// Where the executor's tasks are reached.
    pub(crate) ip: Option<IpAddr>,
    /// Seconds since 1970.
    pub(crate) now_seconds: f64,
}

/// The update with everything that Mesos' agent fills in; `None` if it names another agent, and so
/// is to be dropped.
pub(crate) fn complete(mut status: TaskStatus, origin: &Origin<'_>) -> Option<TaskStatus> {
    let agent_id = origin.agent.id.clone().unwrap_or_default();
    if status.agent_id.as_ref().is_some_and(|named| *named != agent_id) {
        return None;
    }
    status.agent_id = Some(agent_id);
    status.timestamp.get_or_insert(origin.now_seconds);
    status.executor_id = Some(v1::ExecutorId { value: origin.executor.executor_id.clone() });
    status.source = Some(Source::Executor.into());
    let id = ContainerId { value: origin.executor.uid.clone(), parent: None };
    container::complete(status.container_status.get_or_insert_default(), id, origin.ip);
    Some(status)
}

/// Whether nothing can follow an update of this state.
pub(crate) fn is_terminal(status: &TaskStatus) -> bool {
    match status.state() {
        TaskState::TaskFinished
        | TaskState::TaskFailed
        | TaskState::TaskKilled
        | TaskState::TaskError
        | TaskState::TaskLost
        | TaskState::TaskDropped
        | TaskState::TaskGone
        | TaskState::TaskGoneByOperator => true,
        TaskState::TaskStaging
        | TaskState::TaskStarting
        | TaskState::TaskRunning
        | TaskState::TaskKilling
        | TaskState::TaskUnreachable
        | TaskState::TaskUnknown => false,
    }
}

#[cfg(test)]
mod tests;
