//! A Task: one incarnation of one piece of work, placed at most once and terminal for good.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::quantity::ResourceList;

/// What to run, with which resources, and, once placed, where.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "meseta.dev",
    version = "v1alpha1",
    kind = "Task",
    doc = "One incarnation of one piece of work: placed on at most one agent, and terminal for good.",
    namespaced,
    status = "TaskStatus",
    shortname = "tsk",
    category = "meseta",
    derive = "Default",
    derive = "PartialEq",
    selectable = ".spec.agentName",
    selectable = ".status.state",
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Agent","type":"string","jsonPath":".spec.agentName"}"#,
    printcolumn = r#"{"name":"Exit","type":"integer","jsonPath":".status.containers[0].exitCode"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.reason"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(oldSelf.agentName) || (has(self.agentName) && self.agentName == oldSelf.agentName)",
        "message": "`agentName` must not change once it is set",
        "fieldPath": ".agentName",
        "reason": "FieldValueForbidden",
    },
    {
        "rule": "!has(self.placement) || has(self.agentName)",
        "message": "`placement` must be set together with `agentName`",
        "fieldPath": ".placement",
        "reason": "FieldValueForbidden",
    },
    {
        "rule": "has(self.executorName) != (has(self.containers) && size(self.containers) == 1)",
        "message": "must have exactly one container, or none where `executorName` is set",
        "fieldPath": ".containers",
    },
    {
        "rule": "!has(self.executor) || !has(self.executorName)",
        "message": "`executor` must not be set together with `executorName`",
        "fieldPath": ".executor",
        "reason": "FieldValueForbidden",
    },
    {
        "rule": "!has(oldSelf.kill) || has(self.kill)",
        "message": "`kill` must not be taken back",
        "fieldPath": ".kill",
        "reason": "FieldValueForbidden",
    },
]))]
pub struct TaskSpec {
    /// Path of the role whose share the task uses, such as `eng/etl`.
    #[serde(default = "crate::framework_role::default_role")]
    #[schemars(length(min = 1, max = 253))]
    pub role: String,
    /// The framework, set and index this task is an incarnation of; absent for a task applied alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<TaskOwner>,
    /// What to run; exactly one for now, and none in a task that an executor runs.
    #[serde(default)]
    #[schemars(length(max = 1))]
    pub containers: Vec<Container>,
    /// What the allocator sets aside on the agent, such as `{cpu: 500m, memory: 128Mi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: ResourceList,
    /// What the container may use at most. `memory` defaults to the memory in `resources`, `pids`
    /// to 1024; without `cpu` the container may use idle cores beyond its share.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: ResourceList,
    /// Directories that containers can mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub volumes: Vec<Volume>,
    /// What an agent must be like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub constraints: Vec<Constraint>,
    /// Whether the container is started again on the same agent when it ends.
    #[serde(default)]
    pub restart_policy: RestartPolicy,
    /// Seconds between SIGTERM and SIGKILL.
    #[serde(default = "default_grace_seconds")]
    #[schemars(range(min = 0))]
    pub termination_grace_period_seconds: i64,
    /// Seconds the task may run, restarts included; then it fails with reason `DeadlineExceeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub active_deadline_seconds: Option<i64>,
    /// Among tasks of one role, the higher is placed first.
    #[serde(default)]
    pub priority: i32,
    /// The agent that runs the task. Set once, by the allocator; immutable from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub agent_name: Option<String>,
    /// Who placed the task; set together with `agentName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Set where the task is an executor: a program that runs other tasks of its framework on this
    /// agent, and outlives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Executor>,
    /// The task, in the same namespace and on the same agent, whose program runs this one. Such a
    /// task has no container of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub executor_name: Option<String>,
    /// Set to end the task and keep its record: what is asked of the container or the executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<Kill>,
    /// What a Mesos framework sent, echoed to it bit for bit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesos: Option<MesosTask>,
}

/// Seconds between SIGTERM and SIGKILL where nothing else is said.
#[must_use]
pub fn default_grace_seconds() -> i64 {
    30
}

