//! The agent's sign of life: its Lease, renewed every ten seconds.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use meseta_crds::{SYSTEM_NAMESPACE, agent_lease_name};
use serde_json::json;

use crate::node::Node;
use crate::report::{WriteError, request};

/// Time between two renewals; a control plane that sees none for 75 s calls the agent unreachable.
const INTERVAL: Duration = Duration::from_secs(10);
/// Time to the next try after a failure: several fit into what is waited for.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// What the Lease says about itself, in seconds; nobody takes it away, it only ages.
const LEASE_SECONDS: i32 = 40;

/// Renews the lease until dropped.
pub(crate) async fn run(node: &Node) {
    let mut failing = false;
    loop {
        let pause = match renew(node).await {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("heard of again");
                }
                INTERVAL
            }
            Err(err) => {
                if !std::mem::replace(&mut failing, true) {
                    let error = &err as &dyn std::error::Error;
                    tracing::warn!(error, "no sign of life can be given; containers run on");
                }
                RETRY_INTERVAL
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn renew(node: &Node) -> Result<(), WriteError> {
    let leases: Api<Lease> = Api::namespaced(node.client.clone(), SYSTEM_NAMESPACE);
    let name = agent_lease_name(&node.name);
    let spec = json!({
        "holderIdentity": node.name,
        "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": MicroTime(jiff::Timestamp::now()),
    });
    let patch = json!({"spec": spec});
    let parameters = PatchParams::default();
    let renewed = request(node, leases.patch(&name, &parameters, &Patch::Merge(&patch))).await;
    match renewed {
        Err(WriteError::NotFound) => {}
        renewed => return renewed.map(drop),
    }
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE}, "spec": spec,
    });
    let lease: Lease = serde_json::from_value(lease).expect("it was just written as a Lease");
    request(node, leases.create(&PostParams::default(), &lease)).await.map(drop)
}
