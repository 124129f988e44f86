//! MESSAGE in both directions.

use meseta_mesos_wire::v1::scheduler::call;

use super::{Session, events};

impl Session {
    /// Hands a message to an executor of the framework, if it runs.
    pub(super) async fn message(&self, uid: &str, message: call::Message) {
        let (agent, executor) = (&message.agent_id.value, &message.executor_id.value);
        let row = self.office.rows.with_tasks(uid, |rows| rows.executor(agent, executor).cloned());
        if let Some(row) = row.filter(|row| !row.state.is_terminal()) {
            self.office.message_to(agent, &row.uid, message.data).await;
        }
    }

    /// A message of an executor, for whoever is subscribed.
    pub(crate) fn message_from(&self, agent: &str, executor_id: &str, data: Vec<u8>) {
        self.send(&events::message(agent, executor_id, data));
    }

    /// Whether the scheduler is connected and has an executor on this agent.
    pub(crate) fn has_executor_on(&self, agent: &str) -> bool {
        let uid = {
            let state = self.lock();
            let record = state.record.as_ref().filter(|_| state.live.is_some());
            record.map(|record| record.uid.clone())
        };
        uid.is_some_and(|uid| {
            self.office.rows.with_tasks(&uid, |rows| !rows.executors_on(agent).is_empty())
        })
    }
}
