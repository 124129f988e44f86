//! Makes a task from the template of its set.

use meseta_crds::task::{EnvVar, TaskOwner};
use meseta_crds::{FRAMEWORK_LABEL, TASK_SET_LABEL};

use super::names::{label_value, task_name};
use super::slots::Set;
use super::{Desired, NewTask};

/// Tells a program which of its set it is, from 0.
const INDEX_VARIABLE: &str = "MESETA_TASK_INDEX";
/// Tells a program how many its set has.
const COUNT_VARIABLE: &str = "MESETA_TASK_COUNT";

/// One incarnation of one index, complete.
pub(super) fn task(desired: &Desired<'_>, set: &Set<'_>, index: i64, incarnation: i64) -> NewTask {
    let template = &set.spec.template;
    let mut spec = template.spec.clone();
    spec.role.clone_from(&desired.spec.role);
    spec.agent_name = None;
    spec.placement = None;
    spec.owner = Some(TaskOwner {
        framework: desired.name.to_owned(),
        framework_uid: desired.uid.to_owned(),
        task_set: set.spec.name.clone(),
        index,
        incarnation,
        template_hash: set.template_hash.to_owned(),
    });
    for container in &mut spec.containers {
        container
            .env
            .retain(|variable| ![INDEX_VARIABLE, COUNT_VARIABLE].contains(&variable.name.as_str()));
        let count = set.spec.replicas;
        for (name, value) in [(INDEX_VARIABLE, index), (COUNT_VARIABLE, count)] {
            container.env.push(EnvVar { name: name.to_owned(), value: value.to_string() });
        }
    }
    let mut labels = template.metadata.labels.clone();
    labels.insert(FRAMEWORK_LABEL.to_owned(), label_value(desired.name));
    labels.insert(TASK_SET_LABEL.to_owned(), label_value(&set.spec.name));
    NewTask {
        name: task_name(desired.name, &set.spec.name, index, incarnation),
        labels,
        annotations: template.metadata.annotations.clone(),
        spec,
    }
}
