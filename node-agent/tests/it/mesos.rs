//! Tasks as the Mesos gateway makes them, and what they tell their schedulers.

use kube::api::{Patch, PatchParams, PostParams};
use meseta_crds::{AGENT_FINALIZER, MESOS, SCHEDULER_FINALIZER, SCHEDULER_LABEL, Task};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::eventually;

/// The executor of these tests, as a program.
const EXECUTOR: &str = include_str!("../data/executor.py");

/// Id of the framework of all tasks here.
pub(crate) const FRAMEWORK: &str = "11111111-2222-3333-4444-555555555555-0000";

/// The `FrameworkInfo` of a framework with these capabilities.
pub(crate) fn framework(capabilities: &[&str]) -> Value {
    let listed: Vec<Value> = capabilities.iter().map(|name| json!({"type": name})).collect();
    json!({
        "user": "root", "name": "test", "id": {"value": FRAMEWORK}, "checkpoint": true,
        "capabilities": listed,
    })
}

/// What makes a spec that of a Mesos command task; its id is `Task <name>`.
pub(crate) fn command(mut spec: Value, name: &str) -> Value {
    spec["mesos"] = json!({
        "frameworkId": FRAMEWORK, "taskId": format!("Task {name}"),
        "taskInfo": {"name": name, "task_id": {"value": format!("Task {name}")}},
    });
    spec
}

/// An executor whose program has these arguments.
pub(crate) fn executor(id: &str, arguments: &[&str]) -> Value {
    let mut program = vec!["python3", "-c", EXECUTOR];
    program.extend(arguments);
    json!({
        "containers": [{"command": program}],
        "resources": {"cpu": "10m", "memory": "48Mi"},
        "executor": {"shutdownGracePeriodSeconds": 5},
        "mesos": {
            "frameworkId": FRAMEWORK, "executorId": id,
            "executorInfo": {"executor_id": {"value": id}, "type": "CUSTOM"},
            "frameworkInfo": framework(&["PARTITION_AWARE"]),
        },
    })
}

/// A task that an executor runs; `does` is what [`EXECUTOR`] makes of its data.
pub(crate) fn inner(executor: &str, name: &str, does: &str) -> Value {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(does);
    json!({
        "executorName": executor, "containers": [],
        "resources": {"cpu": "10m", "memory": "64Mi"},
        "mesos": {
            "frameworkId": FRAMEWORK, "executorId": "E", "taskId": name,
            "frameworkInfo": framework(&["PARTITION_AWARE"]),
            "taskInfo": {
                "name": name, "task_id": {"value": name}, "agent_id": {"value": "x"}, "data": data,
            },
        },
    })
}

impl Cluster {
    /// Places a task as the gateway does.
    pub(crate) async fn launch(&self, agent: &str, name: &str, spec: Value) -> Task {
        let mut spec = spec;
        spec["agentName"] = json!(agent);
        spec["placement"] = json!({"epoch": 1});
        let task = serde_json::from_value(json!({
            "apiVersion": "meseta.dev/v1alpha1", "kind": "Task",
            "metadata": {
                "name": name, "namespace": "default", "labels": {SCHEDULER_LABEL: MESOS},
                "finalizers": [AGENT_FINALIZER, SCHEDULER_FINALIZER],
            },
            "spec": spec,
        }));
        self.tasks().create(&PostParams::default(), &task.unwrap()).await.unwrap()
    }

    /// Asks for the end of a task, as the gateway does.
    pub(crate) async fn kill(&self, name: &str, grace_seconds: Option<i64>) {
        let kill = json!({"spec": {"kill": {"gracePeriodSeconds": grace_seconds}}});
        let patch = Patch::Merge(&kill);
        self.tasks().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Stores the acknowledgement of an update.
    pub(crate) async fn acknowledge(&self, name: &str, uuid: &str) {
        let status = json!({"status": {"mesos": {"acknowledged": uuid}}});
        let patch = Patch::Merge(&status);
        self.tasks().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits for the end of a task, and until its agent has let it go.
    pub(crate) async fn until_told(&self, name: &str) -> Task {
        self.until(name, |task| {
            let finalizers = task.metadata.finalizers.as_deref().unwrap_or_default();
            crate::cluster::state_of(task).is_terminal()
                && finalizers == [SCHEDULER_FINALIZER.to_owned()]
        })
        .await
    }

    /// Waits until these are the states that the scheduler is told, in order.
    pub(crate) async fn until_states(&self, name: &str, expected: &[&str]) {
        let tasks = &self.tasks();
        eventually(|| async move {
            let states = states_of(&tasks.get(name).await.map_err(|err| err.to_string())?);
            if states == expected { Ok(()) } else { Err(format!("{states:?}")) }
        })
        .await;
    }
}

/// The updates in a record.
pub(crate) fn updates_of(task: &Task) -> Vec<meseta_crds::task::MesosUpdate> {
    let status = task.status.clone().unwrap_or_default();
    status.mesos.unwrap_or_default().updates
}

/// The states in a record's updates, without `TASK_`.
pub(crate) fn states_of(task: &Task) -> Vec<String> {
    let state = |status: &Value| status["state"].as_str().unwrap().replace("TASK_", "");
    updates_of(task).iter().map(|update| state(&update.status)).collect()
}

/// Source, reason and message of the last update.
pub(crate) fn last_of(task: &Task) -> String {
    let update = updates_of(task).pop().expect("something was told");
    let text = |name: &str| update.status[name].as_str().unwrap_or("-").to_owned();
    format!("{} {}: {}", text("source"), text("reason"), text("message"))
}
