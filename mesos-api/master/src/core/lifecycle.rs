//! The life of a framework, from subscription to its last record.
//!
//! ```text
//!   subscribed ⇄ disconnected ──failover timeout──┐
//!       │                                         ▼
//!       └──TEARDOWN, kubectl delete──► record being deleted ──► tasks deleted, freed
//!                                             │                        │
//!                                  scheduler told, if connected        ▼ none left
//!                                                                record released
//! ```
//!
//! **Invariants**
//! - Level-triggered: each step follows from what is observed, so it may be repeated, and a later
//!   leader goes on where an earlier one stopped.
//! - Nobody is torn down for a time in which no leader was there to subscribe to, nor by a clock that
//!   is set.
//! - Where there are too many frameworks, one that is disconnected and has no live task ends early.
//! - A record is released only when no task of the framework has a record any more.

use std::collections::VecDeque;

use meseta_crds::condition::{self, Time};
use meseta_crds::framework::SchedulerStatus;
use meseta_crds::{Framework, FrameworkStatus, SCHEDULER_FINALIZER};

use super::framework;
use super::rows::{Rows, TaskRow};

/// How long after a change of leader nobody is torn down for being gone: Mesos clients wait up to 15 s
/// between two tries to connect.
pub const RECONNECT_GRACE_MS: i64 = 30_000;
/// Ids of frameworks that are remembered as removed.
pub const MAX_COMPLETED: usize = 50;
/// Steps of one pass; further ones follow in the next.
pub const MAX_STEPS: usize = 256;
/// Finished tasks that are kept for each framework.
pub const MAX_FINISHED: usize = 100;
/// What a scheduler is told whose framework is removed.
pub const REMOVED: &str = "Framework has been removed";

/// When a term began, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// By the clock that nobody can set, which all times of the term are of.
    pub uptime: i64,
    /// Since 1970: to understand what earlier leaders wrote.
    pub wall: i64,
}

/// Since when a framework is known to be disconnected, by the clock of the term, as it is first
/// looked at `now`. No stream outlives the term it began in; one that was stored in this term and
/// has never subscribed is gone since now.
#[must_use]
pub fn disconnected_since(record: &Framework, start: Start, now: i64) -> i64 {
    let scheduler = record.status.as_ref().and_then(|status| status.scheduler.as_ref());
    let wall = |time: &Time| time.0.as_millisecond();
    match scheduler {
        Some(SchedulerStatus { connected: false, since: Some(since) }) => {
            start.uptime - start.wall.saturating_sub(wall(since)).max(0)
        }
        Some(_) => start.uptime,
        None => {
            let created = record.metadata.creation_timestamp.as_ref().map_or(0, wall);
            if created > start.wall { now } else { start.uptime }
        }
    }
}

/// Whether a disconnected framework has been gone for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has until this time, in milliseconds by the clock of the term.
    Until(i64),
    /// Its record is to be deleted.
    TearDown,
}

/// The fate of a framework that is disconnected `since` a time, at `now`, in a term, all by its
/// clock. A connected one has none.
#[must_use]
pub fn fate(record: &Framework, since: i64, start: Start, now: i64) -> Fate {
    let gone = since.saturating_add(framework::failover_timeout(&record.spec));
    // Until then it cannot have come back, if it lost its stream with the last leader.
    let settled = if since <= start.uptime { start.uptime + RECONNECT_GRACE_MS } else { gone };
    let due = gone.max(settled);
    if now >= due { Fate::TearDown } else { Fate::Until(due) }
}

/// Whether a framework that is disconnected `since` a time may be ended before its time because
/// there are too many: not while its scheduler may be on its way back.
#[must_use]
pub fn may_give_way(since: i64, start: Start, now: i64) -> bool {
    now >= since.max(start.uptime).saturating_add(RECONNECT_GRACE_MS)
}

/// One step of a teardown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Delete the record of a task, if it still has this uid.
    Delete {
        /// Name of the record.
        name: String,
        /// Its uid.
        uid: String,
    },
    /// Take [`SCHEDULER_FINALIZER`] off the record of a task.
    Free {
        /// Name of the record.
        name: String,
    },
    /// Take it off the record of the framework: nothing is left.
    Release,
}

