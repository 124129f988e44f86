//! What is kept of an agent's record.

use meseta_crds::Agent;
use meseta_crds::condition::{get, kind};

use crate::core::offer::AgentFacts;

/// One agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentRow {
    /// What schedulers are told of it.
    pub(crate) facts: AgentFacts,
    /// `host:port` of its TLS endpoint.
    pub(crate) address: Option<String>,
    /// Whether it is heard of: its `Ready` condition is not `Unknown`.
    pub(crate) reachable: bool,
}

impl AgentRow {
    pub(super) fn new(agent: &Agent) -> Self {
        let status = agent.status.as_ref();
        let ready = status.and_then(|status| get(&status.conditions, kind::READY));
        Self {
            facts: AgentFacts::of(agent),
            address: status.and_then(|status| status.addresses.first().cloned()),
            reachable: ready.is_none_or(|ready| ready.status != "Unknown"),
        }
    }
}
