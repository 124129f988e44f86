//! Records as decisions need them.

use meseta_crds::task::ContainerStatus;
use meseta_crds::{Task, validate};

use crate::directory::is_usable_uid;
use crate::plan::{ExecutorRow, Row};
use crate::report;
use crate::task::request::millis;

/// A record whose task is known here, as decisions need it.
pub(super) fn known(task: &Task) -> Row {
    Row {
        terminal: report::is_terminal(task),
        deleting: report::is_deleting(task),
        killed: task.spec.kill.is_some(),
        held: report::is_held(task),
        ..Row::default()
    }
}

/// A record of which nothing is here. `executor` is the one it names, if it names one.
pub(super) fn new(uid: &str, task: &Task, executor: Option<ExecutorRow>) -> Row {
    let faults = if is_usable_uid(uid) {
        validate::task_spec(&task.spec).iter().map(ToString::to_string).collect()
    } else {
        vec!["metadata.uid: it cannot be the name of a directory".to_owned()]
    };
    let status = task.status.as_ref();
    let container = status.and_then(|status| status.containers.first());
    // What its executor has said of a task proves that it ran.
    let mesos = status.and_then(|status| status.mesos.as_ref()).filter(|_| is_inner(task));
    let told = mesos.is_some_and(|told| !told.updates.is_empty() || told.acknowledged.is_some());
    Row {
        executor,
        epoch: task.spec.placement.as_ref().map(|placement| placement.epoch),
        resources: millis(&task.spec.resources),
        faults,
        has_run: told || container.is_some_and(|container| container.started_at.is_some()),
        ..known(task)
    }
}

fn is_inner(task: &Task) -> bool {
    task.spec.executor_name.is_some()
}

/// What the record knows of its container, kept where this agent knows no better.
pub(super) fn last_container(task: &Task) -> Option<ContainerStatus> {
    task.status.as_ref().and_then(|status| status.containers.first().cloned())
}
