//! The top loop: what the records want, what is here, and an owner for each task.
//!
//! ```text
//!  watch: spec.agentName = us ──► records ─┐
//!                                          ├─► plan (pure) ─► owners begin, sandboxes go
//!  disk at the start ──► owners, sandboxes ┘                    │
//!        ▲                                                      ▼
//!        └───────────────── an owner ends: nothing left, or a sandbox
//! ```
//!
//! Owners of what was found on the disk begin before the API server is asked for anything: what runs
//! is watched even if nobody answers. New tasks begin when all records were listed once and the
//! agent's own record says which store they are from.

mod owners;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use meseta_crds::Task;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::checkpoint::{Accepted, Outcome};
use crate::fingerprint::Disk;
use crate::gc::Chores;
use crate::mesos::journal::Journal;
use crate::node::{Node, run_id, unix_millis};
use crate::plan::{self, Action, Amounts, Local, Observed, Plan};
use crate::registration::Facts;
use crate::report::{self, Backoff, Record};
use crate::task::conclude::ORPHAN_KEPT;
use crate::task::request::millis;
use crate::task::{self, Begin, Left};
use owners::Owners;

/// Time between two looks at the disk, and for what can be removed.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The tasks of an agent.
pub(crate) struct Agent {
    node: Arc<Node>,
    capacity: Amounts,
    /// The records with this agent's name, by uid.
    records: BTreeMap<String, Arc<Task>>,
    /// What a list that is under way has shown so far.
    listing: Option<BTreeMap<String, Arc<Task>>>,
    /// Whether the records were listed once.
    complete: bool,
    owners: Owners,
    /// Sandboxes without an owner, and when their tasks ended.
    sandboxes: BTreeMap<String, i64>,
    /// Directories that do not say what they are of.
    unreadable: BTreeSet<String>,
    /// Records that nothing is to be done about, until the watch tells something new of them.
    settled: BTreeSet<String>,
    chores: Chores,
    facts: watch::Sender<Facts>,
}

impl Agent {
    /// Finds what is on the disk, and begins to watch over it.
    ///
    /// # Errors
    /// The agent's directory cannot be read.
    pub(crate) fn find(
        node: Arc<Node>,
        capacity: Amounts,
        facts: watch::Sender<Facts>,
    ) -> io::Result<Self> {
        let mut agent = Self {
            chores: Chores::new(Arc::clone(&node)),
            owners: Owners::new(Arc::clone(&node)),
            node,
            capacity,
            records: BTreeMap::new(),
            listing: None,
            complete: false,
            sandboxes: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            settled: BTreeSet::new(),
            facts,
        };
        for name in crate::directory::names(&agent.node.directory.tasks())? {
            match name.to_str() {
                Some(uid) => agent.adopt_from_disk(uid)?,
                None => tracing::warn!(?name, "a directory of no task is left alone"),
            }
        }
        let executors = agent.owners.accepted().filter(|owned| owned.spec.executor.is_some());
        executors.for_each(|executor| agent.node.mesos.expect_found(executor));
        agent.node.mesos.recover();
        let (owners, sandboxes) = (agent.owners.len(), agent.sandboxes.len());
        tracing::info!(owners, sandboxes, unreadable = agent.unreadable.len(), "tasks found");
        agent.chores.sweep_cgroups(&agent.known_runs());
        Ok(agent)
    }

