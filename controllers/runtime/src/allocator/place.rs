//! Writes one placement, and finds out what became of it.

use std::time::Duration;

use kube::Api;
use kube::api::{Patch, PatchParams};
use meseta_crds::{AGENT_FINALIZER, Task};
use tokio_util::sync::CancellationToken;

use crate::cluster::Key;
use crate::write::{WriteError, Writer};

/// Pause before the record is read again after the first failed read; doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// Longest pause between reads.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// A decided placement.
pub(super) struct Order {
    pub(super) key: Key,
    pub(super) uid: String,
    /// The version of the record that was decided on.
    pub(super) version: String,
    pub(super) finalizers: Vec<String>,
    pub(super) agent: String,
}

/// What became of it.
pub(super) enum Settled {
    /// Written.
    Placed { key: Key, task: Box<Task> },
    /// Not known to be written; this is the record as it stands, if it does.
    Observed { key: Key, uid: String, task: Option<Box<Task>> },
    /// The server does not accept it.
    Refused { key: Key, version: String },
    /// The term ended before it could be known.
    Unknown { key: Key },
}

impl Settled {
    pub(super) fn key(&self) -> &Key {
        match self {
            Self::Placed { key, .. }
            | Self::Observed { key, .. }
            | Self::Refused { key, .. }
            | Self::Unknown { key } => key,
        }
    }
}

/// Agent, epoch and finalizer in one write, guarded by the version that was decided on.
///
/// If it is not known whether that was carried out, the record is read until it says so or `stop`
/// ends the term. Writes may be held back for a moment in the midst of a term, while a renewal of the
/// lease is late, so that alone is no reason to give up. A write that arrives even later is refused,
/// by the version of the record if that has moved on, and by the agent if its room was given away.
pub(super) async fn place(writer: &Writer, order: Order, stop: &CancellationToken) -> Settled {
    let Order { key, uid, version, mut finalizers, agent } = order;
    if !finalizers.iter().any(|finalizer| finalizer == AGENT_FINALIZER) {
        finalizers.push(AGENT_FINALIZER.to_owned());
    }
    let tasks: Api<Task> = Api::namespaced(writer.client.clone(), &key.namespace);
    let patch = serde_json::json!({
        "metadata": {"uid": uid, "resourceVersion": version, "finalizers": finalizers},
        "spec": {"agentName": agent, "placement": {"epoch": writer.epoch}},
    });
    let parameters = PatchParams::default();
    match writer.write(tasks.patch(&key.name, &parameters, &Patch::Merge(&patch))).await {
        Ok(task) => return Settled::Placed { key, task: Box::new(task) },
        Err(err @ WriteError::Rejected(_)) => {
            let error = &err as &dyn std::error::Error;
            tracing::warn!(error, namespace = key.namespace, task = key.name, "placement refused");
            return Settled::Refused { key, version };
        }
        Err(err) => {
            let error = &err as &dyn std::error::Error;
            tracing::debug!(error, namespace = key.namespace, task = key.name, "not placed");
        }
    }
    let mut pause = FIRST_RETRY;
    loop {
        match stop.run_until_cancelled(writer.read(tasks.get_opt(&key.name))).await {
            Some(Ok(task)) => return Settled::Observed { key, uid, task: task.map(Box::new) },
            Some(Err(_)) => {}
            None => return Settled::Unknown { key },
        }
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}

#[cfg(test)]
mod tests;
