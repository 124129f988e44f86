//! The records that launched tasks and executors become.
//!
//! | launched | record |
//! |---|---|
//! | command task | one container with the command |
//! | group of one task, DEFAULT executor | the same; it has the executor's id and resources too |
//! | custom executor | one container with its command, `spec.executor` |
//! | task of a custom executor | no container, `spec.executorName` |
//!
//! What was sent is kept in `spec.mesos`; of the framework a task has only the capabilities. The
//! container has the environment that was sent; the agent adds Mesos' own variables, most of which
//! only it knows. `FrameworkInfo.user` is not followed, as by a Mesos agent that does not switch
//! users.
//!
//! **Invariant:** a record is placed from birth and holds both finalizers; its name depends on the
//! framework, the id and the incarnation only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use meseta_crds::task::{
    Container, EnvVar, Executor, MesosGroup, MesosTask, Placement, TaskOwner,
    default_shutdown_grace_seconds,
};
use meseta_crds::{
    AGENT_FINALIZER, FRAMEWORK_LABEL, GROUP, MESOS, Quantity, ResourceList, SCHEDULER_FINALIZER,
    SCHEDULER_LABEL, Task, TaskSpec, VERSION, mesos_amount,
};
use meseta_mesos_wire::{json, v1};

use super::resources::{self, Amounts};
use super::{ids, supported};

/// Seconds between SIGTERM and SIGKILL of a command task where nothing else is said.
pub const COMMAND_GRACE_SECONDS: i64 = 3;
/// What a limit is that was sent as infinite: more memory than any machine has.
const NO_LIMIT: &str = "4Ei";

/// Who launches, and by which leave.
#[derive(Clone, Copy, Debug)]
pub struct Launcher<'a> {
    /// Namespace of the framework's record.
    pub namespace: &'a str,
    /// Name of the record.
    pub framework: &'a str,
    /// Uid of the record.
    pub uid: &'a str,
    /// Mesos' id of the framework.
    pub id: &'a str,
    /// What the framework said of itself, with its id.
    pub info: &'a v1::FrameworkInfo,
    /// Epoch of the leader's term.
    pub epoch: i64,
}

/// Where, for which role.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Name of the agent.
    pub agent: &'a str,
    /// The role of the offer.
    pub role: &'a str,
}

/// The record of a command task, or of the one task of a group with the DEFAULT executor. `asked` is
/// all that is set aside for it.
///
/// # Errors
/// What its command asks for that cannot be done.
pub fn command_task(
    launcher: Launcher<'_>,
    place: Place<'_>,
    task: &v1::TaskInfo,
    asked: &Amounts,
    incarnation: i64,
) -> Result<Task, String> {
    let command = task.command.as_ref().ok_or("'TaskInfo.command' must be set")?;
    let spec = TaskSpec {
        containers: vec![container(command)?],
        resources: asked.to_list(),
        limits: limits(task),
        termination_grace_period_seconds: kill_grace(task),
        active_deadline_seconds: task.max_completion_time.as_ref().map(|t| seconds(t).max(1)),
        mesos: Some(mesos_task(launcher, task)),
        ..spec(launcher, place, incarnation)
    };
    let name = ids::task_record(launcher.uid, &task.task_id.value, incarnation);
    checked(record(launcher, &name, spec))
}

/// The record of a custom executor.
///
/// # Errors
/// What it asks for that cannot be done.
pub fn executor(
    launcher: Launcher<'_>,
    place: Place<'_>,
    executor: &v1::ExecutorInfo,
    asked: &Amounts,
    incarnation: i64,
) -> Result<Task, String> {
    let command = executor.command.as_ref().ok_or("'ExecutorInfo.command' must be set")?;
    let grace = executor
        .shutdown_grace_period
        .as_ref()
        .map_or_else(default_shutdown_grace_seconds, seconds);
    let id = &executor.executor_id.value;
    let spec = TaskSpec {
        containers: vec![container(command)?],
        resources: asked.to_list(),
        termination_grace_period_seconds: grace,
        executor: Some(Executor { shutdown_grace_period_seconds: grace }),
        mesos: Some(MesosTask {
            framework_id: launcher.id.to_owned(),
            executor_id: Some(id.clone()),
            executor_info: Some(json::to_value(executor)),
            framework_info: Some(json::to_value(launcher.info)),
            ..MesosTask::default()
        }),
        ..spec(launcher, place, incarnation)
    };
    let name = ids::executor_record(launcher.uid, place.agent, id, incarnation);
    checked(record(launcher, &name, spec))
}

/// The record of a task that the custom executor of the record `executor` runs.
///
/// # Errors
/// What it asks for that cannot be done.
pub fn inner_task(
    launcher: Launcher<'_>,
    place: Place<'_>,
    task: &v1::TaskInfo,
    asked: &Amounts,
    incarnation: i64,
    executor: &str,
    group: Option<MesosGroup>,
) -> Result<Task, String> {
    let spec = TaskSpec {
        resources: asked.to_list(),
        termination_grace_period_seconds: kill_grace(task),
        executor_name: Some(executor.to_owned()),
        mesos: Some(MesosTask { group, ..mesos_task(launcher, task) }),
        ..spec(launcher, place, incarnation)
    };
    let name = ids::task_record(launcher.uid, &task.task_id.value, incarnation);
    checked(record(launcher, &name, spec))
}