/// The steps toward the end of a framework whose record is being deleted. Before the first, its
/// scheduler is told [`REMOVED`] where it is connected.
#[must_use]
pub fn teardown(record: &Framework, rows: &Rows) -> Vec<Step> {
    if record.metadata.deletion_timestamp.is_none() {
        return Vec::new();
    }
    let held = record.metadata.finalizers.iter().flatten().any(|name| name == SCHEDULER_FINALIZER);
    if rows.is_empty() {
        return if held { vec![Step::Release] } else { Vec::new() };
    }
    rows.iter().flat_map(remove).take(MAX_STEPS).collect()
}

/// The steps that remove a record whose framework is being removed, or has no record itself.
pub fn remove(row: &TaskRow) -> impl Iterator<Item = Step> + use<> {
    let delete =
        (!row.deleted).then(|| Step::Delete { name: row.name.clone(), uid: row.uid.clone() });
    let free = row.held_by_scheduler.then(|| Step::Free { name: row.name.clone() });
    delete.into_iter().chain(free)
}

/// The finished records of a framework that are not kept, oldest first.
#[must_use]
pub fn forgotten(rows: &Rows) -> Vec<Step> {
    let mut finished: Vec<&TaskRow> =
        rows.iter().filter(|row| !row.is_live() && !row.held_by_agent && !row.deleted).collect();
    finished.sort_by_key(|row| (row.ended, &row.name));
    let surplus = finished.len().saturating_sub(MAX_FINISHED);
    finished
        .into_iter()
        .take(surplus.min(MAX_STEPS))
        .map(|row| Step::Delete { name: row.name.clone(), uid: row.uid.clone() })
        .collect()
}

/// Tasks of a framework that have not ended.
#[must_use]
pub fn active(rows: &Rows) -> usize {
    rows.iter().filter(|row| !row.is_executor() && !row.state.is_terminal()).count()
}

/// The status of a framework's record, `changed` at a time if the scheduler came or went then.
#[must_use]
pub fn status(
    record: &Framework,
    connected: bool,
    changed: &Time,
    active: usize,
) -> FrameworkStatus {
    let old = record.status.clone().unwrap_or_default();
    let before = old.scheduler.as_ref();
    let since = match before {
        Some(before) if before.connected == connected && before.since.is_some() => {
            before.since.clone()
        }
        _ => Some(changed.clone()),
    };
    let (state, value) = match connected {
        true => ("Connected", condition::Value::True),
        false => ("Disconnected", condition::Value::False),
    };
    let message = match (record.metadata.deletion_timestamp.is_some(), connected) {
        (false, true) => "The scheduler is subscribed.",
        (false, false) => "The scheduler is not subscribed.",
        (true, _) => "It is being torn down: this record goes with the last of its tasks.",
    };
    let mut status = FrameworkStatus {
        observed_generation: record.metadata.generation,
        state: Some(state.to_owned()),
        summary: Some(active.to_string()),
        message: Some(message.to_owned()),
        scheduler: Some(SchedulerStatus { connected, since }),
        ..old
    };
    let generation = record.metadata.generation.unwrap_or_default();
    condition::set(
        &mut status.conditions,
        condition::kind::READY,
        value,
        state,
        message,
        generation,
        changed,
    );
    status
}

/// The ids of the frameworks that were removed last. They are refused if they subscribe again.
#[derive(Clone, Debug, Default)]
pub struct Completed(VecDeque<String>);

impl Completed {
    /// Remembers an id, and forgets the oldest where there are too many.
    pub fn insert(&mut self, id: String) {
        if self.contains(&id) {
            return;
        }
        self.0.push_back(id);
        if self.0.len() > MAX_COMPLETED {
            self.0.pop_front();
        }
    }

    /// Whether the framework of this id was removed.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.0.iter().any(|removed| removed == id)
    }
}

#[cfg(test)]
mod tests;
