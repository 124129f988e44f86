//! What the watches have shown, as compact rows shared by all controllers.
//!
//! Rows are only a view, and may be out of date; every write that is decided from them carries the
//! version or uid that was seen. Indexes are kept beside the rows, so that a pass over one framework
//! or agent looks only at its own tasks.

mod rows;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt as _;
use meseta_crds::{Agent, Framework, FrameworkRole, Task};
use tokio::sync::Notify;

pub(crate) use rows::{AgentRow, Key, OWN_WRITE_AHEAD, RoleRow, TaskRow, unsaid};

use crate::clock::Boottime;
use crate::queue::Queue;

/// The rows and who waits for changes of them.
pub(crate) struct Cluster {
    state: Mutex<State>,
    /// Frameworks of which something has changed.
    pub(crate) frameworks: Queue<Key>,
    /// Something in [`State::changed`].
    pub(crate) changed: Notify,
}

/// All rows.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) tasks: BTreeMap<Key, TaskRow>,
    pub(crate) frameworks: BTreeMap<Key, Arc<Framework>>,
    pub(crate) agents: BTreeMap<String, AgentRow>,
    pub(crate) roles: BTreeMap<String, RoleRow>,
    /// By agent: the last heartbeat, and when this process saw it.
    pub(crate) heartbeats: BTreeMap<String, Heartbeat>,
    /// By uid of the framework.
    pub(crate) tasks_of_framework: BTreeMap<String, BTreeSet<Key>>,
    /// By name of the agent: tasks that have it.
    pub(crate) tasks_of_agent: BTreeMap<String, BTreeSet<Key>>,
    /// By path of the role: how many tasks have it.
    tasks_of_role: BTreeMap<String, usize>,
    /// Terminal tasks that were applied alone.
    pub(crate) finished_alone: BTreeSet<Key>,
    /// Uids of framework tasks whose end a watch has told of, the latest last, and when.
    removed: VecDeque<(String, Boottime)>,
    /// The same uids, to look up.
    removed_uids: BTreeSet<String>,
    /// What the allocator has not seen yet.
    pub(crate) changed: Changed,
}

/// Keys of changed rows; what is not in the rows any more was removed.
#[derive(Default)]
pub(crate) struct Changed {
    pub(crate) tasks: BTreeSet<Key>,
    pub(crate) agents: BTreeSet<String>,
    pub(crate) roles: BTreeSet<String>,
}

/// A sign of life.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    /// Resource version of the lease.
    pub(crate) version: String,
    /// When it was seen first.
    pub(crate) seen: Boottime,
}

impl Cluster {
    pub(crate) fn new(frameworks: Queue<Key>) -> Self {
        Self { state: Mutex::default(), frameworks, changed: Notify::new() }
    }

    /// The rows; held for a look or a change, never across an `await`.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a task from a watch, or from the answer to a write of this process (`own_write`).
    pub(crate) fn apply_task(&self, task: &Task, own_write: bool) {
        let key = Key::of(task);
        let row = TaskRow::new(task, own_write.then(Boottime::now));
        let owner = row.owner_key(&key);
        let mut state = self.lock();
        match state.tasks.get(&key) {
            // What this process wrote is newer than what a watch still has to tell.
            Some(known) if known.is_ahead_of(&row) => return,
            // An answer that arrives after the watch has told of the end of the record, or of what
            // came later: nothing would ever correct the older row.
            None if own_write => return,
            Some(known) if own_write && !row.follows(known) => return,
            _ => {}
        }
        state.remove_task(&key);
        state.insert_task(key.clone(), row);
        state.changed.tasks.insert(key);
        drop(state);
        self.changed.notify_one();
        if let Some(owner) = owner {
            self.frameworks.add(owner);
        }
    }

    /// Takes in a task that this process has created; says whether its record is still there as far
    /// as the watch has told.
    pub(crate) fn apply_created(&self, task: &Task) -> bool {
        let key = Key::of(task);
        let uid = task.metadata.uid.as_deref().unwrap_or_default();
        {
            let mut state = self.lock();
            match state.tasks.get(&key) {
                Some(known) => {
                    let found = known.uid == uid;
                    drop(state);
                    self.apply_task(task, true);
                    return found;
                }
                None if state.was_removed(uid) => return false,
                None => {}
            }
            state.insert_task(key.clone(), TaskRow::new(task, Some(Boottime::now())));
            state.changed.tasks.insert(key);
        }
        self.changed.notify_one();
        true
    }

    /// Forgets a task whose record is gone; with `uid`, only if it is that record.
    pub(crate) fn remove_task(&self, key: &Key, uid: Option<&str>) {
        let mut state = self.lock();
        let Some(row) = state.tasks.get(key) else { return };
        if uid.is_some_and(|uid| row.uid != uid) {
            return;
        }
        let owner = row.owner_key(key);
        if row.owner.is_some() {
            let uid = row.uid.clone();
            state.note_removed(uid);
        }
        state.remove_task(key);
        state.changed.tasks.insert(key.clone());
        drop(state);
        self.changed.notify_one();
        if let Some(owner) = owner {
            self.frameworks.add(owner);
        }
    }

    pub(crate) fn apply_framework(&self, framework: Framework, own_write: bool) {
        let key = Key::of(&framework);
        let mut state = self.lock();
        let known = state.frameworks.get(&key);
        if own_write && known.is_none_or(|known| !follows(&framework, known)) {
            return;
        }
        // An own status write wakes nobody: it says what was seen.
        let wake = !own_write && known.is_none_or(|known| !same_but_status(known, &framework));
        state.frameworks.insert(key.clone(), Arc::new(framework));
        drop(state);
        if wake {
            self.frameworks.add(key);
        }
    }

