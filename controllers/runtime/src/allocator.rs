//! Carries out the allocator's decisions.
//!
//! Followers only feed it ([`follow`]), so that a new leader can decide at once. The leader
//! ([`Shell::lead`]) takes a batch of placements and of offers at a time. Placements are written
//! concurrently: the allocator assumes each when it decides it; the answer confirms it, or the record
//! is read again and the assumption is forgotten. Offers go to the seats; what is launched on them
//! is assumed, created, and then told by its rows.

mod commands;
mod convert;
mod launch;
mod lead;
mod pending;
mod place;
mod roles;
mod seats;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use meseta_planning::allocator::{Allocator, Placement};
use tokio::sync::Mutex;

use self::pending::Waiting;
use self::place::{Order, Settled};
use self::roles::Automatic;
use crate::cluster::{Cluster, Key};

/// How long a follower lets changes gather.
const FOLLOWER_WINDOW: Duration = Duration::from_millis(50);

/// The allocator with what the shell has to remember.
pub(crate) struct Shell {
    allocator: Allocator,
    /// Paths of the roles by name of the record; a removal tells the name only.
    role_paths: BTreeMap<String, String>,
    /// Tasks without an agent.
    waiting: BTreeMap<Key, Waiting>,
    /// Where the look at `waiting` goes on.
    next_explained: Option<Key>,
    /// Tasks whose placement is being written.
    placing: BTreeSet<Key>,
    /// Tasks that were launched on offers and whose record is being created.
    launching: BTreeSet<Key>,
    /// Placements and launches of which nobody knows whether they were written.
    unsettled: BTreeSet<Key>,
    /// Tasks whose placement the server refused, in the version it refused.
    refused: BTreeMap<Key, String>,
    /// Roles that come and go by themselves.
    automatic: Automatic,
    /// When something was written about a role, by name; forgotten when it may be again.
    roles_reported: BTreeMap<String, tokio::time::Instant>,
}

/// Keeps the allocator's state warm; ends only when it is dropped.
pub(crate) async fn follow(cluster: &Cluster, shell: &Mutex<Shell>) -> Infallible {
    loop {
        cluster.changed.notified().await;
        shell.lock().await.absorb(cluster);
        tokio::time::sleep(FOLLOWER_WINDOW).await;
    }
}

impl Shell {
    /// `unused_roles`: how long the record of a role that came by itself stays when nothing uses it.
    pub(crate) fn new(unused_roles: Duration) -> Self {
        Self {
            allocator: Allocator::new(),
            role_paths: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_explained: None,
            placing: BTreeSet::new(),
            launching: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            refused: BTreeMap::new(),
            automatic: Automatic::new(unused_roles),
            roles_reported: BTreeMap::new(),
        }
    }

    /// Forgets what earlier terms of this process assumed; the rows say what has come of it.
    fn settle_former_terms(&mut self, cluster: &Cluster) {
        for key in std::mem::take(&mut self.unsettled) {
            self.allocator.forget(&convert::task_key(&key));
            cluster.lock().changed.tasks.insert(key);
        }
    }

    /// Feeds the allocator with what has changed.
    fn absorb(&mut self, cluster: &Cluster) {
        let mut state = cluster.lock();
        let changed = std::mem::take(&mut state.changed);
        for name in changed.agents {
            match state.agents.get(&name) {
                Some(row) => self.allocator.upsert_agent(convert::agent(&name, row)),
                None => self.allocator.remove_agent(&name),
            }
        }
        for name in changed.roles {
            let former = self.role_paths.remove(&name);
            let now = state.roles.get(&name).map(|row| &row.path);
            if let Some(former) = former.filter(|former| Some(former) != now) {
                self.allocator.remove_role(&former);
            }
            if let Some(row) = state.roles.get(&name) {
                self.role_paths.insert(name, row.path.clone());
                self.allocator.upsert_role(convert::role(row));
            }
        }
        for key in changed.tasks {
            let task_key = convert::task_key(&key);
            let row = state.tasks.get(&key);
            let refused =
                row.is_some_and(|row| self.refused.get(&key).is_some_and(|v| *v == row.version));
            // Without an agent and on its way out: it needs none any more.
            let row = row.filter(|row| !refused && (!row.deleting || row.agent.is_some()));
            let Some(row) = row else {
                self.allocator.remove_task(&task_key);
                self.waiting.remove(&key);
                continue;
            };
            self.refused.remove(&key);
            self.allocator.upsert_task(convert::task(task_key, row));
            if row.agent.is_none() && !row.state.is_terminal() {
                self.waiting.entry(key).or_default();
            } else {
                self.waiting.remove(&key);
            }
        }
    }

    /// Placements, complete enough to be written.
    fn orders(&mut self, cluster: &Cluster, placements: Vec<Placement>) -> Vec<Order> {
        let state = cluster.lock();
        let mut orders = Vec::with_capacity(placements.len());
        for placement in placements {
            let key = convert::key(&placement.task);
            let row = state
                .tasks
                .get(&key)
                .filter(|row| row.uid == placement.uid && row.agent.is_none() && !row.deleting);
            match row {
                Some(row) => {
                    self.placing.insert(key.clone());
                    orders.push(Order {
                        key,
                        uid: placement.uid,
                        version: row.version.clone(),
                        finalizers: row.finalizers.clone(),
                        agent: placement.agent,
                    });
                }
                // The row has changed since it was absorbed; the change is about to be.
                None => self.allocator.forget(&placement.task),
            }
        }
        orders
    }

    /// Takes in what became of a placement.
    fn settle(&mut self, cluster: &Cluster, settled: Settled) {
        let key = settled.key().clone();
        let task_key = convert::task_key(&key);
        self.placing.remove(&key);
        match settled {
            Settled::Placed { task, .. } => {
                cluster.apply_task(&task, true);
                self.allocator.confirm(&task_key);
            }
            Settled::Observed { task, uid, .. } => {
                match task {
                    Some(task) if task.metadata.uid.as_ref() == Some(&uid) => {
                        cluster.apply_task(&task, true);
                    }
                    // That record is gone; a namesake comes through the watch.
                    _ => cluster.remove_task(&key, Some(&uid)),
                }
                self.allocator.forget(&task_key);
            }
            Settled::Refused { version, .. } => {
                self.allocator.forget(&task_key);
                self.refused.insert(key.clone(), version);
                cluster.lock().changed.tasks.insert(key);
            }
            Settled::Unknown { .. } => {
                self.unsettled.insert(key);
            }
        }
    }
}
