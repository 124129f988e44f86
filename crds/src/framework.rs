//! A Framework: sets of equal tasks that may wait for each other.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::task::TaskSpec;

/// One distributed application: its role and its sets of tasks.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "meseta.dev",
    version = "v1alpha1",
    kind = "Framework",
    doc = "One distributed application: its role and its sets of equal tasks, which may wait for each other.",
    namespaced,
    status = "FrameworkStatus",
    shortname = "fwk",
    category = "meseta",
    derive = "Default",
    derive = "PartialEq",
    selectable = ".spec.role",
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Tasks","type":"string","jsonPath":".status.summary"}"#,
    printcolumn = r#"{"name":"Role","type":"string","jsonPath":".spec.role"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.scheduler) != (has(self.taskSets) && size(self.taskSets) > 0)",
        "message": "must have at least one set, or a `scheduler` and no sets",
        "fieldPath": ".taskSets",
    },
    {
        "rule": "has(oldSelf.scheduler) == has(self.scheduler) && (!has(self.scheduler) || self.scheduler.frameworkId == oldSelf.scheduler.frameworkId)",
        "message": "`scheduler` must not come, go or change its `frameworkId`",
        "fieldPath": ".scheduler",
        "reason": "FieldValueForbidden",
    },
]))]
pub struct FrameworkSpec {
    /// Path of the role whose share the tasks use, such as `eng/etl`.
    #[serde(default = "crate::framework_role::default_role")]
    #[schemars(length(min = 1, max = 253))]
    pub role: String,
    /// The sets, by name. A set starts when all sets it depends on have succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[schemars(length(max = 64))]
    pub task_sets: Vec<TaskSet>,
    /// The external scheduler that decides what the framework runs, instead of sets. Written by the
    /// gateway when the scheduler subscribes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
}

/// A scheduler outside of Meseta that subscribed over the Mesos API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scheduler {
    /// The id it knows itself by, case-sensitive; immutable.
    #[schemars(length(min = 1, max = 255))]
    pub framework_id: String,
    /// The roles it is offered resources for; `role` of the framework is the first of them.
    #[schemars(length(min = 1, max = 256))]
    pub roles: Vec<String>,
    /// Who it authenticated as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Seconds it may be gone before the framework is torn down.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub failover_timeout_seconds: i64,
    /// The `FrameworkInfo` as it was sent last, in Mesos' v1 JSON.
    #[schemars(schema_with = "crate::task::any_object")]
    pub framework_info: serde_json::Value,
}

/// What the gateway saw of an external scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerStatus {
    /// Whether it is subscribed.
    #[serde(default)]
    pub connected: bool,
    /// When that was seen to change last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// A number of equal tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskSet {
    /// Name, a DNS label, unique in the framework.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// How many tasks.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100_000))]
    pub replicas: i64,
    /// Sets of this framework that must have succeeded before this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub depends_on: Vec<String>,
    /// How many tasks of the set may be replaced after a failure before the framework fails.
    /// Tasks that never ran (`Dropped`) or were lost with their agent do not count.
    #[serde(default = "default_max_failures")]
    #[schemars(range(min = 0))]
    pub max_failures: i64,
    /// What each task is made from.
    pub template: TaskTemplate,
}

fn one() -> i64 {
    1
}

/// Failures a set survives where nothing else is said.
fn default_max_failures() -> i64 {
    3
}

/// What the tasks of a set have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.spec.agentName) && !has(self.spec.placement) && !has(self.spec.owner)",
        "message": "`spec` must not set `agentName`, `placement` or `owner` in a template",
        "fieldPath": ".spec",
        "reason": "FieldValueForbidden",
    },
]))]
pub struct TaskTemplate {
    /// Labels and annotations of each task.
    #[serde(default)]
    pub metadata: TemplateMetadata,
    /// Spec of each task. `role`, `owner`, `agentName` and `placement` are filled in by Meseta, and
    /// so are the variables `MESETA_TASK_INDEX` and `MESETA_TASK_COUNT`.
    pub spec: TaskSpec,
}

/// Metadata that tasks take over from their template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What the framework controller saw last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrameworkStatus {
    /// Generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Pending`, `Running`, `Succeeded` or `Failed`, derived from the sets; `Connected` or
    /// `Disconnected` for an external scheduler. For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Finished and wanted tasks, such as `4/5`; those that an external scheduler has active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `Ready`, `Succeeded`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// One per set of the spec, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_sets: Vec<TaskSetStatus>,
    /// The external scheduler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SchedulerStatus>,
}

/// The tasks of one set, counted by what they do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskSetStatus {
    /// Name of the set.
    pub name: String,
    /// Tasks that wait for an agent.
    #[serde(default)]
    pub pending: i64,
    /// Tasks that are placed and not terminal.
    #[serde(default)]
    pub active: i64,
    /// Indexes whose task has finished.
    #[serde(default)]
    pub succeeded: i64,
    /// Incarnations that failed so far.
    #[serde(default)]
    pub failed: i64,
}
