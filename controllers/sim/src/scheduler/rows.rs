//! What a simulated scheduler knows of its tasks.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use meseta_crds::task::{Container, MesosTask, TaskOwner};
use meseta_crds::{
    FRAMEWORK_LABEL, MESOS, ResourceList, SCHEDULER_FINALIZER, SCHEDULER_LABEL, Task, TaskSpec,
    TaskState,
};
use serde_json::json;

use super::{NAMESPACE, Wishes};

/// The tasks by number.
pub(super) struct Rows {
    /// Uid of the framework.
    pub(super) uid: String,
    count: usize,
    /// State of the last record of each number, and which record that is.
    seen: BTreeMap<usize, (i64, TaskState)>,
    /// Numbers of which a launch is under way, or was not answered in this term.
    launching: BTreeSet<usize>,
    /// Numbers that nothing is known to run for.
    wanted: BTreeSet<usize>,
    finished: BTreeSet<usize>,
}

impl Rows {
    pub(super) fn new(wishes: &Wishes, uid: String) -> Self {
        Self {
            uid,
            count: wishes.tasks,
            seen: BTreeMap::new(),
            launching: BTreeSet::new(),
            wanted: (0..wishes.tasks).collect(),
            finished: BTreeSet::new(),
        }
    }

    /// Begins a term: what is not among the records was not launched.
    pub(super) fn begin(&mut self, records: &[Task]) {
        while let Some(number) = self.launching.first().copied() {
            self.give_up(number);
        }
        for task in records {
            self.see(task);
        }
    }

    /// Takes in a record; says whether its number is wanted again because of it.
    pub(super) fn see(&mut self, task: &Task) -> bool {
        let Some(number) = task.spec.mesos.as_ref().and_then(number_of) else { return false };
        let incarnation = task.spec.owner.as_ref().map_or(0, |owner| owner.incarnation);
        let state = task.status.as_ref().map(|status| status.state).unwrap_or_default();
        let newer = self.seen.get(&number).is_none_or(|(known, before)| {
            incarnation > *known || incarnation == *known && !before.is_terminal()
        });
        if !newer || number >= self.count {
            return false;
        }
        self.seen.insert(number, (incarnation, state));
        self.launching.remove(&number);
        if state == TaskState::Finished {
            self.finished.insert(number);
        }
        if is_void(state) {
            return self.wanted.insert(number);
        }
        self.wanted.remove(&number);
        false
    }

    /// A launch was refused; the number is wanted again unless a record shows otherwise.
    pub(super) fn give_up(&mut self, number: usize) {
        let ended =
            |(_, state): &(i64, TaskState)| matches!(state, TaskState::Dropped | TaskState::Lost);
        if self.launching.remove(&number) && self.seen.get(&number).is_none_or(ended) {
            self.wanted.insert(number);
        }
    }

    pub(super) fn finished(&self) -> usize {
        self.finished.len()
    }

    /// The numbers that are launched on so much.
    pub(super) fn plan(&mut self, room: &ResourceList, needs: &ResourceList) -> BTreeSet<usize> {
        let millis = |list: &ResourceList, name: &str| {
            list.get(name).map_or(0, |amount| amount.millis().unwrap_or(0))
        };
        let fit = needs.keys().map(|name| millis(room, name) / millis(needs, name).max(1)).min();
        let fit = usize::try_from(fit.unwrap_or(0)).unwrap_or(0);
        let numbers: BTreeSet<usize> = self.wanted.iter().take(fit).copied().collect();
        for number in &numbers {
            self.wanted.remove(number);
            self.launching.insert(*number);
        }
        numbers
    }

    /// Their records, as a gateway makes them.
    pub(super) fn tasks(&self, wishes: &Wishes, numbers: &BTreeSet<usize>) -> Vec<Task> {
        let task = |number: &usize| {
            let incarnation = self.seen.get(number).map_or(0, |(incarnation, _)| incarnation + 1);
            let container = Container {
                name: "main".to_owned(),
                command: vec!["/bin/true".to_owned()],
                ..Container::default()
            };
            let spec = TaskSpec {
                role: wishes.role.clone(),
                owner: Some(TaskOwner {
                    framework: wishes.name.clone(),
                    framework_uid: self.uid.clone(),
                    incarnation,
                    ..TaskOwner::default()
                }),
                containers: vec![container],
                resources: wishes.needs.clone(),
                mesos: Some(MesosTask {
                    framework_id: wishes.name.clone(),
                    task_id: Some(number.to_string()),
                    task_info: Some(json!({
                        "name": "sim",
                        "task_id": {"value": number.to_string()},
                        "command": {"value": "true"},
                    })),
                    ..MesosTask::default()
                }),
                ..TaskSpec::default()
            };
            let mut task = Task::new(&format!("{}-{number}-{incarnation}", wishes.name), spec);
            task.metadata.namespace = Some(NAMESPACE.to_owned());
            let labels = [(FRAMEWORK_LABEL, wishes.name.as_str()), (SCHEDULER_LABEL, MESOS)];
            task.metadata.labels =
                Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
            task
        };
        numbers.iter().map(task).collect()
    }
}

/// Whether a task in this state has not done what it was for.
fn is_void(state: TaskState) -> bool {
    matches!(state, TaskState::Dropped | TaskState::Lost)
}

fn number_of(mesos: &MesosTask) -> Option<usize> {
    mesos.task_id.as_ref()?.parse().ok()
}

/// Takes the finalizer of the gateway off a task that is over, if it has it.
pub(super) async fn free(client: &Client, task: &Task) -> Result<(), kube::Error> {
    let over = task.status.as_ref().is_some_and(|status| status.state.is_terminal());
    let finalizers = task.metadata.finalizers.as_deref().unwrap_or_default();
    let others: Vec<&String> = finalizers.iter().filter(|f| *f != SCHEDULER_FINALIZER).collect();
    let Some(name) =
        task.metadata.name.as_ref().filter(|_| over && others.len() < finalizers.len())
    else {
        return Ok(());
    };
    let tasks: Api<Task> = Api::namespaced(client.clone(), NAMESPACE);
    let patch = json!({"metadata": {
        "uid": task.metadata.uid,
        "resourceVersion": task.metadata.resource_version,
        "finalizers": others,
    }});
    match tasks.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        // The agent was faster: its version comes through the watch.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.map(drop),
    }
}
