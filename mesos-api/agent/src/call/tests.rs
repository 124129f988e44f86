use meseta_mesos_wire::json;
use serde_json::{Value, json};

use super::*;

fn call(body: &Value) -> Call {
    let mut call = json!({"executor_id": {"value": "e"}, "framework_id": {"value": "f"}});
    call.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    json::from_value(&call).unwrap()
}

fn error(body: &Value) -> String {
    check(call(body)).unwrap_err()
}

/// An UPDATE that is valid but for `status`.
fn update(status: &Value) -> Value {
    let mut whole = json!({
        "task_id": {"value": "t"},
        "state": "TASK_RUNNING",
        "source": "SOURCE_EXECUTOR",
        "uuid": "AAAAAAAAAAAAAAAAAAAAAA==",
    });
    whole.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    json!({"type": "UPDATE", "update": {"status": whole}})
}

#[test]
fn a_call_needs_a_type_that_is_known() {
    assert_eq!(error(&json!({})), "Expecting 'type' to be present");
    assert_eq!(error(&json!({"type": "LAUNCH"})), "Expecting 'type' to be present");
    assert_eq!(check(call(&json!({"type": "UNKNOWN"}))), Ok(Checked::Unknown));
}

#[test]
fn a_call_needs_its_body() {
    assert_eq!(error(&json!({"type": "SUBSCRIBE"})), "Expecting 'subscribe' to be present");
    assert_eq!(error(&json!({"type": "UPDATE"})), "Expecting 'update' to be present");
    assert_eq!(error(&json!({"type": "MESSAGE"})), "Expecting 'message' to be present");
    assert_eq!(check(call(&json!({"type": "HEARTBEAT"}))), Ok(Checked::Heartbeat));
    let message = call(&json!({"type": "MESSAGE", "message": {"data": "aGk="}}));
    assert_eq!(check(message), Ok(Checked::Message(b"hi".to_vec())));
}

#[test]
fn an_update_needs_a_uuid_of_16_bytes() {
    assert_eq!(error(&update(&json!({"uuid": null}))), "Expecting 'uuid' to be present");
    assert_eq!(error(&update(&json!({"uuid": ""}))), "Not a valid UUID");
    assert_eq!(error(&update(&json!({"uuid": "AAAA"}))), "Not a valid UUID");
}

#[test]
fn an_update_is_from_the_executor_itself() {
    assert_eq!(
        error(&update(&json!({"executor_id": {"value": "x"}}))),
        "ExecutorID in Call: e does not match ExecutorID in TaskStatus: x"
    );
    for source in [json!(null), json!("SOURCE_MASTER"), json!("SOURCE_AGENT")] {
        assert_eq!(
            error(&update(&json!({"source": source}))),
            "Received Call from executor e of framework f with invalid source, \
             expecting 'SOURCE_EXECUTOR'"
        );
    }
}

#[test]
fn an_executor_cannot_stage_a_task() {
    assert_eq!(
        error(&update(&json!({"state": "TASK_STAGING"}))),
        "Received TASK_STAGING from executor e of framework f which is not allowed"
    );
}

#[test]
fn a_check_status_has_what_its_type_says() {
    for (status, text) in [
        (json!({}), "CheckStatusInfo must specify 'type'"),
        (json!({"type": "UNKNOWN"}), "'UNKNOWN' is not a valid check's status type"),
        (json!({"type": "COMMAND"}), "Expecting 'command' to be set for COMMAND check's status"),
        (json!({"type": "HTTP"}), "Expecting 'http' to be set for HTTP check's status"),
        (json!({"type": "TCP", "http": {}}), "Expecting 'tcp' to be set for TCP check's status"),
    ] {
        assert_eq!(error(&update(&json!({"check_status": status}))), text);
    }
    let status = json!({"check_status": {"type": "HTTP", "http": {"status_code": 200}}});
    assert!(check(call(&update(&status))).is_ok());
}

#[test]
fn what_pymesos_sends_is_valid() {
    // Integer timestamp, no agent, no executor (trap 7.1.13).
    let Ok(Checked::Update(status)) = check(call(&update(&json!({"timestamp": 1_600_000_000}))))
    else {
        panic!("not an update");
    };
    assert_eq!(status.timestamp, Some(1_600_000_000.0));
    // Its lists are always there (trap 7.1.14).
    let subscribe = json!({"unacknowledged_tasks": [], "unacknowledged_updates": []});
    let subscribe = call(&json!({"type": "SUBSCRIBE", "subscribe": subscribe}));
    assert_eq!(check(subscribe), Ok(Checked::Subscribe(Subscription::default())));
}

#[test]
fn a_subscribe_lists_the_tasks_and_the_valid_updates() {
    let task = |id| json!({"name": "", "task_id": {"value": id}, "agent_id": {"value": "s"}});
    let valid = update(&json!({"task_id": {"value": "b"}}))["update"].clone();
    let invalid = update(&json!({"task_id": {"value": "c"}, "uuid": null}))["update"].clone();
    let subscribe = json!({
        "unacknowledged_tasks": [task("a"), task("b")],
        "unacknowledged_updates": [valid, invalid],
    });
    let subscribe = call(&json!({"type": "SUBSCRIBE", "subscribe": subscribe}));
    let Ok(Checked::Subscribe(brought)) = check(subscribe) else { panic!("not a SUBSCRIBE") };
    assert_eq!(brought.listed, ["a", "b", "c"].map(str::to_owned).into());
    assert_eq!(brought.updates.len(), 1);
    assert_eq!(brought.updates[0].task_id.value, "b");
}
