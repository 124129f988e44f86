//! An Agent: one machine, or a part of one, that runs tasks.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::quantity::ResourceList;

/// What an operator wants of the agent.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "meseta.dev",
    version = "v1alpha1",
    kind = "Agent",
    doc = "One machine, or a part of one, that runs tasks.",
    status = "AgentStatus",
    shortname = "agt",
    category = "meseta",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Cordoned","type":"boolean","jsonPath":".spec.unschedulable"}"#,
    printcolumn = r#"{"name":"CPU","type":"string","jsonPath":".status.capacity.cpu"}"#,
    printcolumn = r#"{"name":"Memory","type":"string","jsonPath":".status.capacity.memory"}"#,
    printcolumn = r#"{"name":"Disk","type":"string","jsonPath":".status.capacity.disk","priority":1}"#,
    printcolumn = r#"{"name":"Cgroups","type":"string","jsonPath":".status.machine.cgroups","priority":1}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.machine.agentVersion","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct AgentSpec {
    /// Attributes that constraints can name, beside those the agent reports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// No new tasks; those that run go on.
    #[serde(default)]
    pub unschedulable: bool,
}

/// What the agent reports about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// Generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `DiskAvailable`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What tasks can be given in all: `cpu`, `memory`, `disk`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capacity: ResourceList,
    /// Attributes the agent found: `os`, `arch`, `hostname`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Host ports that tasks may be given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortRange>,
    /// Where control planes reach the agent's TLS endpoint, as `host:port`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// The machine beneath.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// The highest leader epoch the agent has seen in a placement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_epoch: Option<i64>,
}

/// Ports from `begin` to `end`, both included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortRange {
    /// First port.
    pub begin: i32,
    /// Last port.
    pub end: i32,
}

/// Facts about the machine that only a reboot or an upgrade changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// `/proc/sys/kernel/random/boot_id`.
    #[serde(default)]
    pub boot_id: String,
    /// Kernel release.
    #[serde(default)]
    pub kernel: String,
    /// `v1`, `hybrid` or `v2`.
    #[serde(default)]
    pub cgroups: String,
    /// Version of the agent program.
    #[serde(default)]
    pub agent_version: String,
}
