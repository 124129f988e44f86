//! FAILURE: what a scheduler is told when one of its executors, or an agent, ends.
//!
//! The updates of the tasks come first.

use meseta_mesos_wire::v1;
use meseta_mesos_wire::v1::scheduler::event::Failure;

use super::rows::{Rows, TaskRow};

/// The wait status of which nothing is known.
const UNKNOWN_STATUS: i32 = -1;

/// What the scheduler of a custom executor is told when the executor has ended and its record is
/// still held for it. If the scheduler is not there it is not told later. Either way the record is
/// freed then: an executor has no updates.
#[must_use]
pub fn executor(row: &TaskRow) -> Option<Failure> {
    let over = row.state.is_terminal() || row.has_vanished();
    (row.is_executor() && row.held_by_scheduler && over)
        .then(|| of_executor(row, wait_status(row.exit_code, row.signal)))
}

/// What is told of a DEFAULT executor when the end of a task under it was acknowledged, and no other
/// is left: it has nothing more to do, and ended well.
#[must_use]
pub fn default_executor(row: &TaskRow, rows: &Rows) -> Option<Failure> {
    let id = row.executor_id.as_deref().filter(|_| row.is_grouped())?;
    rows.grouped(&row.agent, id).next().is_none().then(|| of_executor(row, 0))
}

fn of_executor(row: &TaskRow, status: i32) -> Failure {
    Failure {
        agent_id: Some(v1::AgentId { value: row.agent.clone() }),
        executor_id: row.executor_id.clone().map(|value| v1::ExecutorId { value }),
        status: Some(status),
    }
}

/// What every scheduler is told of an agent that is gone.
#[must_use]
pub fn agent(name: &str) -> Failure {
    let agent_id = Some(v1::AgentId { value: name.to_owned() });
    Failure { agent_id, executor_id: None, status: None }
}

/// What `wait` would have given: the signal in the lowest bits, else the exit code above them.
fn wait_status(exit_code: Option<i64>, signal: Option<i64>) -> i32 {
    let within = |number: i64, most: i64| i32::try_from(number.clamp(0, most)).ok();
    match (signal, exit_code) {
        (Some(signal), _) => within(signal, 127),
        (None, Some(code)) => within(code, 255).map(|code| code << 8),
        (None, None) => None,
    }
    .unwrap_or(UNKNOWN_STATUS)
}

#[cfg(test)]
mod tests {
    use meseta_crds::TaskState;

    use super::*;

    fn row(state: TaskState) -> TaskRow {
        TaskRow {
            agent: "a".to_owned(),
            executor_id: Some("e".to_owned()),
            held_by_scheduler: true,
            held_by_agent: true,
            state,
            ..TaskRow::default()
        }
    }

    #[test]
    fn the_end_of_an_executor_is_told_once() {
        assert_eq!(executor(&row(TaskState::Running)), None);
        let failure = executor(&row(TaskState::Failed)).unwrap();
        assert_eq!(failure.agent_id.unwrap().value, "a");
        assert_eq!(failure.executor_id.unwrap().value, "e");
        let freed = TaskRow { held_by_scheduler: false, ..row(TaskState::Failed) };
        assert_eq!(executor(&freed), None);
    }

    #[test]
    fn an_executor_that_vanished_has_ended_too() {
        let gone = TaskRow { deleted: true, held_by_agent: false, ..row(TaskState::Running) };
        assert!(executor(&gone).is_some());
    }

    #[test]
    fn the_end_of_a_task_is_no_failure() {
        let task = TaskRow { task_id: Some("t".to_owned()), ..row(TaskState::Failed) };
        assert_eq!(executor(&task), None);
    }

    #[test]
    fn a_default_executor_ends_with_its_last_task() {
        let task = |name: &str, state| TaskRow {
            name: name.to_owned(),
            task_id: Some(name.to_owned()),
            ..row(state)
        };
        let (ended, running) = (task("t", TaskState::Finished), task("u", TaskState::Running));
        let mut rows = Rows::default();
        rows.insert(ended.clone());
        rows.insert(running);
        assert_eq!(default_executor(&ended, &rows), None);
        rows.remove("u");
        let failure = default_executor(&ended, &rows).unwrap();
        assert_eq!((failure.executor_id.unwrap().value, failure.status), ("e".to_owned(), Some(0)));
        // Of a command, and of a task under a custom executor, nothing is told.
        let command = TaskRow { executor_id: None, ..ended.clone() };
        assert_eq!(default_executor(&command, &rows), None);
        let custom = TaskRow { executor_name: Some("x".to_owned()), ..ended };
        assert_eq!(default_executor(&custom, &rows), None);
    }

    #[test]
    fn the_status_is_that_of_wait() {
        assert_eq!(wait_status(Some(0), None), 0);
        assert_eq!(wait_status(Some(3), None), 3 << 8);
        assert_eq!(wait_status(Some(137), Some(9)), 9);
        assert_eq!(wait_status(None, None), -1);
    }
}
