//! What stands in a record after a view was written.

use std::sync::Arc;

use jiff::Timestamp;
use meseta_crds::TaskSpec;
use tokio::sync::watch;

use super::*;

fn task(version: &str) -> Task {
    let mut task =
        Task::new("t", TaskSpec { agent_name: Some("n1".to_owned()), ..TaskSpec::default() });
    task.metadata.uid = Some("u".to_owned());
    task.metadata.resource_version = Some(version.to_owned());
    task.metadata.generation = Some(2);
    task
}

fn view(state: TaskState, reason: Option<&str>) -> View {
    View {
        state,
        reason: reason.map(str::to_owned),
        message: None,
        container: Some(ContainerStatus { name: "main".to_owned(), ..ContainerStatus::default() }),
        due: 0,
        updates: None,
        reached: Reached::default(),
    }
}

/// Applies the patch as an API server does.
fn written(task: &Task, view: &View) -> Task {
    let patch = view.patch(task, None, &Time(Timestamp::UNIX_EPOCH));
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    let mut object = serde_json::to_value(task).unwrap();
    merge(&mut object, &patch);
    serde_json::from_value(object).unwrap()
}

/// RFC 7386.
fn merge(target: &mut serde_json::Value, patch: &serde_json::Value) {
    let serde_json::Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        match (value.is_null(), target.as_object_mut()) {
            (true, Some(object)) => drop(object.shift_remove(name)),
            (_, _) => merge(&mut target[name], value),
        }
    }
}

fn conditions(task: &Task) -> Vec<String> {
    let conditions = &task.status.as_ref().unwrap().conditions;
    conditions.iter().map(|c| format!("{}={}:{}", c.type_, c.status, c.reason)).collect()
}

#[test]
fn what_was_written_need_not_be_written_again() {
    let before = task("7");
    let running = view(TaskState::Running, None);
    assert!(!running.is_in(&before));
    let after = written(&before, &running);
    assert!(running.is_in(&after));
    assert_eq!(conditions(&after), ["Placed=True:Placed", "Ready=True:Running"]);
    let ended = view(TaskState::Failed, Some(reason::NON_ZERO_EXIT));
    assert!(!ended.is_in(&after));
    let after = written(&after, &ended);
    assert!(ended.is_in(&after));
    assert_eq!(
        conditions(&after),
        [
            "Placed=True:Placed",
            "Ready=False:NonZeroExit",
            "Succeeded=False:NonZeroExit",
            "Stalled=True:NonZeroExit"
        ]
    );
    // The reason of what was before does not stay.
    let again = written(&after, &running);
    assert_eq!(again.status.unwrap().reason, None);
}

#[test]
fn an_update_is_known_by_its_uuid() {
    let update = |uuid: &str, timestamp: f64| MesosUpdate {
        uuid: uuid.to_owned(),
        status: json!({"timestamp": timestamp}),
    };
    let told = |updates: Vec<MesosUpdate>| View {
        updates: Some(updates),
        ..view(TaskState::Running, None)
    };
    let after = written(&task("7"), &told(vec![update("a", 0.1), update("b", 0.2)]));
    // As after a number that no decimal fraction hits.
    let rounded = told(vec![update("a", 0.1 + f64::EPSILON), update("b", 0.2)]);
    assert!(rounded.is_in(&after));
    assert!(!told(vec![update("b", 0.2)]).is_in(&after));
    assert!(!told(vec![update("a", 0.1), update("b", 0.2), update("c", 0.3)]).is_in(&after));
    let mut acknowledged = after;
    let mesos = acknowledged.status.as_mut().unwrap().mesos.as_mut().unwrap();
    mesos.acknowledged = Some("a".to_owned());
    assert!(told(vec![update("b", 0.2)]).is_in(&acknowledged));
}

#[test]
fn a_good_end_is_ready_and_not_stalled() {
    let after = written(&task("7"), &view(TaskState::Finished, Some(reason::COMPLETED)));
    assert_eq!(
        conditions(&after),
        [
            "Placed=True:Placed",
            "Ready=True:Completed",
            "Succeeded=True:Completed",
            "Stalled=False:Completed"
        ]
    );
}

#[test]
fn the_times_of_a_container_survive_the_way_through_the_record() {
    let mut running = view(TaskState::Running, None);
    let container = running.container.as_mut().unwrap();
    container.started_at = Some(time(1_700_000_000_999));
    assert!(running.is_in(&written(&task("7"), &running)));
}

#[test]
fn the_newest_of_what_is_known_counts() {
    let present = |version: &str| Record::Present(Arc::new(task(version)));
    let (tell, told) = watch::channel(Record::Unknown);
    let mut mirror = Mirror::new(told);
    assert_eq!(mirror.current(), Record::Unknown);
    tell.send_replace(present("7"));
    mirror.wrote(task("9"));
    assert_eq!(mirror.current(), present("9"));
    tell.send_replace(present("8"));
    assert_eq!(mirror.current(), present("9"), "the watch is behind");
    tell.send_replace(present("10"));
    assert_eq!(mirror.current(), present("10"));
    tell.send_replace(Record::Missing);
    assert_eq!(mirror.current(), Record::Missing);
}

#[test]
fn pauses_grow_and_are_bounded() {
    let mut backoff = Backoff::default();
    let pauses: Vec<u128> = (0..7).map(|_| backoff.next().as_millis()).collect();
    assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
    backoff.reset();
    assert_eq!(backoff.next(), FIRST_RETRY);
}
