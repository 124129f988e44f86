//! KILL, SHUTDOWN and RECONCILE.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use meseta_crds::TaskState;
use meseta_crds::task::Kill;
use meseta_mesos_wire::v1::scheduler::call;
use meseta_mesos_wire::v1::{TaskId, TaskStatus};
use meseta_runtime::WriteError;
use serde_json::json;

use super::{MAX_AT_ONCE, Record, Session, events};
use crate::core::kill::{self, Order};
use crate::core::reconcile::{self, Agent};
use crate::core::rows::Rows;
use crate::sync::now;

/// Tries to write a wish that the scheduler was told is taken.
const WRITE_TRIES: u32 = 5;
/// Pause after the first; doubles.
const WRITE_RETRY: Duration = Duration::from_millis(100);

impl Session {
    /// Carries out a KILL.
    pub(super) async fn kill(&self, record: &Record, kill: &call::Kill) {
        let aware = record.capabilities.partition_aware;
        let rows = &self.office.rows;
        let agent = |rows: &Rows| rows.task(&kill.task_id.value).map(|row| row.agent.clone());
        let agents = [
            rows.with_tasks(&record.uid, agent),
            kill.agent_id.as_ref().map(|id| id.value.clone()),
        ];
        let agents = agents.into_iter().flatten();
        let standings: BTreeMap<String, Agent> =
            agents.map(|name| (name.clone(), rows.standing(&name))).collect();
        let standing = |name: &str| standings.get(name).copied().unwrap_or(Agent::Unknown);
        let order =
            rows.with_tasks(&record.uid, |rows| kill::kill(kill, rows, &standing, aware, now()));
        self.order(record, order).await;
    }

    /// Carries out a SHUTDOWN.
    pub(super) async fn shutdown(&self, record: &Record, shutdown: &call::Shutdown) {
        let rows = &self.office.rows;
        let order = rows.with_tasks(&record.uid, |rows| kill::shutdown(shutdown, rows));
        self.order(record, order).await;
    }

    /// Answers a RECONCILE.
    pub(super) async fn reconcile(&self, record: &Record, request: &call::Reconcile) {
        let everything;
        let request = if request.tasks.is_empty() {
            everything = self.known(record);
            &everything
        } else {
            &request.tasks
        };
        // In pieces: what is asked for may be very much.
        for tasks in request.chunks(MAX_AT_ONCE) {
            let answers = self.answers(record, &call::Reconcile { tasks: tasks.to_vec() });
            if !self.send_all(answers.into_iter().map(events::update)).await {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The tasks that an implicit reconciliation is about.
    fn known(&self, record: &Record) -> Vec<call::reconcile::Task> {
        let snapshot = self.office.rows.snapshot(&record.uid);
        let known = snapshot.iter().filter(|row| row.is_live());
        let reachable = known.filter(|row| row.state != TaskState::Unreachable);
        let ids = reachable.filter_map(|row| row.task_id.clone());
        ids.map(|value| call::reconcile::Task { task_id: TaskId { value }, agent_id: None })
            .collect()
    }

    fn answers(&self, record: &Record, request: &call::Reconcile) -> Vec<TaskStatus> {
        let aware = record.capabilities.partition_aware;
        let rows = &self.office.rows;
        let snapshot = rows.snapshot(&record.uid);
        let state = self.lock();
        let delivery = |name: &str| state.deliveries.get(name).map(|(_, delivery)| delivery);
        let standing = |agent: &str| rows.standing(agent);
        reconcile::answers(request, &snapshot, delivery, &standing, aware, now())
    }

    async fn order(&self, record: &Record, order: Order) {
        if let Some(status) = order.tell {
            self.send(&events::update(*status));
        }
        for (name, kill) in order.writes {
            let uid = self
                .office
                .rows
                .with_tasks(&record.uid, |rows| rows.get(&name).map(|row| row.uid.clone()));
            // What an earlier wish said is to be gone where this one does not say it.
            let Kill { grace_period_seconds, repeats } = kill;
            let kill = json!({ "gracePeriodSeconds": grace_period_seconds, "repeats": repeats });
            let patch = json!({ "metadata": { "uid": uid }, "spec": { "kill": kill } });
            self.write_wish(&name, &patch).await;
        }
    }

    async fn write_wish(&self, name: &str, patch: &serde_json::Value) {
        let tasks = self.office.tasks();
        let mut pause = WRITE_RETRY;
        for _ in 0..WRITE_TRIES {
            let parameters = PatchParams::default();
            let patch = Patch::Merge(patch);
            match self.office.term.writer.write(tasks.patch(name, &parameters, &patch)).await {
                Ok(task) => return self.office.wrote(&task),
                // Gone, or another of that name.
                Err(WriteError::NotFound | WriteError::Conflict) => return,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, task = name, "the wish to end it is not written yet");
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}
