//! Task statuses: what the agent's updates become for a scheduler, and those the gateway makes.
//!
//! **Invariant:** a status without uuid is made here, has `SOURCE_MASTER`, and must not be
//! acknowledged. A framework that is not partition-aware sees `TASK_LOST` in place of the states that
//! came with that capability.

use meseta_crds::TaskState;
use meseta_crds::task::{MesosUpdate, reason};
use meseta_mesos_wire::v1::task_status::{Reason, Source};
use meseta_mesos_wire::{json, v1};

use super::rows::TaskRow;
use super::updates::Own;

/// Bytes of a uuid.
pub const UUID_LENGTH: usize = 16;

/// Whether nothing can follow.
#[must_use]
pub fn is_terminal(state: v1::TaskState) -> bool {
    use v1::TaskState as S;
    match state {
        S::TaskFinished
        | S::TaskFailed
        | S::TaskKilled
        | S::TaskError
        | S::TaskLost
        | S::TaskDropped
        | S::TaskGone
        | S::TaskGoneByOperator => true,
        S::TaskStaging
        | S::TaskStarting
        | S::TaskRunning
        | S::TaskKilling
        | S::TaskUnreachable
        | S::TaskUnknown => false,
    }
}

/// The state as a framework sees it that may not be partition-aware.
#[must_use]
pub fn seen_state(state: v1::TaskState, partition_aware: bool) -> v1::TaskState {
    use v1::TaskState as S;
    match state {
        S::TaskDropped
        | S::TaskUnreachable
        | S::TaskGone
        | S::TaskGoneByOperator
        | S::TaskUnknown
            if !partition_aware =>
        {
            S::TaskLost
        }
        other => other,
    }
}

/// The state of a record in Mesos' words.
#[must_use]
pub fn state(state: TaskState) -> v1::TaskState {
    use v1::TaskState as S;
    match state {
        TaskState::Pending | TaskState::Staging => S::TaskStaging,
        TaskState::Starting => S::TaskStarting,
        TaskState::Running => S::TaskRunning,
        TaskState::Killing => S::TaskKilling,
        TaskState::Finished => S::TaskFinished,
        TaskState::Failed => S::TaskFailed,
        TaskState::Killed => S::TaskKilled,
        TaskState::Dropped => S::TaskDropped,
        TaskState::Lost => S::TaskGoneByOperator,
        TaskState::Unreachable => S::TaskUnreachable,
    }
}

/// The status in an update of a record, or `None` where it cannot be sent: not a `TaskStatus`, or
/// its uuid is not the update's.
#[must_use]
pub fn parse(update: &MesosUpdate) -> Option<v1::TaskStatus> {
    let status: v1::TaskStatus = json::from_value(&update.status).ok()?;
    let uuid = uuid::Uuid::parse_str(&update.uuid).ok()?;
    (status.uuid.as_deref() == Some(uuid.as_bytes())).then_some(status)
}

/// Whether the update's state is terminal, without a look at the rest of it.
pub(super) fn names_terminal(update: &MesosUpdate) -> bool {
    let name = update.status.get("state").and_then(serde_json::Value::as_str);
    name.and_then(v1::TaskState::from_str_name).is_some_and(is_terminal)
}

/// The text of a uuid on the wire, as records have it.
#[must_use]
pub fn uuid_text(bytes: &[u8]) -> Option<String> {
    uuid::Uuid::from_slice(bytes).ok().map(|uuid| uuid.hyphenated().to_string())
}

/// An update of a record as its scheduler is to see it.
#[must_use]
pub fn shown(mut status: v1::TaskStatus, partition_aware: bool) -> v1::TaskStatus {
    status.set_state(seen_state(status.state(), partition_aware));
    status
}

/// A status that the gateway makes.
#[derive(Clone, Debug)]
pub struct Made<'a> {
    /// Id of the task.
    pub task_id: &'a str,
    /// Id of its agent.
    pub agent_id: Option<&'a str>,
    /// Id of its custom executor.
    pub executor_id: Option<&'a str>,
    /// The state, as for a partition-aware framework.
    pub state: v1::TaskState,
    /// Why.
    pub reason: Option<Reason>,
    /// Why, for people.
    pub message: String,
}

impl Made<'_> {
    /// The status on the wire.
    #[must_use]
    pub fn status(self, partition_aware: bool, now: i64) -> v1::TaskStatus {
        v1::TaskStatus {
            task_id: v1::TaskId { value: self.task_id.to_owned() },
            agent_id: self.agent_id.map(|id| v1::AgentId { value: id.to_owned() }),
            executor_id: self.executor_id.map(|id| v1::ExecutorId { value: id.to_owned() }),
            state: seen_state(self.state, partition_aware).into(),
            source: Some(Source::Master.into()),
            reason: self.reason.map(Into::into),
            message: Some(self.message),
            timestamp: Some(seconds(now)),
            ..Default::default()
        }
    }
}

