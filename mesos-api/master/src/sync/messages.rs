//! Messages between schedulers and executors, by way of the agents.
//!
//! ```text
//!  MESSAGE call ──POST /v1/executors/{uid}/message──► agent ──► executor
//!  MESSAGE event ◄── session ◄──GET /v1/messages, one stream per agent──◄── executor
//! ```
//!
//! Best effort, as with Mesos: what cannot be delivered now is dropped. A stream to an agent stays
//! open while a framework that is connected has an executor there.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use meseta_mesos_wire::recordio;
use meseta_serve::agent_server_name;
use serde::Deserialize;

use super::Office;

/// Pause after a stream broke; doubles while it does.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// Longest pause.
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// How often a silent stream is looked at, whether anybody still wants it.
const LOOK: Duration = Duration::from_secs(30);
/// The largest record of a stream: a message and its text form.
const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;
/// Agents that are listened to at a time.
const MAX_LISTENERS: usize = 10_000;
/// How long a message to an executor may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Which agents are listened to.
#[derive(Default)]
pub(super) struct Listeners(Mutex<BTreeSet<String>>);

/// One record of an agent's stream.
#[derive(Deserialize)]
struct FromExecutor {
    /// Uid of the executor's task record.
    executor: String,
    /// Base64.
    data: String,
}

impl Office {
    /// Makes sure that messages from this agent are listened to.
    pub(crate) fn listen_to(self: &Arc<Self>, agent: &str) {
        let mut listeners = self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
        if listeners.len() >= MAX_LISTENERS || !listeners.insert(agent.to_owned()) {
            return;
        }
        let (office, agent) = (Arc::clone(self), agent.to_owned());
        tokio::spawn(async move {
            let stop = office.stop.clone();
            stop.run_until_cancelled(office.listen(&agent)).await;
        });
    }

    async fn listen(&self, agent: &str) {
        let mut retry = FIRST_RETRY;
        while self.is_wanted(agent) {
            match self.follow_messages(agent).await {
                Ok(()) => retry = FIRST_RETRY,
                Err(error) => {
                    tracing::debug!(agent, error, "messages of executors are not heard");
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(LONGEST_RETRY);
                }
            }
        }
    }

    /// Whether anybody connected has an executor there; if not, the listener is taken out at the
    /// same time, so that the next who wants one starts it.
    fn is_wanted(&self, agent: &str) -> bool {
        let mut listeners = self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.sessions().iter().any(|session| session.has_executor_on(agent));
        if !wanted {
            listeners.remove(agent);
        }
        wanted
    }

    async fn follow_messages(&self, agent: &str) -> Result<(), String> {
        let address = self.address(agent).ok_or("the agent has no address")?;
        let name = agent_server_name(agent);
        let answer = self.gateway.agents.get(&address, &name, "/v1/messages").await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the agent answers {}", answer.status()));
        }
        let mut body = answer.into_body();
        let mut records = recordio::Decoder::new(MAX_RECORD_BYTES);
        loop {
            let Ok(frame) = tokio::time::timeout(LOOK, body.frame()).await else {
                if self.is_wanted(agent) {
                    continue;
                }
                return Ok(());
            };
            let frame = frame.ok_or("the agent ended the stream")?;
            let frame = frame.map_err(|error| error.to_string())?;
            let Ok(data) = frame.into_data() else { continue };
            records.push(&data);
            while let Some(record) = records.next_record().map_err(|error| error.to_string())? {
                self.heard(agent, &record);
            }
        }
    }

    fn heard(&self, agent: &str, record: &Bytes) {
        let Ok(message) = serde_json::from_slice::<FromExecutor>(record) else {
            return tracing::warn!(agent, "a message of an executor cannot be read");
        };
        let Ok(data) = STANDARD.decode(&message.data) else {
            return tracing::warn!(agent, "the data of a message cannot be read");
        };
        let Some((framework_uid, executor_id)) = self.rows.executor(&message.executor) else {
            return;
        };
        let session = self.lock().by_uid.get(&framework_uid).cloned();
        if let Some(session) = session {
            session.message_from(agent, &executor_id, data);
        }
    }

    /// Hands a message to an executor, if it can be done now.
    pub(crate) async fn message_to(&self, agent: &str, executor_uid: &str, data: Vec<u8>) {
        let Some(address) = self.address(agent) else { return };
        let path = format!("/v1/executors/{executor_uid}/message");
        let name = agent_server_name(agent);
        let post = self.gateway.agents.post(&address, &name, &path, data.into());
        match tokio::time::timeout(SEND_TIMEOUT, post).await {
            Ok(Ok(answer)) if answer.status().is_success() => {}
            Ok(Ok(answer)) => {
                tracing::debug!(agent, status = answer.status().as_u16(), "message dropped");
            }
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(agent, error, "message dropped");
            }
            Err(_) => tracing::debug!(agent, "message dropped: the agent is too slow"),
        }
    }

    fn address(&self, agent: &str) -> Option<String> {
        let row = self.rows.agent(agent)?;
        // One that is silent would only be waited for.
        row.address.clone().filter(|_| row.unreachable_since.is_none())
    }
}