    /// Runs until dropped; returns only if an owner or the watch cannot go on.
    pub(crate) async fn run(mut self, mut known_store: watch::Receiver<bool>) {
        let tasks: Api<Task> = Api::all(self.node.client.clone());
        let selector = format!("spec.agentName={}", self.node.name);
        let mut events = watcher(tasks, watcher::Config::default().fields(&selector)).boxed();
        let mut backoff = Backoff::default();
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut watch_after = Instant::now();
        loop {
            let next = async {
                tokio::time::sleep_until(watch_after).await;
                events.next().await
            };
            tokio::select! {
                event = next => match event {
                    Some(Ok(event)) => {
                        backoff.reset();
                        self.told(event);
                    }
                    Some(Err(err)) => {
                        let error = &err as &dyn std::error::Error;
                        tracing::debug!(error, "tasks are not watched");
                        watch_after = Instant::now() + backoff.next();
                    }
                    None => return,
                },
                Some((uid, left)) = self.owners.next_ended() => self.owner_ended(uid, left),
                Some(()) = self.chores.next() => {}
                changed = known_store.changed() => if changed.is_err() {
                    return;
                },
                _ = looks.tick() => self.look(),
            }
            if *known_store.borrow_and_update() {
                self.carry_out_plan();
            }
        }
    }

    /// Takes in what the watch tells.
    fn told(&mut self, event: Event<Task>) {
        match event {
            Event::Init => self.listing = Some(BTreeMap::new()),
            Event::InitApply(task) => {
                let listing = self.listing.get_or_insert_default();
                if let Some(uid) = task.metadata.uid.clone() {
                    listing.insert(uid, Arc::new(task));
                }
            }
            Event::InitDone => {
                self.records = self.listing.take().unwrap_or_default();
                self.complete = true;
                self.settled.clear();
                self.owners.tell_all(|uid| match self.records.get(uid) {
                    Some(task) => Record::Present(Arc::clone(task)),
                    None => Record::Missing,
                });
            }
            Event::Apply(task) => {
                let Some(uid) = task.metadata.uid.clone() else { return };
                let task = Arc::new(task);
                self.owners.tell(&uid, Record::Present(Arc::clone(&task)));
                self.settled.remove(&uid);
                self.records.insert(uid, task);
            }
            Event::Delete(task) => {
                let Some(uid) = task.metadata.uid.clone() else { return };
                self.records.remove(&uid);
                self.settled.remove(&uid);
                // Only a deletion that was asked for is one: a store can lose records.
                let record = if report::is_deleting(&task) {
                    Record::Deleted(Arc::new(task))
                } else {
                    Record::Missing
                };
                self.owners.tell(&uid, record);
                if self.sandboxes.remove(&uid).is_some() {
                    self.forget(&uid);
                }
            }
        }
    }

    fn carry_out_plan(&mut self) {
        if !self.complete {
            return;
        }
        let Plan { actions, seen_epoch, orphans } = plan::plan(&self.observe());
        // Remembered before anything is done about it, or nothing is done.
        if let Err(err) = self.node.memory.raise_epoch(seen_epoch) {
            let error = &err as &dyn std::error::Error;
            tracing::error!(error, seen_epoch, "the leader's epoch cannot be remembered");
            return;
        }
        for action in actions {
            self.carry_out(action);
        }
        let orphans: Vec<String> = orphans.iter().map(|uid| self.name_of(uid)).collect();
        self.facts.send_if_modified(|facts| {
            let changed = facts.orphans != orphans || facts.seen_epoch != seen_epoch;
            if facts.orphans != orphans {
                tracing::warn!(?orphans, "containers run whose records are missing");
            }
            facts.orphans = orphans;
            facts.seen_epoch = seen_epoch;
            changed
        });
    }