/// The record, if a server would take it.
fn checked(record: Task) -> Result<Task, String> {
    match meseta_crds::validate::task_spec(&record.spec).first() {
        None => Ok(record),
        Some(fault) => Err(format!("it cannot be stored: {fault}")),
    }
}

fn mesos_task(launcher: Launcher<'_>, task: &v1::TaskInfo) -> MesosTask {
    MesosTask {
        framework_id: launcher.id.to_owned(),
        task_id: Some(task.task_id.value.clone()),
        executor_id: task.executor.as_ref().map(|executor| executor.executor_id.value.clone()),
        task_info: Some(json::to_value(task)),
        framework_info: Some(json::to_value(&understood(launcher.info))),
        ..MesosTask::default()
    }
}

/// What the updates of a task depend on: the capabilities, each once. An executor is told all of its
/// framework, but the records of tasks are many.
fn understood(info: &v1::FrameworkInfo) -> v1::FrameworkInfo {
    let mut capabilities = info.capabilities.clone();
    capabilities.sort_by_key(|capability| capability.r#type);
    capabilities.dedup();
    v1::FrameworkInfo { capabilities, ..v1::FrameworkInfo::default() }
}

/// Seconds that a task has to end once it is asked to.
fn kill_grace(task: &v1::TaskInfo) -> i64 {
    let grace = task.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref());
    grace.map_or(COMMAND_GRACE_SECONDS, seconds)
}

/// What all records have in common.
fn spec(launcher: Launcher<'_>, place: Place<'_>, incarnation: i64) -> TaskSpec {
    TaskSpec {
        role: place.role.to_owned(),
        owner: Some(TaskOwner {
            framework: launcher.framework.to_owned(),
            framework_uid: launcher.uid.to_owned(),
            incarnation,
            ..TaskOwner::default()
        }),
        agent_name: Some(place.agent.to_owned()),
        placement: Some(Placement { epoch: launcher.epoch }),
        ..TaskSpec::default()
    }
}

fn record(launcher: Launcher<'_>, name: &str, spec: TaskSpec) -> Task {
    let mut task = Task::new(name, spec);
    task.metadata.namespace = Some(launcher.namespace.to_owned());
    task.metadata.labels = Some(
        [(FRAMEWORK_LABEL, launcher.framework), (SCHEDULER_LABEL, MESOS)]
            .map(|(label, value)| (label.to_owned(), value.to_owned()))
            .into(),
    );
    task.metadata.owner_references = Some(vec![OwnerReference {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: "Framework".to_owned(),
        name: launcher.framework.to_owned(),
        uid: launcher.uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }]);
    task.metadata.finalizers =
        Some([AGENT_FINALIZER, SCHEDULER_FINALIZER].map(ToOwned::to_owned).into());
    task
}

fn container(command: &v1::CommandInfo) -> Result<Container, String> {
    let value = command.value.clone().unwrap_or_default();
    let command_line = if command.shell() {
        vec!["/bin/sh".to_owned(), "-c".to_owned(), value]
    } else {
        // `arguments` begins with the name that the program is told it has; containers tell it its path.
        std::iter::once(value).chain(command.arguments.iter().skip(1).cloned()).collect()
    };
    let variables = command.environment.iter().flat_map(|environment| &environment.variables);
    let env = variables
        .map(|variable| EnvVar {
            name: variable.name.clone(),
            value: variable.value.clone().unwrap_or_default(),
        })
        .collect();
    Ok(Container {
        name: "main".to_owned(),
        command: command_line,
        env,
        user: command.user.as_deref().map_or(Ok(None), supported::user)?,
        ..Container::default()
    })
}

fn limits(task: &v1::TaskInfo) -> ResourceList {
    let mut limits = ResourceList::new();
    for (name, limit) in &task.limits {
        match (name.as_str(), resources::thousandths(limit.value)) {
            ("cpus", Some(amount)) => {
                limits.insert("cpu".to_owned(), Quantity::from_millis(amount));
            }
            // Without a limit a container may use idle cores beyond its share.
            ("mem", amount) => {
                let limit = amount.map_or_else(|| Quantity::new(NO_LIMIT), mesos_amount::mebibytes);
                limits.insert("memory".to_owned(), limit);
            }
            _ => {}
        }
    }
    limits
}

/// Nanoseconds as seconds, rounded up, so that nobody is given less time than was said.
#[must_use]
pub fn seconds(duration: &v1::DurationInfo) -> i64 {
    const NANOS: i64 = 1_000_000_000;
    let nanos = duration.nanoseconds.max(0);
    nanos / NANOS + i64::from(nanos % NANOS > 0)
}

#[cfg(test)]
mod tests;
