use meseta_crds::task::MesosUpdate;
use meseta_mesos_wire::json;
use meseta_mesos_wire::v1::TaskState as S;

use super::*;

const SINCE: i64 = 5000;

fn agents(name: &str) -> Agent {
    match name {
        "here" => Agent::Registered,
        "silent" => Agent::Unreachable(SINCE),
        _ => Agent::Unknown,
    }
}

fn row(id: &str, state: TaskState) -> TaskRow {
    TaskRow {
        name: format!("record-{id}"),
        task_id: Some(id.to_owned()),
        agent: "here".to_owned(),
        held_by_scheduler: true,
        held_by_agent: true,
        state,
        ..TaskRow::default()
    }
}

fn rows(of: Vec<TaskRow>) -> Rows {
    let mut rows = Rows::default();
    of.into_iter().for_each(|row| rows.insert(row));
    rows
}

fn update(number: u8, state: S) -> MesosUpdate {
    let status = v1::TaskStatus {
        task_id: v1::TaskId { value: "t".to_owned() },
        executor_id: Some(v1::ExecutorId { value: "e".to_owned() }),
        state: state.into(),
        healthy: Some(number == 2),
        uuid: Some(vec![number; 16]),
        ..v1::TaskStatus::default()
    };
    MesosUpdate {
        uuid: statuses::uuid_text(&[number; 16]).unwrap(),
        status: json::to_value(&status),
    }
}

fn explicit(
    rows: &Rows,
    delivery: Option<&Delivery>,
    id: &str,
    agent: Option<&str>,
) -> v1::TaskStatus {
    let task = call::reconcile::Task {
        task_id: v1::TaskId { value: id.to_owned() },
        agent_id: agent.map(|id| v1::AgentId { value: id.to_owned() }),
    };
    let request = call::Reconcile { tasks: vec![task] };
    let [status] = answers(&request, rows, |_| delivery, &agents, true, 9000).try_into().unwrap();
    assert_eq!(status.reason(), Reason::Reconciliation);
    assert_eq!(status.source(), v1::task_status::Source::Master);
    assert_eq!((&status.uuid, status.timestamp), (&None, Some(9.0)));
    status
}

#[test]
fn implicit_reconciliation_tells_of_every_active_task() {
    let executor = TaskRow {
        task_id: None,
        executor_id: Some("e".to_owned()),
        ..row("e", TaskState::Running)
    };
    let freed = TaskRow { held_by_scheduler: false, ..row("old", TaskState::Finished) };
    let rows = rows(vec![
        row("a", TaskState::Running),
        row("b", TaskState::Staging),
        row("silent", TaskState::Unreachable),
        row("ended", TaskState::Failed),
        executor,
        freed,
    ]);
    let told: Vec<String> = answers(&call::Reconcile::default(), &rows, |_| None, &agents, true, 0)
        .iter()
        .map(|status| format!("{} {}", status.task_id.value, status.state().as_str_name()))
        .collect();
    assert_eq!(told, ["a TASK_RUNNING", "b TASK_STAGING", "ended TASK_FAILED"]);
    let none = answers(&call::Reconcile::default(), &Rows::default(), |_| None, &agents, true, 0);
    assert_eq!(none, []);
}

#[test]
fn nothing_goes_back_from_an_end_that_no_update_tells() {
    let updates = vec![update(1, S::TaskRunning)];
    let acknowledged = Some(updates[0].uuid.clone());
    let lost = TaskRow { updates, acknowledged, held_by_agent: false, ..row("t", TaskState::Lost) };
    let rows = rows(vec![lost.clone()]);
    // Told, and for a leader that does not know whether it was.
    let mut delivery = Delivery::default();
    assert!(delivery.step(&lost, Some(0), 0).send.is_some());
    for delivery in [Some(&delivery), None] {
        let status = explicit(&rows, delivery, "t", None);
        assert_eq!(status.state(), S::TaskGoneByOperator);
        assert_eq!(status.reason(), Reason::Reconciliation);
        assert_eq!(status.uuid, None);
    }
}

#[test]
fn a_known_task_has_the_state_that_was_forwarded_last() {
    let updates =
        vec![update(1, S::TaskStarting), update(2, S::TaskRunning), update(3, S::TaskFinished)];
    let row = TaskRow { updates, ..row("t", TaskState::Finished) };
    let rows = rows(vec![row.clone()]);
    let mut delivery = Delivery::default();
    let state = |delivery: &Delivery| explicit(&rows, Some(delivery), "t", None);
    assert_eq!(state(&delivery).state(), S::TaskStarting, "it will be sent next");
    delivery.step(&row, Some(0), 0);
    assert_eq!(state(&delivery).state(), S::TaskStarting);
    assert!(delivery.acknowledge(&row, &row.updates[0].uuid));
    assert_eq!(state(&delivery).state(), S::TaskStarting, "the next is not sent yet");
    delivery.step(&row, Some(0), 0);
    let status = state(&delivery);
    assert_eq!(status.state(), S::TaskRunning, "though the record knows more");
    assert_eq!(status.message(), "Reconciliation: Latest task state");
    assert_eq!(status.healthy, Some(true));
    assert_eq!(status.executor_id.unwrap().value, "e");
    assert_eq!(status.agent_id.unwrap().value, "here");
}

#[test]
fn a_task_without_updates_has_the_state_of_its_record() {
    let rows = rows(vec![row("t", TaskState::Staging)]);
    assert_eq!(explicit(&rows, None, "t", Some("elsewhere")).state(), S::TaskStaging);
}

#[test]
fn a_task_on_a_silent_agent_is_unreachable() {
    let silent = TaskRow { agent: "silent".to_owned(), ..row("t", TaskState::Unreachable) };
    let status = explicit(&rows(vec![silent]), None, "t", None);
    assert_eq!(status.state(), S::TaskUnreachable);
    assert_eq!(status.unreachable_time, Some(statuses::time(SINCE)));
    assert_eq!(status.agent_id.unwrap().value, "silent");
}

#[test]
fn an_unknown_task_is_told_by_what_is_known_of_the_agent() {
    let freed = TaskRow { held_by_scheduler: false, ..row("t", TaskState::Finished) };
    for rows in [Rows::default(), rows(vec![freed])] {
        for (agent, state, message) in [
            (Some("here"), S::TaskGone, "Reconciliation: Task is unknown to the agent"),
            (Some("silent"), S::TaskUnreachable, "Reconciliation: Task is unreachable"),
            (Some("elsewhere"), S::TaskUnknown, "Reconciliation: Task is unknown"),
            (None, S::TaskUnknown, "Reconciliation: Task is unknown"),
        ] {
            let status = explicit(&rows, None, "t", agent);
            assert_eq!((status.state(), status.message()), (state, message));
            assert_eq!(status.agent_id.map(|id| id.value).as_deref(), agent, "as in the request");
            assert_eq!(status.unreachable_time.is_some(), state == S::TaskUnreachable);
        }
    }
}

#[test]
fn frameworks_that_are_not_partition_aware_are_told_that_tasks_are_lost() {
    for agent in [None, Some("here"), Some("silent")] {
        let status = unknown("t", agent, &agents, false, 0);
        assert_eq!(status.state(), S::TaskLost);
        assert_eq!(status.unreachable_time.is_some(), agent == Some("silent"), "in both cases");
    }
}