    pub(crate) fn remove_framework(&self, key: &Key) {
        self.lock().frameworks.remove(key);
        self.frameworks.forget(key);
        self.frameworks.add(key.clone());
    }

    pub(crate) fn apply_agent(&self, agent: &Agent) {
        let name = agent.name_any();
        let mut state = self.lock();
        state
            .heartbeats
            .entry(name.clone())
            .or_insert_with(|| Heartbeat { version: String::new(), seen: Boottime::now() });
        state.agents.insert(name.clone(), AgentRow::new(agent));
        state.changed.agents.insert(name);
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn remove_agent(&self, name: &str) {
        let mut state = self.lock();
        state.agents.remove(name);
        state.heartbeats.remove(name);
        state.changed.agents.insert(name.to_owned());
        drop(state);
        self.changed.notify_one();
    }

    /// Takes in an agent's lease; only a change of it is a sign of life.
    pub(crate) fn apply_heartbeat(&self, agent: &str, version: String) {
        let mut state = self.lock();
        let known = state.heartbeats.get(agent);
        if known.is_none_or(|known| known.version != version) {
            let heartbeat = Heartbeat { version, seen: Boottime::now() };
            state.heartbeats.insert(agent.to_owned(), heartbeat);
        }
    }

    pub(crate) fn apply_role(&self, role: &FrameworkRole) {
        let name = role.name_any();
        let mut state = self.lock();
        state.roles.insert(name.clone(), RoleRow::new(role));
        state.changed.roles.insert(name);
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn remove_role(&self, name: &str) {
        let mut state = self.lock();
        state.roles.remove(name);
        state.changed.roles.insert(name.to_owned());
        drop(state);
        self.changed.notify_one();
    }
}

impl State {
    fn insert_task(&mut self, key: Key, row: TaskRow) {
        if let Some(owner) = &row.owner {
            let tasks = self.tasks_of_framework.entry(owner.framework_uid.clone()).or_default();
            tasks.insert(key.clone());
        } else if row.state.is_terminal() {
            self.finished_alone.insert(key.clone());
        }
        if let Some(agent) = &row.agent {
            self.tasks_of_agent.entry(agent.clone()).or_default().insert(key.clone());
        }
        match self.tasks_of_role.get_mut(&row.role) {
            Some(count) => *count += 1,
            None => drop(self.tasks_of_role.insert(row.role.clone(), 1)),
        }
        self.tasks.insert(key, row);
    }

    fn note_removed(&mut self, uid: String) {
        while self.removed.front().is_some_and(|(_, at)| at.elapsed() > OWN_WRITE_AHEAD) {
            if let Some((forgotten, _)) = self.removed.pop_front() {
                self.removed_uids.remove(&forgotten);
            }
        }
        self.removed_uids.insert(uid.clone());
        self.removed.push_back((uid, Boottime::now()));
    }

    fn remove_task(&mut self, key: &Key) {
        let Some(row) = self.tasks.remove(key) else { return };
        if let Some(owner) = &row.owner {
            remove_from(&mut self.tasks_of_framework, &owner.framework_uid, key);
        }
        if let Some(agent) = &row.agent {
            remove_from(&mut self.tasks_of_agent, agent, key);
        }
        if let Some(count) = self.tasks_of_role.get_mut(&row.role) {
            *count -= 1;
            if *count == 0 {
                self.tasks_of_role.remove(&row.role);
            }
        }
        self.finished_alone.remove(key);
    }

    /// Whether a watch has told, not long ago, that this record is gone.
    pub(crate) fn was_removed(&self, uid: &str) -> bool {
        self.removed_uids.contains(uid)
    }

    /// Paths of the roles that tasks or frameworks have.
    pub(crate) fn used_roles(&self) -> BTreeSet<&str> {
        let of_tasks = self.tasks_of_role.keys().map(String::as_str);
        let of_frameworks = self.frameworks.values().map(|framework| framework.spec.role.as_str());
        of_tasks.chain(of_frameworks).collect()
    }

    /// The tasks of a framework.
    pub(crate) fn framework_tasks(&self, uid: &str) -> impl Iterator<Item = (&Key, &TaskRow)> {
        let keys = self.tasks_of_framework.get(uid).into_iter().flatten();
        keys.filter_map(|key| self.tasks.get_key_value(key))
    }

    /// The tasks of an agent.
    pub(crate) fn agent_tasks(&self, agent: &str) -> impl Iterator<Item = (&Key, &TaskRow)> {
        let keys = self.tasks_of_agent.get(agent).into_iter().flatten();
        keys.filter_map(|key| self.tasks.get_key_value(key))
    }
}

fn remove_from(index: &mut BTreeMap<String, BTreeSet<Key>>, entry: &str, key: &Key) {
    if let Some(keys) = index.get_mut(entry) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(entry);
        }
    }
}

/// Whether `new` is a later version of the record of `known`.
fn follows(new: &Framework, known: &Framework) -> bool {
    let version = |framework: &Framework| {
        rows::version_number(framework.metadata.resource_version.as_deref().unwrap_or_default())
    };
    new.metadata.uid == known.metadata.uid && version(new) > version(known)
}

fn same_but_status(one: &Framework, other: &Framework) -> bool {
    one.metadata.uid == other.metadata.uid
        && one.metadata.generation == other.metadata.generation
        && one.metadata.deletion_timestamp == other.metadata.deletion_timestamp
        && one.status == other.status
}

#[cfg(test)]
mod tests;