/// What makes a task an executor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Executor {
    /// Seconds between the request to shut down and the end of the container.
    #[serde(default = "default_shutdown_grace_seconds")]
    #[schemars(range(min = 0))]
    pub shutdown_grace_period_seconds: i64,
}

impl TaskSpec {
    /// Seconds it has to end once it is asked to, where no wish says otherwise.
    #[must_use]
    pub fn grace_seconds(&self) -> i64 {
        match &self.executor {
            Some(executor) => executor.shutdown_grace_period_seconds,
            None => self.termination_grace_period_seconds,
        }
    }
}

/// Seconds an executor has to shut down where nothing else is said; as in Mesos.
#[must_use]
pub fn default_shutdown_grace_seconds() -> i64 {
    5
}

/// A wish that a task ends. It can be made stricter by a shorter period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kill {
    /// Seconds between SIGTERM and SIGKILL; those of the task where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub grace_period_seconds: Option<i64>,
    /// Times that it was asked for again: an executor is told of it when this changes.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub repeats: i64,
}

/// What a Mesos framework sent about a task. Ids are Mesos': up to 255 bytes, case-sensitive, and
/// reusable. Messages are in Mesos' v1 JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MesosTask {
    /// Id of the framework.
    #[schemars(length(min = 1, max = 255))]
    pub framework_id: String,
    /// Id of the task; absent for an executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub task_id: Option<String>,
    /// Id of the executor that this is or that runs it; absent for a command task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub executor_id: Option<String>,
    /// The `TaskInfo`; absent for an executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub task_info: Option<serde_json::Value>,
    /// The `ExecutorInfo`; set for an executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub executor_info: Option<serde_json::Value>,
    /// The `FrameworkInfo` as it was when this was launched: with its id for an executor, else only
    /// the capabilities in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub framework_info: Option<serde_json::Value>,
    /// The task group that the task was launched with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<MesosGroup>,
}

/// A task's place in a Mesos task group, which its executor is given as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MesosGroup {
    /// Name that the group's tasks have in common.
    pub id: String,
    /// Number of its tasks.
    #[schemars(range(min = 1))]
    pub size: i64,
    /// Position of this one, from 0.
    #[schemars(range(min = 0))]
    pub index: i64,
}

/// Any JSON object, kept as it is.
pub(crate) fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// Which slot of which framework a task fills.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskOwner {
    /// Name of the framework, in the task's namespace.
    pub framework: String,
    /// Uid of the framework, so that a namesake is never mistaken for it.
    pub framework_uid: String,
    /// Name of the task set; empty where an external scheduler launched the task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task_set: String,
    /// Index in the set, from 0.
    #[serde(default)]
    pub index: i64,
    /// 0 for the first task of this index, or of this Mesos id; one more for each that follows.
    #[serde(default)]
    pub incarnation: i64,
    /// Hash of the template the task was made from.
    #[serde(default)]
    pub template_hash: String,
}

/// The proof that a placement came from the leader of its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// `spec.leaseTransitions` of the leader lease when the decision was written; an agent refuses
    /// a lower one than it has seen.
    pub epoch: i64,
}

/// One program with its file system and environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.image) || (has(self.command) && size(self.command) > 0)",
        "message": "`command` must be set where there is no `image`",
        "fieldPath": ".command",
        "reason": "FieldValueRequired",
    },
]))]
pub struct Container {
    /// Name, a DNS label.
    #[serde(default = "default_container_name")]
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// An OCI layout directory on the agent, `oci:/path/to/layout:tag`. Without an image the
    /// container sees the agent's file system, read-only, and its own sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub image: Option<String>,
    /// Program and first arguments; the image's entrypoint where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096))]
    pub command: Vec<String>,
    /// Arguments after `command`; the image's `Cmd` where both are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096))]
    pub args: Vec<String>,
    /// Environment variables, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub env: Vec<EnvVar>,
    /// Absolute path of the working directory; the sandbox where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Uid and gid to run as; root with cut capabilities where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Volumes of the task, by name, and where they appear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub volume_mounts: Vec<VolumeMount>,
}

fn default_container_name() -> String {
    "main".to_owned()
}

