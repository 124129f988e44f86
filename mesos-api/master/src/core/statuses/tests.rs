use meseta_crds::TaskState as Record;
use v1::TaskState as S;

use super::*;

fn row(state: Record, why: Option<&str>) -> TaskRow {
    TaskRow {
        task_id: Some("t".to_owned()),
        agent: "a".to_owned(),
        state,
        reason: why.map(ToOwned::to_owned),
        ..TaskRow::default()
    }
}

/// `STATE REASON: message` as a partition-aware framework sees it.
fn said(row: &TaskRow, say: Own) -> String {
    let status = own(row, say, None, true, 1500);
    assert_eq!(status.source(), Source::Master);
    assert_eq!((status.uuid.clone(), status.timestamp), (None, Some(1.5)));
    assert_eq!(status.agent_id.clone().unwrap().value, "a");
    let reason = status.reason.map_or("-", |_| status.reason().as_str_name());
    format!("{} {reason}: {}", status.state().as_str_name(), status.message())
}

#[test]
fn terminal_states_are_those_of_mesos() {
    let terminal: Vec<&str> = (0..=13)
        .filter_map(|number| S::try_from(number).ok())
        .filter(|state| is_terminal(*state))
        .map(|state| state.as_str_name())
        .collect();
    assert_eq!(
        terminal,
        [
            "TASK_FINISHED",
            "TASK_FAILED",
            "TASK_KILLED",
            "TASK_LOST",
            "TASK_ERROR",
            "TASK_DROPPED",
            "TASK_GONE",
            "TASK_GONE_BY_OPERATOR",
        ]
    );
}

#[test]
fn a_record_is_terminal_where_its_mesos_state_is() {
    for record in [
        Record::Pending,
        Record::Staging,
        Record::Starting,
        Record::Running,
        Record::Killing,
        Record::Finished,
        Record::Failed,
        Record::Killed,
        Record::Dropped,
        Record::Lost,
        Record::Unreachable,
    ] {
        assert_eq!(is_terminal(state(record)), record.is_terminal(), "{record:?}");
    }
}

#[test]
fn frameworks_that_are_not_partition_aware_see_lost() {
    for (real, old) in [
        (S::TaskDropped, S::TaskLost),
        (S::TaskUnreachable, S::TaskLost),
        (S::TaskGone, S::TaskLost),
        (S::TaskGoneByOperator, S::TaskLost),
        (S::TaskUnknown, S::TaskLost),
        (S::TaskLost, S::TaskLost),
        (S::TaskRunning, S::TaskRunning),
        (S::TaskError, S::TaskError),
        (S::TaskKilling, S::TaskKilling),
    ] {
        assert_eq!(seen_state(real, true), real);
        assert_eq!(seen_state(real, false), old);
        let status = v1::TaskStatus { state: real.into(), ..v1::TaskStatus::default() };
        assert_eq!(shown(status, false).state(), old, "also where the agent says it");
    }
}

#[test]
fn an_update_that_can_be_sent_is_a_status_with_the_uuid_of_the_update() {
    let status = v1::TaskStatus { uuid: Some(vec![7; 16]), ..v1::TaskStatus::default() };
    let text = uuid_text(&[7; 16]).unwrap();
    let update = MesosUpdate { uuid: text, status: json::to_value(&status) };
    assert_eq!(parse(&update), Some(status));
    for bad in [
        MesosUpdate { uuid: uuid_text(&[8; 16]).unwrap(), ..update.clone() },
        MesosUpdate { uuid: "x".to_owned(), ..update.clone() },
        MesosUpdate { status: serde_json::json!({}), ..update.clone() },
        MesosUpdate { status: serde_json::json!([1]), ..update },
    ] {
        assert_eq!(parse(&bad), None, "{bad:?}");
    }
    assert_eq!(uuid_text(&[7; 15]), None);
}

