//! What KILL and SHUTDOWN mean for a task or an executor in each state.
//!
//! Both become a wish in the record, which the agent carries out; one whose agent is silent finds it
//! there when it comes back.

use meseta_crds::TaskState;
use meseta_crds::task::Kill;
use meseta_mesos_wire::v1;
use meseta_mesos_wire::v1::scheduler::call;

use super::launch;
use super::reconcile::{self, Agents};
use super::rows::{Rows, TaskRow};

/// What to do about a KILL or a SHUTDOWN.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Order {
    /// What to write to `spec.kill`, by name of the record.
    pub writes: Vec<(String, Kill)>,
    /// Send this: a master knows of no such task that runs.
    pub tell: Option<Box<v1::TaskStatus>>,
}

/// What a KILL asks for. A task that is not known, or whose agent is silent, is answered as an
/// explicit RECONCILE of it is.
#[must_use]
pub fn kill(
    kill: &call::Kill,
    rows: &Rows,
    agents: &dyn Agents,
    partition_aware: bool,
    now: i64,
) -> Order {
    let agent = kill.agent_id.as_ref().map(|id| id.value.as_str());
    let Some(row) = rows.task(&kill.task_id.value).filter(|row| row.is_live()) else {
        let status = reconcile::unknown(&kill.task_id.value, agent, agents, partition_aware, now);
        return Order { tell: Some(Box::new(status)), ..Order::default() };
    };
    if agent.is_some_and(|agent| agent != row.agent) || row.state.is_terminal() {
        return Order::default();
    }
    let policy = kill.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref());
    let asked = policy.map(launch::seconds);
    let tell = (row.state == TaskState::Unreachable)
        .then(|| Box::new(reconcile::unreachable(row, agents, partition_aware, now)));
    Order {
        writes: wish(row, asked).map(|kill| (row.name.clone(), kill)).into_iter().collect(),
        tell,
    }
}

/// What a SHUTDOWN asks for; of a DEFAULT executor, the end of all its tasks. Executors that are not
/// known are ignored.
#[must_use]
pub fn shutdown(shutdown: &call::Shutdown, rows: &Rows) -> Order {
    let (agent, executor) = (&shutdown.agent_id.value, &shutdown.executor_id.value);
    let custom = rows.executor(agent, executor).filter(|row| !row.state.is_terminal());
    // How long it has is said in its record.
    let ending = custom.into_iter().chain(rows.grouped(agent, executor));
    let writes = ending.filter_map(|row| Some((row.name.clone(), wish(row, None)?)));
    Order { writes: writes.collect(), tell: None }
}

/// The wish to be written, if it is another than the one before. A command's end can only come
/// sooner; a custom executor is told each time.
fn wish(row: &TaskRow, asked: Option<i64>) -> Option<Kill> {
    let Some(old) = &row.kill else {
        return Some(Kill { grace_period_seconds: asked, ..Kill::default() });
    };
    if row.executor_name.is_some() {
        let repeats = old.repeats.saturating_add(1);
        return Some(Kill { grace_period_seconds: asked, repeats });
    }
    let of = |seconds: Option<i64>| seconds.unwrap_or(row.grace_seconds);
    let sooner = of(asked) < of(old.grace_period_seconds);
    sooner.then(|| Kill { grace_period_seconds: Some(of(asked)), ..*old })
}

#[cfg(test)]
mod tests;
