//! The agent's own record as it is known: what the watch told last, or the answer to a later request.
//! Pure.

use kube::ResourceExt as _;
use meseta_crds::Agent;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    record: Option<Agent>,
    /// Whether it is an answer of which the watch is yet to tell.
    ahead: bool,
}

impl Known {
    /// The newest that is known.
    pub(super) fn record(&self) -> Option<&Agent> {
        self.record.as_ref()
    }

    /// The watch has shown all there is, or that it is gone: whatever was known before.
    pub(super) fn listed(&mut self, record: Option<Agent>) {
        (self.record, self.ahead) = (record, false);
    }

    /// The watch has told of a change.
    pub(super) fn told(&mut self, agent: Agent) {
        if !self.ahead || version(&agent) >= self.record().map_or(0, version) {
            self.listed(Some(agent));
        }
    }

    /// A request of this agent was answered with this.
    pub(super) fn answered(&mut self, record: Option<Agent>) {
        (self.record, self.ahead) = (record, true);
    }
}

/// Versions are numbers that grow, here as on Kubernetes.
pub(super) fn version(agent: &Agent) -> u64 {
    agent.resource_version().unwrap_or_default().parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use meseta_crds::AgentSpec;

    use super::*;

    fn agent(version: u64) -> Agent {
        let mut agent = Agent::new("a", AgentSpec::default());
        agent.metadata.resource_version = Some(version.to_string());
        agent
    }

    #[test]
    fn what_the_watch_tells_late_is_older_than_an_answer() {
        let mut known = Known::default();
        let version = |known: &Known| known.record().map(version);
        known.answered(Some(agent(8)));
        known.told(agent(7));
        assert_eq!(version(&known), Some(8));
        known.told(agent(8));
        // From here on the watch is believed again, also about a store that went back.
        known.told(agent(5));
        assert_eq!(version(&known), Some(5));
        known.answered(Some(agent(9)));
        known.listed(Some(agent(3)));
        assert_eq!(version(&known), Some(3));
        known.answered(None);
        known.told(agent(1));
        assert_eq!(version(&known), Some(1));
        known.listed(None);
        assert_eq!(version(&known), None);
    }
}
