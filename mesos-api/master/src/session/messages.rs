//! MESSAGE in both directions.

use std::sync::Arc;

use meseta_mesos_wire::v1::scheduler::call;
use tokio::sync::mpsc;

use super::calls::Waiting;
use super::{Session, events};

/// A message on its way to an executor.
pub(super) struct Outgoing {
    agent: String,
    /// Uid of the executor's record.
    uid: String,
    data: Vec<u8>,
    /// The room that it takes.
    _waiting: Waiting,
}

impl Session {
    /// Hands a message to an executor of the framework, if it runs: later, so that an agent that
    /// does not answer keeps no other call waiting. What does not fit is dropped, as with Mesos.
    pub(super) fn message(&self, uid: &str, message: call::Message, waiting: Waiting) {
        let (agent, executor) = (message.agent_id.value, message.executor_id.value);
        let row = self.office.rows.with_tasks(uid, |rows| {
            let row = rows.executor(&agent, &executor)?;
            (!row.state.is_terminal()).then(|| row.uid.clone())
        });
        if let Some(uid) = row {
            let message = Outgoing { agent, uid, data: message.data, _waiting: waiting };
            self.messages.try_send(message).ok();
        }
    }

    /// Hands over messages in their order until it is dropped.
    pub(super) async fn deliver(self: Arc<Self>, mut messages: mpsc::Receiver<Outgoing>) {
        while let Some(Outgoing { agent, uid, data, _waiting }) = messages.recv().await {
            self.office.message_to(&agent, &uid, data).await;
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
