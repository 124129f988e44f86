//! What an ACCEPT launches, and what its scheduler is told at once.
//!
//! ```text
//!   offers taken ──► plan ──► records to store ──► launched
//!        │            ├────► TASK_ERROR, TASK_DROPPED
//!        │            └────► OPERATION_ERROR
//!   not taken ──► refuse ──► TASK_DROPPED for each task
//!                 a record that was not stored ──► not_launched ──► TASK_DROPPED
//! ```
//!
//! Operations run in order over what remains of the offers. A task that fails its checks does not
//! keep the others from being launched; a group is all or nothing.
//!
//! **Invariants:** the records use no more than was offered; no two live records have one task id;
//! every task of the call is either launched or told about.

mod group;
mod planner;
mod single;

use meseta_crds::{ResourceList, Task};
use meseta_mesos_wire::v1;
use meseta_mesos_wire::v1::offer::Operation;
use meseta_mesos_wire::v1::offer::operation::Type;
use meseta_mesos_wire::v1::task_status::Reason;

use planner::Planner;

use super::framework::Capabilities;
use super::launch::{Launcher, Place};
use super::rows::Rows;
use super::statuses::Made;

/// What follows from an ACCEPT.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Records to store, executors before the tasks that they run.
    pub tasks: Vec<Task>,
    /// Statuses to send.
    pub told: Vec<v1::TaskStatus>,
    /// Statuses of operations to send.
    pub operations: Vec<v1::OperationStatus>,
}

/// Why the offers of an ACCEPT cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// They are not those of one agent and role that this framework has.
    InvalidOffers(String),
    /// Their agent's record is gone.
    AgentRemoved,
    /// Their agent is silent.
    AgentDisconnected,
}

/// Plans `operations` over the offers that were taken: `offered` of the place. `rows` holds all that
/// the framework launched before, also what an earlier plan launches that is not stored yet.
#[must_use]
pub fn plan(
    launcher: Launcher<'_>,
    place: Place<'_>,
    offered: &ResourceList,
    rows: &Rows,
    operations: &[Operation],
    now: i64,
) -> Plan {
    let mut planner = Planner::new(launcher, place, offered, rows, now);
    for operation in operations {
        planner.operation(operation);
    }
    planner.plan
}

/// What the scheduler is told where the offers cannot be used.
#[must_use]
pub fn refuse(
    refusal: &Refusal,
    operations: &[Operation],
    capabilities: Capabilities,
    now: i64,
) -> Plan {
    let (reason, message) = match refusal {
        Refusal::InvalidOffers(fault) => {
            (Reason::InvalidOffers, format!("Task launched with invalid offers: {fault}"))
        }
        Refusal::AgentRemoved => (Reason::AgentRemoved, "Agent removed".to_owned()),
        Refusal::AgentDisconnected => (Reason::AgentDisconnected, "Agent disconnected".to_owned()),
    };
    let mut plan = Plan::default();
    for operation in operations {
        if let Some(tasks) = tasks_of(operation) {
            plan.told.extend(tasks.iter().map(|task| {
                about(task, v1::TaskState::TaskDropped, reason, &message)
                    .status(capabilities.partition_aware, now)
            }));
        } else if let Refusal::InvalidOffers(fault) = refusal {
            plan.operations.extend(operation_error(operation, fault));
        }
    }
    plan
}

/// What the scheduler is told of a planned record that was not stored; nothing of an executor.
#[must_use]
pub fn not_launched(
    task: &Task,
    reason: Reason,
    message: &str,
    capabilities: Capabilities,
    now: i64,
) -> Option<v1::TaskStatus> {
    let mesos = task.spec.mesos.as_ref()?;
    let made = Made {
        task_id: mesos.task_id.as_deref()?,
        agent_id: task.spec.agent_name.as_deref(),
        executor_id: mesos.executor_id.as_deref(),
        state: v1::TaskState::TaskDropped,
        reason: Some(reason),
        message: message.to_owned(),
    };
    Some(made.status(capabilities.partition_aware, now))
}

/// The tasks of an operation that launches.
fn tasks_of(operation: &Operation) -> Option<&[v1::TaskInfo]> {
    match operation.r#type() {
        Type::Launch => Some(operation.launch.as_ref().map_or(&[], |launch| &launch.task_infos)),
        Type::LaunchGroup => {
            Some(operation.launch_group.as_ref().map_or(&[], |launch| &launch.task_group.tasks))
        }
        _ => None,
    }
}

fn about<'a>(
    task: &'a v1::TaskInfo,
    state: v1::TaskState,
    reason: Reason,
    message: &str,
) -> Made<'a> {
    Made {
        task_id: &task.task_id.value,
        agent_id: Some(&task.agent_id.value),
        executor_id: task.executor.as_ref().map(|executor| executor.executor_id.value.as_str()),
        state,
        reason: Some(reason),
        message: message.to_owned(),
    }
}

/// The feedback for an operation that is dropped, if it asks for any.
fn operation_error(operation: &Operation, message: &str) -> Option<v1::OperationStatus> {
    let id = operation.id.clone()?;
    Some(v1::OperationStatus {
        operation_id: Some(id),
        state: v1::OperationState::OperationError.into(),
        message: Some(message.to_owned()),
        ..v1::OperationStatus::default()
    })
}

#[cfg(test)]
mod tests;
