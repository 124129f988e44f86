//! Mesos' `TaskStatus` as this agent writes it, and its uuids. Pure.

use std::net::IpAddr;

use meseta_crds::task::{MesosTask, MesosUpdate};
use meseta_mesos_agent::container;
use meseta_mesos_wire::json;
use meseta_mesos_wire::v1::task_status::{Reason, Source};
use meseta_mesos_wire::v1::{
    AgentId, ContainerId, ContainerStatus, ExecutorId, Resource, TaskId, TaskResourceLimitation,
    TaskState, TaskStatus, value,
};
use sha2::{Digest as _, Sha256};

/// Bytes of a uuid.
const UUID_BYTES: usize = 16;

/// What is said about a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    /// Where the task is.
    pub(crate) state: TaskState,
    /// Who says so: the executor, or the agent in its place.
    pub(crate) source: Source,
    /// Why, where Mesos has a name for it.
    pub(crate) reason: Option<Reason>,
    /// One sentence for people.
    pub(crate) message: Option<String>,
    /// When, in milliseconds since 1970.
    pub(crate) at: i64,
    /// The memory that was not enough, in bytes, where that is what ended it.
    pub(crate) memory_limit: Option<i64>,
    /// Its container, where it has, or had, one of its own.
    pub(crate) container: Option<ContainerStatus>,
}

/// What a scheduler understands beyond the basics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// `TASK_KILLING_STATE`.
    pub(crate) killing: bool,
    /// `PARTITION_AWARE`: states finer than `TASK_LOST`.
    pub(crate) partition_aware: bool,
}

/// The capabilities of the task's framework; `None` where the record does not tell.
pub(crate) fn capabilities(mesos: &MesosTask) -> Option<Capabilities> {
    let framework = mesos.framework_info.as_ref()?;
    let listed = framework.get("capabilities").and_then(serde_json::Value::as_array);
    let has = |name: &str| {
        listed.is_some_and(|listed| listed.iter().any(|capability| capability["type"] == name))
    };
    Some(Capabilities {
        killing: has("TASK_KILLING_STATE"),
        partition_aware: has("PARTITION_AWARE"),
    })
}

/// The update that says this of a task on `agent`. Its uuid depends on the task's uid and on `step`
/// only, so that a repeated attempt is the same update.
pub(crate) fn update(
    task_uid: &str,
    agent: &str,
    mesos: &MesosTask,
    step: &str,
    said: &Said,
) -> MesosUpdate {
    let uuid = uuid(task_uid, step);
    let task_id = mesos.task_id.clone().unwrap_or_default();
    // Mesos' own executor for commands is named after the task.
    let executor_id = mesos.executor_id.clone().unwrap_or_else(|| task_id.clone());
    let mut status = TaskStatus {
        task_id: TaskId { value: task_id },
        executor_id: Some(ExecutorId { value: executor_id }),
        agent_id: Some(AgentId { value: agent.to_owned() }),
        message: said.message.clone(),
        timestamp: Some(seconds(said.at)),
        uuid: Some(uuid.to_vec()),
        limitation: said.memory_limit.map(memory_limitation),
        container_status: said.container.clone(),
        ..TaskStatus::default()
    };
    status.set_state(said.state);
    status.set_source(said.source);
    if let Some(reason) = said.reason {
        status.set_reason(reason);
    }
    MesosUpdate { uuid: text(&uuid), status: json::to_value(&status) }
}

/// The container of a task that has one of its own, reached at `ip`. Under a DEFAULT executor it is
/// nested, as in Mesos, in that of the executor: all tasks of the executor name the same.
pub(crate) fn container(
    task_uid: &str,
    agent: &str,
    mesos: &MesosTask,
    ip: Option<IpAddr>,
) -> ContainerStatus {
    let parent = mesos.executor_id.as_ref().map(|executor| {
        let value = text(&derived(&["meseta executor", &mesos.framework_id, agent, executor]));
        Box::new(ContainerId { value, parent: None })
    });
    let mut status = ContainerStatus::default();
    container::complete(&mut status, ContainerId { value: task_uid.to_owned(), parent }, ip);
    status
}

/// The uuid of a step of a task: always the same.
pub(crate) fn uuid(task_uid: &str, step: &str) -> [u8; UUID_BYTES] {
    derived(&["meseta status update", task_uid, step])
}

/// The uuid that these texts, none of which has a NUL, always give.
fn derived(from: &[&str]) -> [u8; UUID_BYTES] {
    let digest = Sha256::digest(from.join("\0"));
    let mut uuid = [0; UUID_BYTES];
    uuid.iter_mut().zip(digest).for_each(|(byte, of_digest)| *byte = of_digest);
    // RFC 9562: version 8, "custom", and the usual variant.
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// A uuid in its 36 characters.
pub(crate) fn text(uuid: &[u8; UUID_BYTES]) -> String {
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// That a task had no more than this memory, as Mesos says it: in megabytes.
fn memory_limitation(bytes: i64) -> TaskResourceLimitation {
    const MEGABYTE: f64 = (1 << 20) as f64;
    #[expect(clippy::cast_precision_loss, reason = "megabytes have few digits")]
    let megabytes = bytes as f64 / MEGABYTE;
    TaskResourceLimitation { resources: vec![scalar("mem", megabytes)] }
}

/// So much of a resource.
pub(crate) fn scalar(name: &str, value: f64) -> Resource {
    let scalar = Some(value::Scalar { value });
    let mut resource = Resource { name: name.to_owned(), scalar, ..Resource::default() };
    resource.set_type(value::Type::Scalar);
    resource
}

/// Milliseconds as Mesos' seconds.
fn seconds(millis: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 have 41 bits")]
    let millis = millis as f64;
    millis / 1000.0
}
