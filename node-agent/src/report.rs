//! What the records of tasks are told, and how it gets there.
//!
//! Level, not edge: a [`View`] is what should stand in the record, and it is written when something
//! else does. A write that fails is made again until it is not needed any more; a record that is
//! missing gets none. Running, terminal and the finalizer are written at once; what passes by
//! itself (`Staging`, `Starting`, `Killing`) only when it takes long.
//!
//! **Invariant:** each write carries the version of the record it was decided on.

mod mirror;

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams};
use meseta_crds::condition::{self, Condition, Value, kind};
use meseta_crds::task::{ContainerStatus, MesosUpdate, reason};
use meseta_crds::{AGENT_FINALIZER, SCHEDULER_FINALIZER, Task, TaskState};
use serde_json::json;

pub(crate) use mirror::{Mirror, Record};

use crate::checkpoint::Outcome;
use crate::mesos::updates;
use crate::node::Node;
use crate::task::life::{Life, Reached, State};
use crate::task::outcome::{container, of_cause, time};

/// How long a state that passes by itself may last before it is told.
pub(crate) const TRANSITION_MILLIS: i64 = 1_000;
/// Characters of a message that are told: it is for people, and stands in the record three times.
const MAX_MESSAGE_CHARS: usize = 1024;
/// Longest wait for one answer of the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the first failed write; doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// Longest pause between tries. 110 tasks then knock 22 times a second at a server that is down.
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// What should stand in the status of a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    /// Where the task is in its life.
    pub(crate) state: TaskState,
    /// CamelCase cause.
    pub(crate) reason: Option<String>,
    /// One sentence for people.
    pub(crate) message: Option<String>,
    /// The container.
    pub(crate) container: Option<ContainerStatus>,
    /// When it is to be told, in milliseconds since 1970.
    pub(crate) due: i64,
    /// What its Mesos scheduler is to be told. Where it is absent, that follows from the rest.
    pub(crate) updates: Option<Vec<MesosUpdate>>,
    /// When it was where, for what its scheduler is told.
    pub(crate) reached: Reached,
}

impl View {
    /// What is to be told of a life that has just become as it is.
    pub(crate) fn of(life: &Life, now: i64) -> Self {
        let accepted = &life.accepted;
        let running = |pid: i32, started: i64| ContainerStatus {
            pid: Some(i64::from(pid)),
            started_at: Some(time(started)),
            ..container(accepted)
        };
        let later = now + TRANSITION_MILLIS;
        match &life.state {
            State::Staging => Self {
                state: TaskState::Staging,
                reason: None,
                message: Some("image, sandbox and volumes are being prepared".to_owned()),
                container: accepted.last.clone(),
                due: later,
                updates: None,
                reached: life.reached,
            },
            State::Starting { .. } => Self {
                state: TaskState::Starting,
                reason: None,
                message: None,
                container: accepted.last.clone(),
                due: later,
                updates: None,
                reached: life.reached,
            },
            State::Running(program) => Self {
                state: TaskState::Running,
                reason: None,
                message: None,
                container: Some(running(program.pid, program.started)),
                due: now,
                updates: None,
                reached: life.reached,
            },
            State::Waiting { until, last } => Self {
                state: TaskState::Starting,
                reason: Some(reason::RESTARTING.to_owned()),
                message: Some(format!("{last}; the next run begins at {}", time(*until).0)),
                container: accepted.last.clone(),
                due: later,
                updates: None,
                reached: life.reached,
            },
            State::Stopping { stop, program, .. } => Self {
                state: TaskState::Killing,
                reason: Some(of_cause(stop.cause).to_owned()),
                message: None,
                container: program.map(|program| running(program.pid, program.started)),
                due: later,
                updates: None,
                reached: life.reached,
            },
            State::Ended(outcome) => Self { reached: life.reached, ..Self::of_outcome(outcome) },
        }
    }

    /// What is to be told of a task that has ended.
    pub(crate) fn of_outcome(outcome: &Outcome) -> Self {
        Self {
            state: outcome.state,
            reason: Some(outcome.reason.clone()),
            message: Some(told(&outcome.message)),
            container: outcome.container.clone(),
            due: outcome.ended_unix_millis,
            updates: None,
            reached: Reached::default(),
        }
    }

