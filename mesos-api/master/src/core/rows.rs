//! What the gateway keeps of each record of a Mesos task: little, and all that the rules ask for.

use std::collections::{BTreeMap, BTreeSet};

use meseta_crds::task::{Kill, MesosUpdate};
use meseta_crds::{AGENT_FINALIZER, SCHEDULER_FINALIZER, Task, TaskState};

/// One record of a task or an executor that a Mesos framework launched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskRow {
    /// Name of the record.
    pub name: String,
    /// Uid of the record.
    pub uid: String,
    /// Version of the record that this was read from.
    pub resource_version: String,
    /// Uid of its framework's record.
    pub framework_uid: String,
    /// Id of the framework.
    pub framework_id: String,
    /// Mesos' id of the task; absent for an executor.
    pub task_id: Option<String>,
    /// Mesos' id of the executor that this is, or that runs it; absent for a command task.
    pub executor_id: Option<String>,
    /// Name of the record of the executor that runs it.
    pub executor_name: Option<String>,
    /// The `ExecutorInfo`, in Mesos' JSON: of an executor, and of a task under the DEFAULT one.
    pub executor_info: Option<serde_json::Value>,
    /// Name of the agent.
    pub agent: String,
    /// 0 for the first record of its id; one more for each that follows.
    pub incarnation: i64,
    /// Where it is in its life.
    pub state: TaskState,
    /// CamelCase cause of the state.
    pub reason: Option<String>,
    /// The same for people.
    pub message: Option<String>,
    /// Its updates, in order; those up to `acknowledged` may be missing.
    pub updates: Vec<MesosUpdate>,
    /// uuid of the last update whose acknowledgement is stored.
    pub acknowledged: Option<String>,
    /// Whether the record is being deleted.
    pub deleted: bool,
    /// Whether anything of it may be left on its agent.
    pub held_by_agent: bool,
    /// Whether its scheduler is still owed something.
    pub held_by_scheduler: bool,
    /// What was asked of it by KILL or SHUTDOWN.
    pub kill: Option<Kill>,
    /// Seconds it has to end where no wish says otherwise.
    pub grace_seconds: i64,
    /// Exit code of its container; 128 + signal where one ended it.
    pub exit_code: Option<i64>,
    /// Signal that ended its container.
    pub signal: Option<i64>,
    /// When the record was made, in milliseconds since 1970.
    pub created: i64,
    /// When its container ended, if it had one; when it was made, if not.
    pub ended: i64,
}

impl TaskRow {
    /// What is kept of `task`, or `None` where it is not of a Mesos framework.
    #[must_use]
    pub fn of(task: &Task) -> Option<Self> {
        let mesos = task.spec.mesos.as_ref()?;
        let owner = task.spec.owner.as_ref()?;
        let meta = &task.metadata;
        let status = task.status.as_ref();
        let container = status.and_then(|status| status.containers.first());
        let told = status.and_then(|status| status.mesos.as_ref());
        let held = |name| meta.finalizers.iter().flatten().any(|finalizer| finalizer == name);
        let millis =
            |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| time.0.as_millisecond();
        let created = meta.creation_timestamp.as_ref().map_or(0, millis);
        Some(Self {
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            framework_uid: owner.framework_uid.clone(),
            framework_id: mesos.framework_id.clone(),
            task_id: mesos.task_id.clone(),
            executor_id: mesos.executor_id.clone(),
            executor_name: task.spec.executor_name.clone(),
            executor_info: mesos.executor_info.clone().or_else(|| {
                let executor = mesos.task_info.as_ref()?.get("executor");
                executor.filter(|_| task.spec.executor_name.is_none()).cloned()
            }),
            agent: task.spec.agent_name.clone().unwrap_or_default(),
            incarnation: owner.incarnation,
            state: status.map_or(TaskState::Pending, |status| status.state),
            reason: status.and_then(|status| status.reason.clone()),
            message: status.and_then(|status| status.message.clone()),
            updates: told.map(|told| told.updates.clone()).unwrap_or_default(),
            acknowledged: told.and_then(|told| told.acknowledged.clone()),
            deleted: meta.deletion_timestamp.is_some(),
            held_by_agent: held(AGENT_FINALIZER),
            held_by_scheduler: held(SCHEDULER_FINALIZER),
            kill: task.spec.kill,
            grace_seconds: task.spec.grace_seconds(),
            exit_code: container.and_then(|container| container.exit_code),
            signal: container.and_then(|container| container.signal),
            created,
            ended: container
                .and_then(|container| container.finished_at.as_ref())
                .map_or(created, millis),
        })
    }

    /// Whether this is an executor and not a task.
    #[must_use]
    pub fn is_executor(&self) -> bool {
        self.task_id.is_none()
    }

