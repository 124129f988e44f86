//! What an ACCEPT launches, and what its scheduler is told at once.
//!
//! ```text
//!   offers taken ──► plan ──► records to store ──► launched
//!        │            ├────► TASK_ERROR, TASK_DROPPED
//!        │            └────► OPERATION_ERROR
//!   not taken ──► refuse ──► TASK_DROPPED for each task
//!                 a record that was not stored ──► not_launched ──► TASK_DROPPED
//! ```
//!
//! Operations run in order over what remains of the offers. A task that fails its checks does not
//! keep the others from being launched; a group is all or nothing.
//!
//! **Invariants:** the records use no more than was offered; no two live records have one task id;
//! every task of the call is either launched or told about.

mod group;
mod single;

use std::collections::{BTreeMap, BTreeSet};

use meseta_crds::{ResourceList, Task};
use meseta_mesos_wire::v1::offer::Operation;
use meseta_mesos_wire::v1::offer::operation::Type;
use meseta_mesos_wire::v1::task_status::Reason;
use meseta_mesos_wire::{json, v1};

use super::framework::Capabilities;
use super::launch::{Launcher, Place};
use super::resources::{self, Amounts};
use super::rows::Rows;
use super::statuses::Made;

/// What follows from an ACCEPT.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Records to store, executors before the tasks that they run.
    pub tasks: Vec<Task>,
    /// Statuses to send.
    pub told: Vec<v1::TaskStatus>,
    /// Statuses of operations to send.
    pub operations: Vec<v1::OperationStatus>,
}

/// Why the offers of an ACCEPT cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// They are not those of one agent and role that this framework has.
    InvalidOffers(String),
    /// Their agent's record is gone.
    AgentRemoved,
    /// Their agent is silent.
    AgentDisconnected,
}

/// Plans `operations` over the offers that were taken: `offered` of the place. `rows` holds all that
/// the framework launched before, also what an earlier plan launches that is not stored yet.
#[must_use]
pub fn plan(
    launcher: Launcher<'_>,
    place: Place<'_>,
    offered: &ResourceList,
    rows: &Rows,
    operations: &[Operation],
    now: i64,
) -> Plan {
    let mut planner = Planner {
        launcher,
        place,
        rows,
        remaining: Amounts::of_list(offered),
        used: BTreeSet::new(),
        executors: BTreeMap::new(),
        plan: Plan::default(),
        now,
    };
    for operation in operations {
        planner.operation(operation);
    }
    planner.plan
}

/// What the scheduler is told where the offers cannot be used.
#[must_use]
pub fn refuse(
    refusal: &Refusal,
    operations: &[Operation],
    capabilities: Capabilities,
    now: i64,
) -> Plan {
    let (reason, message) = match refusal {
        Refusal::InvalidOffers(fault) => {
            (Reason::InvalidOffers, format!("Task launched with invalid offers: {fault}"))
        }
        Refusal::AgentRemoved => (Reason::AgentRemoved, "Agent removed".to_owned()),
        Refusal::AgentDisconnected => (Reason::AgentDisconnected, "Agent disconnected".to_owned()),
    };
    let mut plan = Plan::default();
    for operation in operations {
        if let Some(tasks) = tasks_of(operation) {
            plan.told.extend(tasks.iter().map(|task| {
                about(task, v1::TaskState::TaskDropped, reason, &message)
                    .status(capabilities.partition_aware, now)
            }));
        } else if let Refusal::InvalidOffers(fault) = refusal {
            plan.operations.extend(operation_error(operation, fault));
        }
    }
    plan
}

/// What the scheduler is told of a planned record that was not stored; nothing of an executor.
#[must_use]
pub fn not_launched(
    task: &Task,
    reason: Reason,
    message: &str,
    capabilities: Capabilities,
    now: i64,
) -> Option<v1::TaskStatus> {
    let mesos = task.spec.mesos.as_ref()?;
    let made = Made {
        task_id: mesos.task_id.as_deref()?,
        agent_id: task.spec.agent_name.as_deref(),
        executor_id: mesos.executor_id.as_deref(),
        state: v1::TaskState::TaskDropped,
        reason: Some(reason),
        message: message.to_owned(),
    };
    Some(made.status(capabilities.partition_aware, now))
}

