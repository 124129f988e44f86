//! Decides what becomes of agents that fall silent, come back or are removed, and of their tasks.
//!
//! ```text
//!            silent too long                    record deleted
//!   Ready ───────────────────► Unreachable ───────────────────────► (gone)
//!     ▲      heartbeat again        │                                  │
//!     └─────────────────────────────┘                                  ▼
//!   its tasks:  as they were ⇄ Unreachable                   Lost, then released
//! ```
//!
//! Unreachable is not lost: a silent agent keeps its containers, and so its tasks keep their place.
//! Only the removal of the agent's record, by a person or by who manages the machines, makes them
//! `Lost`. When many agents are silent at once the fault is more likely on this side, and nothing
//! more is marked. Pure: no I/O, no clock; silence is measured by who observes.

use std::collections::BTreeSet;
use std::time::Duration;

use meseta_crds::TaskState;
use meseta_crds::condition::Value;
use meseta_crds::task::reason;

/// Reason of `Ready=True` after an agent has come back.
pub const AGENT_READY: &str = "AgentReady";

/// Limits of what is done to agents and tasks whose machine cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long an agent may be silent. Five heartbeats of ten seconds and some, so that a change of
    /// leader or a slow store is not taken for silence.
    pub silence: Duration,
    /// Agents marked in one pass.
    pub max_agents_marked: usize,
    /// Tasks changed in one pass.
    pub max_tasks_changed: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self { silence: Duration::from_secs(75), max_agents_marked: 20, max_tasks_changed: 200 }
    }
}

/// Silent agents that are always believed, however few agents there are.
const MIN_SILENT_BELIEVED: usize = 3;
/// One in so many agents may be silent before silence is no longer believed.
const SILENT_FRACTION: usize = 10;

/// What one read of the cluster showed.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Every agent.
    pub agents: Vec<Agent>,
    /// The tasks with an agent that matter: those of silent agents, those that are `Unreachable`,
    /// those whose agent has no record.
    pub tasks: Vec<Task>,
    /// Names that tasks give and that were confirmed to have no record.
    pub removed: BTreeSet<String>,
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Name of the record.
    pub name: String,
    /// How long no heartbeat was seen.
    pub silent_for: Duration,
    /// Status and reason of its `Ready` condition.
    pub ready: Option<(String, String)>,
}

impl Agent {
    fn is_marked(&self) -> bool {
        self.ready.as_ref().is_some_and(|(_, reason)| reason == reason::AGENT_UNREACHABLE)
    }
}

/// One task with an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Namespace of the record.
    pub namespace: String,
    /// Name of the record.
    pub name: String,
    /// Name of its agent.
    pub agent: String,
    /// Where it is in its life.
    pub state: TaskState,
    /// Whether its container was running when it was last heard of.
    pub ran: bool,
    /// Whether it carries the agent's finalizer.
    pub held: bool,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Set the `Ready` condition of an agent.
    SetReady {
        /// Name of the agent.
        agent: String,
        /// The value.
        value: Value,
        /// CamelCase cause.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// Set the state of a task.
    SetState {
        /// Namespace of the task.
        namespace: String,
        /// Name of the task.
        name: String,
        /// The state.
        state: TaskState,
        /// CamelCase cause, none where the state speaks for itself.
        reason: Option<&'static str>,
        /// For people.
        message: String,
    },
    /// Take the agent's finalizer off a task.
    Release {
        /// Namespace of the task.
        namespace: String,
        /// Name of the task.
        name: String,
    },
}

/// The steps, and what was held back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Steps that do not depend on each other.
    pub actions: Vec<Action>,
    /// What was not done, and why.
    pub held_back: Option<String>,
}

