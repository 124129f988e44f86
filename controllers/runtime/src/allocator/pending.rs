//! Says why a task is pending, in its `Placed` condition.
//!
//! Bounded: a task that is placed soon costs no write; of the others a few are looked at per tick, in
//! turn, and one is written again only when the sentence has changed and some time has passed.

use std::time::Duration;

use kube::Api;
use kube::api::{Patch, PatchParams};
use meseta_crds::condition::{self, Condition, Time, Value, kind};
use meseta_crds::{Task, TaskState};
use tokio::time::Instant;

use super::roles::RoleReport;
use super::{Shell, convert};
use crate::cluster::{Cluster, Key};
use crate::write::{WriteError, Writer};

/// How long a task waits before it is said why.
const PATIENCE: Duration = Duration::from_millis(200);
/// Least time between two explanations of one task.
const EXPLAINED_INTERVAL: Duration = Duration::from_secs(5);
/// Tasks looked at per tick.
const MAX_EXPLAINED: usize = 50;
/// Reason of `Placed=False`.
const WAITING_FOR_AGENT: &str = "WaitingForAgent";

/// A task without an agent.
pub(super) struct Waiting {
    since: Instant,
    explained: Option<Instant>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { since: Instant::now(), explained: None }
    }
}

/// Something to write that only informs.
pub(super) enum Report {
    Pending(PendingReport),
    Role(RoleReport),
}

/// Why a task is pending.
pub(super) struct PendingReport {
    key: Key,
    version: String,
    message: String,
    conditions: Vec<Condition>,
}

impl Report {
    /// Writes it; a failure is only logged, since the next tick sees what is missing.
    pub(super) async fn write(self, cluster: &Cluster, writer: &Writer) {
        let written = match self {
            Self::Pending(report) => report.write(cluster, writer).await,
            Self::Role(report) => report.write(writer).await,
        };
        match written {
            Ok(()) | Err(WriteError::Conflict | WriteError::NotFound | WriteError::Fenced) => {}
            Err(err) => {
                tracing::warn!(error = &err as &dyn std::error::Error, "status not written");
            }
        }
    }
}

impl PendingReport {
    async fn write(self, cluster: &Cluster, writer: &Writer) -> Result<(), WriteError> {
        let Self { key, version, message, conditions } = self;
        let tasks: Api<Task> = Api::namespaced(writer.client.clone(), &key.namespace);
        let patch = serde_json::json!({
            "metadata": {"resourceVersion": version},
            "status": {"state": TaskState::Pending, "message": message, "conditions": conditions},
        });
        let parameters = PatchParams::default();
        let patch = Patch::Merge(&patch);
        let task = writer.write(tasks.patch_status(&key.name, &parameters, &patch)).await?;
        cluster.apply_task(&task, true);
        Ok(())
    }
}

impl Shell {
    /// At most `room` things to write now.
    pub(super) fn reports(&mut self, cluster: &Cluster, room: usize) -> Vec<Report> {
        let mut reports: Vec<Report> =
            self.role_reports(cluster, room).into_iter().map(Report::Role).collect();
        let now = Instant::now();
        for key in self.next_waiting() {
            if reports.len() >= room {
                break;
            }
            self.next_explained = Some(key.clone());
            if let Some(report) = self.explain(cluster, &key, now) {
                reports.push(Report::Pending(report));
            }
        }
        reports
    }

    /// Some waiting tasks, going on after the last one that was looked at.
    fn next_waiting(&self) -> Vec<Key> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = self.next_explained.as_ref().map_or(Unbounded, Excluded);
        let rest = self.waiting.range((after, Unbounded));
        rest.chain(&self.waiting)
            .take(MAX_EXPLAINED.min(self.waiting.len()))
            .map(|(key, _)| key.clone())
            .collect()
    }

    fn explain(&mut self, cluster: &Cluster, key: &Key, now: Instant) -> Option<PendingReport> {
        let waiting = self.waiting.get_mut(key)?;
        let explained = waiting.explained.is_some_and(|when| now - when < EXPLAINED_INTERVAL);
        if now - waiting.since < PATIENCE || explained || self.placing.contains(key) {
            return None;
        }
        let message = self.allocator.explain(&convert::task_key(key))?.to_string();
        let state = cluster.lock();
        let row = state.tasks.get(key)?;
        let mut conditions = row.conditions.clone();
        let time = Time(jiff::Timestamp::now());
        let changed = condition::set(
            &mut conditions,
            kind::PLACED,
            Value::False,
            WAITING_FOR_AGENT,
            &message,
            row.generation,
            &time,
        );
        if !changed {
            return None;
        }
        waiting.explained = Some(now);
        Some(PendingReport { key: key.clone(), version: row.version.clone(), message, conditions })
    }
}
