//! Rows never go back: watches and the answers to own writes come in any order.

use std::time::Duration;

use meseta_crds::task::TaskOwner;
use meseta_crds::{Framework, FrameworkSpec, Task, TaskSpec, TaskState, TaskStatus};

use super::{Cluster, Key};
use crate::queue::Queue;

fn cluster() -> Cluster {
    Cluster::new(Queue::new(Duration::ZERO))
}

fn task(uid: &str, version: u64, state: TaskState) -> Task {
    let mut task = Task::new("t", TaskSpec::default());
    task.metadata.namespace = Some("default".to_owned());
    task.metadata.uid = Some(uid.to_owned());
    task.metadata.resource_version = Some(version.to_string());
    task.status = Some(TaskStatus { state, ..TaskStatus::default() });
    task
}

fn state(cluster: &Cluster) -> Option<TaskState> {
    let key = Key { namespace: "default".to_owned(), name: "t".to_owned() };
    cluster.lock().tasks.get(&key).map(|row| row.state)
}

#[test]
fn an_answer_that_comes_after_later_news_changes_nothing() {
    let cluster = cluster();
    cluster.apply_task(&task("u", 1, TaskState::Pending), false);
    cluster.apply_task(&task("u", 3, TaskState::Finished), false);
    cluster.apply_task(&task("u", 2, TaskState::Pending), true);
    assert_eq!(state(&cluster), Some(TaskState::Finished));
}

#[test]
fn an_answer_that_comes_before_its_event_is_ahead_of_it() {
    let cluster = cluster();
    cluster.apply_task(&task("u", 1, TaskState::Pending), false);
    cluster.apply_task(&task("u", 3, TaskState::Lost), true);
    cluster.apply_task(&task("u", 2, TaskState::Running), false);
    assert_eq!(state(&cluster), Some(TaskState::Lost));
}

#[test]
fn an_answer_about_a_record_that_is_gone_changes_nothing() {
    let cluster = cluster();
    cluster.apply_task(&task("u", 2, TaskState::Pending), true);
    assert_eq!(state(&cluster), None);
    cluster.apply_task(&task("namesake", 5, TaskState::Running), false);
    cluster.apply_task(&task("u", 9, TaskState::Pending), true);
    assert_eq!(state(&cluster), Some(TaskState::Running));
}

#[test]
fn what_was_created_is_known_before_the_watch_tells_and_not_after_it_told_of_its_end() {
    let cluster = cluster();
    let mut created = task("u", 2, TaskState::Pending);
    created.spec.owner = Some(TaskOwner::default());
    assert!(cluster.apply_created(&created));
    assert_eq!(state(&cluster), Some(TaskState::Pending));
    let mut finished = task("u", 3, TaskState::Finished);
    finished.spec.owner = Some(TaskOwner::default());
    cluster.apply_task(&finished, false);
    assert!(cluster.apply_created(&created));
    assert_eq!(state(&cluster), Some(TaskState::Finished));
    cluster.remove_task(&Key::of(&created), None);
    assert!(!cluster.apply_created(&created));
    assert_eq!(state(&cluster), None);
    cluster.apply_task(&task("namesake", 7, TaskState::Running), false);
    assert!(!cluster.apply_created(&created));
    assert_eq!(state(&cluster), Some(TaskState::Running));
}

#[test]
fn a_change_of_a_framework_is_not_undone_by_the_answer_to_a_status() {
    let cluster = cluster();
    let framework = |version: u64, role: &str| {
        let spec = FrameworkSpec { role: role.to_owned(), ..FrameworkSpec::default() };
        let mut framework = Framework::new("f", spec);
        framework.metadata.uid = Some("u".to_owned());
        framework.metadata.resource_version = Some(version.to_string());
        framework
    };
    cluster.apply_framework(framework(1, "old"), false);
    cluster.apply_framework(framework(3, "new"), false);
    cluster.apply_framework(framework(2, "old"), true);
    let key = Key { namespace: String::new(), name: "f".to_owned() };
    assert_eq!(cluster.lock().frameworks[&key].spec.role, "new");
}