/// Returns the steps that `observed` asks for.
#[must_use]
pub fn plan(observed: &Observed, policy: Policy) -> Plan {
    let silent: Vec<&Agent> =
        observed.agents.iter().filter(|agent| agent.silent_for > policy.silence).collect();
    let believed = MIN_SILENT_BELIEVED.max(observed.agents.len() / SILENT_FRACTION);
    let mut plan = Plan::default();
    if silent.len() > believed {
        plan.held_back = Some(format!(
            "{} of {} agents are silent at once: no more are marked as unreachable",
            silent.len(),
            observed.agents.len()
        ));
    }
    mark_agents(observed, &silent, policy, &mut plan);
    change_tasks(observed, &silent, policy, &mut plan);
    plan
}

fn mark_agents(observed: &Observed, silent: &[&Agent], policy: Policy, plan: &mut Plan) {
    if plan.held_back.is_none() {
        let unmarked = silent.iter().filter(|agent| !agent.is_marked());
        plan.actions.extend(unmarked.take(policy.max_agents_marked).map(|agent| {
            Action::SetReady {
                agent: agent.name.clone(),
                value: Value::Unknown,
                reason: reason::AGENT_UNREACHABLE,
                message: format!(
                    "no heartbeat for more than {} s; its containers may well run on",
                    policy.silence.as_secs()
                ),
            }
        }));
    }
    let back = observed.agents.iter().filter(|a| a.silent_for <= policy.silence && a.is_marked());
    plan.actions.extend(back.map(|agent| Action::SetReady {
        agent: agent.name.clone(),
        value: Value::True,
        reason: AGENT_READY,
        message: "the agent is heard of again".to_owned(),
    }));
}

fn change_tasks(observed: &Observed, silent: &[&Agent], policy: Policy, plan: &mut Plan) {
    let silent: BTreeSet<&str> = silent.iter().map(|agent| agent.name.as_str()).collect();
    let marked: BTreeSet<&str> =
        observed.agents.iter().filter(|a| a.is_marked()).map(|a| a.name.as_str()).collect();
    let known: BTreeSet<&str> = observed.agents.iter().map(|agent| agent.name.as_str()).collect();
    let changes = observed.tasks.iter().filter_map(|task| {
        let agent = task.agent.as_str();
        if !known.contains(agent) {
            return observed.removed.contains(agent).then(|| end(task)).flatten();
        }
        if silent.contains(agent) && marked.contains(agent) {
            return mark(task);
        }
        (!silent.contains(agent)).then(|| restore(task)).flatten()
    });
    let mut changes = changes.peekable();
    plan.actions.extend(changes.by_ref().take(policy.max_tasks_changed));
    if changes.peek().is_some() && plan.held_back.is_none() {
        plan.held_back = Some(format!(
            "more than {} tasks change with their agents: the others follow",
            policy.max_tasks_changed
        ));
    }
}

/// The agent is gone: the task first gets its last state, then, seen terminal, is released.
fn end(task: &Task) -> Option<Action> {
    if !task.state.is_terminal() {
        return Some(Action::SetState {
            namespace: task.namespace.clone(),
            name: task.name.clone(),
            state: TaskState::Lost,
            reason: Some(reason::AGENT_REMOVED),
            message: format!("the record of agent {} was deleted", task.agent),
        });
    }
    let release = || Action::Release { namespace: task.namespace.clone(), name: task.name.clone() };
    task.held.then(release)
}

fn mark(task: &Task) -> Option<Action> {
    let may_run = !task.state.is_terminal() && task.state != TaskState::Unreachable;
    may_run.then(|| Action::SetState {
        namespace: task.namespace.clone(),
        name: task.name.clone(),
        state: TaskState::Unreachable,
        reason: Some(reason::AGENT_UNREACHABLE),
        message: format!("agent {} is silent; the container may well run on", task.agent),
    })
}

/// What was last known before the silence; the agent corrects it if more has happened since.
fn restore(task: &Task) -> Option<Action> {
    (task.state == TaskState::Unreachable).then(|| Action::SetState {
        namespace: task.namespace.clone(),
        name: task.name.clone(),
        state: if task.ran { TaskState::Running } else { TaskState::Staging },
        reason: None,
        message: format!("agent {} is heard of again", task.agent),
    })
}

#[cfg(test)]
mod tests;
