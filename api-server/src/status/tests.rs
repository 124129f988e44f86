use serde_json::{Value, json};

use super::*;
use crate::registry::Registry;

fn task() -> std::sync::Arc<Kind> {
    Registry::new().find("meseta.dev", "v1alpha1", "tasks").unwrap().clone()
}

fn secret() -> std::sync::Arc<Kind> {
    Registry::new().find("", "v1", "secrets").unwrap().clone()
}

#[track_caller]
fn says(failure: &Failure, code: u16, reason: &str, message: &str, details: &Value) {
    let body = failure.body();
    assert_eq!(body["code"], code);
    assert_eq!(failure.code(), code);
    assert_eq!(body["reason"], reason);
    assert_eq!(body["message"], message);
    assert_eq!(body.get("details").unwrap_or(&Value::Null), details);
    assert_eq!(body["kind"], "Status");
    assert_eq!(body["status"], "Failure");
}

#[test]
fn objects_are_named_by_resource() {
    says(
        &Failure::not_found(&task(), "a1"),
        404,
        "NotFound",
        "tasks.meseta.dev \"a1\" not found",
        &json!({ "name": "a1", "group": "meseta.dev", "kind": "tasks" }),
    );
    says(
        &Failure::already_exists(&secret(), "s"),
        409,
        "AlreadyExists",
        "secrets \"s\" already exists",
        &json!({ "name": "s", "kind": "secrets" }),
    );
    says(
        &Failure::modified(&task(), "a1"),
        409,
        "Conflict",
        "Operation cannot be fulfilled on tasks.meseta.dev \"a1\": the object has been modified; \
         please apply your changes to the latest version and try again",
        &json!({ "name": "a1", "group": "meseta.dev", "kind": "tasks" }),
    );
}

#[test]
fn faults_inside_an_object_are_named_by_kind() {
    let one = vec![Cause::required("spec.command", "")];
    says(
        &Failure::invalid(&task(), "v", one),
        422,
        "Invalid",
        "Task.meseta.dev \"v\" is invalid: spec.command: Required value",
        &json!({
            "name": "v",
            "group": "meseta.dev",
            "kind": "Task",
            "causes": [{
                "reason": "FieldValueRequired",
                "message": "Required value",
                "field": "spec.command",
            }],
        }),
    );
    let two = vec![
        Cause::not_supported("spec.mode", &json!("X"), &["Fast", "Slow"]),
        Cause::invalid("spec.n", &json!(-1), "must be greater"),
    ];
    assert_eq!(
        Failure::invalid(&task(), "v", two).message(),
        "Task.meseta.dev \"v\" is invalid: [spec.mode: Unsupported value: \"X\": supported values: \
         \"Fast\", \"Slow\", spec.n: Invalid value: -1: must be greater]"
    );
    let options = vec![Cause::required("fieldManager", "is required for apply patch")];
    assert_eq!(
        Failure::invalid_type("meta.k8s.io", "PatchOptions", "", options).message(),
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for \
         apply patch"
    );
}

#[test]
fn a_refusal_says_who_may_not_do_what_where() {
    let attempt = Attempt {
        user: "joe",
        verb: "list",
        group: "meseta.dev",
        resource: "tasks",
        subresource: "",
        namespace: "auth",
        name: "",
    };
    says(
        &Failure::forbidden(&attempt),
        403,
        "Forbidden",
        "tasks.meseta.dev is forbidden: User \"joe\" cannot list resource \"tasks\" in API group \
         \"meseta.dev\" in the namespace \"auth\"",
        &json!({ "group": "meseta.dev", "kind": "tasks" }),
    );
    let attempt = Attempt {
        verb: "update",
        group: "",
        resource: "secrets",
        subresource: "status",
        namespace: "",
        name: "s",
        ..attempt
    };
    says(
        &Failure::forbidden(&attempt),
        403,
        "Forbidden",
        "secrets \"s\" is forbidden: User \"joe\" cannot update resource \"secrets/status\" in API \
         group \"\" at the cluster scope",
        &json!({ "name": "s", "kind": "secrets" }),
    );
}

#[test]
fn a_version_that_is_gone_or_to_come_says_how_to_go_on() {
    let future = Failure::timeout_future(99, 7);
    says(
        &future,
        504,
        "Timeout",
        "Timeout: Too large resource version: 99, current: 7",
        &json!({
            "causes": [{
                "reason": "ResourceVersionTooLarge",
                "message": "Too large resource version",
            }],
            "retryAfterSeconds": 1,
        }),
    );
    assert_eq!(future.retry_after(), Some(1));
    let expired = Failure::expired("gone", Some("token".to_owned()));
    assert_eq!(expired.body()["metadata"], json!({ "continue": "token" }));
    assert_eq!(Failure::expired("gone", None).body()["metadata"], json!({}));
}

#[test]
fn what_is_empty_stays_out_of_the_details() {
    assert_eq!(Failure::unauthorized().body().get("details"), None);
    assert_eq!(
        success(&secret(), "s", "u")["details"],
        json!({ "name": "s", "kind": "secrets", "uid": "u" })
    );
}