    /// Whether this is a task under the DEFAULT executor.
    #[must_use]
    pub fn is_grouped(&self) -> bool {
        self.task_id.is_some() && self.executor_id.is_some() && self.executor_name.is_none()
    }

    /// Whether nothing of it is left on its agent, though nobody said how it ended.
    #[must_use]
    pub fn has_vanished(&self) -> bool {
        self.deleted && !self.held_by_agent && !self.state.is_terminal()
    }

    /// Whether the framework may still think of it as its own: it has not ended, or its scheduler has
    /// not acknowledged that it did. Its id is not free before.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.held_by_scheduler || !self.state.is_terminal()
    }
}

/// The rows of one framework.
///
/// **Invariant:** the indexes name exactly the rows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    rows: BTreeMap<String, TaskRow>,
    /// Names by task id and incarnation.
    tasks: BTreeMap<String, BTreeMap<i64, String>>,
    /// Names by agent, executor id and incarnation.
    executors: BTreeMap<(String, String), BTreeMap<i64, String>>,
    /// Names of tasks under the DEFAULT executor, by agent and executor id.
    grouped: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Rows {
    /// Takes in a row, in place of the one of that name.
    pub fn insert(&mut self, row: TaskRow) {
        self.remove(&row.name);
        self.names(&row).insert(row.incarnation, row.name.clone());
        if row.is_grouped() {
            self.grouped.entry(executor_key(&row)).or_default().insert(row.name.clone());
        }
        self.rows.insert(row.name.clone(), row);
    }

    /// Forgets a row.
    pub fn remove(&mut self, name: &str) -> Option<TaskRow> {
        let row = self.rows.remove(name)?;
        if row.is_grouped() {
            let key = executor_key(&row);
            if let Some(names) = self.grouped.get_mut(&key) {
                names.remove(name);
                if names.is_empty() {
                    self.grouped.remove(&key);
                }
            }
        }
        let names = self.names(&row);
        names.remove(&row.incarnation);
        if names.is_empty() {
            match &row.task_id {
                Some(task_id) => {
                    self.tasks.remove(task_id);
                }
                None => {
                    self.executors.remove(&executor_key(&row));
                }
            }
        }
        Some(row)
    }

    fn names(&mut self, row: &TaskRow) -> &mut BTreeMap<i64, String> {
        match &row.task_id {
            Some(task_id) => self.tasks.entry(task_id.clone()).or_default(),
            None => self.executors.entry(executor_key(row)).or_default(),
        }
    }

    /// The row of a record.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TaskRow> {
        self.rows.get(name)
    }

    /// All rows, by name.
    pub fn iter(&self) -> impl Iterator<Item = &TaskRow> {
        self.rows.values()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The newest record of a task.
    #[must_use]
    pub fn task(&self, task_id: &str) -> Option<&TaskRow> {
        self.rows.get(self.tasks.get(task_id)?.last_key_value()?.1)
    }

    /// The newest record of an executor on an agent.
    #[must_use]
    pub fn executor(&self, agent: &str, executor_id: &str) -> Option<&TaskRow> {
        let key = (agent.to_owned(), executor_id.to_owned());
        self.rows.get(self.executors.get(&key)?.last_key_value()?.1)
    }

    /// The tasks on an agent that have not ended and run under the DEFAULT executor of this id.
    pub fn grouped(&self, agent: &str, executor_id: &str) -> impl Iterator<Item = &TaskRow> {
        let names = self.grouped.get(&(agent.to_owned(), executor_id.to_owned()));
        let rows = names.into_iter().flatten().filter_map(|name| self.rows.get(name));
        rows.filter(|row| !row.state.is_terminal())
    }

    /// Whether anything on an agent is not known to have ended or to be out of reach.
    #[must_use]
    pub fn any_on(&self, agent: &str) -> bool {
        self.rows.values().filter(|row| row.agent == agent).any(|row| {
            let over = row.state.is_terminal() || row.has_vanished();
            !over && row.state != TaskState::Unreachable
        })
    }

    /// The ids of the executors on an agent that have not ended, in order.
    #[must_use]
    pub fn executors_on(&self, agent: &str) -> Vec<String> {
        let from = (agent.to_owned(), String::new());
        let custom = self
            .executors
            .range(from.clone()..)
            .take_while(|((on, _), _)| on == agent)
            .filter(|((_, id), _)| {
                self.executor(agent, id).is_some_and(|row| !row.state.is_terminal())
            })
            .map(|((_, id), _)| id.clone());
        let grouped = self
            .grouped
            .range(from..)
            .take_while(|((on, _), _)| on == agent)
            .filter(|((_, id), _)| self.grouped(agent, id).next().is_some())
            .map(|((_, id), _)| id.clone());
        custom.chain(grouped).collect::<BTreeSet<String>>().into_iter().collect()
    }
}

fn executor_key(row: &TaskRow) -> (String, String) {
    (row.agent.clone(), row.executor_id.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests;
