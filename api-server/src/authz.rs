//! Who may do what. Pure: an identity and what it wants to do in, a decision out.
//!
//! | identity | may |
//! |---|---|
//! | group `system:masters` or `meseta:control-planes` | everything |
//! | group `meseta:agents`, user `meseta:agent:<name>` | its own Agent and heartbeat Lease; the Tasks whose `spec.agentName` is its name; create Events; look at the leader's Lease |
//! | anybody with a certificate | discovery, version, health |
//!
//! To set `spec.agentName` of a Task is a verb of its own, `place`: a placement is the one write
//! that makes a machine run something.
//!
//! **Invariant:** what is not allowed here is refused.

use meseta_crds::{GROUP, LEADER_LEASE, SYSTEM_NAMESPACE, agent_lease_name};
use meseta_pki::{ADMIN_GROUP, AGENTS_GROUP, CONTROL_PLANE_GROUP, agent_user};
use meseta_serve::Identity;

use crate::request::verb::Verb;

/// What somebody wants to do with objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: Verb,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    /// The one object that is meant, in the path or by a field selector; empty for several.
    pub(crate) name: &'a str,
    /// The value of `spec.agentName` that a list or a watch selects.
    pub(crate) agent_name: Option<&'a str>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Deny,
    Allow,
    /// Allowed if the object turns out to be as said.
    AllowIf(Condition),
}

/// What an object must be for a write or a read of it to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It has this name.
    Named(String),
    /// It is a Task placed on this agent, and a write changes what `scope` says.
    TaskOf { agent: String, scope: TaskScope },
}

/// What of a Task may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskScope {
    /// What the endpoint changes.
    Endpoint,
    /// The finalizers alone.
    Finalizers,
}

/// Decides.
pub(crate) fn authorize(identity: &Identity, attributes: &Attributes<'_>) -> Decision {
    if identity.is_in(ADMIN_GROUP) || identity.is_in(CONTROL_PLANE_GROUP) {
        return Decision::Allow;
    }
    match agent(identity) {
        Some(agent) => authorize_agent(agent, attributes),
        None => Decision::Deny,
    }
}

/// The name of the agent that calls.
fn agent(identity: &Identity) -> Option<&str> {
    let name = identity.user.strip_prefix(&agent_user(""))?;
    (identity.is_in(AGENTS_GROUP) && !name.is_empty()).then_some(name)
}

fn authorize_agent(agent: &str, wanted: &Attributes<'_>) -> Decision {
    let allowed = |allowed: bool| if allowed { Decision::Allow } else { Decision::Deny };
    let task_of = |scope| Decision::AllowIf(Condition::TaskOf { agent: agent.to_owned(), scope });
    let named = |name: String| Decision::AllowIf(Condition::Named(name));
    match (wanted.group, wanted.resource, wanted.subresource, wanted.verb) {
        (GROUP, "agents", "", Verb::Create) => named(agent.to_owned()),
        (GROUP, "agents", "", Verb::List | Verb::Watch) => allowed(wanted.name == agent),
        (GROUP, "agents", "" | "status", Verb::Get | Verb::Update | Verb::Patch) => {
            allowed(wanted.name == agent)
        }
        (GROUP, "tasks", "", Verb::List | Verb::Watch) => allowed(wanted.agent_name == Some(agent)),
        (GROUP, "tasks", "" | "status", Verb::Get) => task_of(TaskScope::Endpoint),
        (GROUP, "tasks", "status", Verb::Patch) => task_of(TaskScope::Endpoint),
        (GROUP, "tasks", "", Verb::Patch) => task_of(TaskScope::Finalizers),
        ("coordination.k8s.io", "leases", "", verb) if wanted.namespace == SYSTEM_NAMESPACE => {
            let own = agent_lease_name(agent);
            match verb {
                Verb::Create => named(own),
                Verb::Get => allowed(wanted.name == own || wanted.name == LEADER_LEASE),
                Verb::Update | Verb::Patch => allowed(wanted.name == own),
                _ => Decision::Deny,
            }
        }
        ("", "events", "", Verb::Create) => Decision::Allow,
        _ => Decision::Deny,
    }
}

#[cfg(test)]
mod tests;
