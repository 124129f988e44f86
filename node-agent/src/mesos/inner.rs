//! What becomes of a task that an executor runs: the next step, and what is said of an end that the
//! agent itself tells. Pure.
//!
//! ```text
//!  accepted ─► (its group is complete) ─► launched ─► the executor's updates ─► its terminal update
//!     │ killed, group broken                 │ lost on its way                        ▲
//!     └──────────────────────────────────────┴─────────── executor ended ─────────────┘
//!                                                     by the agent's word
//! ```
//!
//! **Absence never kills:** only a record that says so has a task killed, and only the end of its
//! executor's container ends a task that says nothing.

use meseta_crds::TaskState;
use meseta_crds::task::{Kill, reason};
use meseta_mesos_agent::Refused;
use meseta_mesos_wire::v1::TaskState as MesosState;
use meseta_mesos_wire::v1::task_status::{Reason, Source};

use super::status::{Capabilities, Said};
use crate::checkpoint::{Outcome, StopCause};
use crate::task::outcome::of_cause;
use crate::task::wish::Wish;

/// What is known when the next step is chosen, of a task that is not over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// How the executor's container ended, if it has.
    pub(crate) executor_ended: Option<Outcome>,
    /// Whether the executor says that it does not have what was sent to it.
    pub(crate) lost: bool,
    /// What ended it before it was handed over, if something did.
    pub(crate) early: Option<Early>,
    /// What the record wants, if it wants its end.
    pub(crate) wish: Option<Wish>,
    /// Whether the executor API has it.
    pub(crate) launched: bool,
}

/// What ends a task before its executor knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Early {
    /// It, or another of its group, was killed.
    Killed,
    /// Its group will not be complete.
    GroupBroken,
    /// The executor API has no use for it.
    Refused(Refused),
}

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Give it to the executor.
    Launch,
    /// Have the executor end it, as the record says.
    Kill(Kill),
    /// Tell its end in the executor's place.
    End(Box<End>),
    /// Nothing.
    Wait,
}

/// An end that the executor does not tell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// The executor's container has ended, as it says, and the executor has not told the task's end.
    Executor(Outcome),
    /// The executor never knew of it; the record wanted the task's end for this.
    Early(Early, Option<StopCause>),
    /// It was on its way when a connection or the agent died.
    Lost,
}

/// Returns what to do about a task that is not over.
pub(crate) fn next(seen: &Seen) -> Step {
    let cause = seen.wish.map(|wish| wish.cause);
    if let Some(early) = &seen.early {
        return Step::End(Box::new(End::Early(early.clone(), cause)));
    }
    if cause.is_some() && !seen.launched {
        return Step::End(Box::new(End::Early(Early::Killed, cause)));
    }
    if let Some(outcome) = &seen.executor_ended {
        return Step::End(Box::new(End::Executor(outcome.clone())));
    }
    if seen.lost {
        return Step::End(Box::new(End::Lost));
    }
    match seen.wish {
        Some(wish) => Step::Kill(wish.kill.unwrap_or_default()),
        None if !seen.launched => Step::Launch,
        None => Step::Wait,
    }
}

/// What is told of an end: the state and reason of the record, and what the scheduler is told.
pub(crate) fn tell(
    end: &End,
    executor: &str,
    capabilities: Capabilities,
    at: i64,
) -> (TaskState, &'static str, Said) {
    let said = |state: MesosState, reason: Reason, message: String| Said {
        state,
        source: Source::Agent,
        reason: Some(reason),
        message: Some(message),
        at,
        memory_limit: None,
        container: None,
    };
    let dropped = |why: &'static str, reason: Reason, message: String| {
        let state = if capabilities.partition_aware {
            MesosState::TaskDropped
        } else {
            MesosState::TaskLost
        };
        (TaskState::Dropped, why, said(state, reason, message))
    };
    match end {
        // A task whose end was wanted has failed too: nobody has said that the kill was heeded.
        End::Executor(outcome) => {
            let message = format!("its executor `{executor}` ended: {}", outcome.message);
            let (why, reason) = of_executor(&outcome.reason);
            (TaskState::Failed, why, said(MesosState::TaskFailed, reason, message))
        }
        End::Early(Early::Killed, cause) => {
            let message = "killed before it was given to its executor".to_owned();
            let why = of_cause(cause.unwrap_or(StopCause::Killed));
            (
                TaskState::Killed,
                why,
                said(MesosState::TaskKilled, Reason::TaskKilledDuringLaunch, message),
            )
        }
        End::Early(Early::GroupBroken, _) => {
            let message = "its task group is not complete on the agent".to_owned();
            dropped(reason::AGENT_OUT_OF_ROOM, Reason::InvalidOffers, message)
        }
        End::Early(Early::Refused(refused), _) => {
            dropped(reason::EXECUTOR_TERMINATED, Reason::ExecutorTerminated, refused.to_string())
        }
        End::Lost => {
            // The words of Mesos.
            let message = "Task launched during agent restart".to_owned();
            dropped(reason::AGENT_RESTARTED, Reason::AgentRestarted, message)
        }
    }
}

/// What the end of an executor, for this reason, means for its tasks.
fn of_executor(why: &str) -> (&'static str, Reason) {
    match why {
        reason::EXECUTOR_REGISTRATION_TIMEOUT => {
            (reason::EXECUTOR_REGISTRATION_TIMEOUT, Reason::ExecutorRegistrationTimeout)
        }
        reason::OUT_OF_MEMORY => (reason::EXECUTOR_TERMINATED, Reason::ContainerLimitationMemory),
        reason::IMAGE_NOT_FOUND
        | reason::IMAGE_CORRUPT
        | reason::COMMAND_NOT_FOUND
        | reason::START_FAILED
        | reason::DISK_FULL => (reason::EXECUTOR_TERMINATED, Reason::ContainerLaunchFailed),
        _ => (reason::EXECUTOR_TERMINATED, Reason::ExecutorTerminated),
    }
}

/// Where an update of this state leaves its task; `None` where it says nothing of that.
pub(crate) fn state_of(state: MesosState) -> Option<TaskState> {
    match state {
        MesosState::TaskStarting => Some(TaskState::Starting),
        MesosState::TaskRunning => Some(TaskState::Running),
        MesosState::TaskKilling => Some(TaskState::Killing),
        MesosState::TaskFinished => Some(TaskState::Finished),
        MesosState::TaskFailed | MesosState::TaskError => Some(TaskState::Failed),
        MesosState::TaskKilled => Some(TaskState::Killed),
        MesosState::TaskLost | MesosState::TaskGone | MesosState::TaskGoneByOperator => {
            Some(TaskState::Lost)
        }
        MesosState::TaskDropped => Some(TaskState::Dropped),
        MesosState::TaskStaging | MesosState::TaskUnreachable | MesosState::TaskUnknown => None,
    }
}

#[cfg(test)]
mod tests;
