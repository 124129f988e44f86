//! What KILL and SHUTDOWN mean for a task or an executor in each state.
//!
//! Both become a wish in the record, which the agent carries out; one whose agent is silent finds it
//! there when it comes back.

use meseta_crds::task::Kill;
use meseta_mesos_wire::v1;
use meseta_mesos_wire::v1::scheduler::call;

use super::launch;
use super::reconcile::{self, Agents};
use super::rows::Rows;

/// What to do about a KILL or a SHUTDOWN.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Nothing.
    Ignore,
    /// Write this to `spec.kill` of the record of this name.
    Write {
        /// Name of the record.
        record: String,
        /// The wish.
        kill: Kill,
    },
    /// Send this: the task is not known.
    Tell(Box<v1::TaskStatus>),
}

/// What a KILL asks for. A task that is not known is answered as an explicit RECONCILE of it is.
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
        return Order::Tell(Box::new(status));
    };
    if agent.is_some_and(|agent| agent != row.agent) || row.state.is_terminal() {
        return Order::Ignore;
    }
    let policy = kill.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref());
    let wish = Kill { grace_period_seconds: policy.map(launch::seconds) };
    write(&row.name, row.kill.as_ref(), wish)
}

/// What a SHUTDOWN asks for. Executors that are not known are ignored.
#[must_use]
pub fn shutdown(shutdown: &call::Shutdown, rows: &Rows) -> Order {
    let row = rows
        .executor(&shutdown.agent_id.value, &shutdown.executor_id.value)
        .filter(|row| !row.state.is_terminal());
    match row {
        // How long it has is said in its record.
        Some(row) => write(&row.name, row.kill.as_ref(), Kill::default()),
        None => Order::Ignore,
    }
}

/// A wish is written once, and again only with a shorter period.
fn write(record: &str, old: Option<&Kill>, new: Kill) -> Order {
    let stricter = match old.map(|old| old.grace_period_seconds) {
        None => true,
        Some(None) => new.grace_period_seconds.is_some(),
        Some(Some(old)) => new.grace_period_seconds.is_some_and(|new| new < old),
    };
    if stricter { Order::Write { record: record.to_owned(), kill: new } } else { Order::Ignore }
}

#[cfg(test)]
mod tests;
