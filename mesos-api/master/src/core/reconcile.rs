//! Answers to RECONCILE: what is known of a framework's tasks.
//!
//! There is no time of recovery here in which a master knows less than before: records are read
//! before anybody is served. So every task of a request has an answer.

use meseta_crds::TaskState;
use meseta_mesos_wire::v1;
use meseta_mesos_wire::v1::scheduler::call;
use meseta_mesos_wire::v1::task_status::Reason;

use super::rows::{Rows, TaskRow};
use super::statuses::{self, Made};
use super::updates::Delivery;

/// What is known of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// It is there.
    Registered,
    /// It is silent, since this time in milliseconds.
    Unreachable(i64),
    /// It has no record.
    Unknown,
}

/// The agents there are.
pub trait Agents {
    /// What is known of the agent of this name.
    fn agent(&self, name: &str) -> Agent;
}

impl<F: Fn(&str) -> Agent> Agents for F {
    fn agent(&self, name: &str) -> Agent {
        self(name)
    }
}

/// The answers to a RECONCILE. `delivery` gives what is remembered of a record's updates, by its
/// name.
#[must_use]
pub fn answers<'a>(
    request: &call::Reconcile,
    rows: &Rows,
    delivery: impl Fn(&str) -> Option<&'a Delivery>,
    agents: &dyn Agents,
    partition_aware: bool,
    now: i64,
) -> Vec<v1::TaskStatus> {
    if request.tasks.is_empty() {
        return rows
            .iter()
            .filter(|row| !row.is_executor() && row.is_live())
            .filter(|row| row.state != TaskState::Unreachable)
            .map(|row| known(row, delivery(&row.name), partition_aware, now))
            .collect();
    }
    let answer = |asked: &call::reconcile::Task| {
        let id = &asked.task_id.value;
        match rows.task(id).filter(|row| row.is_live()) {
            Some(row) if row.state == TaskState::Unreachable => {
                unreachable(row, agents, partition_aware, now)
            }
            Some(row) => known(row, delivery(&row.name), partition_aware, now),
            None => {
                let agent = asked.agent_id.as_ref().map(|id| id.value.as_str());
                unknown(id, agent, agents, partition_aware, now)
            }
        }
    };
    request.tasks.iter().map(answer).collect()
}

/// The state that the scheduler was told last, or will be next where that is not remembered; nothing
/// goes back from an end.
fn known(
    row: &TaskRow,
    delivery: Option<&Delivery>,
    partition_aware: bool,
    now: i64,
) -> v1::TaskStatus {
    let fresh = Delivery::default();
    let delivery = delivery.unwrap_or(&fresh);
    if let Some(own) = delivery.untold_end(row) {
        let mut status = statuses::own(row, own, None, partition_aware, now);
        status.set_reason(Reason::Reconciliation);
        return status;
    }
    let (before, next) = delivery.around(row);
    let forwarded = delivery.forwarded();
    let parsed = |update| statuses::parse(update);
    // The update that was sent last is in flight or was just acknowledged; the record may have
    // dropped it.
    let shown = [next, before]
        .into_iter()
        .flatten()
        .filter_map(parsed)
        .find(|status| forwarded.is_none_or(|state| state == status.state()));
    let state = forwarded
        .or_else(|| shown.as_ref().map(v1::TaskStatus::state))
        .unwrap_or_else(|| statuses::state(row.state));
    let mut status = made(row, state, "Reconciliation: Latest task state", partition_aware, now);
    if let Some(shown) = shown {
        status.executor_id = shown.executor_id.or(status.executor_id);
        status.healthy = shown.healthy;
        status.check_status = shown.check_status;
        status.container_status = shown.container_status;
    }
    status
}

/// The answer about a task whose agent is silent.
pub(super) fn unreachable(
    row: &TaskRow,
    agents: &dyn Agents,
    partition_aware: bool,
    now: i64,
) -> v1::TaskStatus {
    let since = match agents.agent(&row.agent) {
        Agent::Unreachable(since) => since,
        Agent::Registered | Agent::Unknown => now,
    };
    let message = "Reconciliation: Task is unreachable";
    let mut status = made(row, v1::TaskState::TaskUnreachable, message, partition_aware, now);
    status.unreachable_time = Some(statuses::time(since));
    status
}

fn made(
    row: &TaskRow,
    state: v1::TaskState,
    message: &str,
    partition_aware: bool,
    now: i64,
) -> v1::TaskStatus {
    statuses::of_row(row, state, Some(Reason::Reconciliation), message.to_owned())
        .status(partition_aware, now)
}

/// The answer about a task that the framework does not have, on the agent that it named.
#[must_use]
pub fn unknown(
    task_id: &str,
    agent: Option<&str>,
    agents: &dyn Agents,
    partition_aware: bool,
    now: i64,
) -> v1::TaskStatus {
    use v1::TaskState as S;
    let found = agent.map_or(Agent::Unknown, |agent| agents.agent(agent));
    let (state, message) = match found {
        Agent::Registered => (S::TaskGone, "Reconciliation: Task is unknown to the agent"),
        Agent::Unreachable(_) => (S::TaskUnreachable, "Reconciliation: Task is unreachable"),
        Agent::Unknown => (S::TaskUnknown, "Reconciliation: Task is unknown"),
    };
    let made = Made {
        task_id,
        agent_id: agent,
        executor_id: None,
        state,
        reason: Some(Reason::Reconciliation),
        message: message.to_owned(),
    };
    let mut status = made.status(partition_aware, now);
    if let Agent::Unreachable(since) = found {
        status.unreachable_time = Some(statuses::time(since));
    }
    status
}

#[cfg(test)]
mod tests;