/// One environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name, without `=`.
    pub name: String,
    /// Value, taken as it is.
    #[serde(default)]
    pub value: String,
}

/// Numeric identity of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A directory a task can mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.shared) != has(self.hostPath)",
        "message": "must have exactly one source: `shared` or `hostPath`",
    },
]))]
pub struct Volume {
    /// Name, a DNS label, unique in the task.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// One directory for all tasks of the framework that name it. Its first task chooses the agent,
    /// the others follow; it is removed with the framework.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedVolume>,
    /// A directory or file of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPathVolume>,
}

/// A volume shared by the tasks of one framework on one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedVolume {}

/// A path of the agent, mounted read-only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostPathVolume {
    /// Absolute path, without `..`.
    pub path: String,
}

/// Where a volume appears in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// Name of a volume of the task.
    pub name: String,
    /// Absolute path in the container; for tasks without an image it must lie beneath `/mnt`
    /// or beneath `/run/meseta`, where the host's tree leaves room.
    pub mount_path: String,
    /// Refuse writes.
    #[serde(default)]
    pub read_only: bool,
}

/// A condition on an agent's attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
        "message": "`values` must have an item where `operator` is 'In' or 'NotIn', and none otherwise",
        "fieldPath": ".values",
    },
]))]
pub struct Constraint {
    /// Name of an agent attribute, or `agent` for the agent's own name.
    pub attribute: String,
    /// How `values` is compared.
    pub operator: ConstraintOperator,
    /// The values; at least one for `In` and `NotIn`, none otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub values: Vec<String>,
}

/// How a constraint compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConstraintOperator {
    /// The attribute has one of the values.
    In,
    /// The attribute has none of the values, or is absent.
    NotIn,
    /// The attribute is present.
    Exists,
    /// The attribute is absent.
    DoesNotExist,
}

/// What happens on the agent when the container ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestartPolicy {
    /// The task is over.
    #[default]
    Never,
    /// Started again with a growing delay unless it exited with 0.
    OnFailure,
    /// Always started again.
    Always,
}

/// Where a task is in its life.
///
/// ```text
/// Pending ─► Staging ─► Starting ─► Running ─► Finished
///    │          │           │          ├──────► Failed
///    │          │           │          ▼
///    │          └───────────┴──────► Killing ─► Killed
///    └────────────────────────────────────────► Killed
///          Unreachable ⇄ (any placed state)  ;  Lost, Dropped: never ran or is not coming back
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum TaskState {
    /// Waits for an agent.
    #[default]
    Pending,
    /// The agent prepares image, sandbox and volumes.
    Staging,
    /// The container is created.
    Starting,
    /// The container runs.
    Running,
    /// The container is being stopped.
    Killing,
    /// Ended with exit code 0. Terminal.
    Finished,
    /// Ended otherwise, or could not be started. Terminal.
    Failed,
    /// Ended because somebody asked for it. Terminal.
    Killed,
    /// The agent refused it before anything ran. Terminal.
    Dropped,
    /// The agent is gone for good and the task with it. Terminal.
    Lost,
    /// The agent is silent; the container may well run on.
    Unreachable,
}

impl TaskState {
    /// Whether nothing can follow.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Finished | Self::Failed | Self::Killed | Self::Dropped | Self::Lost => true,
            Self::Pending
            | Self::Staging
            | Self::Starting
            | Self::Running
            | Self::Killing
            | Self::Unreachable => false,
        }
    }
}

/// What the agent (or, when it is gone, the agent-lifecycle controller) saw last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(oldSelf.state) || !(oldSelf.state in ['Finished', 'Failed', 'Killed', 'Dropped', 'Lost']) || (has(self.state) && self.state == oldSelf.state)",
        "message": "`state` must not change once it is terminal",
        "fieldPath": ".state",
        "reason": "FieldValueForbidden",
    },
]))]
pub struct TaskStatus {
    /// Generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the task is in its life.
    #[serde(default)]
    pub state: TaskState,
    /// CamelCase cause of the state; see [`reason`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `Placed`, `Ready`, `Succeeded`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// One per container of the spec, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerStatus>,
    /// What the scheduler of a Mesos task is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesos: Option<MesosStatus>,
}

