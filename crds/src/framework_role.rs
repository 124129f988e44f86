//! A FrameworkRole: one node of the tree among whose branches the cluster is shared.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::quantity::ResourceList;

/// The role of whoever names none.
#[must_use]
pub fn default_role() -> String {
    "default".to_owned()
}

/// How much of the cluster one role may expect.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "meseta.dev",
    version = "v1alpha1",
    kind = "FrameworkRole",
    doc = "One node of the tree of roles among whose branches the cluster is shared.",
    status = "FrameworkRoleStatus",
    shortname = "fwr",
    category = "meseta",
    derive = "PartialEq",
    selectable = ".spec.path",
    printcolumn = r#"{"name":"Path","type":"string","jsonPath":".spec.path"}"#,
    printcolumn = r#"{"name":"Weight","type":"integer","jsonPath":".spec.weight"}"#,
    printcolumn = r#"{"name":"Share","type":"string","jsonPath":".status.dominantShare"}"#,
    printcolumn = r#"{"name":"Pending","type":"integer","jsonPath":".status.pendingTasks"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct FrameworkRoleSpec {
    /// The path, such as `eng/etl`; immutable.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "must not change; create another role instead", "reason": "FieldValueForbidden"}]))]
    pub path: String,
    /// Weight among the children of the same parent: twice the weight, twice the share.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: i64,
    /// What the role is given before others as long as it wants it, its children included, until it
    /// has all of one of these. Offers that others hold are taken back for it, but for one that is
    /// partly within a guarantee of their own; what others run is not.
    #[serde(default, skip_serializing_if = "ResourceList::is_empty")]
    pub guarantees: ResourceList,
    /// What the role may use at most, its children included.
    #[serde(default, skip_serializing_if = "ResourceList::is_empty")]
    pub limits: ResourceList,
}

/// The weight of a role that names none.
#[must_use]
pub fn default_weight() -> i64 {
    1
}

/// What the allocator saw last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrameworkRoleStatus {
    /// Generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What tasks of the role and its children hold.
    #[serde(default, skip_serializing_if = "ResourceList::is_empty")]
    pub allocated: ResourceList,
    /// The largest of the role's shares of one resource, such as `12.5%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dominant_share: Option<String>,
    /// Tasks that wait for an agent.
    #[serde(default)]
    pub pending_tasks: i64,
}
