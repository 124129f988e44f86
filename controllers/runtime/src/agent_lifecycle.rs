//! Carries out what becomes of silent, returned and removed agents and of their tasks.
//!
//! These writes are rare and decided from rows, so each reads its record again first and is left out
//! if the record has moved on meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use kube::Api;
use kube::api::{Patch, PatchParams};
use meseta_crds::condition::{self, Condition, Time, Value, kind};
use meseta_crds::{AGENT_FINALIZER, Agent, Task, TaskState, TaskStatus};
use meseta_planning::agent_lifecycle::{self, Action, Observed, Plan, Policy};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Key, TaskRow};
use crate::write::{WriteError, Writer};

/// Time between two passes. A pass looks at one number per agent.
const PASS_INTERVAL: Duration = Duration::from_secs(1);
/// Writes under way at the same time.
const CONCURRENT_WRITES: usize = 16;
/// Missing agents whose absence is confirmed in one pass.
const MAX_CONFIRMED: usize = 20;

/// Watches over agents until `stop`.
pub(crate) async fn run(
    cluster: &Cluster,
    writer: &Writer,
    policy: Policy,
    stop: &CancellationToken,
) {
    let mut held_back = None;
    let mut ticks = tokio::time::interval(PASS_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let observed = observe(cluster, writer, policy).await;
        let plan = agent_lifecycle::plan(&observed, policy);
        if plan.held_back != held_back {
            if let Some(reason) = &plan.held_back {
                tracing::warn!(reason, "held back");
            }
            held_back.clone_from(&plan.held_back);
        }
        apply(writer, plan, &observed).await;
    }
}

/// Every agent, and the tasks that may have to change.
async fn observe(cluster: &Cluster, writer: &Writer, policy: Policy) -> Observed {
    let (mut observed, missing) = {
        let state = cluster.lock();
        let mut observed = Observed::default();
        for (name, agent) in &state.agents {
            let heartbeat = state.heartbeats.get(name);
            let silent_for = heartbeat.map_or(Duration::ZERO, |heartbeat| heartbeat.seen.elapsed());
            let silent = silent_for > policy.silence;
            observed.agents.push(agent_lifecycle::Agent {
                name: name.clone(),
                silent_for,
                ready: agent.ready.clone(),
            });
            let tasks = state.agent_tasks(name);
            let matter = tasks.filter(|(_, task)| {
                silent && !task.state.is_terminal() || task.state == TaskState::Unreachable
            });
            observed.tasks.extend(matter.filter_map(|(key, row)| observed_task(key, row)));
        }
        let missing: Vec<String> = state
            .tasks_of_agent
            .keys()
            .filter(|agent| !state.agents.contains_key(*agent))
            .filter(|agent| state.agent_tasks(agent).any(|(_, row)| is_bound(row)))
            .take(MAX_CONFIRMED)
            .cloned()
            .collect();
        for agent in &missing {
            let tasks = state.agent_tasks(agent).filter(|(_, row)| is_bound(row));
            observed.tasks.extend(tasks.filter_map(|(key, row)| observed_task(key, row)));
        }
        (observed, missing)
    };
    observed.removed = confirm_removed(writer, missing).await;
    observed
}

/// Whether the end of its agent concerns the task.
fn is_bound(row: &TaskRow) -> bool {
    !row.state.is_terminal() || row.is_held()
}

/// Those of `names` that the server knows no agent of. The watches of agents and tasks are not in
/// step: a task may be seen before its agent.
async fn confirm_removed(writer: &Writer, names: Vec<String>) -> BTreeSet<String> {
    let agents: Api<Agent> = Api::all(writer.client.clone());
    let agents = &agents;
    let confirmed = names.into_iter().map(|name| async move {
        let found = writer.read(agents.get_opt(&name)).await;
        matches!(found, Ok(None)).then_some(name)
    });
    futures::future::join_all(confirmed).await.into_iter().flatten().collect()
}

fn observed_task(key: &Key, row: &TaskRow) -> Option<agent_lifecycle::Task> {
    Some(agent_lifecycle::Task {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        agent: row.agent.clone()?,
        state: row.state,
        ran: row.ran,
        held: row.is_held(),
    })
}