    fn observe(&self) -> Observed {
        let now = unix_millis();
        let mut used = Amounts::new();
        let mut local: BTreeMap<String, Local> = BTreeMap::new();
        for (accepted, uses) in self.owners.standing() {
            local.insert(accepted.uid.clone(), Local::Owned { ended: !uses });
            if uses {
                for (name, amount) in millis(&accepted.spec.resources) {
                    let sum = used.entry(name).or_default();
                    *sum = i64::saturating_add(*sum, amount);
                }
            }
        }
        let kept = i64::try_from(ORPHAN_KEPT.as_millis()).unwrap_or(i64::MAX);
        local.extend(self.sandboxes.iter().map(|(uid, ended)| {
            (uid.clone(), Local::Sandbox { kept_until: ended.saturating_add(kept) })
        }));
        local.extend(self.unreadable.iter().map(|uid| (uid.clone(), Local::Unreadable)));
        let rows = self.records.iter().map(|(uid, task)| {
            let decided = local.contains_key(uid) || self.settled.contains(uid);
            let row = if decided {
                rows::known(task)
            } else {
                rows::new(uid, task, self.executor_of(task))
            };
            (uid.clone(), row)
        });
        Observed {
            rows: rows.collect(),
            settled: self.settled.clone(),
            local,
            capacity: self.capacity.clone(),
            used,
            seen_epoch: self.node.memory.seen_epoch(),
            complete: self.complete,
            absence_is_believed: self.node.memory.absence_is_believed(now),
            now,
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Accept { uid } => {
                if let Some(task) = self.records.get(&uid) {
                    let accepted = task::accepted(task, self.executor_of(task));
                    tracing::info!(task = accepted.name, uid, "accepted");
                    self.begin(Begin::Accept(accepted.clone()), accepted);
                }
            }
            Action::Adopt { uid } => {
                self.unreadable.remove(&uid);
                self.sandboxes.remove(&uid);
                if let Err(err) = self.adopt(&uid) {
                    let error = &err as &dyn std::error::Error;
                    tracing::error!(error, uid, "a task's directory cannot be read");
                    self.unreadable.insert(uid);
                }
            }
            Action::Refuse { uid, state, reason, message } => {
                let Some(task) = self.records.get(&uid) else { return };
                let accepted = task::accepted(task, self.executor_of(task));
                tracing::info!(task = accepted.name, uid, ?state, reason, message, "not run");
                self.node.mesos.never_comes(&accepted, reason);
                let outcome = Outcome {
                    state,
                    reason: reason.to_owned(),
                    message,
                    container: rows::last_container(task),
                    ended_unix_millis: unix_millis(),
                };
                self.begin(Begin::Refuse(accepted.clone(), outcome), accepted);
            }
            Action::Forget { uid } => {
                self.sandboxes.remove(&uid);
                self.forget(&uid);
            }
        }
    }

    /// Gives a task an owner.
    fn begin(&mut self, begin: Begin, accepted: Accepted) {
        let record = match self.records.get(&accepted.uid) {
            Some(task) => Record::Present(Arc::clone(task)),
            None if self.complete => Record::Missing,
            None => Record::Unknown,
        };
        self.owners.begin(begin, accepted, record);
    }

    fn owner_ended(&mut self, uid: String, left: Option<Left>) {
        let Some(left) = left else {
            if let Err(err) = self.adopt_from_disk(&uid) {
                let error = &err as &dyn std::error::Error;
                tracing::error!(error, uid, "a task's directory cannot be read");
                self.unreadable.insert(uid);
            }
            return;
        };
        if left == Left::Sandbox {
            self.sandboxes.insert(uid.clone(), unix_millis());
        }
        if self.records.contains_key(&uid) {
            self.settled.insert(uid);
        }
    }

    /// Takes up what the disk says of a task.
    fn adopt_from_disk(&mut self, uid: &str) -> io::Result<()> {
        let directory = self.node.directory.task(uid);
        let checkpoint = directory.read()?;
        match (checkpoint.accepted, checkpoint.outcome) {
            (Some(_), Some(outcome)) if checkpoint.released => {
                self.sandboxes.insert(uid.to_owned(), outcome.ended_unix_millis);
            }
            (Some(accepted), _) => self.begin(Begin::Adopt(accepted.clone()), accepted),
            // Killed between the directory and its first file: nothing was begun.
            (None, _) if directory.runs()?.is_empty() && !Journal::is_in(&directory)? => {
                self.node.directory.discard(directory.path())?;
            }
            (None, _) => {
                tracing::error!(uid, "a directory does not say what task it is of");
                self.unreadable.insert(uid.to_owned());
            }
        }
        Ok(())
    }

