//! ACCEPT: offers are taken, records stored, and what was not launched is told.

use std::time::Duration;

use kube::ResourceExt as _;
use meseta_mesos_wire::v1::offer::Operation;
use meseta_mesos_wire::v1::scheduler::call;
use meseta_mesos_wire::v1::task_status::Reason;
use meseta_mesos_wire::v1::{TaskInfo, TaskState};
use meseta_runtime::{LaunchError, Taken};
use tokio::time::Instant;

use super::{Record, Session, events};
use crate::core::accept::{self, Plan, Refusal};
use crate::core::launch::{Launcher, Place};
use crate::core::offer::filter;
use crate::core::rows::Rows;
use crate::sync::now;

/// Planning more tasks than these takes so long that others are not kept waiting for the rows; a
/// copy of them is dearer than a short wait.
const MANY_TASKS: usize = 64;

/// How long a launch waits until the ids of tasks whose end was acknowledged are free: as long as a
/// write may take.
const FREEING: Duration = Duration::from_secs(3);
/// Pause between two looks whether they are.
const FREEING_LOOK: Duration = Duration::from_millis(2);

impl Session {
    /// Carries out an ACCEPT.
    pub(super) async fn accept(&self, accept: call::Accept) {
        let Some(record) = self.record() else { return };
        let ids = accept.offer_ids.into_iter().map(|id| id.value).collect();
        let Ok(taken) = self.office.term.market.take(&record.uid, ids).await else { return };
        let refusal = match taken {
            Ok(taken) => match self.office.rows.agent(&taken.agent) {
                Some(agent) if agent.unreachable_since.is_none() => {
                    let filter = filter(accept.filters.as_ref());
                    return self.launch(&record, taken, &accept.operations, filter).await;
                }
                Some(_) => Refusal::AgentDisconnected,
                None => Refusal::AgentRemoved,
            },
            Err(fault) => Refusal::InvalidOffers(fault.to_string()),
        };
        self.tell(accept::refuse(&refusal, &accept.operations, record.capabilities, now())).await;
    }

    async fn launch(
        &self,
        record: &Record,
        taken: Taken,
        operations: &[Operation],
        filter: Duration,
    ) {
        self.await_free_ids(record, operations).await;
        let (gateway, rows) = (&self.office.gateway, &self.office.rows);
        let launcher = Launcher {
            namespace: &gateway.namespace,
            framework: &record.name,
            uid: &record.uid,
            id: &self.framework_id,
            info: &record.info,
            epoch: self.office.term.epoch,
        };
        let place = Place { agent: &taken.agent, role: &taken.role };
        let plan =
            |rows: &Rows| accept::plan(launcher, place, &taken.resources, rows, operations, now());
        let mut plan = if operations.iter().flat_map(tasks).nth(MANY_TASKS).is_some() {
            plan(&rows.snapshot(&record.uid))
        } else {
            rows.with_tasks(&record.uid, plan)
        };
        let tasks = std::mem::take(&mut plan.tasks);
        self.tell(plan).await;
        let stored = self.office.term.market.launch(taken, tasks.clone(), filter).await;
        // Otherwise the next leader sees what was stored, and tells of the rest when it is asked.
        let Ok(stored) = stored else { return };
        for (task, stored) in tasks.iter().zip(stored) {
            match stored {
                Ok(stored) => rows.wrote_task(&stored),
                Err(error) => {
                    let name = task.name_any();
                    tracing::info!(framework = self.framework_id, name, %error, "not launched");
                    let agent = task.spec.agent_name.as_deref().unwrap_or_default();
                    let reason = match reason(&error) {
                        Reason::InvalidOffers if rows.agent(agent).is_none() => {
                            Reason::AgentRemoved
                        }
                        reason => reason,
                    };
                    let message = error.to_string();
                    let capabilities = record.capabilities;
                    let told = accept::not_launched(task, reason, &message, capabilities, now());
                    if let Some(mut status) = told {
                        if reason == Reason::TaskInvalid {
                            status.set_state(TaskState::TaskError);
                        }
                        self.send(&events::update(status));
                    }
                }
            }
        }
    }

    /// Waits for records that are about to be let go of, where their task ids are used again. To the
    /// scheduler an id is free once it has acknowledged the task's end.
    async fn await_free_ids(&self, record: &Record, operations: &[Operation]) {
        let begun = Instant::now();
        for task in operations.iter().flat_map(tasks) {
            let id = &task.task_id.value;
            while self.is_being_freed(record, id) && begun.elapsed() < FREEING {
                tokio::time::sleep(FREEING_LOOK).await;
            }
        }
    }

    fn is_being_freed(&self, record: &Record, id: &str) -> bool {
        let row = self.office.rows.with_tasks(&record.uid, |rows| {
            rows.task(id).filter(|row| row.held_by_scheduler && row.state.is_terminal()).cloned()
        });
        let Some(row) = row else { return false };
        let mut state = self.lock();
        let (last, next) = state.delivery(&row).around(&row);
        last.is_some() && next.is_none()
    }

    async fn tell(&self, plan: Plan) {
        let tasks = plan.told.into_iter().map(events::update);
        let operations = plan.operations.into_iter().map(events::operation);
        self.send_all(tasks.chain(operations)).await;
    }
}

/// The tasks that an operation launches.
fn tasks(operation: &Operation) -> impl Iterator<Item = &TaskInfo> {
    let single = operation.launch.iter().flat_map(|launch| &launch.task_infos);
    let group = operation.launch_group.iter().flat_map(|launch| &launch.task_group.tasks);
    single.chain(group)
}

/// Mesos' reason for a task whose record was not stored.
fn reason(error: &LaunchError) -> Reason {
    match error {
        LaunchError::Gone | LaunchError::TooMuch => Reason::InvalidOffers,
        LaunchError::Executor => Reason::ExecutorTerminated,
        LaunchError::Exists | LaunchError::Refused(_) => Reason::TaskInvalid,
    }
}
