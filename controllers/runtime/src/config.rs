//! How a control plane takes part.

use std::time::Duration;

use meseta_planning::agent_lifecycle::Policy as AgentPolicy;
use meseta_planning::retention::Policy as RetentionPolicy;

use crate::Error;
use crate::handle::LeaderAddress;

/// How this control plane takes part.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this control plane among the others.
    pub identity: String,
    /// Whether something else makes sure that no second process of this identity exists (a lock on
    /// the store's directory): a lease that an earlier one left behind is then taken at once.
    pub sole: bool,
    /// Where this control plane is reached by the others, when it leads.
    pub address: LeaderAddress,
    /// How long a lease lasts without renewal; whole seconds.
    pub lease_duration: Duration,
    /// Time between two renewals.
    pub renew_interval: Duration,
    /// Time between two looks at a lease that somebody else holds.
    pub retry_interval: Duration,
    /// How long before the end of its lease a leader stops writing.
    pub fence_margin: Duration,
    /// When an agent counts as unreachable, and how fast that is acted on.
    pub agents: AgentPolicy,
    /// What is kept of finished tasks.
    pub retention: RetentionPolicy,
    /// How long the record of a role that came by itself, and that nobody has written into, stays
    /// when no task and no framework has the role any more.
    pub unused_roles: Duration,
}

impl Config {
    /// The usual times: a lease of 5 s, renewed every 1.5 s, looked at every second.
    pub fn new(identity: impl Into<String>) -> Self {
        Self {
            identity: identity.into(),
            sole: false,
            address: LeaderAddress::default(),
            lease_duration: Duration::from_secs(5),
            renew_interval: Duration::from_millis(1500),
            retry_interval: Duration::from_secs(1),
            fence_margin: Duration::from_secs(1),
            agents: AgentPolicy::default(),
            retention: RetentionPolicy::default(),
            unused_roles: Duration::from_secs(300),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.lease_duration <= self.renew_interval + self.fence_margin {
            return Err(Error::Times {
                lease: self.lease_duration,
                renewal: self.renew_interval,
                margin: self.fence_margin,
            });
        }
        Ok(())
    }
}
