//! The status updates of a command task: a task of a Mesos framework with a container of its own.
//!
//! The agent says what Mesos' executor for commands would say:
//!
//! ```text
//! TASK_STARTING ─► TASK_RUNNING ─► [TASK_KILLING] ─► TASK_FINISHED, TASK_FAILED, TASK_KILLED
//!        └──────────────┴──────────────────────────► TASK_FAILED, TASK_KILLED
//! ```
//!
//! Pure: what is to stand in the record follows from what stands there and from the view that is to be
//! written with it. Steps that were skipped, because the task was faster than the reports on it, are
//! made good in the same write.
//!
//! **Invariants:** a step is appended once, in order, whatever was acknowledged or tried before;
//! nothing follows the last step.

use std::net::IpAddr;

use meseta_crds::task::{ContainerStatus, MesosStatus, MesosUpdate, reason};
use meseta_crds::{Task, TaskSpec, TaskState};
use meseta_mesos_wire::v1::TaskState as MesosState;
use meseta_mesos_wire::v1::task_status::{Reason, Source};

use super::status::{self, Capabilities, Said};
use crate::report::View;

/// The steps of which a scheduler is told, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The container is being started.
    Starting,
    /// The program runs.
    Running,
    /// The program was asked to end.
    Killing,
    /// Nothing runs any more.
    Ended,
}

const STEPS: [Step; 4] = [Step::Starting, Step::Running, Step::Killing, Step::Ended];

impl Step {
    /// What its uuid is made from.
    fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Killing => "killing",
            Self::Ended => "ended",
        }
    }
}

/// What is to stand in `status.mesos.updates` of a command task once its record says `view`, and of a
/// task that never reached its executor; `None` for any other task. `ip` is where containers are
/// reached, `now` is in milliseconds since 1970.
pub(crate) fn by_agent(
    task: &Task,
    view: &View,
    ip: Option<IpAddr>,
    now: i64,
) -> Option<Vec<MesosUpdate>> {
    let mesos = task.spec.mesos.as_ref()?;
    if task.spec.executor.is_some() || mesos.task_id.is_none() {
        return None;
    }
    let written = task.status.as_ref().and_then(|status| status.mesos.clone()).unwrap_or_default();
    let reached = reached(task, &written);
    let mut updates = unacknowledged(written);
    let uid = task.metadata.uid.as_deref().unwrap_or_default();
    let agent = task.spec.agent_name.as_deref().unwrap_or_default();
    let steps = steps(view, status::capabilities(mesos), now);
    let begun = steps.first().is_some_and(|(step, _)| *step == Step::Starting);
    let container = begun.then(|| status::container(uid, agent, mesos, ip));
    for (step, mut said) in steps {
        if reached.is_none_or(|reached| step > reached) {
            if said.reason == Some(Reason::ContainerLimitationMemory) {
                said.memory_limit = memory_limit(&task.spec);
            }
            said.container.clone_from(&container);
            updates.push(status::update(uid, agent, mesos, step.name(), &said));
        }
    }
    Some(updates)
}

/// The updates after the one whose acknowledgement is stored.
pub(crate) fn unacknowledged(written: MesosStatus) -> Vec<MesosUpdate> {
    let MesosStatus { mut updates, acknowledged } = written;
    let last = updates.iter().rposition(|update| Some(&update.uuid) == acknowledged.as_ref());
    updates.drain(..last.map_or(0, |last| last + 1));
    updates
}

/// The last step that was ever written to the record.
fn reached(task: &Task, written: &MesosStatus) -> Option<Step> {
    let uid = task.metadata.uid.as_deref().unwrap_or_default();
    let known = |step: Step| {
        let uuid = status::text(&status::uuid(uid, step.name()));
        written.acknowledged.as_ref() == Some(&uuid)
            || written.updates.iter().any(|update| update.uuid == uuid)
    };
    STEPS.into_iter().rev().find(|step| known(*step))
}

/// All steps up to what the view says, and what is said of each.
fn steps(view: &View, capabilities: Option<Capabilities>, now: i64) -> Vec<(Step, Said)> {
    let started = view.container.as_ref().and_then(|container| container.started_at.as_ref());
    let ran = started.is_some();
    // The record has whole seconds.
    let running =
        view.reached.running.or_else(|| started.map(|started| started.0.as_millisecond()));
    let starting = view.reached.starting.into_iter().chain(running).min();
    let killing = capabilities.is_some_and(|capabilities| capabilities.killing);
    let asked = view.reason.as_deref().is_some_and(is_asked);
    let mut steps = Vec::new();
    if ran || view.state == TaskState::Starting {
        steps.push((Step::Starting, said(MesosState::TaskStarting, starting.unwrap_or(now))));
        if ran {
            steps.push((Step::Running, said(MesosState::TaskRunning, running.unwrap_or(now))));
        }
    }
    if ran && killing && asked && matches!(view.state, TaskState::Killing | TaskState::Killed) {
        let killing = view.reached.killing.unwrap_or_else(|| now.min(view.due));
        steps.push((Step::Killing, said(MesosState::TaskKilling, killing)));
    }
    steps.extend(end(view, ran, capabilities).map(|said| (Step::Ended, said)));
    steps
}

