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
pub mod merge_patch;
pub mod mesos_amount;
pub mod offer;
pub mod quantity;
pub mod task;
pub mod validate;

pub use agent::{Agent, AgentSpec, AgentStatus};
pub use framework::{Framework, FrameworkSpec, FrameworkStatus};
pub use framework_role::{FrameworkRole, FrameworkRoleSpec, FrameworkRoleStatus};
pub use merge_patch::merge_patch;
pub use offer::{Offer, OfferSpec};
pub use quantity::{Quantity, ResourceList};
pub use task::{Task, TaskSpec, TaskState, TaskStatus};

/// The API group of the stored kinds.
pub const GROUP: &str = "meseta.dev";
/// The API group of what lives in memory or streams and is never stored: `Offer`, `tasks/log`.
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

/// The finalizer on a Task, and on a Framework, of an external scheduler: until the terminal update
/// was acknowledged, or until the scheduler was told that it is torn down.
pub const SCHEDULER_FINALIZER: &str = "meseta.dev/scheduler";

/// Label on the records of external schedulers and of their tasks, with the value [`MESOS`]. It stays
/// on them: the gateway knows them by it.
pub const SCHEDULER_LABEL: &str = "meseta.dev/scheduler";
/// Value of [`SCHEDULER_LABEL`] for whoever came through the Mesos API.
pub const MESOS: &str = "mesos";

/// Label on the records of roles that came by themselves, with the value `true`.
pub const AUTOMATIC_LABEL: &str = "meseta.dev/automatic";

/// Annotations on the leader's Lease: where followers send what only the leader can answer.
pub mod leader_address {
    /// URL of its API server, such as `https://10.0.0.1:7443`.
    pub const API: &str = "meseta.dev/api-server";
    /// `host:port` of its Mesos scheduler API.
    pub const MESOS: &str = "meseta.dev/mesos-master";
}

/// Label on tasks of a framework: the framework's name.
pub const FRAMEWORK_LABEL: &str = "meseta.dev/framework";
/// Label on tasks of a framework: the task set's name.
pub const TASK_SET_LABEL: &str = "meseta.dev/task-set";
