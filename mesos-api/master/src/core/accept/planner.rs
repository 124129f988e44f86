//! What the operations of one call have in common: what remains of the offers, which ids are taken,
//! which executors there are.

use std::collections::{BTreeMap, BTreeSet};

use meseta_crds::{ResourceList, TaskState};
use meseta_mesos_wire::v1::offer::Operation;
use meseta_mesos_wire::v1::offer::operation::Type;
use meseta_mesos_wire::v1::task_status::Reason;
use meseta_mesos_wire::{Message, json, v1};

use super::{Plan, about, operation_error, tasks_of};
use crate::core::framework::Capabilities;
use crate::core::launch::{Launcher, Place};
use crate::core::resources::{self, Amounts};
use crate::core::roles;
use crate::core::rows::Rows;

/// What the records of one call may repeat, as JSON in bytes: as much as a call may have itself. A
/// FrameworkInfo is sent once and stands in the record of each executor, an ExecutorInfo in that of
/// each task of a group.
const MAX_REPEATED_BYTES: usize = 16 * 1024 * 1024;

/// Why a task or a group is not launched.
pub(super) enum Fault {
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
pub(super) enum Existing {
    /// The custom executor of the record of this name.
    Record(String),
    /// The DEFAULT executor: each task is its own container.
    Default,
}

/// An executor that the plan launches, or a task under the DEFAULT one.
pub(super) struct Planned {
    pub(super) existing: Existing,
    pub(super) info: v1::ExecutorInfo,
}

/// The plan of one call, as far as it is made.
pub(super) struct Planner<'a> {
    pub(super) launcher: Launcher<'a>,
    pub(super) place: Place<'a>,
    pub(super) rows: &'a Rows,
    /// What of the offers is not used yet.
    pub(super) remaining: Amounts,
    /// Ids of the tasks planned so far.
    pub(super) used: BTreeSet<String>,
    /// The executors planned so far, by id.
    pub(super) executors: BTreeMap<String, Planned>,
    pub(super) plan: Plan,
    /// Bytes that the records repeat so far.
    repeated: usize,
    now: i64,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        launcher: Launcher<'a>,
        place: Place<'a>,
        offered: &ResourceList,
        rows: &'a Rows,
        now: i64,
    ) -> Self {
        Self {
            launcher,
            place,
            rows,
            remaining: Amounts::of_list(offered),
            used: BTreeSet::new(),
            executors: BTreeMap::new(),
            plan: Plan::default(),
            repeated: 0,
            now,
        }
    }

    /// Plans one operation, over what the ones before it left.
    pub(super) fn operation(&mut self, operation: &Operation) {
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
    pub(super) fn incarnation(&self, task_id: &str) -> Result<i64, String> {
        if self.used.contains(task_id) {
            return Err(format!("Task has duplicate ID: {task_id}"));
        }
        match self.rows.task(task_id) {
            Some(row) if row.state == TaskState::Unreachable => {
                Err(format!("Task reuses the ID of an unreachable task: {task_id}"))
            }
            Some(row) if row.is_live() => Err(format!("Task has duplicate ID: {task_id}")),
            Some(row) => Ok(row.incarnation + 1),
            None => Ok(0),
        }
    }

    /// Counts that so many records have this message.
    pub(super) fn repeat<M: Message>(&mut self, message: &M, times: usize) -> Result<(), String> {
        let bytes = json::encode(message).len().saturating_mul(times);
        let repeated = self.repeated.saturating_add(bytes);
        if repeated > MAX_REPEATED_BYTES {
            return Err(format!(
                "The records of this call would repeat more than {MAX_REPEATED_BYTES} bytes of \
                 FrameworkInfo and ExecutorInfo; launch less with one call"
            ));
        }
        self.repeated = repeated;
        Ok(())
    }

    /// The info with all that a master fills in.
    pub(super) fn completed_executor(&self, executor: &v1::ExecutorInfo) -> v1::ExecutorInfo {
        let mut executor = executor.clone();
        executor
            .framework_id
            .get_or_insert_with(|| v1::FrameworkId { value: self.launcher.id.to_owned() });
        self.allocate(&mut executor.resources);
        executor
    }

    /// Says for which role resources are, where frameworks are told.
    pub(super) fn allocate(&self, resources: &mut [v1::Resource]) {
        if Capabilities::of(self.launcher.info).multi_role {
            for resource in resources {
                resource
                    .allocation_info
                    .get_or_insert_with(|| resources::allocation(self.place.role));
            }
        }
    }

    /// What runs tasks of this executor on the agent already, if anything does. It must be the same.
    pub(super) fn existing(&self, executor: &v1::ExecutorInfo) -> Result<Option<Existing>, Fault> {
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
        let Some(row) = custom.or_else(|| self.rows.grouped(self.place.agent, id).next()) else {
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

pub(super) fn incompatible() -> String {
    "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.".to_owned()
}

/// Whether two infos are of one executor: equal, with the defaults that JSON sets.
pub(super) fn same(one: &v1::ExecutorInfo, other: &v1::ExecutorInfo) -> bool {
    let comparable = |info: &v1::ExecutorInfo| {
        let mut info: v1::ExecutorInfo =
            json::from_value(&json::to_value(info)).unwrap_or_else(|_| info.clone());
        for resource in &mut info.resources {
            resource.allocation_info = None;
            resource.role.get_or_insert_with(|| roles::DEFAULT.to_owned());
        }
        info.resources.sort_by(|a, b| a.name.cmp(&b.name));
        info
    };
    comparable(one) == comparable(other)
}
