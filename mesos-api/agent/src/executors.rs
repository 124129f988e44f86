//! The executors of an agent: the handle by which the agent drives them.

mod slot;
mod take;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use meseta_mesos_wire::v1;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backend::{Backend, ExecutorFacts, Killed, Launch, Refused, Standing, Undelivered};
use crate::session::Acknowledgement;
pub(crate) use slot::{Slot, Turn};
pub(crate) use take::{NotTaken, take_brought, take_update};

/// The executors of one agent. Clones are the same; no method blocks.
#[derive(Clone)]
pub struct Executors {
    shared: Arc<Shared>,
}

struct Shared {
    agent: v1::AgentInfo,
    ip: Option<IpAddr>,
    backend: Arc<dyn Backend>,
    /// Where the time of sessions begins.
    origin: Instant,
    recovered: AtomicBool,
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    by_uid: BTreeMap<String, Arc<Slot>>,
    /// By the Mesos ids of framework and executor.
    by_ids: BTreeMap<(String, String), Arc<Slot>>,
}

/// Another executor of the same Mesos ids is still expected: its container may run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("executor {uid} has these ids and is not forgotten")]
pub struct Occupied {
    /// Uid of that executor's record.
    pub uid: String,
}

/// Whom a call is about.
pub(crate) enum Found {
    Executor(Arc<Slot>),
    NoExecutor,
    NoFramework,
}

impl Executors {
    /// No executors yet, and none are served before [`recovered`](Self::recovered).
    ///
    /// `agent` is what executors are told; its id is what their updates are from. `ip` is where
    /// schedulers reach the machine's containers; it is put into updates that do not say it.
    #[must_use]
    pub fn new(agent: v1::AgentInfo, ip: Option<IpAddr>, backend: Arc<dyn Backend>) -> Self {
        Self {
            shared: Arc::new(Shared {
                agent,
                ip,
                backend,
                origin: Instant::now(),
                recovered: AtomicBool::new(false),
                registry: Mutex::default(),
            }),
        }
    }