async fn apply(writer: &Writer, plan: Plan, observed: &Observed) {
    let tasks: BTreeMap<(&str, &str), &agent_lifecycle::Task> = observed
        .tasks
        .iter()
        .map(|task| ((task.namespace.as_str(), task.name.as_str()), task))
        .collect();
    let tasks = &tasks;
    let steps = futures::stream::iter(plan.actions).map(|action| async move {
        tracing::info!(?action, "agent lifecycle");
        let done = match &action {
            Action::SetReady { agent, value, reason, message } => {
                set_ready(writer, agent, *value, reason, message).await
            }
            Action::SetState { namespace, name, state, reason, message } => {
                match tasks.get(&(namespace.as_str(), name.as_str())) {
                    Some(seen) => set_state(writer, seen, *state, *reason, message).await,
                    None => Ok(()),
                }
            }
            Action::Release { namespace, name } => release(writer, namespace, name).await,
        };
        match done {
            // The next pass sees what has become of it.
            Ok(()) | Err(WriteError::Conflict | WriteError::NotFound) => {}
            Err(err) => {
                tracing::warn!(error = &err as &dyn std::error::Error, ?action, "not done");
            }
        }
    });
    steps.buffer_unordered(CONCURRENT_WRITES).for_each(|()| std::future::ready(())).await;
}

async fn set_ready(
    writer: &Writer,
    name: &str,
    value: Value,
    reason: &str,
    message: &str,
) -> Result<(), WriteError> {
    let agents: Api<Agent> = Api::all(writer.client.clone());
    let agent = writer.read(agents.get(name)).await?;
    let mut conditions: Vec<Condition> =
        agent.status.map(|status| status.conditions).unwrap_or_default();
    let generation = agent.metadata.generation.unwrap_or_default();
    let now = Time(jiff::Timestamp::now());
    if !condition::set(&mut conditions, kind::READY, value, reason, message, generation, &now) {
        return Ok(());
    }
    let patch = serde_json::json!({
        "metadata": {"resourceVersion": agent.metadata.resource_version},
        "status": {"conditions": conditions},
    });
    let patch = Patch::Merge(&patch);
    writer.write(agents.patch_status(name, &PatchParams::default(), &patch)).await?;
    Ok(())
}

async fn set_state(
    writer: &Writer,
    seen: &agent_lifecycle::Task,
    state: TaskState,
    reason: Option<&str>,
    message: &str,
) -> Result<(), WriteError> {
    let tasks: Api<Task> = Api::namespaced(writer.client.clone(), &seen.namespace);
    let task = writer.read(tasks.get(&seen.name)).await?;
    let TaskStatus { state: current, mut conditions, .. } = task.status.unwrap_or_default();
    if current != seen.state || task.spec.agent_name.as_ref() != Some(&seen.agent) {
        return Err(WriteError::Conflict);
    }
    let generation = task.metadata.generation.unwrap_or_default();
    let now = Time(jiff::Timestamp::now());
    let (ready, why) = match state {
        TaskState::Running => (Value::True, "Running"),
        TaskState::Unreachable => (Value::Unknown, reason.unwrap_or("Unreachable")),
        _ => (Value::False, reason.unwrap_or("Progressing")),
    };
    condition::set(&mut conditions, kind::READY, ready, why, message, generation, &now);
    if state.is_terminal() {
        let succeeded = Value::False;
        condition::set(&mut conditions, kind::SUCCEEDED, succeeded, why, message, generation, &now);
    }
    let patch = serde_json::json!({
        "metadata": {"resourceVersion": task.metadata.resource_version},
        "status": {"state": state, "reason": reason, "message": message, "conditions": conditions},
    });
    let patch = Patch::Merge(&patch);
    writer.write(tasks.patch_status(&seen.name, &PatchParams::default(), &patch)).await?;
    Ok(())
}

async fn release(writer: &Writer, namespace: &str, name: &str) -> Result<(), WriteError> {
    let tasks: Api<Task> = Api::namespaced(writer.client.clone(), namespace);
    let task = writer.read(tasks.get(name)).await?;
    if !task.status.is_some_and(|status| status.state.is_terminal()) {
        return Err(WriteError::Conflict);
    }
    let mut finalizers = task.metadata.finalizers.unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != AGENT_FINALIZER);
    let patch = serde_json::json!({"metadata": {
        "resourceVersion": task.metadata.resource_version,
        "finalizers": finalizers,
    }});
    let patch = Patch::Merge(&patch);
    writer.write(tasks.patch(name, &PatchParams::default(), &patch)).await?;
    Ok(())
}
