//! Passes over what has changed: updates of tasks on their way to the scheduler, and ends of
//! executors.
//!
//! ```text
//!  changed rows ─┐                       ┌─► send (stream)
//!  due times ────┼─► core: what follows ─┼─► write (acknowledged, finalizer gone) ─► row
//!  new stream ───┘                       └─► look again at …
//! ```
//!
//! Level-triggered: a pass looks at records and memory, never at what woke it. A failed write is
//! decided on anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use kube::api::{Patch, PatchParams};
use meseta_crds::Task;
use meseta_runtime::{WriteError, uptime_millis};
use serde_json::json;

use super::{MAX_AT_ONCE, Session, events};
use crate::core::reconcile::Agent as Standing;
use crate::core::rows::{Rows, TaskRow};
use crate::core::updates::{Send, Step};
use crate::core::{failure, statuses};
use crate::sync::now;

/// Writes of one framework under way at a time: enough to fill the store's group commit.
const MAX_WRITES: usize = 64;
/// Pause before a stream without room is looked at again, in milliseconds.
const ROOM_MS: i64 = 20;
/// Pause before a write that failed is decided on anew, in milliseconds.
const RETRY_MS: i64 = 500;

/// What the passes over one framework's tasks remember; all of it may be lost.
#[derive(Default)]
pub(super) struct Agenda {
    /// By name of the record: when to look again.
    due: BTreeMap<String, i64>,
    by_time: BTreeSet<(i64, String)>,
    /// Tasks to look at, once the stream has room; each once.
    waiting: VecDeque<String>,
    is_waiting: BTreeSet<String>,
    /// The stream that everything was last looked at for.
    stream: Option<u64>,
    /// What is to be written, first come first served.
    writes: VecDeque<Write>,
    /// Executors, by uid, whose end was told.
    ends_told: BTreeSet<String>,
    /// Those whose record is being let go of.
    letting_go: BTreeSet<String>,
}

/// A write to a task's record.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) row: Arc<TaskRow>,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// `status.mesos.acknowledged`.
    Acknowledged(String),
    /// The scheduler's finalizer comes off.
    Free,
}

impl Agenda {
    fn at(&mut self, name: &str, when: Option<i64>) {
        if let Some(before) = self.due.remove(name) {
            self.by_time.remove(&(before, name.to_owned()));
        }
        if let Some(when) = when {
            self.due.insert(name.to_owned(), when);
            self.by_time.insert((when, name.to_owned()));
        }
    }

    fn take_due(&mut self, now: i64) -> Vec<String> {
        let mut names = Vec::new();
        while let Some((when, name)) = self.by_time.first().cloned()
            && when <= now
        {
            self.at(&name, None);
            names.push(name);
        }
        names
    }

    fn wait(&mut self, name: String) {
        if self.is_waiting.insert(name.clone()) {
            self.waiting.push_back(name);
        }
    }

    fn take_waiting(&mut self) -> Option<String> {
        let name = self.waiting.pop_front()?;
        self.is_waiting.remove(&name);
        Some(name)
    }

    /// Forgets an executor whose record says all by itself again.
    fn let_go(&mut self, uid: &str) {
        self.letting_go.remove(uid);
        self.ends_told.remove(uid);
    }

    fn next(&self) -> Option<i64> {
        let due = self.by_time.first().map(|(when, _)| *when);
        let room = (!self.waiting.is_empty()).then(|| uptime_millis() + ROOM_MS);
        due.into_iter().chain(room).min()
    }
}

impl Session {
    /// Makes passes until it is dropped.
    pub(super) async fn look_after(self: Arc<Self>) {
        let mut agenda = Agenda::default();
        let mut writing: FuturesUnordered<BoxFuture<'static, Written>> = FuturesUnordered::new();
        loop {
            let more = self.pass(&mut agenda);
            while writing.len() < MAX_WRITES
                && let Some(write) = agenda.writes.pop_front()
            {
                let session = Arc::clone(&self);
                writing.push(async move { session.write_task(write).await }.boxed());
            }
            if more {
                tokio::task::yield_now().await;
                if let Some(Some(written)) = writing.next().now_or_never() {
                    self.written(&mut agenda, written);
                }
                continue;
            }
            let next = agenda.next();
            tokio::select! {
                () = self.wake.notified() => {}
                Some(written) = writing.next() => self.written(&mut agenda, written),
                () = sleep_until(next) => {}
            }
        }
    }

