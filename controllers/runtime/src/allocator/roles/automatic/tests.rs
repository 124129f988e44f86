//! Roles come when they are used, go when they are not, and are never more than so many.

use std::collections::BTreeMap;

use meseta_crds::{AUTOMATIC_LABEL, FrameworkRole, Task};
use serde_json::json;

use super::*;
use crate::cluster::{Cluster, Key};
use crate::queue::Queue;

const PATIENCE: Duration = Duration::from_secs(300);
const ROOM: usize = 16;
const NONE: [String; 0] = [];

fn cluster() -> Cluster {
    Cluster::new(Queue::new(Duration::ZERO))
}

fn add_task(cluster: &Cluster, name: &str, role: &str) {
    let task: Task = serde_json::from_value(json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"},
        "spec": {"role": role},
    }))
    .unwrap();
    cluster.apply_task(&task, false);
}

fn remove_task(cluster: &Cluster, name: &str) {
    cluster.remove_task(&Key { namespace: "default".to_owned(), name: name.to_owned() }, None);
}

/// A role as it is created by itself, with what somebody has changed in it.
fn add_role(cluster: &Cluster, path: &str, change: impl FnOnce(&mut FrameworkRole)) {
    let mut role = super::super::record(path.to_owned());
    role.metadata.uid = Some(format!("uid of {path}"));
    role.metadata.resource_version = Some("7".to_owned());
    change(&mut role);
    cluster.apply_role(&role);
}

fn names(doomed: Vec<Doomed>) -> Vec<String> {
    doomed.into_iter().map(|doomed| doomed.name).collect()
}

#[test]
fn a_role_that_is_used_is_created_and_comes_back_when_it_is_deleted_only_while_it_is_used() {
    let cluster = cluster();
    let mut roles = Automatic::new(PATIENCE);
    let now = Instant::now();
    let missing = |roles: &mut Automatic, after: u64| {
        roles.missing(&cluster.lock(), now + Duration::from_secs(after), ROOM)
    };
    add_task(&cluster, "one", "eng");
    add_task(&cluster, "two", "eng");
    assert_eq!(missing(&mut roles, 0), ["eng"]);
    assert_eq!(missing(&mut roles, 1), NONE, "its record is on the way");
    add_role(&cluster, "eng", |_| {});
    assert_eq!(missing(&mut roles, 3), NONE);
    cluster.remove_role("eng");
    remove_task(&cluster, "one");
    assert_eq!(missing(&mut roles, 3), ["eng"], "the other task uses it");
    remove_task(&cluster, "two");
    assert_eq!(missing(&mut roles, 9), NONE);
    assert!(roles.created.is_empty(), "nothing is remembered of it");
}

#[test]
fn a_record_that_came_by_itself_goes_when_nothing_has_used_the_role_for_long() {
    let cluster = cluster();
    let mut roles = Automatic::new(PATIENCE);
    let now = Instant::now();
    let doomed = |roles: &mut Automatic, after: u64| {
        roles.doomed(&cluster.lock(), now + Duration::from_secs(after), ROOM)
    };
    add_role(&cluster, "eng", |_| {});
    assert_eq!(doomed(&mut roles, 0), []);
    add_task(&cluster, "t", "eng");
    assert_eq!(doomed(&mut roles, 299), []);
    remove_task(&cluster, "t");
    assert_eq!(doomed(&mut roles, 400), [], "it was used meanwhile");
    assert_eq!(doomed(&mut roles, 699), []);
    let (name, uid) = ("eng".to_owned(), "uid of eng".to_owned());
    assert_eq!(doomed(&mut roles, 700), [Doomed { name, uid, version: "7".to_owned() }]);
    assert_eq!(doomed(&mut roles, 701), [], "it is being deleted");
    assert_eq!(names(doomed(&mut roles, 702)), ["eng"], "it was not deleted");
    cluster.remove_role("eng");
    assert_eq!(doomed(&mut roles, 704), []);
    assert!(roles.unused.is_empty(), "nothing is remembered of it");
}

#[test]
fn a_record_that_somebody_has_written_into_stays() {
    let cluster = cluster();
    let mut roles = Automatic::new(Duration::ZERO);
    let some = || Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    add_role(&cluster, "heavy", |role| role.spec.weight = 2);
    let cpu = || [("cpu".to_owned(), meseta_crds::Quantity::from_millis(1000))].into();
    add_role(&cluster, "limited", |role| role.spec.limits = cpu());
    add_role(&cluster, "guaranteed", |role| role.spec.guarantees = cpu());
    add_role(&cluster, "applied", |role| role.metadata.annotations = some());
    add_role(&cluster, "made", |role| role.metadata.labels = None);
    add_role(&cluster, "labelled", |role| {
        role.metadata.labels.as_mut().unwrap().extend(some().unwrap());
    });
    add_role(&cluster, "disowned", |role| {
        let labels = role.metadata.labels.as_mut().unwrap();
        labels.insert(AUTOMATIC_LABEL.to_owned(), "false".to_owned());
    });
    add_role(&cluster, "kept", |role| role.metadata.finalizers = Some(vec!["a/b".to_owned()]));
    add_role(&cluster, "untouched", |_| {});
    assert_eq!(names(roles.doomed(&cluster.lock(), Instant::now(), ROOM)), ["untouched"]);
}

#[test]
fn no_more_records_come_by_themselves_than_the_bound_and_then_the_unused_go_at_once() {
    let cluster = cluster();
    let mut roles = Automatic::new(PATIENCE);
    let now = Instant::now();
    for number in 0..MAX_AUTOMATIC - 1 {
        add_role(&cluster, &format!("r{number}"), |_| {});
    }
    add_task(&cluster, "one", "a");
    add_task(&cluster, "two", "b");
    assert_eq!(roles.missing(&cluster.lock(), now, ROOM), ["a"]);
    assert_eq!(roles.doomed(&cluster.lock(), now, ROOM), []);
    add_role(&cluster, "a", |_| {});
    let later = now + CREATE_INTERVAL;
    assert_eq!(roles.missing(&cluster.lock(), later, ROOM), NONE);
    assert_eq!(roles.doomed(&cluster.lock(), later, 2).len(), 2);
    // Roles that people have made do not count.
    cluster.remove_role("r0");
    add_role(&cluster, "made", |role| role.metadata.labels = None);
    assert_eq!(roles.missing(&cluster.lock(), later, ROOM), ["b"]);
}
