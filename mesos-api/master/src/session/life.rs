//! The life of the framework itself: what its record says, and its end.
//!
//! Level-triggered like the passes over its tasks: each look follows from the record, the rows and
//! whether a stream is live.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use meseta_crds::condition::Time;
use meseta_crds::{Framework, FrameworkStatus};
use meseta_runtime::{WriteError, uptime_millis};
use serde_json::json;

use super::pass::sleep_until;
use super::{Session, events};
use crate::core::lifecycle::{self, Fate, REMOVED};
use crate::sync::now;

/// Least time between two looks; a framework whose tasks change all the time costs a look each.
const DISTANCE: Duration = Duration::from_millis(100);
/// Least time between two reports that differ in counts only, in milliseconds.
const COUNTS_INTERVAL_MS: i64 = 1000;
/// Pause before something that failed is tried again, in milliseconds.
const RETRY_MS: i64 = 500;

impl Session {
    /// Looks after the framework until it is dropped.
    pub(super) async fn live(self: Arc<Self>) {
        let mut reported = 0;
        loop {
            let next = self.look_at_framework(&mut reported).await;
            tokio::time::sleep(DISTANCE).await;
            tokio::select! {
                () = self.life.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// One look; says when the next is due.
    async fn look_at_framework(&self, reported: &mut i64) -> Option<i64> {
        let known = self.record()?;
        let record = self.office.rows.framework(&known.name);
        // Another of the same name is another framework.
        let Some(record) = record.filter(|record| record.uid().as_ref() == Some(&known.uid)) else {
            self.removed().await;
            return None;
        };
        if record.metadata.deletion_timestamp.is_some() {
            return self.tear_down(&record, reported).await;
        }
        let (connected, since, torn_down) = {
            let mut state = self.lock();
            if state.subscribing {
                return None;
            }
            let since = *state.since.get_or_insert_with(|| {
                lifecycle::disconnected_since(&record, self.office.began, uptime_millis())
            });
            (state.live.is_some(), since, state.torn_down)
        };
        let mut next = None;
        if !connected {
            let fate = match torn_down {
                true => Fate::TearDown,
                false => lifecycle::fate(&record, since, self.office.began, uptime_millis()),
            };
            match fate {
                Fate::Until(when) => next = Some(when),
                Fate::TearDown => {
                    tracing::info!(framework = self.framework_id, torn_down, "it is to end");
                    let uid = record.uid().unwrap_or_default();
                    // The watch tells of the deletion, and that is looked at.
                    let deleted = self.delete_framework(&known.name, &uid).await;
                    return deleted.is_err().then(|| uptime_millis() + RETRY_MS);
                }
            }
        }
        let uid = record.uid().unwrap_or_default();
        let (active, forgotten) = self
            .office
            .rows
            .with_tasks(&uid, |rows| (lifecycle::active(rows), lifecycle::forgotten(rows)));
        if !forgotten.is_empty() && !self.office.carry_out(forgotten, &uid, &known.name).await {
            next = soonest(next, uptime_millis() + RETRY_MS);
        }
        let changed = now().saturating_sub(uptime_millis().saturating_sub(since));
        let changed = Time(Timestamp::from_millisecond(changed).unwrap_or_default());
        let status = lifecycle::status(&record, connected, &changed, active);
        match self.report(&record, status, reported).await {
            Ok(None) => next,
            Ok(Some(when)) => soonest(next, when),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, framework = self.framework_id, "status not written yet");
                soonest(next, uptime_millis() + RETRY_MS)
            }
        }
    }

    /// Writes the status if it says something new; says when it should be written if it is held
    /// back.
    async fn report(
        &self,
        record: &Framework,
        status: FrameworkStatus,
        reported: &mut i64,
    ) -> Result<Option<i64>, WriteError> {
        let Some(before) = &record.status else {
            return self.write_status(record, &status, reported).await;
        };
        if *before == status {
            return Ok(None);
        }
        let only_counts = FrameworkStatus { summary: before.summary.clone(), ..status.clone() };
        let due = *reported + COUNTS_INTERVAL_MS;
        if *before == only_counts && uptime_millis() < due {
            return Ok(Some(due));
        }
        self.write_status(record, &status, reported).await
    }

    async fn write_status(
        &self,
        record: &Framework,
        status: &FrameworkStatus,
        reported: &mut i64,
    ) -> Result<Option<i64>, WriteError> {
        let patch = json!({
            "metadata": { "uid": record.uid(), "resourceVersion": record.resource_version() },
            "status": status,
        });
        let (name, frameworks) = (record.name_any(), self.office.frameworks());
        let patch = Patch::Merge(&patch);
        let parameters = PatchParams::default();
        let written = frameworks.patch_status(&name, &parameters, &patch);
        let written = self.office.term.writer.write(written).await?;
        self.office.rows.wrote_framework(written);
        *reported = uptime_millis();
        Ok(None)
    }

    /// A framework that is to go: its scheduler is told, its tasks go, then its record. Says when to
    /// look again.
    async fn tear_down(&self, record: &Framework, reported: &mut i64) -> Option<i64> {
        let uid = record.uid().unwrap_or_default();
        if self.end_stream(Some(REMOVED)) {
            self.office.term.market.leave(&uid).await.ok();
        }
        let (steps, left, active) = self.office.rows.with_tasks(&uid, |rows| {
            (lifecycle::teardown(record, rows), !rows.is_empty(), lifecycle::active(rows))
        });
        let told = if left {
            let changed = Time(Timestamp::from_millisecond(now()).unwrap_or_default());
            let status = lifecycle::status(record, false, &changed, active);
            self.report(record, status, reported).await
        } else {
            Ok(None)
        };
        if let (true, Ok(due)) = (steps.is_empty(), told) {
            return due;
        }
        self.office.carry_out(steps, &uid, &record.name_any()).await;
        Some(uptime_millis() + RETRY_MS)
    }

    /// The record is gone, and so is the session.
    async fn removed(&self) {
        if self.end_stream(Some(REMOVED))
            && let Some(record) = self.record()
        {
            self.office.term.market.leave(&record.uid).await.ok();
        }
        tracing::info!(framework = self.framework_id, "removed");
        self.office.forget(self, true);
        if let Some(record) = self.record() {
            // What of it is left is an orphan now.
            self.office.rows.touch_framework(&record.uid);
        }
        self.end();
    }

    /// Ends the live stream, with an ERROR where a message is given; says whether there was one.
    pub(super) fn end_stream(&self, message: Option<&str>) -> bool {
        let mut state = self.lock();
        if let Some(message) = message {
            state.send(&events::error(message));
        }
        state.since = Some(uptime_millis());
        state.live.take().is_some()
    }
}

fn soonest(one: Option<i64>, other: i64) -> Option<i64> {
    Some(one.map_or(other, |one| one.min(other)))
}