/// Whether a task that ends for this reason was asked to: then its scheduler may hear of it before.
fn is_asked(reason: &str) -> bool {
    [reason::KILLED_BY_SCHEDULER, reason::DELETED].contains(&reason)
}

fn said(state: MesosState, at: i64) -> Said {
    Said {
        state,
        source: Source::Executor,
        reason: None,
        message: None,
        at,
        memory_limit: None,
        container: None,
    }
}

/// What is said of the end, if it is one that is to be told here. Where the record does not tell what
/// the framework understands, `Dropped` and `Lost` are left to the gateway, which knows.
fn end(view: &View, ran: bool, capabilities: Option<Capabilities>) -> Option<Said> {
    let agent = |state: MesosState, reason: Reason| Said {
        state,
        source: Source::Agent,
        reason: Some(reason),
        message: view.message.clone(),
        at: view.due,
        memory_limit: None,
        container: None,
    };
    let executor = |state: MesosState| Said {
        message: view.container.as_ref().and_then(command_ended).or_else(|| view.message.clone()),
        ..said(state, view.due)
    };
    let why = view.reason.as_deref().unwrap_or_default();
    let said = match view.state {
        TaskState::Finished => executor(MesosState::TaskFinished),
        TaskState::Killed if ran => executor(MesosState::TaskKilled),
        TaskState::Killed => agent(MesosState::TaskKilled, Reason::TaskKilledDuringLaunch),
        TaskState::Failed => match why {
            reason::NON_ZERO_EXIT => executor(MesosState::TaskFailed),
            reason::DEADLINE_EXCEEDED => Said {
                reason: Some(Reason::MaxCompletionTimeReached),
                message: view.message.clone(),
                ..executor(MesosState::TaskFailed)
            },
            reason::OUT_OF_MEMORY => {
                agent(MesosState::TaskFailed, Reason::ContainerLimitationMemory)
            }
            reason::SHIM_LOST | reason::AGENT_REBOOTED | reason::EXECUTOR_TERMINATED => {
                agent(MesosState::TaskFailed, Reason::ExecutorTerminated)
            }
            _ => agent(MesosState::TaskFailed, Reason::ContainerLaunchFailed),
        },
        TaskState::Dropped => {
            let reason = match why {
                reason::EXECUTOR_TERMINATED => Reason::ExecutorTerminated,
                _ => Reason::InvalidOffers,
            };
            match capabilities?.partition_aware {
                true => agent(MesosState::TaskDropped, reason),
                false => agent(MesosState::TaskLost, reason),
            }
        }
        TaskState::Lost => match capabilities?.partition_aware {
            true => agent(MesosState::TaskGone, Reason::ExecutorReregistrationTimeout),
            false => agent(MesosState::TaskLost, Reason::ExecutorReregistrationTimeout),
        },
        TaskState::Pending
        | TaskState::Staging
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Killing
        | TaskState::Unreachable => return None,
    };
    Some(said)
}

/// The memory that the container of a task may use, in bytes.
fn memory_limit(spec: &TaskSpec) -> Option<i64> {
    spec.limits.get("memory").or_else(|| spec.resources.get("memory"))?.units().ok()
}

/// How a command ended, as Mesos puts it.
fn command_ended(container: &ContainerStatus) -> Option<String> {
    if let Some(signal) = container.signal {
        return Some(format!("Command terminated with signal {}", signal_text(signal)));
    }
    container.exit_code.map(|code| format!("Command exited with status {code}"))
}

/// A signal as the C library describes it.
fn signal_text(signal: i64) -> String {
    let text = match signal {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        4 => "Illegal instruction",
        5 => "Trace/breakpoint trap",
        6 => "Aborted",
        7 => "Bus error",
        8 => "Floating point exception",
        9 => "Killed",
        10 => "User defined signal 1",
        11 => "Segmentation fault",
        12 => "User defined signal 2",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        24 => "CPU time limit exceeded",
        25 => "File size limit exceeded",
        31 => "Bad system call",
        _ => return format!("Unknown signal {signal}"),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests;
