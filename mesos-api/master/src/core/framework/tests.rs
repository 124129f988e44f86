use std::collections::BTreeMap;

use meseta_mesos_wire::v1;
use meseta_mesos_wire::v1::offer_filters::{MinAllocatableResources, ResourceQuantities};

use super::*;

fn info() -> FrameworkInfo {
    FrameworkInfo { user: "u".to_owned(), name: "My App".to_owned(), ..Default::default() }
}

fn with(capabilities: &[Capability]) -> FrameworkInfo {
    let capabilities = capabilities
        .iter()
        .map(|kind| v1::framework_info::Capability { r#type: Some((*kind).into()) })
        .collect();
    FrameworkInfo { capabilities, ..info() }
}

fn multi(roles: &[&str]) -> FrameworkInfo {
    let roles = roles.iter().map(ToString::to_string).collect();
    FrameworkInfo { roles, ..with(&[Capability::MultiRole]) }
}

fn subscribed(info: FrameworkInfo) -> Result<Accepted, String> {
    subscribe(info, &[], None, "f", None, None)
}

#[track_caller]
fn refused(info: FrameworkInfo, gist: &str) {
    let fault = subscribed(info).expect_err(gist);
    assert!(fault.contains(gist), "{fault}");
}

#[test]
fn role_is_for_frameworks_of_one_role_and_roles_for_those_of_several() {
    assert_eq!(subscribed(info()).unwrap().roles, ["*"]);
    let one = FrameworkInfo { role: Some("eng".to_owned()), ..info() };
    assert_eq!(subscribed(one).unwrap().roles, ["eng"]);
    assert_eq!(subscribed(multi(&["a", "b/c"])).unwrap().roles, ["a", "b/c"]);
    assert_eq!(subscribed(multi(&[])).unwrap().roles, Vec::<String>::new());
    refused(
        FrameworkInfo { roles: vec!["a".to_owned()], ..info() },
        "'FrameworkInfo.roles' must not",
    );
    refused(
        FrameworkInfo { role: Some("a".to_owned()), ..multi(&["a"]) },
        "'FrameworkInfo.role' must not",
    );
}

#[test]
fn a_bad_role_is_named() {
    let one = FrameworkInfo { role: Some("/a".to_owned()), ..info() };
    refused(one, "'FrameworkInfo.role' is not a valid role: Role '/a' cannot start with a slash");
    refused(multi(&["a", ".."]), "'FrameworkInfo.roles' contains invalid role");
    refused(multi(&["a", "a"]), "contains duplicate items: { a }");
    let many: Vec<String> = (0..257).map(|n| format!("r{n}")).collect();
    refused(FrameworkInfo { roles: many, ..multi(&[]) }, "more than 256");
}

#[test]
fn an_info_that_is_too_large_to_be_in_many_records_is_refused() {
    let named = |length| FrameworkInfo { name: "n".repeat(length), ..info() };
    let rest = json::encode(&subscribed(named(0)).unwrap().info).len();
    assert!(subscribed(named(MAX_INFO_BYTES - rest)).is_ok());
    let larger = named(MAX_INFO_BYTES - rest + 1);
    refused(larger.clone(), "'FrameworkInfo' has 65537 bytes as JSON; 65536 are the most");
    let old = subscribed(info()).unwrap().info;
    let fault = update(larger, &[], None, "f", None, &old).unwrap_err();
    assert!(fault.contains("65536 are the most"), "{fault}");
}

#[test]
fn an_id_that_a_client_chose_follows_the_rules_of_ids() {
    assert!(subscribe(info(), &[], None, "chosen by me", None, None).is_ok());
    assert!(subscribe(info(), &[], None, "a/b", None, None).is_err());
}

#[test]
fn a_failover_timeout_is_a_number_of_nanoseconds() {
    let timeout = |seconds| FrameworkInfo { failover_timeout: Some(seconds), ..info() };
    for (seconds, stored) in
        [(0.0, 0), (0.5, 1), (100.0, 100), (2_147_483_647.0, 2_147_483_647), (-1.0, 0)]
    {
        let accepted = subscribed(timeout(seconds)).unwrap();
        let spec = spec(&accepted);
        assert_eq!(spec.scheduler.as_ref().unwrap().failover_timeout_seconds, stored);
        assert_eq!(failover_timeout(&spec), stored * 1000);
    }
    for seconds in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e10] {
        refused(timeout(seconds), "failover_timeout");
    }
}

#[test]
fn an_offer_filter_asks_for_ordinary_quantities() {
    let filter = |quantities: &[(&str, f64)]| {
        let quantities = quantities
            .iter()
            .map(|(name, value)| ((*name).to_owned(), v1::value::Scalar { value: *value }))
            .collect();
        let minimum =
            MinAllocatableResources { quantities: vec![ResourceQuantities { quantities }] };
        let filter = v1::OfferFilters { min_allocatable_resources: Some(minimum) };
        FrameworkInfo { offer_filters: BTreeMap::from([("*".to_owned(), filter)]), ..info() }
    };
    assert!(subscribed(filter(&[("cpus", 1.0), ("mem", 0.0)])).is_ok());
    refused(filter(&[]), "at least one quantity");
    refused(filter(&[("cpus", f64::INFINITY)]), "Infinite");
    refused(filter(&[("cpus", f64::NAN)]), "NaN");
    refused(filter(&[("cpus", f64::MIN_POSITIVE / 2.0)]), "Subnormal");
    refused(filter(&[("cpus", -1.0)]), "Negative");
}

#[test]
fn suppressed_roles_are_among_the_roles_and_replace_earlier_ones() {
    let suppressed = |roles: &[&str]| {
        let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
        subscribe(multi(&["a", "b"]), &roles, None, "f", None, None)
    };
    assert_eq!(suppressed(&["b", "b"]).unwrap().suppressed, BTreeSet::from(["b".to_owned()]));
    assert!(suppressed(&[]).unwrap().suppressed.is_empty());
    let fault = suppressed(&["a", "x", "y"]).unwrap_err();
    assert_eq!(fault, "Suppressed roles { x, y } are not contained in the set of roles");
}

#[test]
fn offer_constraints_are_refused_unless_they_are_empty() {
    let constraints = |roles: &[&str]| OfferConstraints {
        role_constraints: roles.iter().map(|r| ((*r).to_owned(), Default::default())).collect(),
    };
    let subscribe = |c: &OfferConstraints| subscribe(info(), &[], Some(c), "f", None, None);
    assert!(subscribe(&constraints(&[])).is_ok());
    assert!(subscribe(&constraints(&["*"])).is_err());
}

#[test]
fn user_and_checkpoint_are_kept_on_re_subscription_and_the_rest_changes() {
    let old = FrameworkInfo { checkpoint: Some(true), role: Some("a".to_owned()), ..info() };
    let old = subscribed(old).unwrap().info;
    let new = FrameworkInfo {
        user: "other".to_owned(),
        name: "Renamed".to_owned(),
        checkpoint: Some(false),
        role: Some("b".to_owned()),
        failover_timeout: Some(7.0),
        ..info()
    };
    let accepted = subscribe(new, &[], None, "f", None, Some(&old)).unwrap();
    assert_eq!(accepted.info.user, "u");
    assert_eq!(accepted.info.checkpoint, Some(true));
    assert_eq!(accepted.info.name, "Renamed");
    assert_eq!(accepted.roles, ["b"]);
    assert_eq!(accepted.info.failover_timeout, Some(7.0));
}

#[test]
fn the_principal_is_filled_in_and_stays() {
    let old = subscribe(info(), &[], None, "f", Some("me"), None).unwrap().info;
    assert_eq!(old.principal.as_deref(), Some("me"));
    assert!(subscribe(info(), &[], None, "f", Some("me"), Some(&old)).is_ok());
    for other in [None, Some("you")] {
        let fault = subscribe(info(), &[], None, "f", other, Some(&old)).unwrap_err();
        assert_eq!(fault, "Changing framework's principal is not allowed.");
    }
}

#[test]
fn an_update_must_not_change_user_checkpoint_or_principal() {
    let old = subscribed(info()).unwrap().info;
    let update = |new| update(new, &[], None, "f", None, &old);
    assert!(update(FrameworkInfo { role: Some("a".to_owned()), ..info() }).is_ok());
    assert!(update(FrameworkInfo { checkpoint: Some(false), ..info() }).is_ok(), "the default");
    for (new, gist) in [
        (FrameworkInfo { user: "x".to_owned(), ..info() }, "Updating 'FrameworkInfo.user'"),
        (FrameworkInfo { checkpoint: Some(true), ..info() }, "Updating 'FrameworkInfo.checkpoint'"),
        (FrameworkInfo { principal: Some("x".to_owned()), ..info() }, "principal"),
        (FrameworkInfo { role: Some("/".to_owned()), ..info() }, "not a valid role"),
    ] {
        let fault = update(new).expect_err(gist);
        assert!(fault.contains(gist), "{fault}");
    }
}

#[test]
fn capabilities_are_those_that_are_named() {
    assert_eq!(Capabilities::of(&info()), Capabilities::default());
    let some = Capabilities::of(&with(&[Capability::PartitionAware, Capability::GpuResources]));
    assert!(some.partition_aware && some.gpu_resources && !some.multi_role);
}

#[test]
fn the_record_holds_what_was_sent_and_passes_validation() {
    let new = FrameworkInfo { failover_timeout: Some(60.0), ..multi(&["b", "a"]) };
    let accepted = subscribe(new, &[], None, "id-0001", Some("me"), None).unwrap();
    let record = record(&accepted, "default");
    assert!(record.metadata.name.as_deref().unwrap().starts_with("my-app-"));
    assert_eq!(record.metadata.namespace.as_deref(), Some("default"));
    assert_eq!(record.metadata.labels.as_ref().unwrap()["meseta.dev/scheduler"], "mesos");
    assert_eq!(record.metadata.finalizers, Some(vec!["meseta.dev/scheduler".to_owned()]));
    assert_eq!(meseta_crds::validate::framework_spec(&record.spec), []);
    assert_eq!(record.spec.role, "b");
    let scheduler = record.spec.scheduler.as_ref().unwrap();
    assert_eq!(scheduler.framework_id, "id-0001");
    assert_eq!(scheduler.principal.as_deref(), Some("me"));
    let sent = FrameworkInfo { checkpoint: Some(false), ..accepted.info };
    assert_eq!(info_of(&record), Some(sent), "with the default that JSON sets");
}

#[test]
fn a_framework_without_roles_has_a_record_too() {
    let accepted = subscribed(multi(&[])).unwrap();
    assert_eq!(meseta_crds::validate::framework_spec(&spec(&accepted)), []);
}
