use meseta_mesos_wire::v1;

use super::*;

fn id(text: &str) -> Option<v1::FrameworkId> {
    Some(v1::FrameworkId { value: text.to_owned() })
}

fn call(kind: call::Type) -> Call {
    Call { framework_id: id("f"), r#type: Some(kind.into()), ..Call::default() }
}

fn subscribe(call_id: Option<&str>, info_id: Option<&str>, principal: Option<&str>) -> Call {
    let framework_info = v1::FrameworkInfo {
        id: info_id.and_then(id),
        principal: principal.map(ToOwned::to_owned),
        ..v1::FrameworkInfo::default()
    };
    let subscribe = call::Subscribe { framework_info, ..call::Subscribe::default() };
    Call {
        framework_id: call_id.and_then(id),
        r#type: Some(call::Type::Subscribe.into()),
        subscribe: Some(subscribe),
        ..Call::default()
    }
}

#[track_caller]
fn refused(call: &Call, gist: &str) {
    match check(call, None) {
        Err(Fault::Invalid(text)) => {
            assert!(text.starts_with("Failed to validate scheduler::Call: "), "{text}");
            assert!(text.contains(gist), "{text}");
        }
        other => panic!("{gist}: {other:?}"),
    }
}

#[test]
fn a_call_without_a_type_is_invalid() {
    refused(&Call::default(), "Expecting 'type'");
    refused(&Call { r#type: Some(99), ..Call::default() }, "Expecting 'type'");
}

#[test]
fn an_unknown_call_is_not_implemented() {
    assert_eq!(check(&call(call::Type::Unknown), None), Err(Fault::Unknown));
    let anonymous = Call { framework_id: None, ..call(call::Type::Unknown) };
    refused(&anonymous, "Expecting 'framework_id'");
}

#[test]
fn every_call_but_the_first_subscribe_names_its_framework() {
    assert_eq!(check(&subscribe(None, None, None), None), Ok(call::Type::Subscribe));
    for kind in (2..=17).filter_map(|kind| call::Type::try_from(kind).ok()) {
        let anonymous = Call { framework_id: None, ..call(kind) };
        refused(&anonymous, "Expecting 'framework_id'");
    }
}

#[test]
fn a_call_needs_the_body_of_its_type() {
    use call::Type as T;
    for (kind, body) in [
        (T::Accept, "accept"),
        (T::Decline, "decline"),
        (T::AcceptInverseOffers, "accept_inverse_offers"),
        (T::DeclineInverseOffers, "decline_inverse_offers"),
        (T::Kill, "kill"),
        (T::Shutdown, "shutdown"),
        (T::Acknowledge, "acknowledge"),
        (T::AcknowledgeOperationStatus, "acknowledge_operation_status"),
        (T::Reconcile, "reconcile"),
        (T::ReconcileOperations, "reconcile_operations"),
        (T::Message, "message"),
        (T::Request, "request"),
        (T::UpdateFramework, "update_framework"),
    ] {
        refused(&call(kind), &format!("Expecting '{body}'"));
    }
    let bare = Call { subscribe: None, ..subscribe(None, None, None) };
    refused(&bare, "Expecting 'subscribe'");
    for kind in [T::Teardown, T::Revive, T::Suppress] {
        assert_eq!(check(&call(kind), None), Ok(kind));
    }
}

#[test]
fn the_ids_of_subscribe_are_both_set_and_equal_or_both_unset() {
    for (outer, inner, good) in [
        (None, None, true),
        (Some("f"), Some("f"), true),
        (None, Some(""), true),
        (Some("f"), None, false),
        (None, Some("f"), false),
        (Some("f"), Some("g"), false),
    ] {
        let call = subscribe(outer, inner, None);
        if good {
            assert_eq!(check(&call, None), Ok(call::Type::Subscribe), "{outer:?} {inner:?}");
        } else {
            refused(&call, "'framework_id' differs from 'subscribe.framework_info.id'");
        }
    }
}

#[test]
fn a_scheduler_subscribes_as_who_it_authenticated_as() {
    let ours = subscribe(None, None, Some("me"));
    assert!(check(&ours, Some("me")).is_ok());
    assert!(check(&ours, None).is_ok());
    assert!(check(&subscribe(None, None, None), Some("me")).is_ok());
    assert!(check(&ours, Some("other")).is_err());
}

#[test]
fn a_uuid_has_16_bytes() {
    for length in [0, 15, 17] {
        let acknowledge = call::Acknowledge { uuid: vec![1; length], ..Default::default() };
        let bad = Call { acknowledge: Some(acknowledge), ..call(call::Type::Acknowledge) };
        refused(&bad, "UUID");
    }
    let acknowledge = call::Acknowledge { uuid: vec![1; 16], ..Default::default() };
    let good = Call { acknowledge: Some(acknowledge), ..call(call::Type::Acknowledge) };
    assert_eq!(check(&good, None), Ok(call::Type::Acknowledge));
}

#[test]
fn the_acknowledgement_of_an_operation_names_the_agent() {
    let body = call::AcknowledgeOperationStatus { uuid: vec![1; 16], ..Default::default() };
    let call = Call {
        acknowledge_operation_status: Some(body),
        ..call(call::Type::AcknowledgeOperationStatus)
    };
    refused(&call, "Expecting 'agent_id'");
}

#[test]
fn an_update_of_a_framework_is_of_the_framework_that_calls() {
    let info = v1::FrameworkInfo { id: id("g"), ..Default::default() };
    let body = call::UpdateFramework { framework_info: info, ..Default::default() };
    let call = Call { update_framework: Some(body), ..call(call::Type::UpdateFramework) };
    refused(&call, "differs from 'update_framework.framework_info.id'");
}