    /// Whether the record says this already.
    pub(crate) fn is_in(&self, task: &Task) -> bool {
        let Some(status) = &task.status else { return false };
        status.state == self.state
            && status.reason == self.reason
            && status.message == self.message
            && status.containers.first() == self.container.as_ref()
            // What asks for an end is answered by the next state, and not by a write of its own.
            && (status.observed_generation == task.metadata.generation || is_ending(task))
            && self.updates.as_ref().is_none_or(|updates| {
                let written = status.mesos.clone().unwrap_or_default();
                // What has the same uuid is the same, though a number in it may have been rounded on
                // its way through the records.
                let uuids = |updates: &[MesosUpdate]| -> Vec<String> {
                    updates.iter().map(|update| update.uuid.clone()).collect()
                };
                uuids(updates) == uuids(&updates::unacknowledged(written))
            })
    }

    /// The patch of a record's status that makes it say this. `ip` is where containers are reached.
    fn patch(&self, task: &Task, ip: Option<IpAddr>, now: &Time) -> serde_json::Value {
        let containers: Vec<&ContainerStatus> = self.container.iter().collect();
        let mut patch = json!({
            "metadata": {"resourceVersion": task.metadata.resource_version},
            "status": {
                "observedGeneration": task.metadata.generation,
                "state": self.state,
                // What is absent must not stay from before.
                "reason": self.reason,
                "message": self.message,
                "conditions": self.conditions(task, now),
                "containers": containers,
            },
        });
        let updates = self.updates.clone();
        let by_agent = || updates::by_agent(task, self, ip, now.0.as_millisecond());
        if let Some(updates) = updates.or_else(by_agent) {
            patch["status"]["mesos"] = json!({"updates": updates});
        }
        patch
    }

    fn conditions(&self, task: &Task, now: &Time) -> Vec<Condition> {
        let mut conditions =
            task.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        let generation = task.metadata.generation.unwrap_or_default();
        let message = self.message.as_deref().unwrap_or_default();
        let mut set = |kind: &str, value: Value, reason: &str, message: &str| {
            condition::set(&mut conditions, kind, value, reason, message, generation, now);
        };
        let agent = task.spec.agent_name.as_deref().unwrap_or_default();
        set(kind::PLACED, Value::True, "Placed", &format!("placed on agent {agent}"));
        let why = self.reason.clone().unwrap_or_else(|| format!("{:?}", self.state));
        let (ready, succeeded) = match self.state {
            TaskState::Running => (Value::True, None),
            TaskState::Finished => (Value::True, Some(Value::True)),
            TaskState::Failed | TaskState::Killed | TaskState::Dropped | TaskState::Lost => {
                (Value::False, Some(Value::False))
            }
            TaskState::Pending
            | TaskState::Staging
            | TaskState::Starting
            | TaskState::Killing
            | TaskState::Unreachable => (Value::False, None),
        };
        set(kind::READY, ready, &why, message);
        if let Some(succeeded) = succeeded {
            set(kind::SUCCEEDED, succeeded, &why, message);
            // Nothing follows a bad end: whoever waits for this record need not wait longer.
            let stalled = if succeeded == Value::True { Value::False } else { Value::True };
            set(kind::STALLED, stalled, &why, message);
        }
        conditions
    }
}

