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
    /// Since when it is not heard of (its `Ready` condition is `Unknown`), in milliseconds since
    /// 1970.
    pub(crate) unreachable_since: Option<i64>,
}

impl AgentRow {
    pub(super) fn new(agent: &Agent) -> Self {
        let status = agent.status.as_ref();
        let ready = status.and_then(|status| get(&status.conditions, kind::READY));
        Self {
            facts: AgentFacts::of(agent),
            address: status.and_then(|status| status.addresses.first().cloned()),
            unreachable_since: ready
                .filter(|ready| ready.status == "Unknown")
                .map(|ready| ready.last_transition_time.0.as_millisecond()),
        }
    }
}
