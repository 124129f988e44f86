use meseta_crds::framework::Scheduler;
use meseta_crds::task::{MesosTask, TaskOwner};
use meseta_crds::{FrameworkSpec, TaskSpec, TaskState, TaskStatus};

use super::*;

fn task(name: &str, version: u64, state: TaskState) -> Task {
    let spec = TaskSpec {
        owner: Some(TaskOwner { framework_uid: "f1".to_owned(), ..TaskOwner::default() }),
        mesos: Some(MesosTask::default()),
        ..TaskSpec::default()
    };
    let mut task = Task::new(name, spec);
    task.metadata.uid = Some(format!("uid-{name}"));
    task.metadata.resource_version = Some(version.to_string());
    task.status = Some(TaskStatus { state, ..TaskStatus::default() });
    task
}

fn state(rows: &Rows, name: &str) -> Option<TaskState> {
    rows.with_tasks("f1", |tasks| tasks.get(name).map(|row| row.state))
}

fn names(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().collect::<Vec<_>>().join(" ")
}

#[test]
fn an_older_version_never_replaces_a_newer_one() {
    let rows = Rows::default();
    rows.wrote_task(&task("a", 10, TaskState::Running));
    rows.apply_task(&task("a", 9, TaskState::Staging));
    assert_eq!(state(&rows, "a"), Some(TaskState::Running));
    rows.apply_task(&task("a", 11, TaskState::Finished));
    assert_eq!(state(&rows, "a"), Some(TaskState::Finished));
}

#[test]
fn a_namesake_with_another_uid_replaces_what_was_there() {
    let rows = Rows::default();
    rows.apply_task(&task("a", 10, TaskState::Running));
    let mut other = task("a", 3, TaskState::Staging);
    other.metadata.uid = Some("another".to_owned());
    rows.apply_task(&other);
    assert_eq!(state(&rows, "a"), Some(TaskState::Staging));
}

#[test]
fn a_list_that_began_before_an_own_write_does_not_take_it_out() {
    let rows = Rows::default();
    rows.wrote_task(&task("a", 10, TaskState::Staging));
    rows.apply_task(&task("b", 9, TaskState::Staging));
    assert_eq!(names(rows.task_names()), "b");
}

#[tokio::test]
async fn each_change_is_told_once_and_by_framework() {
    let rows = Rows::default();
    rows.apply_task(&task("a", 1, TaskState::Staging));
    rows.apply_task(&task("b", 2, TaskState::Staging));
    assert_eq!(names(rows.changed().await.frameworks), "f1");
    assert_eq!(names(rows.take_changed("f1")), "a b");
    assert_eq!(names(rows.take_changed("f1")), "");
    rows.remove_task("a");
    assert_eq!(names(rows.take_changed("f1")), "a");
    rows.touch("f1", "b");
    assert_eq!(names(rows.take_changed("f1")), "b");
    assert_eq!(rows.with_tasks("f1", |tasks| tasks.iter().count()), 1);
}

#[test]
fn frameworks_of_task_sets_are_not_ours() {
    let rows = Rows::default();
    let mut framework = Framework::new("f", FrameworkSpec::default());
    rows.apply_framework(framework.clone());
    assert!(rows.frameworks().is_empty());
    framework.spec.scheduler = Some(Scheduler::default());
    rows.apply_framework(framework);
    assert_eq!(rows.frameworks().len(), 1);
}

#[test]
fn the_late_answer_to_a_write_does_not_bring_a_record_back() {
    let rows = Rows::default();
    rows.apply_task(&task("a", 10, TaskState::Finished));
    rows.remove_task("a");
    rows.wrote_task(&task("a", 11, TaskState::Finished));
    assert_eq!(state(&rows, "a"), None);
}
