//! Offers as a scheduler sees them, which it does not want to see, and for how long it is spared.

use std::collections::BTreeMap;
use std::time::Duration;

use meseta_crds::{Agent, ResourceList};
use meseta_mesos_wire::v1;

use super::framework::Capabilities;
use super::resources::{self, Amounts};

/// How long an offer is not made again where the scheduler does not say.
pub const DEFAULT_FILTER: Duration = Duration::from_secs(5);
/// The longest it may say.
pub const MAX_FILTER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What schedulers are told of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// Name of the record; Mesos' agent id.
    pub name: String,
    /// Name of the machine.
    pub hostname: String,
    /// Attributes by name; those an operator gave before those the agent found.
    pub attributes: BTreeMap<String, String>,
    /// Where control planes reach it: host and port.
    pub address: Option<(String, u16)>,
    /// Whether it has GPUs, in use or not.
    pub has_gpus: bool,
}

impl AgentFacts {
    /// Those in the record of an agent.
    #[must_use]
    pub fn of(agent: &Agent) -> Self {
        let name = agent.metadata.name.clone().unwrap_or_default();
        let status = agent.status.as_ref();
        let mut attributes = status.map(|status| status.attributes.clone()).unwrap_or_default();
        attributes.extend(agent.spec.attributes.clone());
        let address = status.and_then(|status| status.addresses.first()).and_then(|address| {
            let (host, port) = address.rsplit_once(':')?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((host.to_owned(), port.parse().ok()?))
        });
        Self {
            hostname: attributes.get("hostname").unwrap_or(&name).clone(),
            name,
            attributes,
            address,
            has_gpus: status.is_some_and(|status| has_gpus(&Amounts::of_list(&status.capacity))),
        }
    }

    fn url(&self) -> Option<v1::Url> {
        let (host, port) = self.address.as_ref()?;
        Some(v1::Url {
            // As Mesos has it, also for agents that speak TLS.
            scheme: "http".to_owned(),
            address: v1::Address {
                hostname: Some(self.hostname.clone()),
                ip: Some(host.clone()),
                port: i32::from(*port),
            },
            path: Some("/slave(1)".to_owned()),
            ..v1::Url::default()
        })
    }
}

/// An offer on its way to a scheduler.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    /// Id of the offer.
    pub id: &'a str,
    /// The role it is for.
    pub role: &'a str,
    /// What of the agent may be taken.
    pub resources: &'a ResourceList,
}

/// The offer on the wire. `executors` are the ids of those that the framework has on the agent.
#[must_use]
pub fn offer(
    offered: Offered<'_>,
    agent: &AgentFacts,
    framework_id: &str,
    capabilities: Capabilities,
    executors: Vec<String>,
) -> v1::Offer {
    let amounts = Amounts::of_list(offered.resources);
    let attributes =
        agent.attributes.iter().map(|(name, value)| v1::Attribute::from_text(name, value));
    v1::Offer {
        id: v1::OfferId { value: offered.id.to_owned() },
        framework_id: v1::FrameworkId { value: framework_id.to_owned() },
        agent_id: v1::AgentId { value: agent.name.clone() },
        hostname: agent.hostname.clone(),
        url: agent.url(),
        resources: resources::write(&amounts, capabilities, offered.role),
        attributes: attributes.collect(),
        allocation_info: capabilities.multi_role.then(|| resources::allocation(offered.role)),
        executor_ids: executors.into_iter().map(|value| v1::ExecutorId { value }).collect(),
        ..v1::Offer::default()
    }
}

/// Whether the framework wants to see such an offer; one that it does not is declined for it. An
/// agent that has GPUs, be they in use, is only for those who know of GPUs, and a framework may name
/// minimal quantities.
#[must_use]
pub fn is_wanted(
    info: &v1::FrameworkInfo,
    role: &str,
    resources: &ResourceList,
    agent: &AgentFacts,
) -> bool {
    let amounts = Amounts::of_list(resources);
    // The facts may be older than the offer.
    let with_gpus = agent.has_gpus || has_gpus(&amounts);
    if amounts.is_empty() || (with_gpus && !Capabilities::of(info).gpu_resources) {
        return false;
    }
    let minimum = info.offer_filters.get(role).and_then(|f| f.min_allocatable_resources.as_ref());
    let Some(minimum) = minimum.filter(|minimum| !minimum.quantities.is_empty()) else {
        return true;
    };
    minimum.quantities.iter().any(|wanted| {
        wanted.quantities.iter().all(|(name, least)| {
            resources::thousandths(least.value).is_some_and(|least| amounts.get(name) >= least)
        })
    })
}

fn has_gpus(amounts: &Amounts) -> bool {
    amounts.get("gpus") > 0
}

/// Whether the framework may want offers for the role as `new` that it did not want as `old`.
#[must_use]
pub fn may_want_more(old: &v1::FrameworkInfo, new: &v1::FrameworkInfo, role: &str) -> bool {
    let knows_gpus = |info| Capabilities::of(info).gpu_resources;
    old.offer_filters.get(role) != new.offer_filters.get(role)
        || (knows_gpus(new) && !knows_gpus(old))
}

/// How long resources that a scheduler did not want are not offered to it again; zero for not at
/// all.
#[must_use]
pub fn filter(filters: Option<&v1::Filters>) -> Duration {
    let seconds = filters.map_or(5.0, v1::Filters::refuse_seconds);
    if seconds.is_nan() || seconds < 0.0 {
        return DEFAULT_FILTER;
    }
    Duration::try_from_secs_f64(seconds).map_or(MAX_FILTER, |filter| filter.min(MAX_FILTER))
}

#[cfg(test)]
mod tests;
