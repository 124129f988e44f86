//! Writes what an agent would write of Mesos tasks, and a simulated one does not: their updates, and
//! their end when they are to be killed.

use futures::TryStreamExt as _;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt as _};
use meseta_crds::{Task, TaskState};
use serde_json::{Value, json};

/// What is told of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// TASK_STARTING and TASK_RUNNING when it runs; TASK_KILLED when it is killed.
    Tell,
    /// Nothing, but the state.
    Silent,
}

/// Works until it is dropped.
pub(crate) async fn run(client: Client, agent: String, habit: Habit) {
    let all: Api<Task> = Api::all(client.clone());
    let config = watcher::Config::default().fields(&format!("spec.agentName={agent}"));
    let mut tasks = Box::pin(watcher(all, config).default_backoff().applied_objects());
    while let Ok(Some(task)) = tasks.try_next().await {
        let name = task.name_any();
        let tasks: Api<Task> = Api::namespaced(client.clone(), &task.namespace().unwrap());
        let state = task.status.as_ref().map(|status| status.state).unwrap_or_default();
        let told = updates(&task).len();
        let killed = task.spec.kill.is_some() || task.metadata.deletion_timestamp.is_some();
        let is_task = task.spec.mesos.as_ref().is_some_and(|mesos| mesos.task_id.is_some());
        let next = match (state, habit) {
            (TaskState::Running, Habit::Tell) if told == 0 && is_task => {
                Some((TaskState::Running, vec!["TASK_STARTING", "TASK_RUNNING"]))
            }
            (TaskState::Running, _) if killed => Some((TaskState::Killed, vec!["TASK_KILLED"])),
            _ => None,
        };
        if let Some((state, names)) = next {
            let names = if habit == Habit::Tell && is_task { names } else { Vec::new() };
            tell(&tasks, &name, state, &names).await;
        }
    }
}

/// Appends updates to a record and sets its state in the same write; tries again where it changed.
pub(crate) async fn tell(tasks: &Api<Task>, name: &str, state: TaskState, names: &[&str]) {
    loop {
        let Some(task) = tasks.get_opt(name).await.unwrap() else { return };
        let status = task.status.clone().unwrap_or_default();
        if status.state.is_terminal() {
            return;
        }
        let mut list = updates(&task);
        let acknowledged = status.mesos.as_ref().and_then(|mesos| mesos.acknowledged.clone());
        for name in names {
            list.push(update(&task, name));
        }
        let patch = json!({
            "metadata": { "resourceVersion": task.resource_version() },
            "status": { "state": state, "mesos": { "updates": list, "acknowledged": acknowledged } },
        });
        let patch = Patch::Merge(&patch);
        match tasks.patch_status(name, &PatchParams::default(), &patch).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn updates(task: &Task) -> Vec<Value> {
    let mesos = task.status.as_ref().and_then(|status| status.mesos.as_ref());
    let updates = mesos.map(|mesos| mesos.updates.as_slice()).unwrap_or_default();
    updates.iter().map(|update| serde_json::to_value(update).unwrap()).collect()
}

fn update(task: &Task, state: &str) -> Value {
    use base64::Engine as _;
    let uuid = uuid::Uuid::new_v4();
    let mesos = task.spec.mesos.as_ref().unwrap();
    let mut status = json!({
        "task_id": { "value": mesos.task_id },
        "agent_id": { "value": task.spec.agent_name },
        "executor_id": { "value": mesos.executor_id.as_ref().or(mesos.task_id.as_ref()) },
        "state": state,
        "source": "SOURCE_EXECUTOR",
        "timestamp": 1.5,
        "uuid": base64::engine::general_purpose::STANDARD.encode(uuid.as_bytes()),
    });
    if state == "TASK_KILLED" {
        status["message"] = json!("Command terminated with signal Terminated");
    }
    json!({ "uuid": uuid.to_string(), "status": status })
}
