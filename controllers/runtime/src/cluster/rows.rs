//! One row per record: what decisions need, and nothing else.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Resource, ResourceExt as _};
use meseta_crds::condition::{self, Condition, kind};
use meseta_crds::framework_role::default_weight;
use meseta_crds::task::{Constraint, MesosStatus, TaskOwner};
use meseta_crds::{
    AGENT_FINALIZER, AUTOMATIC_LABEL, Agent, FrameworkRole, FrameworkRoleSpec, FrameworkRoleStatus,
    ResourceList, Task, TaskState,
};

use crate::clock::Boottime;

/// How long an own write is preferred to what a watch tells; by then the watch has told of it too.
pub(crate) const OWN_WRITE_AHEAD: Duration = Duration::from_secs(5);

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn of<K: Resource>(record: &K) -> Self {
        Self { namespace: record.namespace().unwrap_or_default(), name: record.name_any() }
    }
}

/// One task.
#[derive(Clone, Debug)]
pub(crate) struct TaskRow {
    pub(crate) uid: String,
    pub(crate) version: String,
    pub(crate) generation: i64,
    pub(crate) created: Timestamp,
    pub(crate) deleting: bool,
    pub(crate) finalizers: Vec<String>,
    pub(crate) owner: Option<TaskOwner>,
    pub(crate) role: String,
    pub(crate) priority: i32,
    pub(crate) resources: ResourceList,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) shared_volumes: Vec<String>,
    /// Whether an external scheduler launched it: the framework controller leaves it alone.
    pub(crate) external: bool,
    pub(crate) agent: Option<String>,
    pub(crate) state: TaskState,
    pub(crate) reason: Option<String>,
    pub(crate) ended: Option<Timestamp>,
    /// Whether its container, or its executor with it, was running when last heard of.
    pub(crate) ran: bool,
    /// Kept for tasks without an agent only; nobody else writes theirs.
    pub(crate) conditions: Vec<Condition>,
    /// Set when the row comes from the answer to a write of this process.
    own_write: Option<Boottime>,
}

impl TaskRow {
    pub(crate) fn new(task: &Task, own_write: Option<Boottime>) -> Self {
        let spec = &task.spec;
        let status = task.status.clone().unwrap_or_default();
        let shared = spec.volumes.iter().filter(|volume| volume.shared.is_some());
        let placed = spec.agent_name.is_some();
        let container = status.containers.first();
        let ended = status
            .state
            .is_terminal()
            .then(|| {
                let finished = status.containers.iter().filter_map(|c| c.finished_at.as_ref());
                finished.map(|time| time.0).max().or_else(|| {
                    condition::get(&status.conditions, kind::SUCCEEDED)
                        .map(|condition| condition.last_transition_time.0)
                })
            })
            .flatten();
        Self {
            uid: task.metadata.uid.clone().unwrap_or_default(),
            version: task.metadata.resource_version.clone().unwrap_or_default(),
            generation: task.metadata.generation.unwrap_or_default(),
            created: task
                .metadata
                .creation_timestamp
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            deleting: task.metadata.deletion_timestamp.is_some(),
            finalizers: task.metadata.finalizers.clone().unwrap_or_default(),
            owner: spec.owner.clone(),
            role: spec.role.clone(),
            priority: spec.priority,
            resources: spec.resources.clone(),
            constraints: spec.constraints.clone(),
            shared_volumes: shared.map(|volume| volume.name.clone()).collect(),
            external: spec.mesos.is_some(),
            agent: spec.agent_name.clone(),
            state: status.state,
            reason: status.reason,
            ended,
            ran: match spec.executor_name {
                Some(_) => status.mesos.as_ref().is_some_and(executor_said_running),
                None => {
                    container.is_some_and(|c| c.started_at.is_some() && c.finished_at.is_none())
                }
            },
            conditions: if placed { Vec::new() } else { status.conditions },
            own_write,
        }
    }

    /// The framework the task says it belongs to, if that is run from here.
    pub(super) fn owner_key(&self, key: &Key) -> Option<Key> {
        let owner = self.owner.as_ref().filter(|_| !self.external)?;
        Some(Key { namespace: key.namespace.clone(), name: owner.framework.clone() })
    }

