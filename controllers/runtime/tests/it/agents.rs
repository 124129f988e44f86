//! Agents that have machines in name only: they report, and let every task of theirs run and finish.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use meseta_crds::{Agent, AgentSpec, Task, TaskState, agent_lease_name};
use serde_json::json;
use tokio::task::JoinHandle;

/// What becomes of a task that runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Finish,
    RunOn,
    Fail,
}

/// One agent; gone when dropped.
pub(crate) struct FakeAgent(JoinHandle<()>);

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Puts the agent's record in place, ready, with so many cpus.
pub(crate) async fn register(client: &Client, name: &str, cpus: i64) {
    let agents: Api<Agent> = Api::all(client.clone());
    let record = Agent::new(name, AgentSpec::default());
    agents.create(&PostParams::default(), &record).await.unwrap();
    let now = jiff::Timestamp::now().to_string();
    let status = json!({"status": {
        "capacity": {"cpu": cpus.to_string(), "memory": "8Gi", "disk": "8Gi"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "AgentReady",
            "message": "", "lastTransitionTime": now}],
    }});
    let patch = Patch::Merge(&status);
    agents.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

/// One sign of life.
pub(crate) async fn heartbeat(client: &Client, name: &str) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), meseta_crds::SYSTEM_NAMESPACE);
    let lease_name = agent_lease_name(name);
    let now = jiff::Timestamp::now();
    let mut lease = Lease::default();
    lease.metadata.name = Some(lease_name.clone());
    if leases.create(&PostParams::default(), &lease).await.is_err() {
        let beat = json!({"metadata": {"annotations": {"beat": now.to_string()}}});
        let patch = Patch::Merge(&beat);
        leases.patch(&lease_name, &PatchParams::default(), &patch).await.unwrap();
    }
}

/// Starts an agent that was registered.
pub(crate) fn start(client: Client, name: &'static str, fate: Fate) -> FakeAgent {
    FakeAgent(tokio::spawn(async move {
        let tasks: Api<Task> = Api::all(client.clone());
        loop {
            for task in tasks.list(&ListParams::default()).await.unwrap() {
                if task.spec.agent_name.as_deref() == Some(name) {
                    step(&client, &task, fate).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }))
}

/// The next thing that happens to a task on its agent.
async fn step(client: &Client, task: &Task, fate: Fate) {
    let namespace = task.metadata.namespace.as_deref().unwrap();
    let name = task.metadata.name.as_deref().unwrap();
    let tasks: Api<Task> = Api::namespaced(client.clone(), namespace);
    let state = task.status.as_ref().map(|status| status.state).unwrap_or_default();
    let deleting = task.metadata.deletion_timestamp.is_some();
    let parameters = PatchParams::default();
    if state.is_terminal() || deleting {
        let held = task.metadata.finalizers.as_ref().is_some_and(|f| !f.is_empty());
        if held {
            let patch = json!({"metadata": {"finalizers": null}});
            let _ = tasks.patch(name, &parameters, &Patch::Merge(&patch)).await;
        }
        return;
    }
    let next = match (state, fate) {
        (TaskState::Pending, _) => TaskState::Running,
        (_, Fate::Finish) => TaskState::Finished,
        (_, Fate::Fail) => TaskState::Failed,
        (_, Fate::RunOn) => return,
    };
    let version = &task.metadata.resource_version;
    let patch = json!({"metadata": {"resourceVersion": version}, "status": {"state": next}});
    let _ = tasks.patch_status(name, &parameters, &Patch::Merge(&patch)).await;
}