/// The tasks of an operation that launches.
fn tasks_of(operation: &Operation) -> Option<&[v1::TaskInfo]> {
    match operation.r#type() {
        Type::Launch => Some(operation.launch.as_ref().map_or(&[], |launch| &launch.task_infos)),
        Type::LaunchGroup => {
            Some(operation.launch_group.as_ref().map_or(&[], |launch| &launch.task_group.tasks))
        }
        _ => None,
    }
}

fn about<'a>(
    task: &'a v1::TaskInfo,
    state: v1::TaskState,
    reason: Reason,
    message: &str,
) -> Made<'a> {
    Made {
        task_id: &task.task_id.value,
        agent_id: Some(&task.agent_id.value),
        executor_id: task.executor.as_ref().map(|executor| executor.executor_id.value.as_str()),
        state,
        reason: Some(reason),
        message: message.to_owned(),
    }
}

/// The feedback for an operation that is dropped, if it asks for any.
fn operation_error(operation: &Operation, message: &str) -> Option<v1::OperationStatus> {
    let id = operation.id.clone()?;
    Some(v1::OperationStatus {
        operation_id: Some(id),
        state: v1::OperationState::OperationError.into(),
        message: Some(message.to_owned()),
        ..v1::OperationStatus::default()
    })
}

/// Why a task or a group is not launched.
enum Fault {
    /// It is not valid: `TASK_ERROR`.
    Invalid(String),
    /// It is, and its executor is about to end: `TASK_DROPPED`.
    ExecutorTerminating(String),
}

impl From<String> for Fault {
    fn from(fault: String) -> Self {
        Self::Invalid(fault)
    }
}

/// What runs the tasks of an executor.
#[derive(Clone)]
enum Existing {
    /// The custom executor of the record of this name.
    Record(String),
    /// The DEFAULT executor: each task is its own container.
    Default,
}

/// An executor that the plan launches, or a task under the DEFAULT one.
struct Planned {
    existing: Existing,
    info: v1::ExecutorInfo,
}

struct Planner<'a> {
    launcher: Launcher<'a>,
    place: Place<'a>,
    rows: &'a Rows,
    /// What of the offers is not used yet.
    remaining: Amounts,
    /// Ids of the tasks planned so far.
    used: BTreeSet<String>,
    /// The executors planned so far, by id.
    executors: BTreeMap<String, Planned>,
    plan: Plan,
    now: i64,
}

