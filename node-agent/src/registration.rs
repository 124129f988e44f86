//! The agent's own record: made where there is none, and kept as the machine is.
//!
//! Level, not edge: the record is watched, compared with what should stand there, and written when it
//! differs, whoever changed it. So an agent that was marked as unreachable says that it is there, and
//! one whose record is gone with the store makes another.

mod known;

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use meseta_crds::agent::AgentStatus;
use meseta_crds::condition::{self, Value, kind};
use meseta_crds::{Agent, AgentSpec, merge_patch};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fingerprint::{Disk, Fingerprint};
use crate::node::{Node, unix_millis};
use crate::report::{Backoff, WriteError, request};
use known::{Known, version};

/// Least time between two writes of the record.
const WRITE_DISTANCE: Duration = Duration::from_millis(500);
/// How long a record must be older than it was before that is believed.
const GOES_BACK_PATIENCE: Duration = Duration::from_secs(30);
/// Time between two tries to find out which store this is.
const RECOGNISE_INTERVAL: Duration = Duration::from_secs(5);
/// Orphans that are named; the others are counted.
const MAX_ORPHANS_NAMED: usize = 5;

/// What changes while the agent runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    /// Whether there is room on the disk.
    pub(crate) disk: Disk,
    /// Tasks that run here and have no record.
    pub(crate) orphans: Vec<String>,
    /// The highest epoch that was seen.
    pub(crate) seen_epoch: i64,
}

/// Keeps the agent's record.
pub(crate) struct Registration<'a> {
    pub(crate) node: &'a Node,
    pub(crate) fingerprint: Fingerprint,
    /// Where control planes reach the agent.
    pub(crate) addresses: Vec<String>,
    pub(crate) facts: watch::Receiver<Facts>,
    /// Told when the record is known, and with it which store this is.
    pub(crate) known: watch::Sender<bool>,
}

impl Registration<'_> {
    /// Keeps the record until dropped.
    pub(crate) async fn run(mut self) {
        let agents: Api<Agent> = Api::all(self.node.client.clone());
        let selector = format!("metadata.name={}", self.node.name);
        let config = watcher::Config::default().fields(&selector);
        let mut events = watcher(agents.clone(), config).boxed();
        let mut known = Known::default();
        let mut listed = false;
        let mut found = None;
        let mut backoff = Backoff::default();
        let mut goes_back_since: Option<Instant> = None;
        let mut due = Some(Instant::now());
        let mut watch_after = Instant::now();
        loop {
            let next = async {
                tokio::time::sleep_until(watch_after).await;
                events.next().await
            };
            tokio::select! {
                event = next => match event {
                    Some(Ok(Event::Init)) => found = None,
                    Some(Ok(Event::InitApply(agent))) => found = Some(agent),
                    Some(Ok(Event::InitDone)) => {
                        known.listed(found.take());
                        listed = true;
                    }
                    Some(Ok(Event::Apply(agent))) => known.told(agent),
                    Some(Ok(Event::Delete(_))) => known.listed(None),
                    Some(Err(err)) => {
                        let error = &err as &dyn std::error::Error;
                        tracing::debug!(error, "the agent's record is not watched");
                        watch_after = Instant::now() + backoff.next();
                        continue;
                    }
                    None => return,
                },
                _ = self.facts.changed() => {}
                () = sleep_until(due) => due = None,
            }
            if !listed {
                continue;
            }
            if !self.recognise(known.record(), &mut goes_back_since) {
                due = Some(Instant::now() + RECOGNISE_INTERVAL);
            }
            match self.write(&agents, known.record()).await {
                Ok(None) => backoff.reset(),
                Ok(Some(written)) => {
                    backoff.reset();
                    known.answered(Some(written));
                    // The answer may be the first sight of a record that was just made.
                    due = Some(Instant::now() + WRITE_DISTANCE);
                    tokio::time::sleep(WRITE_DISTANCE).await;
                }
                Err(err) => {
                    tracing::warn!(
                        error = &err as &dyn std::error::Error,
                        "the agent's record is not written"
                    );
                    if matches!(err, WriteError::Conflict | WriteError::NotFound) {
                        // It is not what the watch has told: a store may have lost it without a word.
                        let read = request(self.node, agents.get_opt(&self.node.name));
                        if let Ok(read) = read.await {
                            known.answered(read);
                        }
                    }
                    due = Some(Instant::now() + backoff.next());
                }
            }
        }
    }

    /// Finds out which store the record is from. Whether that is known.
    fn recognise(&self, record: Option<&Agent>, goes_back_since: &mut Option<Instant>) -> bool {
        let Some(agent) = record else { return true };
        let uid = agent.uid().unwrap_or_default();
        let version = version(agent);
        if self.node.memory.goes_back(&uid, version) {
            let since = goes_back_since.get_or_insert_with(Instant::now);
            if since.elapsed() < GOES_BACK_PATIENCE {
                return false;
            }
        }
        *goes_back_since = None;
        match self.node.memory.recognise(&uid, version, unix_millis()) {
            Ok(changed) => {
                if changed {
                    tracing::warn!(
                        "the records are not those of before: what runs is kept, and what the store \
                         does not know is kept for a day"
                    );
                }
                self.known.send_if_modified(|known| !std::mem::replace(known, true));
                true
            }
            Err(err) => {
                let error = &err as &dyn std::error::Error;
                tracing::error!(error, "cannot remember which cluster this is");
                false
            }
        }
    }

    /// Makes or corrects the record; returns it if it was written.
    async fn write(
        &mut self,
        agents: &Api<Agent>,
        record: Option<&Agent>,
    ) -> Result<Option<Agent>, WriteError> {
        let name = &self.node.name;
        let Some(agent) = record else {
            tracing::info!(name, "registering");
            let agent = Agent::new(name, AgentSpec::default());
            let made = request(self.node, agents.create(&PostParams::default(), &agent)).await?;
            return Ok(Some(made));
        };
        let facts = self.facts.borrow_and_update().clone();
        let desired = self.status(agent, &facts);
        let current = agent.status.clone().unwrap_or_default();
        if desired == current {
            return Ok(None);
        }
        let patch = json!({
            "metadata": {"resourceVersion": agent.metadata.resource_version},
            "status": merge_patch(&json!(current), json!(desired)),
        });
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(&patch));
        let written = request(self.node, agents.patch_status(name, &parameters, &patch));
        written.await.map(Some)
    }

    fn status(&self, agent: &Agent, facts: &Facts) -> AgentStatus {
        let Fingerprint { capacity, attributes, ports, machine } = self.fingerprint.clone();
        let current = agent.status.clone().unwrap_or_default();
        let generation = agent.metadata.generation.unwrap_or_default();
        let now = Time(jiff::Timestamp::now());
        let mut conditions = current.conditions;
        // One that takes no new tasks is well: those that run are looked after.
        let (reason, message) = readiness(agent.spec.unschedulable, &facts.orphans);
        let ready = Value::True;
        condition::set(&mut conditions, kind::READY, ready, reason, &message, generation, &now);
        let (available, reason, message) = match &facts.disk {
            Disk::Available => (Value::True, "DiskAvailable", ""),
            Disk::Full(why) => (Value::False, "DiskFull", why.as_str()),
        };
        condition::set(
            &mut conditions,
            kind::DISK_AVAILABLE,
            available,
            reason,
            message,
            generation,
            &now,
        );
        AgentStatus {
            observed_generation: agent.metadata.generation,
            conditions,
            capacity,
            attributes,
            ports,
            addresses: self.addresses.clone(),
            machine: Some(machine),
            seen_epoch: (facts.seen_epoch > 0).then_some(facts.seen_epoch),
        }
    }
}