    /// Lets an executor subscribe. Called before its container is started, and for each that was
    /// found running. For a known uid this changes nothing and gives the same watch; the watch ends
    /// when the executor is forgotten.
    ///
    /// # Errors
    /// Executors are known to their programs by Mesos' ids alone, so the older one of the same ids
    /// has to be forgotten first, after its container is gone.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn expect(&self, facts: ExecutorFacts) -> Result<watch::Receiver<Standing>, Occupied> {
        let ids = (facts.framework_id.clone(), facts.executor_id.clone());
        let mut registry = self.registry();
        if let Some(slot) = registry.by_uid.get(&facts.uid) {
            return Ok(slot.standing());
        }
        if let Some(older) = registry.by_ids.get(&ids) {
            return Err(Occupied { uid: older.facts().uid.clone() });
        }
        let uid = facts.uid.clone();
        let slot = Arc::new(Slot::new(facts, self.shared.origin));
        slot.arm();
        registry.by_ids.insert(ids, Arc::clone(&slot));
        registry.by_uid.insert(uid, Arc::clone(&slot));
        Ok(slot.standing())
    }

    /// Everything that was found is told: executors are served from here on.
    pub fn recovered(&self) {
        self.shared.recovered.store(true, Ordering::Release);
    }

    /// Has a task handed over to its executor. A repeat changes nothing, until the task
    /// [`ended`](Self::ended).
    ///
    /// # Errors
    /// Nothing was taken.
    pub fn launch(&self, executor: &str, launch: Launch) -> Result<(), Refused> {
        let slot = self.by_uid(executor).ok_or(Refused::NoExecutor)?;
        slot.change(|session| session.launch(vec![launch], false))
    }

    /// Has the tasks of a group handed over as one, in this order; all that are not over. Otherwise
    /// like [`launch`](Self::launch).
    ///
    /// # Errors
    /// Nothing was taken.
    pub fn launch_group(&self, executor: &str, tasks: Vec<Launch>) -> Result<(), Refused> {
        let slot = self.by_uid(executor).ok_or(Refused::NoExecutor)?;
        slot.change(|session| session.launch(tasks, true))
    }

    /// Has updates of a task that is over known as stored, so that they are acknowledged when the
    /// executor repeats them.
    pub fn remember(
        &self,
        executor: &str,
        task_id: &str,
        uuids: impl IntoIterator<Item = Vec<u8>>,
    ) {
        let Some(slot) = self.by_uid(executor) else { return };
        let acknowledgements =
            uuids.into_iter().map(|uuid| Acknowledgement { task_id: task_id.to_owned(), uuid });
        slot.quietly(|session| acknowledgements.for_each(|each| session.remember(each)));
    }

    /// Has the executor told to end a task, if it was handed over. The same wish changes nothing; with
    /// another policy, or asked for again more often, it is told again.
    pub fn kill(
        &self,
        executor: &str,
        task: &str,
        policy: Option<v1::KillPolicy>,
        repeats: i64,
    ) -> Killed {
        let Some(slot) = self.by_uid(executor) else { return Killed::NotHere };
        slot.change(|session| session.kill(task, policy, repeats))
    }

    /// Has the executor told to end itself and its tasks. After `grace` without an end of its
    /// container, [`Standing::grace_over`] is set; a later call can only shorten it.
    ///
    /// Returns the uids of the tasks that were not handed over, and never will be.
    pub fn shutdown(&self, executor: &str, grace: Duration) -> Vec<String> {
        let Some(slot) = self.by_uid(executor) else { return Vec::new() };
        let deadline = slot.now().saturating_add(grace);
        let (uids, armed) = slot.change(|session| {
            let before = session.deadline();
            (session.shutdown(deadline), session.deadline() != before)
        });
        if armed {
            slot.arm();
        }
        uids
    }

    /// Sends a message of the scheduler to the executor; best effort.
    ///
    /// # Errors
    /// It was not taken.
    pub fn message(&self, executor: &str, data: Bytes) -> Result<(), Undelivered> {
        let slot = self.by_uid(executor).ok_or(Undelivered::NotConnected)?;
        slot.change(|session| session.message(data))
    }

    /// Forgets a task that is over and whose updates are all stored. From here on the executor's
    /// updates of it are acknowledged and lost, and its Mesos id and its uid are free.
    pub fn ended(&self, executor: &str, task: &str) {
        if let Some(slot) = self.by_uid(executor) {
            slot.change(|session| session.ended(task));
        }
    }

    /// Whether the executor has a stream.
    #[must_use]
    pub fn connected(&self, executor: &str) -> bool {
        self.by_uid(executor).is_some_and(|slot| slot.quietly(|session| session.connected()))
    }

    /// Forgets an executor whose container is gone: its stream ends, its calls are refused.
    pub fn forget(&self, executor: &str) {
        let mut registry = self.registry();
        let Some(slot) = registry.by_uid.remove(executor) else { return };
        let facts = slot.facts();
        registry.by_ids.remove(&(facts.framework_id.clone(), facts.executor_id.clone()));
        drop(registry);
        slot.change(|session| session.close());
    }

    pub(crate) fn is_recovered(&self) -> bool {
        self.shared.recovered.load(Ordering::Acquire)
    }

    pub(crate) fn agent(&self) -> &v1::AgentInfo {
        &self.shared.agent
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.shared.ip
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    pub(crate) fn find(&self, framework_id: &str, executor_id: &str) -> Found {
        let registry = self.registry();
        let ids = (framework_id.to_owned(), executor_id.to_owned());
        if let Some(slot) = registry.by_ids.get(&ids) {
            return Found::Executor(Arc::clone(slot));
        }
        let mut of_framework = registry.by_ids.range((framework_id.to_owned(), String::new())..);
        match of_framework.next() {
            Some(((framework, _), _)) if framework == framework_id => Found::NoExecutor,
            _ => Found::NoFramework,
        }
    }

    fn by_uid(&self, uid: &str) -> Option<Arc<Slot>> {
        self.registry().by_uid.get(uid).cloned()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Executors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executors").finish_non_exhaustive()
    }
}
