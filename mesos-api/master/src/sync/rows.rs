//! What the watches and own writes have shown, for one term.
//!
//! Rows are a view and may be out of date; whatever is decided from them is written with the uid
//! that was seen. An own write is applied at once, ahead of the watch, and an older version never
//! replaces a newer one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use meseta_crds::{Agent, Framework, Task};
use tokio::sync::Notify;

use crate::core::reconcile::Agent as Standing;
use crate::core::rows as core;

pub(crate) use agent::AgentRow;

mod agent;
mod frameworks;

/// How long an own write is believed while a list does not show it; by then a watch has told of it.
const OWN_WRITE_AHEAD: Duration = Duration::from_secs(5);

/// Ends that are remembered until the answers to writes that were under way have come.
const MAX_REMOVED: usize = 1024;

/// What has changed since it was looked at last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Uids of frameworks whose record changed, or tasks of it.
    pub(crate) frameworks: BTreeSet<String>,
    /// Names of agents.
    pub(crate) agents: BTreeSet<String>,
}

/// The rows; shared. Records are known by their names in the gateway's namespace.
#[derive(Default)]
pub(crate) struct Rows {
    state: Mutex<State>,
    /// Something is in [`State::changed`].
    wake: Notify,
}

#[derive(Default)]
struct State {
    frameworks: BTreeMap<String, Arc<Framework>>,
    /// By name: when this process wrote those that no watch has shown since.
    frameworks_written: BTreeMap<String, Instant>,
    /// By uid of the framework.
    tasks: BTreeMap<String, Tasks>,
    /// By name of the task: uid of its framework.
    owners: BTreeMap<String, String>,
    agents: BTreeMap<String, Arc<AgentRow>>,
    /// By uid of an executor: uid of its framework, and its id.
    executors: BTreeMap<String, (String, String)>,
    /// Uids of tasks whose end was seen, the latest last: the answer to an own write may come later.
    removed: VecDeque<String>,
    changed: Changed,
}

/// The tasks of one framework.
#[derive(Default)]
struct Tasks {
    /// Copied when it changes while somebody holds a snapshot.
    rows: Arc<core::Rows>,
    /// When this process wrote those that no watch has shown since.
    written: BTreeMap<String, Instant>,
    /// Names of those that changed since they were looked at.
    changed: BTreeSet<String>,
}

impl Rows {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change. Dropping the future loses none.
    pub(crate) async fn changed(&self) -> Changed {
        loop {
            let changed = std::mem::take(&mut self.lock().changed);
            if changed != Changed::default() {
                return changed;
            }
            self.wake.notified().await;
        }
    }

    /// Says that a task is to be looked at again, though its record has not changed.
    pub(crate) fn touch(&self, framework_uid: &str, name: &str) {
        let mut state = self.lock();
        if let Some(tasks) = state.tasks.get_mut(framework_uid) {
            tasks.changed.insert(name.to_owned());
            self.framework_changed(&mut state, framework_uid);
        }
    }

    /// Says that a framework is to be looked at again.
    pub(crate) fn touch_framework(&self, uid: &str) {
        self.framework_changed(&mut self.lock(), uid);
    }

    fn framework_changed(&self, state: &mut State, uid: &str) {
        state.changed.frameworks.insert(uid.to_owned());
        self.wake.notify_one();
    }

    fn agent_changed(&self, state: &mut State, name: &str) {
        state.changed.agents.insert(name.to_owned());
        self.wake.notify_one();
    }

    /// Looks at the tasks of a framework, its executors included; shortly, since everybody waits.
    pub(crate) fn with_tasks<T>(&self, framework_uid: &str, f: impl FnOnce(&core::Rows) -> T) -> T {
        let state = self.lock();
        match state.tasks.get(framework_uid) {
            Some(tasks) => f(&tasks.rows),
            None => f(&core::Rows::default()),
        }
    }

    /// The tasks of a framework as they are now, for who looks so long that others must not wait.
    pub(crate) fn snapshot(&self, framework_uid: &str) -> Arc<core::Rows> {
        let state = self.lock();
        state.tasks.get(framework_uid).map(|tasks| Arc::clone(&tasks.rows)).unwrap_or_default()
    }

    /// Names of the framework's tasks that changed since the last call, gone ones among them.
    pub(crate) fn take_changed(&self, framework_uid: &str) -> BTreeSet<String> {
        let mut state = self.lock();
        let Some(tasks) = state.tasks.get_mut(framework_uid) else { return BTreeSet::new() };
        let changed = std::mem::take(&mut tasks.changed);
        if tasks.rows.is_empty() {
            state.tasks.remove(framework_uid);
        }
        changed
    }