/// Milliseconds as seconds with a fraction.
#[must_use]
pub fn seconds(millis: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for the next 285,000 years")]
    let millis = millis as f64;
    millis / 1000.0
}

/// What [`Own`] says about a task. `silent_since`: since when its agent is, in milliseconds, where it
/// is.
#[must_use]
pub fn own(
    row: &TaskRow,
    own: Own,
    silent_since: Option<i64>,
    partition_aware: bool,
    now: i64,
) -> v1::TaskStatus {
    use v1::TaskState as S;
    let said = || row.message.clone();
    let (state, reason, message) = match own {
        Own::Unreachable => (
            S::TaskUnreachable,
            Some(Reason::AgentRemoved),
            said().unwrap_or_else(|| "Agent is unreachable".to_owned()),
        ),
        Own::Returned => {
            (state(row.state), Some(Reason::AgentReregistered), "Agent has returned".to_owned())
        }
        Own::Vanished => (
            S::TaskGone,
            Some(Reason::AgentRemoved),
            "Nothing of the task is left on its agent".to_owned(),
        ),
        Own::Ended => (
            ended_state(row.state, row.reason.as_deref()),
            ended_reason(row.state, row.reason.as_deref()),
            said().or_else(|| row.reason.clone()).unwrap_or_default(),
        ),
    };
    let mut made = of_row(row, state, reason, message).status(partition_aware, now);
    if own == Own::Unreachable {
        made.unreachable_time = Some(time(silent_since.unwrap_or(now)));
    }
    made
}

/// A status about the task of a row.
pub(super) fn of_row(
    row: &TaskRow,
    state: v1::TaskState,
    reason: Option<Reason>,
    message: String,
) -> Made<'_> {
    Made {
        task_id: row.task_id.as_deref().unwrap_or_default(),
        agent_id: Some(&row.agent),
        executor_id: row.executor_id.as_deref(),
        state,
        reason,
        message,
    }
}

/// Milliseconds as Mesos' time.
#[must_use]
pub fn time(millis: i64) -> v1::TimeInfo {
    v1::TimeInfo { nanoseconds: millis.saturating_mul(1_000_000) }
}

/// Mesos' state for a terminal state of a record: a task can be lost with its agent, and without.
fn ended_state(ended: TaskState, why: Option<&str>) -> v1::TaskState {
    match (ended, why) {
        (TaskState::Lost, Some(why)) if why != reason::AGENT_REMOVED => v1::TaskState::TaskGone,
        (ended, _) => state(ended),
    }
}

/// Mesos' reason for a terminal state of a record.
fn ended_reason(state: TaskState, why: Option<&str>) -> Option<Reason> {
    match (state, why) {
        (TaskState::Lost, None | Some(reason::AGENT_REMOVED)) => {
            Some(Reason::AgentRemovedByOperator)
        }
        (TaskState::Lost, _) => Some(Reason::ExecutorReregistrationTimeout),
        (TaskState::Dropped, Some(reason::INVALID_SPEC)) => Some(Reason::TaskInvalid),
        (TaskState::Dropped, Some(reason::EXECUTOR_TERMINATED)) => Some(Reason::ExecutorTerminated),
        (TaskState::Dropped, Some(reason::DISK_FULL)) => Some(Reason::ContainerLimitationDisk),
        // The agent has other room than the offer said, or a later leader.
        (TaskState::Dropped, _) => Some(Reason::InvalidOffers),
        (
            TaskState::Failed,
            Some(
                reason::IMAGE_NOT_FOUND
                | reason::IMAGE_CORRUPT
                | reason::COMMAND_NOT_FOUND
                | reason::START_FAILED,
            ),
        ) => Some(Reason::ContainerLaunchFailed),
        (TaskState::Failed, Some(reason::OUT_OF_MEMORY)) => Some(Reason::ContainerLimitationMemory),
        (TaskState::Failed, Some(reason::DISK_FULL)) => Some(Reason::ContainerLimitationDisk),
        (TaskState::Failed, Some(reason::DEADLINE_EXCEEDED)) => {
            Some(Reason::MaxCompletionTimeReached)
        }
        (TaskState::Failed, Some(reason::EXECUTOR_TERMINATED)) => Some(Reason::ExecutorTerminated),
        (TaskState::Failed, Some(reason::EXECUTOR_REGISTRATION_TIMEOUT)) => {
            Some(Reason::ExecutorRegistrationTimeout)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
