use meseta_crds::{AgentSpec, AgentStatus, Quantity};
use meseta_mesos_wire::v1::offer_filters::{MinAllocatableResources, ResourceQuantities};
use meseta_mesos_wire::v1::value::{Scalar, Type};

use super::*;

fn texts(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn list(entries: &[(&str, &str)]) -> ResourceList {
    entries.iter().map(|(name, text)| ((*name).to_owned(), Quantity::new(*text))).collect()
}

fn facts() -> AgentFacts {
    let mut agent = Agent::new("agent-1", AgentSpec::default());
    agent.spec.attributes = texts(&[("rack", "r1"), ("level", "2.5"), ("os", "ours")]);
    agent.status = Some(AgentStatus {
        attributes: texts(&[("hostname", "box"), ("os", "linux")]),
        addresses: vec!["10.0.0.1:7444".to_owned()],
        ..AgentStatus::default()
    });
    AgentFacts::of(&agent)
}

fn made(capabilities: Capabilities) -> v1::Offer {
    let resources = list(&[("cpu", "2"), ("memory", "1Gi")]);
    let offered = Offered { id: "offer-1-2", role: "eng", resources: &resources };
    offer(offered, &facts(), "f", capabilities, vec!["e".to_owned()])
}

#[test]
fn an_offer_says_of_which_agent_and_to_whom_it_is() {
    let offer = made(Capabilities::default());
    assert_eq!(offer.id.value, "offer-1-2");
    assert_eq!(offer.agent_id.value, "agent-1");
    assert_eq!(offer.framework_id.value, "f");
    assert_eq!(offer.hostname, "box");
    assert_eq!(offer.executor_ids, [v1::ExecutorId { value: "e".to_owned() }]);
    let url = offer.url.unwrap();
    assert_eq!((url.scheme.as_str(), url.path.as_deref()), ("http", Some("/slave(1)")));
    assert_eq!(url.address.hostname.as_deref(), Some("box"));
    assert_eq!((url.address.ip.as_deref(), url.address.port), (Some("10.0.0.1"), 7444));
}

#[test]
fn allocation_info_is_for_frameworks_of_several_roles_only() {
    let plain = made(Capabilities::default());
    assert_eq!(plain.allocation_info, None);
    assert!(plain.resources.iter().all(|resource| resource.allocation_info.is_none()));
    let multi = made(Capabilities { multi_role: true, ..Capabilities::default() });
    let role = Some(resources::allocation("eng"));
    assert_eq!(multi.allocation_info, role);
    assert!(multi.resources.iter().all(|resource| resource.allocation_info == role));
}

#[test]
fn attributes_are_scalars_where_they_read_as_such_and_the_operator_has_the_last_word() {
    let attributes: BTreeMap<String, v1::Attribute> =
        made(Capabilities::default()).attributes.into_iter().map(|a| (a.name.clone(), a)).collect();
    let text = |name: &str| attributes[name].text.as_ref().map(|text| text.value.as_str());
    assert_eq!(text("rack"), Some("r1"));
    assert_eq!(text("os"), Some("ours"));
    assert_eq!(attributes["rack"].r#type(), Type::Text);
    assert_eq!(attributes["level"].scalar, Some(Scalar { value: 2.5 }));
    assert_eq!(attributes["level"].r#type(), Type::Scalar);
}

#[test]
fn an_agent_that_has_not_reported_is_known_by_its_name() {
    let facts = AgentFacts::of(&Agent::new("agent-1", AgentSpec::default()));
    assert_eq!((facts.hostname.as_str(), facts.address), ("agent-1", None));
}

/// A framework with the capability for GPUs.
fn knowing_gpus() -> v1::FrameworkInfo {
    let kind = v1::framework_info::capability::Type::GpuResources;
    v1::FrameworkInfo {
        capabilities: vec![v1::framework_info::Capability { r#type: Some(kind.into()) }],
        ..v1::FrameworkInfo::default()
    }
}

#[test]
fn agents_with_gpus_are_for_those_who_know_of_them_even_while_all_gpus_are_in_use() {
    let (with_gpu, without) = (list(&[("cpu", "1"), ("gpu", "1")]), list(&[("cpu", "1")]));
    let mut agent = Agent::new("agent-1", AgentSpec::default());
    let plain = AgentFacts::of(&agent);
    agent.status = Some(AgentStatus { capacity: with_gpu.clone(), ..AgentStatus::default() });
    let gpus = AgentFacts::of(&agent);
    let ordinary = v1::FrameworkInfo::default();
    assert!(is_wanted(&ordinary, "*", &without, &plain));
    assert!(!is_wanted(&ordinary, "*", &with_gpu, &gpus));
    assert!(!is_wanted(&ordinary, "*", &without, &gpus));
    assert!(!is_wanted(&ordinary, "*", &with_gpu, &plain), "the offer is newer");
    for (offered, agent) in [(&without, &plain), (&with_gpu, &gpus), (&without, &gpus)] {
        assert!(is_wanted(&knowing_gpus(), "*", offered, agent));
    }
}

/// A framework that names minima for offers of the role `a`.
fn with_minima(minima: &[&[(&str, f64)]]) -> v1::FrameworkInfo {
    let quantities = |entries: &&[(&str, f64)]| ResourceQuantities {
        quantities: entries.iter().map(|(n, v)| ((*n).to_owned(), Scalar { value: *v })).collect(),
    };
    let minimum = MinAllocatableResources { quantities: minima.iter().map(quantities).collect() };
    let filter = v1::OfferFilters { min_allocatable_resources: Some(minimum) };
    v1::FrameworkInfo {
        offer_filters: BTreeMap::from([("a".to_owned(), filter)]),
        ..v1::FrameworkInfo::default()
    }
}

#[test]
fn an_offer_below_all_minima_of_its_role_is_not_wanted() {
    let info = with_minima(&[&[("cpus", 4.0)], &[("mem", 64.0), ("cpus", 1.0)]]);
    let wanted = |role, resources| is_wanted(&info, role, &list(resources), &facts());
    assert!(wanted("a", &[("cpu", "4")]));
    assert!(wanted("a", &[("cpu", "1"), ("memory", "64Mi")]));
    assert!(!wanted("a", &[("cpu", "1"), ("memory", "63Mi")]));
    assert!(wanted("b", &[("cpu", "1")]), "another role has none");
    assert!(!wanted("b", &[]), "nothing");
}

#[test]
fn other_minima_of_a_role_and_knowing_gpus_may_let_more_be_wanted() {
    let high = with_minima(&[&[("cpus", 4.0)]]);
    let (low, none) = (with_minima(&[&[("cpus", 1.0)]]), v1::FrameworkInfo::default());
    for other in [&low, &none] {
        assert!(may_want_more(&high, other, "a"));
        assert!(!may_want_more(&high, other, "b"), "a role without minima");
        assert!(!may_want_more(other, other, "a"));
    }
    let gpus = knowing_gpus();
    assert!(may_want_more(&none, &gpus, "a"));
    assert!(!may_want_more(&gpus, &none, "a"));
    assert!(!may_want_more(&gpus, &gpus, "a"));
}

#[test]
fn a_filter_is_5_seconds_unless_said_otherwise_and_at_most_a_year() {
    let said = |seconds| filter(Some(&v1::Filters { refuse_seconds: Some(seconds) }));
    assert_eq!(filter(None), DEFAULT_FILTER);
    assert_eq!(filter(Some(&v1::Filters { refuse_seconds: None })), DEFAULT_FILTER);
    assert_eq!(said(0.0), Duration::ZERO);
    assert_eq!(said(0.25), Duration::from_millis(250));
    assert_eq!(said(-1.0), DEFAULT_FILTER);
    assert_eq!(said(f64::NAN), DEFAULT_FILTER);
    assert_eq!(said(1e9), MAX_FILTER);
    assert_eq!(said(f64::INFINITY), MAX_FILTER);
}