    /// Uid of the framework of the executor whose record has this uid, and the executor's id.
    pub(crate) fn executor(&self, uid: &str) -> Option<(String, String)> {
        self.lock().executors.get(uid).cloned()
    }

    /// One agent.
    pub(crate) fn agent(&self, name: &str) -> Option<Arc<AgentRow>> {
        self.lock().agents.get(name).cloned()
    }

    /// What is known of an agent.
    pub(crate) fn standing(&self, name: &str) -> Standing {
        match self.agent(name).map(|row| row.unreachable_since) {
            None => Standing::Unknown,
            Some(None) => Standing::Registered,
            Some(Some(since)) => Standing::Unreachable(since),
        }
    }

    /// Names of the tasks that a list which begins now must show.
    pub(super) fn task_names(&self) -> BTreeSet<String> {
        let state = self.lock();
        let ahead = |tasks: &Tasks, name: &str| {
            tasks.written.get(name).is_some_and(|when| when.elapsed() <= OWN_WRITE_AHEAD)
        };
        state
            .tasks
            .values()
            .flat_map(|tasks| tasks.rows.iter().filter(|row| !ahead(tasks, &row.name)))
            .map(|row| row.name.clone())
            .collect()
    }

    pub(super) fn agent_names(&self) -> BTreeSet<String> {
        self.lock().agents.keys().cloned().collect()
    }

    /// A task as a watch shows it.
    pub(super) fn apply_task(&self, task: &Task) {
        self.put_task(task, None);
    }

    /// A task as the answer to an own write shows it.
    pub(crate) fn wrote_task(&self, task: &Task) {
        self.put_task(task, Some(Instant::now()));
    }

    fn put_task(&self, task: &Task, written: Option<Instant>) {
        let Some(row) = core::TaskRow::of(task) else { return };
        let (name, uid) = (row.name.clone(), row.framework_uid.clone());
        let mut state = self.lock();
        if written.is_some() && state.removed.contains(&row.uid) {
            return;
        }
        if let Some(earlier) = state.owners.insert(name.clone(), uid.clone())
            && earlier != uid
            && let Some(tasks) = state.tasks.get_mut(&earlier)
        {
            Arc::make_mut(&mut tasks.rows).remove(&name);
        }
        let tasks = state.tasks.entry(uid.clone()).or_default();
        let version = (&*row.uid, &*row.resource_version);
        if tasks
            .rows
            .get(&name)
            .is_some_and(|known| !follows(version, (&*known.uid, &*known.resource_version)))
        {
            return;
        }
        match written {
            Some(when) => tasks.written.insert(name.clone(), when),
            None => tasks.written.remove(&name),
        };
        let executor = row.executor_id.clone().filter(|_| row.is_executor());
        let executor = executor.map(|id| (row.uid.clone(), (uid.clone(), id)));
        Arc::make_mut(&mut tasks.rows).insert(row);
        tasks.changed.insert(name);
        state.executors.extend(executor);
        self.framework_changed(&mut state, &uid);
    }

    /// A task that is gone.
    pub(crate) fn remove_task(&self, name: &str) {
        let mut state = self.lock();
        let Some(uid) = state.owners.remove(name) else { return };
        if let Some(tasks) = state.tasks.get_mut(&uid) {
            let removed = Arc::make_mut(&mut tasks.rows).remove(name);
            tasks.written.remove(name);
            tasks.changed.insert(name.to_owned());
            if let Some(row) = removed {
                state.executors.remove(&row.uid);
                state.removed.push_back(row.uid);
            }
            if state.removed.len() > MAX_REMOVED {
                state.removed.pop_front();
            }
        }
        self.framework_changed(&mut state, &uid);
    }

    pub(super) fn apply_agent(&self, agent: &Agent) {
        let name = agent.name_any();
        let row = Arc::new(AgentRow::new(agent));
        let mut state = self.lock();
        let before = state.agents.insert(name.clone(), Arc::clone(&row));
        if before != Some(row) {
            self.agent_changed(&mut state, &name);
        }
    }

    pub(super) fn remove_agent(&self, name: &str) {
        let mut state = self.lock();
        if state.agents.remove(name).is_some() {
            self.agent_changed(&mut state, name);
        }
    }
}

/// Whether a record, given by uid and version, is another than `old` or a later version of it.
fn follows(new: (&str, &str), old: (&str, &str)) -> bool {
    let version = |text: &str| -> u64 { text.parse().unwrap_or_default() };
    new.0 != old.0 || version(new.1) > version(old.1)
}

#[cfg(test)]
mod tests;