/// Reason and message of an agent that looks after its tasks.
fn readiness(cordoned: bool, orphans: &[String]) -> (&'static str, String) {
    let (reason, message) = if cordoned {
        ("AgentCordoned", "takes no new tasks: it is cordoned (spec.unschedulable)")
    } else {
        ("AgentReady", "takes tasks")
    };
    if orphans.is_empty() {
        return (reason, message.to_owned());
    }
    ("OrphanedTasks", format!("{message}; {}", runs_on(orphans)))
}

fn runs_on(orphans: &[String]) -> String {
    let named = orphans.get(..MAX_ORPHANS_NAMED).unwrap_or(orphans).join(", ");
    let more = orphans.len().saturating_sub(MAX_ORPHANS_NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("runs on without a record: {named}{more}")
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_are_named_as_far_as_people_read() {
        let names: Vec<String> = (0..7).map(|n| format!("default/t{n}")).collect();
        assert_eq!(
            runs_on(&names),
            "runs on without a record: default/t0, default/t1, default/t2, default/t3, \
             default/t4 and 2 more"
        );
    }

    #[test]
    fn an_agent_says_that_it_takes_no_new_tasks() {
        let cordoned = "takes no new tasks: it is cordoned (spec.unschedulable)";
        let orphaned = |first: &str| format!("{first}; runs on without a record: default/t");
        let orphan = ["default/t".to_owned()];
        let told = [
            (false, &[][..], ("AgentReady", "takes tasks".to_owned())),
            (true, &[][..], ("AgentCordoned", cordoned.to_owned())),
            (false, &orphan[..], ("OrphanedTasks", orphaned("takes tasks"))),
            (true, &orphan[..], ("OrphanedTasks", orphaned(cordoned))),
        ];
        for (unschedulable, orphans, expected) in told {
            assert_eq!(readiness(unschedulable, orphans), expected);
        }
    }
}