impl Planner<'_> {
    fn operation(&mut self, operation: &Operation) {
        let tasks = tasks_of(operation).unwrap_or_default();
        let is_group = operation.r#type() == Type::LaunchGroup;
        match operation.r#type() {
            Type::Launch | Type::LaunchGroup if operation.id.is_some() => {
                let fault = "The 'id' field must not be set in operations that launch tasks";
                self.tell(tasks, &Fault::Invalid(fault.to_owned()), is_group);
            }
            Type::Launch => {
                for task in tasks {
                    if let Err(fault) = self.single(task) {
                        self.tell(std::slice::from_ref(task), &fault, false);
                    }
                }
            }
            Type::LaunchGroup => {
                if let Some(launch) = &operation.launch_group
                    && let Err((tasks, fault)) = self.group(&launch.executor, tasks)
                {
                    self.tell(&tasks, &fault, true);
                }
            }
            Type::Unknown => {}
            Type::Reserve
            | Type::Unreserve
            | Type::Create
            | Type::Destroy
            | Type::GrowVolume
            | Type::ShrinkVolume
            | Type::CreateDisk
            | Type::DestroyDisk => {
                let name = operation.r#type().as_str_name();
                let fault = format!("Operations of type {name} are not supported");
                self.plan.operations.extend(operation_error(operation, &fault));
            }
        }
    }

    fn tell(&mut self, tasks: &[v1::TaskInfo], fault: &Fault, is_group: bool) {
        let (state, reason, message) = match fault {
            Fault::Invalid(message) if is_group => {
                (v1::TaskState::TaskError, Reason::TaskGroupInvalid, message)
            }
            Fault::Invalid(message) => (v1::TaskState::TaskError, Reason::TaskInvalid, message),
            Fault::ExecutorTerminating(message) => {
                (v1::TaskState::TaskDropped, Reason::ExecutorTerminated, message)
            }
        };
        let partition_aware = Capabilities::of(self.launcher.info).partition_aware;
        let now = self.now;
        self.plan.told.extend(
            tasks
                .iter()
                .map(|task| about(task, state, reason, message).status(partition_aware, now)),
        );
    }

    /// The incarnation that a task of this id would be, if the id is free.
    fn incarnation(&self, task_id: &str) -> Result<i64, String> {
        if self.used.contains(task_id) {
            return Err(format!("Task has duplicate ID: {task_id}"));
        }
        match self.rows.task(task_id) {
            Some(row) if row.state == meseta_crds::TaskState::Unreachable => {
                Err(format!("Task reuses the ID of an unreachable task: {task_id}"))
            }
            Some(row) if row.is_live() => Err(format!("Task has duplicate ID: {task_id}")),
            Some(row) => Ok(row.incarnation + 1),
            None => Ok(0),
        }
    }

    /// The info with all that a master fills in.
    fn completed_executor(&self, executor: &v1::ExecutorInfo) -> v1::ExecutorInfo {
        let mut executor = executor.clone();
        executor
            .framework_id
            .get_or_insert_with(|| v1::FrameworkId { value: self.launcher.id.to_owned() });
        self.allocate(&mut executor.resources);
        executor
    }

    /// Says for which role resources are, where frameworks are told.
    fn allocate(&self, resources: &mut [v1::Resource]) {
        if Capabilities::of(self.launcher.info).multi_role {
            for resource in resources {
                resource
                    .allocation_info
                    .get_or_insert_with(|| resources::allocation(self.place.role));
            }
        }
    }

    /// What runs tasks of this executor on the agent already, if anything does. It must be the same.
    fn existing(&self, executor: &v1::ExecutorInfo) -> Result<Option<Existing>, Fault> {
        let id = &executor.executor_id.value;
        if let Some(planned) = self.executors.get(id) {
            return if same(&planned.info, executor) {
                Ok(Some(planned.existing.clone()))
            } else {
                Err(Fault::Invalid(incompatible()))
            };
        }
        let custom =
            self.rows.executor(self.place.agent, id).filter(|row| !row.state.is_terminal());
        let Some(row) = custom.or_else(|| self.rows.grouped(self.place.agent, id)) else {
            return Ok(None);
        };
        let info = row.executor_info.as_ref().and_then(|info| json::from_value(info).ok());
        if info.is_none_or(|info| !same(&info, executor)) {
            return Err(Fault::Invalid(incompatible()));
        }
        if !row.is_executor() {
            return Ok(Some(Existing::Default));
        }
        if row.deleted || row.kill.is_some() {
            return Err(Fault::ExecutorTerminating(format!("Executor '{id}' is terminating")));
        }
        Ok(Some(Existing::Record(row.name.clone())))
    }
}

fn incompatible() -> String {
    "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.".to_owned()
}

/// Whether two infos are of one executor: equal, with the defaults that JSON sets.
fn same(one: &v1::ExecutorInfo, other: &v1::ExecutorInfo) -> bool {
    let comparable = |info: &v1::ExecutorInfo| {
        let mut info: v1::ExecutorInfo =
            json::from_value(&json::to_value(info)).unwrap_or_else(|_| info.clone());
        for resource in &mut info.resources {
            resource.allocation_info = None;
            resource.role.get_or_insert_with(|| super::roles::DEFAULT.to_owned());
        }
        info.resources.sort_by(|a, b| a.name.cmp(&b.name));
        info
    };
    comparable(one) == comparable(other)
}

#[cfg(test)]
mod tests;