/// The status updates of a Mesos task, on their way to its scheduler.
///
/// The agent appends; the gateway sends the first that is not acknowledged until it is. The
/// acknowledgement of an update is written only where something depends on it: before a terminal
/// update is sent, when the list fills up, and for the terminal update itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MesosStatus {
    /// In the order they are sent; those before `acknowledged` may be left out. Written by the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub updates: Vec<MesosUpdate>,
    /// `uuid` of the last update whose acknowledgement was stored. Written by the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<String>,
}

/// Updates of one task that wait in its record; further ones wait on the agent's disk.
pub const MAX_MESOS_UPDATES: usize = 32;

/// One status update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MesosUpdate {
    /// 16 bytes, in the 36 characters of a UUID.
    pub uuid: String,
    /// The `TaskStatus` with its uuid, in Mesos' v1 JSON.
    #[schemars(schema_with = "any_object")]
    pub status: serde_json::Value,
}

/// One container as the agent saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Name of the container.
    pub name: String,
    /// Times it was started again in place.
    #[serde(default)]
    pub restart_count: i64,
    /// Pid of its first process on the agent, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
    /// Exit code of its last run; 128 + signal where a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Signal that ended its last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i64>,
    /// Whether the kernel killed it for want of memory.
    #[serde(default)]
    pub oom_killed: bool,
    /// Start of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// End of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// The reasons that appear in [`TaskStatus::reason`].
pub mod reason {
    /// Exit code 0.
    pub const COMPLETED: &str = "Completed";
    /// Another exit code, or a signal of its own.
    pub const NON_ZERO_EXIT: &str = "NonZeroExit";
    /// The kernel killed it for want of memory.
    pub const OUT_OF_MEMORY: &str = "OutOfMemory";
    /// Deleted, or its framework wanted it gone.
    pub const DELETED: &str = "Deleted";
    /// `activeDeadlineSeconds` passed.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// The image does not exist on the agent, or cannot be read as an OCI layout.
    pub const IMAGE_NOT_FOUND: &str = "ImageNotFound";
    /// A blob differs from its digest, or a layer cannot be unpacked.
    pub const IMAGE_CORRUPT: &str = "ImageCorrupt";
    /// The program of the container does not exist.
    pub const COMMAND_NOT_FOUND: &str = "CommandNotFound";
    /// The container could not be created or started for another cause.
    pub const START_FAILED: &str = "StartFailed";
    /// The shim died and took the container with it; the exit code is unknown.
    pub const SHIM_LOST: &str = "ShimLost";
    /// The machine was rebooted while the container ran.
    pub const AGENT_REBOOTED: &str = "AgentRebooted";
    /// The agent has less room than the leader thought.
    pub const AGENT_OUT_OF_ROOM: &str = "AgentOutOfRoom";
    /// The agent's disk is full.
    pub const DISK_FULL: &str = "DiskFull";
    /// Placed by a leader that had been replaced.
    pub const STALE_LEADER: &str = "StaleLeader";
    /// The spec does not pass validation on the agent.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// The agent has not been heard of for a while.
    pub const AGENT_UNREACHABLE: &str = "AgentUnreachable";
    /// The agent's record was deleted.
    pub const AGENT_REMOVED: &str = "AgentRemoved";
    /// Between two runs in place.
    pub const RESTARTING: &str = "Restarting";
    /// Its scheduler asked for its end (`spec.kill`).
    pub const KILLED_BY_SCHEDULER: &str = "KilledByScheduler";
    /// The executor that ran it ended first.
    pub const EXECUTOR_TERMINATED: &str = "ExecutorTerminated";
    /// The executor did not subscribe in time.
    pub const EXECUTOR_REGISTRATION_TIMEOUT: &str = "ExecutorRegistrationTimeout";
    /// It was on its way to its executor when the agent was restarted.
    pub const AGENT_RESTARTED: &str = "AgentRestarted";
    /// The executor said so.
    pub const REPORTED_BY_EXECUTOR: &str = "ReportedByExecutor";
}