    /// Gives a directory that is here an owner, with the help of its record.
    fn adopt(&mut self, uid: &str) -> io::Result<()> {
        let directory = self.node.directory.task(uid);
        let accepted = match directory.read()?.accepted {
            Some(accepted) => accepted,
            None => {
                let missing = || io::Error::other("its record has gone");
                let task = self.records.get(uid).ok_or_else(missing)?;
                let run = directory.runs()?.last().copied().unwrap_or(0);
                let accepted = Accepted { run, ..task::accepted(task, self.executor_of(task)) };
                directory.write_accepted(&accepted)?;
                accepted
            }
        };
        self.begin(Begin::Adopt(accepted.clone()), accepted);
        Ok(())
    }

    /// Uid of the executor that a task names, if that is placed here.
    fn executor_of(&self, task: &Task) -> Option<String> {
        let name = task.spec.executor_name.as_ref()?;
        let namespace = &task.metadata.namespace;
        let is_it = |other: &Task| {
            other.metadata.name.as_ref() == Some(name)
                && other.metadata.namespace == *namespace
                && other.spec.executor.is_some()
        };
        let found = self.records.iter().find(|(_, other)| is_it(other));
        found.map(|(uid, _)| uid.clone())
    }

    /// Removes the sandbox of a task whose record is gone.
    fn forget(&mut self, uid: &str) {
        tracing::info!(uid, "sandbox removed: its record is gone");
        self.chores.discard(self.node.directory.task(uid).path().to_owned());
    }

    fn look(&mut self) {
        let disk = Disk::look(self.node.directory.root());
        let full = disk != Disk::Available;
        self.facts.send_if_modified(|facts| {
            let changed = facts.disk != disk;
            if changed {
                tracing::warn!(?disk, "disk");
            }
            facts.disk = disk;
            changed
        });
        self.chores.collect_images(full);
        self.collect_volumes();
        // Here, where owners begin, and not beside it.
        self.node.remove_cgroups_if_idle();
    }

    fn collect_volumes(&mut self) {
        // Without the records nobody can say who may still come.
        if !self.complete || !self.node.memory.absence_is_believed(unix_millis()) {
            return;
        }
        let owned = self.owners.accepted().filter_map(|accepted| accepted.spec.owner.as_ref());
        let placed = self.records.values().filter_map(|task| task.spec.owner.as_ref());
        let used = owned.chain(placed).map(|owner| owner.framework_uid.clone()).collect();
        self.chores.collect_volumes(&used);
    }

    fn name_of(&self, uid: &str) -> String {
        match self.owners.get(uid) {
            Some(accepted) => format!("{}/{}", accepted.namespace, accepted.name),
            None => uid.to_owned(),
        }
    }

    /// Ids of the runs that somebody here looks after.
    fn known_runs(&self) -> BTreeSet<String> {
        let owned = self.owners.accepted();
        owned.map(|accepted| run_id(&accepted.uid, accepted.run)).collect()
    }
}

/// Where an agent that listens at `listening` is reached.
pub(crate) fn address(advertise: Option<&str>, listening: std::net::SocketAddr) -> String {
    match advertise {
        // A port that was chosen by the kernel is known only now.
        Some(advertised) => match advertised.strip_suffix(":0") {
            Some(host) => format!("{host}:{}", listening.port()),
            None => advertised.to_owned(),
        },
        None => listening.to_string(),
    }
}

/// The address of this machine among others, as far as it is told by number.
pub(crate) fn ip(
    advertise: Option<&str>,
    listen: std::net::SocketAddr,
) -> Option<std::net::IpAddr> {
    let advertised = advertise.and_then(|advertised| {
        let (host, _) = advertised.rsplit_once(':')?;
        host.trim_matches(['[', ']']).parse().ok()
    });
    advertised.or_else(|| Some(listen.ip()).filter(|ip| !ip.is_unspecified()))
}

/// Paths as they are without links; those that are not there hide nothing.
pub(crate) fn real_paths(paths: &[PathBuf]) -> Vec<PathBuf> {
    paths.iter().filter_map(|path| std::fs::canonicalize(path).ok()).collect()
}
