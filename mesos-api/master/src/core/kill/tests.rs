use meseta_crds::TaskState;
use meseta_mesos_wire::v1::TaskState as S;

use super::super::reconcile::Agent;
use super::super::rows::TaskRow;
use super::*;

fn row(state: TaskState) -> TaskRow {
    TaskRow {
        name: "r".to_owned(),
        task_id: Some("t".to_owned()),
        agent: "a".to_owned(),
        held_by_scheduler: true,
        state,
        ..TaskRow::default()
    }
}

fn executor(state: TaskState) -> TaskRow {
    TaskRow { task_id: None, executor_id: Some("e".to_owned()), ..row(state) }
}

fn rows(row: TaskRow) -> Rows {
    let mut rows = Rows::default();
    rows.insert(row);
    rows
}

fn ask(rows: &Rows, agent: Option<&str>, grace_nanos: Option<i64>) -> Order {
    let grace_period = grace_nanos.map(|nanoseconds| v1::DurationInfo { nanoseconds });
    let call = call::Kill {
        task_id: v1::TaskId { value: "t".to_owned() },
        agent_id: agent.map(|id| v1::AgentId { value: id.to_owned() }),
        kill_policy: grace_nanos.map(|_| v1::KillPolicy { grace_period }),
    };
    let agents = |name: &str| if name == "a" { Agent::Registered } else { Agent::Unknown };
    kill(&call, rows, &agents, true, 0)
}

fn written(grace_period_seconds: Option<i64>) -> Order {
    Order::Write { record: "r".to_owned(), kill: Kill { grace_period_seconds } }
}

#[test]
fn a_kill_is_a_wish_in_the_record_whatever_the_task_does() {
    for state in [
        TaskState::Pending,
        TaskState::Staging,
        TaskState::Starting,
        TaskState::Running,
        TaskState::Killing,
        TaskState::Unreachable,
    ] {
        assert_eq!(ask(&rows(row(state)), None, None), written(None), "{state:?}");
        assert_eq!(ask(&rows(row(state)), Some("a"), None), written(None), "{state:?}");
    }
}

#[test]
fn a_kill_on_another_agent_is_ignored() {
    assert_eq!(ask(&rows(row(TaskState::Running)), Some("b"), None), Order::Ignore);
}

#[test]
fn a_task_that_has_ended_is_not_killed() {
    assert_eq!(ask(&rows(row(TaskState::Finished)), None, None), Order::Ignore);
}

#[test]
fn an_unknown_task_is_answered_like_a_reconcile_of_it() {
    let freed = TaskRow { held_by_scheduler: false, ..row(TaskState::Finished) };
    for rows in [Rows::default(), rows(freed)] {
        for (agent, state) in
            [(None, S::TaskUnknown), (Some("a"), S::TaskGone), (Some("b"), S::TaskUnknown)]
        {
            let Order::Tell(status) = ask(&rows, agent, None) else { panic!("{agent:?}") };
            assert_eq!(status.state(), state);
            assert_eq!(status.uuid, None);
        }
    }
}

#[test]
fn a_policy_is_rounded_up_to_seconds() {
    let rows = rows(row(TaskState::Running));
    for (nanos, seconds) in [(0, 0), (1, 1), (2_000_000_000, 2), (2_000_000_001, 3), (-1, 0)] {
        assert_eq!(ask(&rows, None, Some(nanos)), written(Some(seconds)), "{nanos}");
    }
}

#[test]
fn a_repeated_kill_can_only_shorten_the_period() {
    let rows = |grace_period_seconds| {
        rows(TaskRow { kill: Some(Kill { grace_period_seconds }), ..row(TaskState::Killing) })
    };
    let seconds = |seconds: i64| Some(seconds * 1_000_000_000);
    assert_eq!(ask(&rows(None), None, None), Order::Ignore);
    assert_eq!(ask(&rows(None), None, seconds(5)), written(Some(5)));
    assert_eq!(ask(&rows(Some(5)), None, None), Order::Ignore);
    assert_eq!(ask(&rows(Some(5)), None, seconds(5)), Order::Ignore);
    assert_eq!(ask(&rows(Some(5)), None, seconds(6)), Order::Ignore);
    assert_eq!(ask(&rows(Some(5)), None, seconds(4)), written(Some(4)));
}

#[test]
fn a_shutdown_is_for_a_live_executor_of_that_agent() {
    let ask = |rows: &Rows, agent: &str, id: &str| {
        let call = call::Shutdown {
            executor_id: v1::ExecutorId { value: id.to_owned() },
            agent_id: v1::AgentId { value: agent.to_owned() },
        };
        shutdown(&call, rows)
    };
    let live = rows(executor(TaskState::Running));
    assert_eq!(ask(&live, "a", "e"), written(None));
    assert_eq!(ask(&live, "b", "e"), Order::Ignore);
    assert_eq!(ask(&live, "a", "x"), Order::Ignore);
    assert_eq!(ask(&rows(executor(TaskState::Failed)), "a", "e"), Order::Ignore);
    let asked = TaskRow { kill: Some(Kill::default()), ..executor(TaskState::Running) };
    assert_eq!(ask(&rows(asked), "a", "e"), Order::Ignore, "once");
}