    /// Whether `self` is what this process has just written and `other` an earlier version of it.
    pub(super) fn is_ahead_of(&self, other: &Self) -> bool {
        self.own_write.is_some_and(|written| written.elapsed() < OWN_WRITE_AHEAD)
            && self.follows(other)
    }

    /// Whether `self` is a later version of the same record.
    pub(super) fn follows(&self, other: &Self) -> bool {
        self.uid == other.uid && version_number(&self.version) > version_number(&other.version)
    }

    /// Whether the agent may still have something of the task.
    pub(crate) fn is_held(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == AGENT_FINALIZER)
    }
}

/// Whether the last that an executor said of a task is that it runs. Of what was acknowledged the
/// record may know no more than that it was; then it was more than a beginning.
fn executor_said_running(status: &MesosStatus) -> bool {
    match status.updates.last() {
        Some(update) => update.status["state"] == "TASK_RUNNING",
        None => status.acknowledged.is_some(),
    }
}

/// Versions are numbers that grow, here as on Kubernetes.
pub(super) fn version_number(version: &str) -> u64 {
    version.parse().unwrap_or_default()
}

/// One agent.
#[derive(Clone, Debug)]
pub(crate) struct AgentRow {
    pub(crate) spec: meseta_crds::AgentSpec,
    pub(crate) capacity: ResourceList,
    pub(crate) attributes: std::collections::BTreeMap<String, String>,
    /// Status and reason of the condition.
    pub(crate) ready: Option<(String, String)>,
    /// Whether it takes new tasks as far as it says itself.
    pub(crate) takes_tasks: bool,
}

impl AgentRow {
    pub(super) fn new(agent: &Agent) -> Self {
        let status = agent.status.clone().unwrap_or_default();
        let conditions = &status.conditions;
        let ready = condition::get(conditions, kind::READY);
        let disk_full = condition::get(conditions, kind::DISK_AVAILABLE)
            .is_some_and(|condition| condition.status == "False");
        Self {
            spec: agent.spec.clone(),
            ready: ready.map(|ready| (ready.status.clone(), ready.reason.clone())),
            takes_tasks: condition::is_true(conditions, kind::READY)
                && !disk_full
                && agent.metadata.deletion_timestamp.is_none(),
            capacity: status.capacity,
            attributes: status.attributes,
        }
    }
}

/// What holds for a role of which nobody has said anything.
pub(crate) fn unsaid(path: String) -> FrameworkRoleSpec {
    FrameworkRoleSpec {
        path,
        weight: default_weight(),
        guarantees: ResourceList::new(),
        limits: ResourceList::new(),
    }
}

/// One role; there are few, so its status is kept whole.
#[derive(Clone, Debug)]
pub(crate) struct RoleRow {
    pub(crate) uid: String,
    pub(crate) version: String,
    /// Whether the record came by itself and nobody has written anything into it since.
    pub(crate) automatic: bool,
    pub(crate) path: String,
    pub(crate) weight: i64,
    pub(crate) limits: ResourceList,
    pub(crate) guarantees: ResourceList,
    pub(crate) generation: i64,
    pub(crate) status: FrameworkRoleStatus,
}

impl RoleRow {
    pub(super) fn new(role: &FrameworkRole) -> Self {
        let labels = role.labels();
        let labelled =
            labels.len() == 1 && labels.get(AUTOMATIC_LABEL).is_some_and(|v| v == "true");
        let bare = role.annotations().is_empty()
            && role.finalizers().is_empty()
            && role.owner_references().is_empty();
        Self {
            uid: role.uid().unwrap_or_default(),
            version: role.resource_version().unwrap_or_default(),
            automatic: labelled && bare && role.spec == unsaid(role.spec.path.clone()),
            path: role.spec.path.clone(),
            weight: role.spec.weight,
            limits: role.spec.limits.clone(),
            guarantees: role.spec.guarantees.clone(),
            generation: role.metadata.generation.unwrap_or_default(),
            status: role.status.clone().unwrap_or_default(),
        }
    }
}
