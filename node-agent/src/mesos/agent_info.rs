//! What executors are told of their agent. Pure.

use meseta_crds::{Quantity, ResourceList, mesos_amount};
use meseta_mesos_wire::v1::{AgentId, AgentInfo, Attribute, Resource};

use super::status::scalar;
use crate::fingerprint::Fingerprint;

/// The agent of this name, which serves executors at `port`, with what its record reports.
pub(super) fn agent_info(
    name: &str,
    hostname: String,
    port: u16,
    fingerprint: &Fingerprint,
) -> AgentInfo {
    let attributes = fingerprint.attributes.iter();
    AgentInfo {
        hostname,
        id: Some(AgentId { value: name.to_owned() }),
        port: Some(i32::from(port)),
        resources: resources(&fingerprint.capacity),
        attributes: attributes.map(|(name, text)| Attribute::from_text(name, text)).collect(),
        ..AgentInfo::default()
    }
}

/// Amounts under Mesos' names; what is no amount, or nothing, is left out.
fn resources(capacity: &ResourceList) -> Vec<Resource> {
    let resource = |name: &str, amount: &Quantity| {
        let (name, thousandths) = mesos_amount::of_record(name, amount)?;
        #[expect(clippy::cast_precision_loss, reason = "exact for what machines have")]
        let thousandths = thousandths as f64;
        Some(scalar(name, thousandths / 1000.0))
    };
    capacity.iter().filter_map(|(name, amount)| resource(name, amount)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use meseta_mesos_wire::json;

    use super::*;

    #[test]
    fn executors_are_told_what_the_agent_has() {
        let amounts = [("cpu", "2500m"), ("memory", "1.5Gi"), ("disk", "0"), ("gpu", "1")];
        let amounts = amounts.map(|(name, amount)| (name.to_owned(), Quantity::new(amount)));
        let fingerprint = Fingerprint {
            capacity: amounts.into(),
            attributes: BTreeMap::from([("rack".to_owned(), "7".to_owned())]),
            ports: Vec::new(),
            machine: meseta_crds::agent::Machine::default(),
        };
        let info = agent_info("n1", "host".to_owned(), 5051, &fingerprint);
        let scalar = |name: &str, value: f64| serde_json::json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
        assert_eq!(
            json::to_value(&info),
            serde_json::json!({
                "hostname": "host", "port": 5051, "id": {"value": "n1"},
                "resources": [scalar("cpus", 2.5), scalar("gpus", 1.0), scalar("mem", 1536.0)],
                "attributes": [scalar("rack", 7.0)],
            })
        );
    }
}