/// As much of a message as is told.
pub(crate) fn told(message: &str) -> String {
    message.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// Why a record was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The record is not what it was when it was observed.
    #[error("the record has changed")]
    Conflict,
    /// The record is gone.
    #[error("the record does not exist")]
    NotFound,
    /// The server refuses the request as it is.
    #[error("the server refuses the request")]
    Rejected(#[source] kube::Error),
    /// The server cannot be reached, or cannot answer; the write may have been carried out.
    #[error("the server does not answer")]
    Unavailable(#[source] kube::Error),
    /// No answer in time; the write may have been carried out.
    #[error("no answer in time")]
    TimedOut,
}

impl From<kube::Error> for WriteError {
    fn from(err: kube::Error) -> Self {
        let kube::Error::Api(status) = &err else { return Self::Unavailable(err) };
        match status.code {
            409 | 412 => Self::Conflict,
            404 => Self::NotFound,
            429 => Self::Unavailable(err),
            400..=499 => Self::Rejected(err),
            _ => Self::Unavailable(err),
        }
    }
}

/// Sends one request, bounded in time and in how many are under way.
///
/// # Errors
/// See [`WriteError`]. Dropping the future leaves the outcome unknown.
pub(crate) async fn request<T>(
    node: &Node,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, WriteError> {
    let _slot = node.requests.acquire().await.expect("the semaphore is never closed");
    let answer = tokio::time::timeout(REQUEST_TIMEOUT, request).await;
    answer.map_err(|_| WriteError::TimedOut)?.map_err(WriteError::from)
}

/// Makes the record of a task say `view`; returns the record as it then is.
///
/// # Errors
/// See [`WriteError`].
pub(crate) async fn write_status(
    node: &Node,
    task: &Task,
    view: &View,
) -> Result<Task, WriteError> {
    let patch = view.patch(task, node.mesos.ip, &Time(jiff::Timestamp::now()));
    let (api, name) = api(node, task);
    let parameters = PatchParams::default();
    request(node, api.patch_status(&name, &parameters, &Patch::Merge(&patch))).await
}

/// Puts the agent's finalizer on the record of a task, or takes it away.
///
/// # Errors
/// See [`WriteError`].
pub(crate) async fn write_finalizer(
    node: &Node,
    task: &Task,
    present: bool,
) -> Result<Task, WriteError> {
    let mut finalizers = task.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != AGENT_FINALIZER);
    if present {
        finalizers.push(AGENT_FINALIZER.to_owned());
    }
    let patch = json!({"metadata": {
        "uid": task.metadata.uid,
        "resourceVersion": task.metadata.resource_version,
        "finalizers": finalizers,
    }});
    let (api, name) = api(node, task);
    let parameters = PatchParams::default();
    request(node, api.patch(&name, &parameters, &Patch::Merge(&patch))).await
}

/// The record of a task as it is now; `None` where it, this very one, does not exist.
///
/// # Errors
/// See [`WriteError`].
pub(crate) async fn read(node: &Node, task: &Task) -> Result<Option<Task>, WriteError> {
    let (api, name) = api(node, task);
    let found = request(node, api.get_opt(&name)).await?;
    Ok(found.filter(|found| found.metadata.uid == task.metadata.uid))
}

fn api(node: &Node, task: &Task) -> (Api<Task>, String) {
    let namespace = task.metadata.namespace.as_deref().unwrap_or("default");
    let name = task.metadata.name.clone().unwrap_or_default();
    (Api::namespaced(node.client.clone(), namespace), name)
}

/// Whether the record carries the agent's finalizer.
pub(crate) fn is_held(task: &Task) -> bool {
    let finalizers = task.metadata.finalizers.as_deref().unwrap_or_default();
    finalizers.iter().any(|finalizer| finalizer == AGENT_FINALIZER)
}

/// Whether a Mesos scheduler is still to be told of the task.
pub(crate) fn has_scheduler(task: &Task) -> bool {
    let finalizers = task.metadata.finalizers.as_deref().unwrap_or_default();
    finalizers.iter().any(|finalizer| finalizer == SCHEDULER_FINALIZER)
}

/// Whether the record says that the task has ended.
pub(crate) fn is_terminal(task: &Task) -> bool {
    task.status.as_ref().is_some_and(|status| status.state.is_terminal())
}

/// Whether the record is being deleted.
pub(crate) fn is_deleting(task: &Task) -> bool {
    task.metadata.deletion_timestamp.is_some()
}

/// Whether the record asks for the end of its task.
pub(crate) fn is_ending(task: &Task) -> bool {
    is_deleting(task) || task.spec.kill.is_some()
}

/// Pauses that grow from failure to failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST_RETRY)
    }
}

impl Backoff {
    /// The pause that is due now.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (self.0 * 2).min(LONGEST_RETRY);
        pause
    }

    /// Something went well.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