    /// One pass over some of the tasks that changed or are due; says whether there may be more.
    fn pass(&self, agenda: &mut Agenda) -> bool {
        let Some(record) = self.record() else { return false };
        let rows = &self.office.rows;
        let uptime = uptime_millis();
        rows.take_changed(&record.uid).into_iter().for_each(|name| agenda.wait(name));
        agenda.take_due(uptime).into_iter().for_each(|name| agenda.wait(name));
        let stream = self.lock().live.as_ref().map(|live| live.number);
        if stream != agenda.stream {
            agenda.stream = stream;
            rows.with_tasks(&record.uid, |rows| {
                rows.iter().for_each(|row| agenda.wait(row.name.clone()));
            });
        }
        for _ in 0..MAX_AT_ONCE {
            if !self.has_room() {
                return false;
            }
            let Some(name) = agenda.take_waiting() else {
                self.tell_of_lost_agents(&record.uid);
                return false;
            };
            match rows.with_tasks(&record.uid, |rows| rows.get(&name).cloned()) {
                Some(row) if row.is_executor() => self.look_at_executor(row, agenda),
                Some(row) => self.look_at_task(row, uptime, agenda),
                None => {
                    self.lock().deliveries.remove(&name);
                    agenda.at(&name, None);
                }
            }
        }
        true
    }

    /// Says which agents were lost, when all is said of the tasks on them.
    fn tell_of_lost_agents(&self, framework_uid: &str) {
        let rows = &self.office.rows;
        let mut state = self.lock();
        for agent in std::mem::take(&mut state.lost_agents) {
            if rows.with_tasks(framework_uid, |rows| rows.any_on(&agent)) {
                state.lost_agents.insert(agent);
            } else {
                state.send(&events::failure(failure::agent(&agent)));
            }
        }
    }

    fn look_at_task(&self, row: TaskRow, uptime: i64, agenda: &mut Agenda) {
        let mut state = self.lock();
        let partition_aware =
            state.record.as_ref().is_some_and(|record| record.capabilities.partition_aware);
        let stream = state.live.as_ref().map(|live| live.number);
        let delivery = state.delivery(&row);
        let Step { send, store, free, look_again } = delivery.step(&row, stream, uptime);
        if let Some(send) = send {
            let status = match send {
                Send::Update(status) => statuses::shown(*status, partition_aware),
                Send::Own(own) => {
                    let silent_since = match self.office.rows.standing(&row.agent) {
                        Standing::Unreachable(since) => Some(since),
                        Standing::Registered | Standing::Unknown => None,
                    };
                    statuses::own(&row, own, silent_since, partition_aware, now())
                }
            };
            state.send(&events::update(status));
        }
        if !row.held_by_scheduler {
            state.deliveries.remove(&row.name);
        }
        drop(state);
        agenda.at(&row.name, look_again);
        let row = Arc::new(row);
        if let Some(uuid) = store {
            agenda
                .writes
                .push_back(Write { row: Arc::clone(&row), what: What::Acknowledged(uuid) });
        }
        if free {
            let rows = &self.office.rows;
            let ended = |rows: &Rows| failure::default_executor(&row, rows);
            if let Some(failure) = rows.with_tasks(&row.framework_uid, ended) {
                self.send(&events::failure(failure));
            }
            agenda.writes.push_back(Write { row, what: What::Free });
        }
    }
}

impl Session {
    /// An executor that has ended: its scheduler is told once, and the record is let go of.
    fn look_at_executor(&self, row: TaskRow, agenda: &mut Agenda) {
        let Some(failure) = failure::executor(&row) else {
            if !row.state.is_terminal() && self.lock().live.is_some() {
                self.office.listen_to(&row.agent);
            }
            return;
        };
        if agenda.ends_told.insert(row.uid.clone()) {
            self.send(&events::failure(failure));
        }
        if agenda.letting_go.insert(row.uid.clone()) {
            agenda.writes.push_back(Write { row: Arc::new(row), what: What::Free });
        }
    }
}

/// What came of a write.
struct Written {
    write: Write,
    result: Result<Task, WriteError>,
}

impl Session {
    async fn write_task(&self, write: Write) -> Written {
        let row = &write.row;
        let result = match &write.what {
            What::Acknowledged(uuid) => {
                let patch = json!({
                    "metadata": { "uid": row.uid },
                    "status": { "mesos": { "acknowledged": uuid } },
                });
                let patch = Patch::Merge(&patch);
                let (tasks, parameters) = (self.office.tasks(), PatchParams::default());
                let patch = tasks.patch_status(&row.name, &parameters, &patch);
                self.office.term.writer.write(patch).await
            }
            What::Free => self.office.free(row).await,
        };
        Written { write, result }
    }

    fn written(&self, agenda: &mut Agenda, written: Written) {
        let Written { write, result } = written;
        let name = &write.row.name;
        match result {
            Ok(task) => {
                self.office.wrote(&task);
                agenda.let_go(&write.row.uid);
            }
            // The watch tells, and what it tells is looked at.
            Err(WriteError::NotFound) => agenda.let_go(&write.row.uid),
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    task = name,
                    "not written"
                );
                self.lock().delivery(&write.row).write_failed();
                agenda.letting_go.remove(&write.row.uid);
                agenda.at(name, Some(uptime_millis() + RETRY_MS));
            }
        }
    }
}

pub(super) async fn sleep_until(when: Option<i64>) {
    match when {
        Some(when) => {
            let millis = u64::try_from(when.saturating_sub(uptime_millis())).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        None => std::future::pending().await,
    }
}
