//! The kinds of Meseta: what people apply, list and watch.
//!
//! Each kind is one module with its `…Spec` and `…Status`; `validate` beneath it turns a spec into
//! every field error at once. The YAML in `crds/yaml/` is generated from these types
//! (`cargo xtask generate`) and compared by a test.
//!
//! **Invariant:** data only. No I/O, no clock, no `async`; nothing of ours is used here.

pub mod agent;
pub mod condition;
pub mod definitions;
pub mod framework;
pub mod framework_role;
pub mod quantity;
pub mod task;
pub mod validate;

pub use agent::{Agent, AgentSpec, AgentStatus};
pub use framework::{Framework, FrameworkSpec, FrameworkStatus};
pub use framework_role::{FrameworkRole, FrameworkRoleSpec, FrameworkRoleStatus};
pub use quantity::{Quantity, ResourceList};
pub use task::{Task, TaskSpec, TaskState, TaskStatus};

/// The API group of the stored kinds.
pub const GROUP: &str = "meseta.dev";
/// The API group of what lives in memory or streams and is never stored: `tasks/log`, later `Offer`.
pub const LIVE_GROUP: &str = "live.meseta.dev";
/// The version of both groups.
pub const VERSION: &str = "v1alpha1";

/// The namespace of leases and other records that Meseta keeps for itself.
pub const SYSTEM_NAMESPACE: &str = "meseta-system";
/// The `coordination.k8s.io` Lease, in [`SYSTEM_NAMESPACE`], that the leading control plane holds.
/// Its `spec.leaseTransitions` is the leader's epoch.
pub const LEADER_LEASE: &str = "meseta-leader";

/// The heartbeat Lease of an agent, in [`SYSTEM_NAMESPACE`].
#[must_use]
pub fn agent_lease_name(agent: &str) -> String {
    format!("agent-{agent}")
}

/// The finalizer on a Task from its placement until its agent has nothing of its container left.
pub const AGENT_FINALIZER: &str = "meseta.dev/agent";

/// Label on tasks of a framework: the framework's name.
pub const FRAMEWORK_LABEL: &str = "meseta.dev/framework";
/// Label on tasks of a framework: the task set's name.
pub const TASK_SET_LABEL: &str = "meseta.dev/task-set";