#[test]
fn unreachable_tells_since_when() {
    let status = own(&row(Record::Unreachable, None), Own::Unreachable, Some(2000), true, 7000);
    assert_eq!(status.unreachable_time, Some(v1::TimeInfo { nanoseconds: 2_000_000_000 }));
    assert_eq!(
        said(&row(Record::Unreachable, None), Own::Unreachable),
        "TASK_UNREACHABLE REASON_AGENT_REMOVED: Agent is unreachable"
    );
    let lost = own(&row(Record::Unreachable, None), Own::Unreachable, None, false, 0);
    assert_eq!(lost.state(), S::TaskLost);
    assert!(lost.unreachable_time.is_some());
}

#[test]
fn a_task_that_is_back_has_the_state_it_has() {
    assert_eq!(
        said(&row(Record::Running, None), Own::Returned),
        "TASK_RUNNING REASON_AGENT_REREGISTERED: Agent has returned"
    );
}

#[test]
fn an_end_that_no_update_tells_has_the_reason_of_the_record() {
    use meseta_crds::task::reason as why;
    for (state, reason, expected) in [
        (
            Record::Lost,
            Some(why::AGENT_REMOVED),
            "TASK_GONE_BY_OPERATOR REASON_AGENT_REMOVED_BY_OPERATOR",
        ),
        (
            Record::Lost,
            Some(why::EXECUTOR_TERMINATED),
            "TASK_GONE REASON_EXECUTOR_REREGISTRATION_TIMEOUT",
        ),
        (Record::Dropped, Some(why::AGENT_OUT_OF_ROOM), "TASK_DROPPED REASON_INVALID_OFFERS"),
        (Record::Dropped, Some(why::STALE_LEADER), "TASK_DROPPED REASON_INVALID_OFFERS"),
        (Record::Dropped, Some(why::INVALID_SPEC), "TASK_DROPPED REASON_TASK_INVALID"),
        (
            Record::Dropped,
            Some(why::EXECUTOR_TERMINATED),
            "TASK_DROPPED REASON_EXECUTOR_TERMINATED",
        ),
        (Record::Dropped, Some(why::DISK_FULL), "TASK_DROPPED REASON_CONTAINER_LIMITATION_DISK"),
        (Record::Failed, Some(why::IMAGE_NOT_FOUND), "TASK_FAILED REASON_CONTAINER_LAUNCH_FAILED"),
        (Record::Failed, Some(why::START_FAILED), "TASK_FAILED REASON_CONTAINER_LAUNCH_FAILED"),
        (
            Record::Failed,
            Some(why::OUT_OF_MEMORY),
            "TASK_FAILED REASON_CONTAINER_LIMITATION_MEMORY",
        ),
        (Record::Failed, Some(why::DISK_FULL), "TASK_FAILED REASON_CONTAINER_LIMITATION_DISK"),
        (
            Record::Failed,
            Some(why::DEADLINE_EXCEEDED),
            "TASK_FAILED REASON_MAX_COMPLETION_TIME_REACHED",
        ),
        (Record::Failed, Some(why::EXECUTOR_TERMINATED), "TASK_FAILED REASON_EXECUTOR_TERMINATED"),
        (
            Record::Failed,
            Some(why::EXECUTOR_REGISTRATION_TIMEOUT),
            "TASK_FAILED REASON_EXECUTOR_REGISTRATION_TIMEOUT",
        ),
        (Record::Failed, None, "TASK_FAILED -"),
        (Record::Killed, Some(why::DELETED), "TASK_KILLED -"),
        (Record::Finished, Some(why::COMPLETED), "TASK_FINISHED -"),
    ] {
        let message = reason.unwrap_or_default();
        assert_eq!(said(&row(state, reason), Own::Ended), format!("{expected}: {message}"));
    }
    let row = TaskRow { message: Some("words".to_owned()), ..row(Record::Killed, None) };
    assert_eq!(said(&row, Own::Ended), "TASK_KILLED -: words");
}

#[test]
fn a_task_that_vanished_is_gone() {
    assert_eq!(
        said(&row(Record::Running, None), Own::Vanished),
        "TASK_GONE REASON_AGENT_REMOVED: Nothing of the task is left on its agent"
    );
}
