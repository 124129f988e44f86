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
mod records;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
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
use crate::plan::{self, Action, Amounts, ExecutorRow, Local, Observed, Plan};
use crate::registration::Facts;
use crate::report::{Backoff, Record};
use crate::task::conclude::ORPHAN_KEPT;
use crate::task::{self, Begin, Left};
use owners::Owners;
use records::{Change, Records};

/// Time between two looks at the disk, and for what can be removed.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Events of the watch that are taken in before one plan, as far as they are there.
const MAX_EVENTS: usize = 256;

/// What the watch tells.
type Events = BoxStream<'static, watcher::Result<Event<Task>>>;

/// The tasks of an agent.
pub(crate) struct Agent {
    node: Arc<Node>,
    capacity: Amounts,
    records: Records,
    owners: Owners,
    /// Sandboxes without an owner, and when their tasks ended.
    sandboxes: BTreeMap<String, i64>,
    /// Directories that do not say what they are of.
    unreadable: BTreeSet<String>,
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
            records: Records::default(),
            sandboxes: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            facts,
        };
        let mut seen_off = Vec::new();
        for name in crate::directory::names(&agent.node.directory.tasks())? {
            match name.to_str() {
                Some(uid) => seen_off.extend(agent.adopt_from_disk(uid)?),
                None => tracing::warn!(?name, "a directory of no task is left alone"),
            }
        }
        let executors = agent.owners.accepted().filter(|owned| owned.spec.executor.is_some());
        executors.for_each(|executor| agent.node.mesos.expect_found(executor));
        agent.node.mesos.recover(&seen_off);
        let (owners, sandboxes) = (agent.owners.len(), agent.sandboxes.len());
        tracing::info!(owners, sandboxes, unreadable = agent.unreadable.len(), "tasks found");
        agent.chores.sweep_cgroups(&agent.known_runs());
        Ok(agent)
    }

    /// Runs until dropped; returns only if an owner or the watch cannot go on.
    pub(crate) async fn run(mut self, mut known_store: watch::Receiver<bool>) {
        let tasks: Api<Task> = Api::all(self.node.client.clone());
        let selector = format!("spec.agentName={}", self.node.name);
        let watched = watcher(tasks, watcher::Config::default().fields(&selector));
        let mut events: Events = watched.boxed();
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
                    Some(first) => match self.told(first, &mut events) {
                        Ok(()) => backoff.reset(),
                        Err(err) => {
                            let error = &err as &dyn std::error::Error;
                            tracing::debug!(error, "tasks are not watched");
                            watch_after = Instant::now() + backoff.next();
                        }
                    },
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

    /// Takes in what the watch tells: what it has to tell at once costs one plan.
    fn told(
        &mut self,
        first: watcher::Result<Event<Task>>,
        events: &mut Events,
    ) -> watcher::Result<()> {
        self.take_in(first?);
        for _ in 1..MAX_EVENTS {
            let Some(Some(next)) = events.next().now_or_never() else { break };
            self.take_in(next?);
        }
        Ok(())
    }

    fn take_in(&mut self, event: Event<Task>) {
        match self.records.take(event) {
            Some(Change::All) => {
                let owned = self.owners.accepted().map(|accepted| &accepted.uid);
                let here = owned.chain(self.sandboxes.keys()).chain(&self.unreadable);
                here.for_each(|uid| self.records.open(uid));
                self.owners.tell_all(|uid| match self.records.get(uid) {
                    Some(task) => Record::Present(Arc::clone(task)),
                    None => Record::Missing,
                });
            }
            Some(Change::One(uid, record)) => {
                let gone = !matches!(record, Record::Present(_));
                self.owners.tell(&uid, record);
                if gone && self.sandboxes.remove(&uid).is_some() {
                    self.forget(&uid);
                }
            }
            None => {}
        }
    }

    fn carry_out_plan(&mut self) {
        if !self.records.complete() {
            return;
        }
        let observed = self.observe();
        let Plan { actions, seen_epoch, orphans } = plan::plan(&observed);
        // Remembered before anything is done about it, or nothing is done.
        if let Err(err) = self.node.memory.raise_epoch(seen_epoch) {
            let error = &err as &dyn std::error::Error;
            tracing::error!(error, seen_epoch, "the leader's epoch cannot be remembered");
            return;
        }
        self.records.decided(|uid| observed.local.contains_key(uid));
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

    /// What is to be decided about, and what that depends on.
    fn observe(&self) -> Observed {
        let now = unix_millis();
        let (mut rows, mut local) = (BTreeMap::new(), BTreeMap::new());
        let mut anything_new = false;
        for uid in self.records.to_decide() {
            let here = self.local(uid);
            if let Some(task) = self.records.get(uid) {
                let row = match here {
                    Some(_) => rows::known(task),
                    None => rows::new(uid, task, self.executor_row(task)),
                };
                anything_new |= here.is_none();
                rows.insert(uid.clone(), row);
            }
            local.extend(here.map(|here| (uid.clone(), here)));
        }
        Observed {
            rows,
            local,
            capacity: self.capacity.clone(),
            used: if anything_new { self.owners.used() } else { Amounts::new() },
            seen_epoch: self.node.memory.seen_epoch(),
            complete: self.records.complete(),
            absence_is_believed: self.node.memory.absence_is_believed(now),
            now,
        }
    }

    /// What is here of a task.
    fn local(&self, uid: &str) -> Option<Local> {
        let kept = i64::try_from(ORPHAN_KEPT.as_millis()).unwrap_or(i64::MAX);
        let sandbox = |ended: &i64| Local::Sandbox { kept_until: ended.saturating_add(kept) };
        let unreadable = self.unreadable.contains(uid).then_some(Local::Unreadable);
        let sandbox = self.sandboxes.get(uid).map(sandbox);
        unreadable.or(sandbox).or_else(|| self.owners.local(uid))
    }

    /// The executor that a task names, if it names one.
    fn executor_row(&self, task: &Task) -> Option<ExecutorRow> {
        let name = task.spec.executor_name.clone()?;
        let uid = self.records.executor_of(task);
        let here = uid.as_deref().and_then(|uid| self.local(uid));
        Some(ExecutorRow { name, uid, here })
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Accept { uid } => {
                if let Some(task) = self.records.get(&uid) {
                    let accepted = task::accepted(task, self.records.executor_of(task));
                    tracing::info!(task = accepted.name, uid, "accepted");
                    self.begin(Begin::Accept(accepted.clone()), accepted);
                }
            }
            Action::Adopt { uid } => {
                self.unreadable.remove(&uid);
                self.sandboxes.remove(&uid);
                if let Err(err) = self.adopt(&uid) {
                    self.not_readable(uid, &err);
                }
            }
            Action::Refuse { uid, state, reason, message } => {
                let Some(task) = self.records.get(&uid) else { return };
                let accepted = task::accepted(task, self.records.executor_of(task));
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
            None if self.records.complete() => Record::Missing,
            None => Record::Unknown,
        };
        self.owners.begin(begin, accepted, record);
    }

    fn owner_ended(&mut self, uid: String, left: Option<Left>) {
        match left {
            Some(Left::Nothing) => self.records.seen_off(&uid),
            Some(Left::Sandbox) => {
                self.records.seen_off(&uid);
                self.sandboxes.insert(uid, unix_millis());
            }
            None => {
                self.records.open(&uid);
                if let Err(err) = self.adopt_from_disk(&uid) {
                    self.not_readable(uid, &err);
                }
            }
        }
    }

    /// A task's directory is here that does not tell what it is of, for now.
    fn not_readable(&mut self, uid: String, err: &io::Error) {
        let error = err as &dyn std::error::Error;
        tracing::error!(error, uid, "a task's directory cannot be read");
        self.records.open(&uid);
        self.unreadable.insert(uid);
    }

    /// Takes up what the disk says of a task; what was accepted of it, if it was seen off.
    fn adopt_from_disk(&mut self, uid: &str) -> io::Result<Option<Accepted>> {
        let directory = self.node.directory.task(uid);
        let checkpoint = directory.read()?;
        match (checkpoint.accepted, checkpoint.outcome) {
            (Some(accepted), Some(outcome)) if checkpoint.released => {
                self.sandboxes.insert(uid.to_owned(), outcome.ended_unix_millis);
                return Ok(Some(accepted));
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
        Ok(None)
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
                let accepted =
                    Accepted { run, ..task::accepted(task, self.records.executor_of(task)) };
                directory.write_accepted(&accepted)?;
                accepted
            }
        };
        self.begin(Begin::Adopt(accepted.clone()), accepted);
        Ok(())
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
        if !self.records.complete() || !self.node.memory.absence_is_believed(unix_millis()) {
            return;
        }
        let owned = self.owners.accepted().filter_map(|accepted| accepted.spec.owner.as_ref());
        let placed = self.records.all().filter_map(|task| task.spec.owner.as_ref());
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
