//! An Offer: what a framework may take of an agent, as long as nobody else is offered it.
//!
//! It lives in the leader's memory and is never stored, so it is not among the
//! [`crate::definitions`]; it is served read-only in the group [`crate::LIVE_GROUP`]. It is in no
//! category: `kubectl get meseta` shows records, and does so also while nobody leads.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::ResourceList;

/// What is offered, to whom, for how long.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "live.meseta.dev",
    version = "v1alpha1",
    kind = "Offer",
    doc = "Resources of one agent that one framework may take for one role; exclusive, and for a limited time.",
    namespaced,
    shortname = "ofr",
    derive = "Default",
    derive = "PartialEq",
    selectable = ".spec.framework",
    selectable = ".spec.agentName",
    printcolumn = r#"{"name":"Framework","type":"string","jsonPath":".spec.framework"}"#,
    printcolumn = r#"{"name":"Role","type":"string","jsonPath":".spec.role"}"#,
    printcolumn = r#"{"name":"Agent","type":"string","jsonPath":".spec.agentName"}"#,
    printcolumn = r#"{"name":"CPU","type":"string","jsonPath":".spec.resources.cpu"}"#,
    printcolumn = r#"{"name":"Memory","type":"string","jsonPath":".spec.resources.memory"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct OfferSpec {
    /// Name of the framework, in the offer's namespace.
    pub framework: String,
    /// Path of the role it is offered for.
    pub role: String,
    /// The agent.
    pub agent_name: String,
    /// What is offered of it.
    pub resources: ResourceList,
    /// When it is taken back unless it is accepted or declined before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}
