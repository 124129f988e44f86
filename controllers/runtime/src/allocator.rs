//! Carries out the allocator's decisions.
//!
//! Followers only feed it ([`follow`]), so that a new leader can decide at once. The leader
//! ([`Shell::lead`]) gathers what has changed within a short window, takes a batch of placements,
//! and writes them concurrently. The allocator assumes each placement when it decides it; the
//! answer confirms it, or the record is read again and the assumption is forgotten.

mod convert;
mod pending;
mod place;
mod roles;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use meseta_planning::allocator::Allocator;
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::pending::Waiting;
use self::place::{Order, Settled};
use crate::cluster::{Cluster, Key};
use crate::write::Writer;

/// Changes that come within it are decided on together; a burst of tasks is one batch, and a single
/// task hardly notices.
const WINDOW: Duration = Duration::from_millis(2);
/// Placements under way at the same time: a few groups of the store's commit.
const MAX_PLACING: usize = 256;
/// Explanations and statuses under way at the same time.
const MAX_REPORTING: usize = 16;
/// Time between two looks at what is pending.
const TICK: Duration = Duration::from_millis(200);
/// How long a follower lets changes gather.
const FOLLOWER_WINDOW: Duration = Duration::from_millis(50);
/// After so long a task whose placement the server refused is tried again without a change.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

/// The allocator with what the shell has to remember.
pub(crate) struct Shell {
    allocator: Allocator,
    /// Paths of the roles by name of the record; a removal tells the name only.
    role_paths: BTreeMap<String, String>,
    /// Paths that tasks have named.
    used_paths: BTreeSet<String>,
    /// Tasks without an agent.
    waiting: BTreeMap<Key, Waiting>,
    /// Where the look at `waiting` goes on.
    next_explained: Option<Key>,
    /// Tasks whose placement is being written.
    placing: BTreeSet<Key>,
    /// Placements of which nobody knows whether they were written.
    unsettled: BTreeSet<Key>,
    /// Tasks whose placement the server refused, in the version it refused.
    refused: BTreeMap<Key, String>,
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
    pub(crate) fn new() -> Self {
        Self {
            allocator: Allocator::new(),
            role_paths: BTreeMap::new(),
            used_paths: BTreeSet::new(),
            waiting: BTreeMap::new(),
            next_explained: None,
            placing: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            refused: BTreeMap::new(),
            roles_reported: BTreeMap::new(),
        }
    }

    /// Places tasks until `stop`. The rows have to be as new as the lease.
    pub(crate) async fn lead(
        &mut self,
        cluster: &Cluster,
        writer: &Writer,
        stop: &CancellationToken,
    ) {
        self.settle_former_terms(cluster);
        let mut placing: FuturesUnordered<BoxFuture<'_, Settled>> = FuturesUnordered::new();
        let mut reporting: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retry_refused = tokio::time::interval(REFUSED_RETRY);
        loop {
            self.absorb(cluster);
            for order in self.decide(cluster, MAX_PLACING - placing.len()) {
                placing.push(Box::pin(place::place(writer, order, stop)));
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(settled) = placing.next() => self.settle(cluster, settled),
                Some(()) = reporting.next() => {}
                () = cluster.changed.notified() => tokio::time::sleep(WINDOW).await,
                _ = ticks.tick() => {
                    let room = MAX_REPORTING - reporting.len().min(MAX_REPORTING);
                    for report in self.reports(cluster, room) {
                        reporting.push(Box::pin(report.write(cluster, writer)));
                    }
                }
                _ = retry_refused.tick() => {
                    let refused = std::mem::take(&mut self.refused);
                    cluster.lock().changed.tasks.extend(refused.into_keys());
                }
            }
        }
        // Writes under way are bounded in time; what they did should be known to the next term.
        while let Some(settled) = placing.next().await {
            self.settle(cluster, settled);
        }
        while reporting.next().await.is_some() {}
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
            if !self.used_paths.contains(&row.role) {
                self.used_paths.insert(row.role.clone());
            }
            self.allocator.upsert_task(convert::task(task_key, row));
            if row.agent.is_none() && !row.state.is_terminal() {
                self.waiting.entry(key).or_default();
            } else {
                self.waiting.remove(&key);
            }
        }
    }

    /// The next placements, complete enough to be written.
    fn decide(&mut self, cluster: &Cluster, room: usize) -> Vec<Order> {
        if room == 0 {
            return Vec::new();
        }
        let placements = self.allocator.allocate(room);
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
                self.absorb(cluster);
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
