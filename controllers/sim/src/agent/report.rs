//! What an agent writes: its record, its lease, and the state of its tasks.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use meseta_crds::condition::{self, Condition, Time, Value, kind};
use meseta_crds::task::ContainerStatus;
use meseta_crds::{
    AGENT_FINALIZER, AgentSpec, SYSTEM_NAMESPACE, Task, TaskState, agent_lease_name,
};
use serde_json::json;

use super::steps::{Owed, Seen};
use super::{Agent, Done, RETRY};
use crate::fleet::Config;
use crate::ledger::Ledger;

impl Agent {
    /// Puts the agent's record and lease in place.
    pub(crate) async fn register(
        client: Client,
        name: String,
        config: Config,
        ledger: Ledger,
    ) -> Result<Self, kube::Error> {
        let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
        let mut lease = Lease::default();
        lease.metadata.name = Some(agent_lease_name(&name));
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(name.clone()),
            renew_time: Some(MicroTime(jiff::Timestamp::now())),
            ..LeaseSpec::default()
        });
        known_or(leases.create(&PostParams::default(), &lease).await)?;

        let agents: Api<meseta_crds::Agent> = Api::all(client.clone());
        let record = meseta_crds::Agent::new(&name, AgentSpec::default());
        known_or(agents.create(&PostParams::default(), &record).await)?;
        let mut conditions = Vec::new();
        let now = Time(jiff::Timestamp::now());
        let ready = (Value::True, "AgentReady", "the agent takes tasks");
        condition::set(&mut conditions, kind::READY, ready.0, ready.1, ready.2, 1, &now);
        let status = json!({"status": {
            "observedGeneration": 1,
            "capacity": config.capacity,
            "attributes": config.attributes,
            "conditions": conditions,
        }});
        agents.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
        Ok(Self {
            client,
            name,
            config,
            ledger,
            epoch: 0,
            tasks: std::collections::BTreeMap::new(),
            due: std::collections::BTreeSet::new(),
            writes: 0,
        })
    }
}

/// Success also where an earlier agent of the same name has left the record.
fn known_or<T>(created: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match created {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(err) => Err(err),
    }
}

/// Renews the lease; what fails is made good by the next time.
pub(super) async fn heartbeat(client: &Client, agent: &str) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let now = MicroTime(jiff::Timestamp::now());
    let patch = json!({"spec": {"renewTime": now}});
    let (name, parameters) = (agent_lease_name(agent), PatchParams::default());
    if let Err(err) = leases.patch(&name, &parameters, &Patch::Merge(&patch)).await {
        tracing::debug!(error = &err as &dyn std::error::Error, agent, "lease not renewed");
    }
}

/// Writes what the record does not say yet; if it has changed meanwhile, reads it again.
pub(super) async fn write(client: Client, seen: Seen, owed: Owed) -> Done {
    let tasks: Api<Task> = Api::namespaced(client, &seen.namespace);
    let parameters = PatchParams::default();
    let metadata = json!({"uid": seen.uid, "resourceVersion": seen.version.to_string()});
    let written = match owed {
        Owed::State(state, reason) => {
            let patch = json!({"metadata": metadata, "status": status(&seen, state, reason)});
            tasks.patch_status(&seen.name, &parameters, &Patch::Merge(&patch)).await
        }
        Owed::Release => {
            let others = seen.finalizers.iter().filter(|f| *f != AGENT_FINALIZER);
            let mut metadata = metadata;
            metadata["finalizers"] = others.cloned().collect();
            let patch = json!({"metadata": metadata});
            tasks.patch(&seen.name, &parameters, &Patch::Merge(&patch)).await
        }
    };
    let known = match written {
        Ok(task) => Ok(Some(task)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 409 => tasks.get_opt(&seen.name).await,
        Err(err) => Err(err),
    };
    match known {
        Ok(task) => Done::Answered(seen.uid, task.map(Box::new)),
        Err(err) => {
            let name = &seen.name;
            tracing::debug!(error = &err as &dyn std::error::Error, name, "not written");
            tokio::time::sleep(RETRY).await;
            Done::Failed(seen.uid)
        }
    }
}

/// As much as a real agent says, so that records have their usual size.
fn status(seen: &Seen, state: TaskState, reason: Option<&str>) -> serde_json::Value {
    let now = Time(jiff::Timestamp::now());
    let ran = matches!(state, TaskState::Running | TaskState::Finished | TaskState::Killed);
    let mut conditions: Vec<Condition> = Vec::new();
    let mut set = |kind, value, why: &str, message: &str| {
        condition::set(&mut conditions, kind, value, why, message, seen.generation, &now);
    };
    set(kind::PLACED, Value::True, "Placed", "the task has an agent");
    match state {
        TaskState::Running => set(kind::READY, Value::True, "Running", "the container runs"),
        TaskState::Finished => {
            set(kind::READY, Value::True, "Completed", "the task has finished");
            set(kind::SUCCEEDED, Value::True, "Completed", "the task has finished");
        }
        _ => {
            let why = reason.unwrap_or("Ended");
            set(kind::READY, Value::False, why, "the task has ended");
            set(kind::SUCCEEDED, Value::False, why, "the task has ended");
        }
    }
    let container = ContainerStatus {
        name: "main".to_owned(),
        pid: (state == TaskState::Running).then_some(1),
        exit_code: (state == TaskState::Finished).then_some(0),
        started_at: ran.then(|| now.clone()),
        finished_at: state.is_terminal().then(|| now.clone()),
        ..ContainerStatus::default()
    };
    json!({
        "observedGeneration": seen.generation,
        "state": state,
        "reason": reason,
        "conditions": conditions,
        "containers": [container],
    })
}
