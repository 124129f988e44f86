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
    repeated(grace_period_seconds, 0)
}

fn repeated(grace_period_seconds: Option<i64>, repeats: i64) -> Order {
    let kill = Kill { grace_period_seconds, repeats };
    Order { writes: vec![("r".to_owned(), kill)], tell: None }
}

#[test]
fn a_kill_is_a_wish_in_the_record_whatever_the_task_does() {
    for state in [
        TaskState::Pending,
        TaskState::Staging,
        TaskState::Starting,
        TaskState::Running,
        TaskState::Killing,
    ] {
        assert_eq!(ask(&rows(row(state)), None, None), written(None), "{state:?}");
        assert_eq!(ask(&rows(row(state)), Some("a"), None), written(None), "{state:?}");
    }
}

#[test]
fn a_kill_on_another_agent_is_ignored() {
    assert_eq!(ask(&rows(row(TaskState::Running)), Some("b"), None), Order::default());
}

#[test]
fn a_task_that_has_ended_is_not_killed() {
    assert_eq!(ask(&rows(row(TaskState::Finished)), None, None), Order::default());
}

#[test]
fn an_unknown_task_is_answered_like_a_reconcile_of_it() {
    let freed = TaskRow { held_by_scheduler: false, ..row(TaskState::Finished) };
    for rows in [Rows::default(), rows(freed)] {
        for (agent, state) in
            [(None, S::TaskUnknown), (Some("a"), S::TaskGone), (Some("b"), S::TaskUnknown)]
        {
            let Order { writes, tell } = ask(&rows, agent, None);
            assert_eq!(writes, []);
            let status = tell.unwrap();
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

fn again(first: Option<i64>, second: Option<i64>, row: TaskRow) -> Order {
    let kill = Some(Kill { grace_period_seconds: first, ..row.kill.unwrap_or_default() });
    let nanos = second.map(|seconds| seconds * 1_000_000_000);
    ask(&rows(TaskRow { kill, grace_seconds: 3, ..row }), None, nanos)
}

#[test]
fn a_repeated_kill_can_only_shorten_the_period_of_a_command() {
    let again = |first, second| again(first, second, row(TaskState::Killing));
    assert_eq!(again(None, None), Order::default());
    assert_eq!(again(None, Some(5)), Order::default());
    assert_eq!(again(None, Some(2)), written(Some(2)));
    // Without a policy it is the task's own period.
    assert_eq!(again(Some(20), None), written(Some(3)));
    assert_eq!(again(Some(2), None), Order::default());
    assert_eq!(again(Some(5), Some(5)), Order::default());
    assert_eq!(again(Some(5), Some(6)), Order::default());
    assert_eq!(again(Some(5), Some(4)), written(Some(4)));
}

#[test]
fn a_custom_executor_is_told_of_each_kill() {
    let of_executor = || TaskRow { executor_name: Some("x".to_owned()), ..row(TaskState::Running) };
    let second = |first, second| again(first, second, of_executor());
    assert_eq!(second(Some(5), Some(9)), repeated(Some(9), 1));
    assert_eq!(second(Some(5), None), repeated(None, 1));
    assert_eq!(second(Some(5), Some(5)), repeated(Some(5), 1));
    assert_eq!(second(None, None), repeated(None, 1));
    let kill = Some(Kill { repeats: 1, ..Kill::default() });
    let row = TaskRow { kill, ..of_executor() };
    assert_eq!(again(None, None, row), repeated(None, 2));
}

#[test]
fn a_kill_of_a_task_out_of_reach_is_a_wish_and_answered() {
    let Order { writes, tell } = ask(&rows(row(TaskState::Unreachable)), None, None);
    assert_eq!(writes, [("r".to_owned(), Kill::default())]);
    let status = tell.unwrap();
    assert_eq!((status.state(), status.uuid.as_deref()), (S::TaskUnreachable, None));
}

#[test]
fn the_shutdown_of_a_default_executor_ends_its_tasks() {
    let task = |name: &str| TaskRow {
        name: name.to_owned(),
        task_id: Some(name.to_owned()),
        executor_id: Some("d".to_owned()),
        ..row(TaskState::Running)
    };
    let mut rows = Rows::default();
    ["t1", "t2"].into_iter().for_each(|name| rows.insert(task(name)));
    rows.insert(TaskRow { executor_id: Some("other".to_owned()), ..task("t3") });
    let call = call::Shutdown {
        executor_id: v1::ExecutorId { value: "d".to_owned() },
        agent_id: v1::AgentId { value: "a".to_owned() },
    };
    let writes = ["t1", "t2"].map(|name| (name.to_owned(), Kill::default()));
    assert_eq!(shutdown(&call, &rows), Order { writes: writes.to_vec(), tell: None });
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
    assert_eq!(ask(&live, "b", "e"), Order::default());
    assert_eq!(ask(&live, "a", "x"), Order::default());
    assert_eq!(ask(&rows(executor(TaskState::Failed)), "a", "e"), Order::default());
    let asked = TaskRow { kill: Some(Kill::default()), ..executor(TaskState::Running) };
    assert_eq!(ask(&rows(asked), "a", "e"), Order::default(), "once");
}
