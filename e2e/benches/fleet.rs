//! Agents that are there as far as their records say: each with a lease that is renewed.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::records::resource;

/// Where leases are.
const SYSTEM_NAMESPACE: &str = "meseta-system";
/// Agents that register at the same time.
const REGISTERING: usize = 16;
/// How often each lease is renewed, as by a real agent.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Registered agents; nothing of theirs is under way but the leases, until it is dropped.
pub(crate) struct Fleet {
    heartbeats: JoinHandle<()>,
}

impl Fleet {
    /// Registers so many agents with this capacity.
    pub(crate) async fn register(client: &Client, count: usize, capacity: &Value) -> Result<Self> {
        let agents: Api<DynamicObject> =
            Api::all_with(client.clone(), &resource("meseta.dev/v1alpha1", "Agent"));
        let leases = Api::namespaced_with(
            client.clone(),
            SYSTEM_NAMESPACE,
            &resource("coordination.k8s.io/v1", "Lease"),
        );
        let names: Vec<String> = (0..count).map(|number| format!("agent-{number:03}")).collect();
        for some in names.chunks(REGISTERING) {
            try_join_all(some.iter().map(|name| one(&agents, &leases, name, capacity))).await?;
        }
        let heartbeats = tokio::spawn(renew(leases, names));
        Ok(Self { heartbeats })
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.heartbeats.abort();
    }
}

async fn one(
    agents: &Api<DynamicObject>,
    leases: &Api<DynamicObject>,
    name: &str,
    capacity: &Value,
) -> Result<()> {
    let lease = serde_json::from_value(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": lease_name(name)},
        "spec": {"holderIdentity": name, "renewTime": now()},
    }))?;
    leases.create(&PostParams::default(), &lease).await?;
    let agent = serde_json::from_value(json!({
        "apiVersion": "meseta.dev/v1alpha1", "kind": "Agent",
        "metadata": {"name": name}, "spec": {},
    }))?;
    agents.create(&PostParams::default(), &agent).await?;
    let status = json!({"status": {
        "observedGeneration": 1,
        "capacity": capacity,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "AgentReady",
            "message": "the agent takes tasks", "observedGeneration": 1,
            "lastTransitionTime": now(),
        }],
    }});
    agents.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

/// Renews the leases in turn, never all at once.
async fn renew(leases: Api<DynamicObject>, names: Vec<String>) {
    let count = u32::try_from(names.len()).unwrap_or(u32::MAX).max(1);
    let mut beats = tokio::time::interval(HEARTBEAT / count);
    for name in names.iter().cycle() {
        beats.tick().await;
        let patch = json!({"spec": {"renewTime": now()}});
        let parameters = PatchParams::default();
        // What fails is made good by the next time.
        drop(leases.patch(&lease_name(name), &parameters, &Patch::Merge(&patch)).await);
    }
}

fn lease_name(agent: &str) -> String {
    format!("agent-{agent}")
}

fn now() -> String {
    format!("{:.6}", Timestamp::now())
}
