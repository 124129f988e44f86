use serde_json::json;

use super::*;
use crate::request::params::FieldValidation;
use crate::testing::{kind as core, task_kind};

fn now() -> Timestamp {
    "2026-01-02T03:04:05.678Z".parse().unwrap()
}

fn new_task() -> Value {
    json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "main", "command": ["true"]}]},
    })
}

fn with(mut object: Value, patch: &Value) -> Value {
    json_patch::merge(&mut object, patch);
    object
}

/// A task as it is stored.
fn stored() -> Value {
    let mut task = create(&task_kind(), "default", new_task(), now()).unwrap();
    task["metadata"]["resourceVersion"] = "5".into();
    task["metadata"]["uid"] = "the-uid".into();
    task
}

fn updated(part: Part, patch: &Value) -> Result<Value, Failure> {
    update(&task_kind(), part, &stored(), with(stored(), patch))
}

fn fields(failure: &Failure) -> Vec<String> {
    let body = failure.body();
    let causes = body["details"]["causes"].as_array().cloned().unwrap_or_default();
    causes.iter().map(|cause| cause["field"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn what_is_the_servers_is_set_whatever_the_client_says() {
    let sent = json!({
        "metadata": {
            "uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7,
            "deletionTimestamp": "2030-01-01T00:00:00Z", "deletionGracePeriodSeconds": 3,
            "selfLink": "/x", "managedFields": [], "labels": {},
        },
        "status": {"state": "Running"},
    });
    let task = create(&task_kind(), "default", with(new_task(), &sent), now()).unwrap();
    let metadata = task["metadata"].as_object().unwrap();
    let names: Vec<&str> = metadata.keys().map(String::as_str).collect();
    assert_eq!(names, ["name", "uid", "creationTimestamp", "namespace", "generation"]);
    assert_ne!(metadata["uid"], "mine");
    assert_eq!(metadata["creationTimestamp"], "2026-01-02T03:04:05Z");
    assert_eq!(metadata["generation"], 1);
    assert_eq!(task.get("status"), None, "the status has an endpoint of its own");
}

#[test]
fn a_generated_name_fits_a_label() {
    let name = generated_name(&"g".repeat(100));
    assert_eq!(name.len(), 63);
    assert_ne!(generated_name("a-"), generated_name("a-"));
    assert!(
        create(
            &task_kind(),
            "default",
            with(new_task(), &json!({"metadata": {"name": name}})),
            now()
        )
        .is_ok()
    );
}

#[test]
fn every_fault_of_the_metadata_is_told() {
    let bad = json!({"metadata": {
        "name": "Bad_Name",
        "labels": {"-": "x", "ok": "not ok!"},
        "finalizers": ["/"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "", "uid": "u"}],
    }});
    let failure = create(&task_kind(), "default", with(new_task(), &bad), now()).unwrap_err();
    assert_eq!(failure.code(), 422);
    let expected = [
        "metadata.name",
        "metadata.labels",
        "metadata.labels",
        "metadata.ownerReferences.name",
        "metadata.finalizers",
    ];
    assert_eq!(fields(&failure)[..5], expected);
}

#[test]
fn a_create_that_says_a_version_or_another_namespace_is_refused() {
    for metadata in [json!({"resourceVersion": "3"}), json!({"namespace": "other"})] {
        let object = with(new_task(), &json!({"metadata": metadata}));
        assert_eq!(create(&task_kind(), "default", object, now()).unwrap_err().code(), 400);
    }
}

#[test]
fn the_generation_grows_with_the_spec_alone() {
    let generation =
        |part, patch: &Value| updated(part, patch).unwrap()["metadata"]["generation"].clone();
    let labels = json!({"metadata": {"labels": {"x": "1"}}});
    assert_eq!(generation(Part::Main, &labels), 1);
    assert_eq!(generation(Part::Main, &json!({"metadata": {"generation": 9}})), 1);
    assert_eq!(generation(Part::Status, &json!({"status": {"state": "Running"}})), 1);
    assert_eq!(generation(Part::Main, &json!({"spec": {"priority": 3}})), 2);
}

#[test]
fn each_endpoint_changes_its_part_alone() {
    let both = json!({"spec": {"priority": 3}, "status": {"state": "Running"}, "metadata": {"labels": {"x": "1"}}});
    let main = updated(Part::Main, &both).unwrap();
    assert_eq!((&main["spec"]["priority"], main.get("status")), (&json!(3), None));
    let status = updated(Part::Status, &both).unwrap();
    assert_eq!(status["status"]["state"], "Running");
    assert_eq!(status["spec"], stored()["spec"]);
    assert_eq!(status["metadata"], stored()["metadata"]);
}

#[test]
fn a_write_that_changes_nothing_makes_the_same_object() {
    for patch in
        [json!({}), json!({"metadata": {"generation": 4, "creationTimestamp": null, "uid": null}})]
    {
        assert_eq!(updated(Part::Main, &patch).unwrap(), stored());
        assert_eq!(updated(Part::Status, &patch).unwrap(), stored());
    }
}

#[test]
fn another_uid_or_version_is_a_conflict() {
    for metadata in [json!({"uid": "other"}), json!({"resourceVersion": "4"})] {
        assert_eq!(updated(Part::Main, &json!({"metadata": metadata})).unwrap_err().code(), 409);
    }
    let failure =
        updated(Part::Main, &json!({"metadata": {"resourceVersion": "abc"}})).unwrap_err();
    assert_eq!(failure.code(), 400);
}

#[test]
fn another_name_or_kind_is_refused() {
    let code = |patch: &Value| updated(Part::Main, patch).unwrap_err().code();
    assert_eq!(code(&json!({"metadata": {"name": "b"}})), 400);
    assert_eq!(code(&json!({"metadata": {"namespace": "b"}})), 400);
    assert_eq!(code(&json!({"apiVersion": "meseta.dev/v2"})), 400);
    assert_eq!(code(&json!({"kind": "Agent"})), 422);
    assert_eq!(code(&json!({"metadata": {"labels": {"a": 1}}})), 400);
    assert_eq!(code(&json!({"metadata": null})), 400);
}

#[test]
fn a_dying_object_takes_no_new_finalizers_and_does_not_come_back() {
    let mut dying = with(stored(), &json!({"metadata": {"finalizers": ["x.io/a"]}}));
    mark_for_deletion(&task_kind(), &mut dying, vec!["x.io/a".to_owned()], now());
    assert_eq!(dying["metadata"]["generation"], 2);
    let change =
        |patch: &Value| update(&task_kind(), Part::Main, &dying, with(dying.clone(), patch));
    let failure = change(&json!({"metadata": {"finalizers": ["x.io/a", "x.io/b"]}})).unwrap_err();
    assert_eq!(fields(&failure), ["metadata.finalizers"]);
    let later = json!({"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z"}});
    assert_eq!(fields(&change(&later).unwrap_err()), ["metadata.deletionTimestamp"]);
    assert_eq!(change(&json!({"metadata": {"deletionTimestamp": null}})).unwrap(), dying);
    let free = change(&json!({"metadata": {"finalizers": null}})).unwrap();
    assert!(!is_held(&task_kind(), &free));
}

#[test]
fn the_kinds_own_rules_speak_when_the_schema_is_content() {
    let placed = json!({"spec": {"agentName": "n1"}});
    let old = update(&task_kind(), Part::Main, &stored(), with(stored(), &placed)).unwrap();
    let moved = with(old.clone(), &json!({"spec": {"agentName": "n2"}}));
    let failure = update(&task_kind(), Part::Main, &old, moved).unwrap_err();
    assert_eq!((failure.code(), fields(&failure)), (422, vec!["spec.agentName".to_owned()]));
}

#[test]
fn unknown_fields_are_dropped_and_named_but_those_of_a_newer_server_stay() {
    let kind = task_kind();
    let mut fields = Fields::new(FieldValidation::Warn, Origin::Body);
    let old = with(stored(), &json!({"spec": {"fromTheFuture": {"x": 1}}}));
    let mut new = with(old.clone(), &json!({"spec": {"bogus": 1, "priority": 2}}));
    fields.prune(&kind, &mut new, Some(&old));
    assert_eq!(new["spec"]["fromTheFuture"], json!({"x": 1}));
    assert_eq!(new["spec"].get("bogus"), None);
    assert_eq!(fields.into_warnings(), [r#"unknown field "spec.bogus""#]);
}

#[test]
fn strict_validation_refuses_what_it_does_not_know() {
    let kind = task_kind();
    let refusal = |origin| {
        let mut fields = Fields::new(FieldValidation::Strict, origin);
        fields.find_duplicates(br#"{"spec": {"a": 1, "a": 2}}"#);
        let mut object = with(new_task(), &json!({"spec": {"bogus": 1}}));
        fields.prune(&kind, &mut object, None);
        fields.check(&kind).unwrap_err()
    };
    let body = refusal(Origin::Body);
    assert_eq!(body.code(), 400);
    assert_eq!(
        body.message(),
        "Task in version \"v1alpha1\" cannot be handled as a Task: strict decoding error: \
         duplicate field \"spec.a\", unknown field \"spec.bogus\""
    );
    assert_eq!(refusal(Origin::Patch(b"{}")).code(), 422);
}

#[test]
fn a_namespace_is_held_and_labelled_with_its_name() {
    let kind = core("Namespace");
    let sent = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "wrong"}},
    });
    let namespace = create(&kind, "", sent, now()).unwrap();
    assert_eq!(namespace["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    assert_eq!(namespace["spec"], json!({"finalizers": ["kubernetes"]}));
    assert_eq!(namespace["status"], json!({"phase": "Active"}));
    let mut dying = namespace;
    mark_for_deletion(&kind, &mut dying, Vec::new(), now());
    assert_eq!(dying["status"]["phase"], "Terminating");
    assert!(is_held(&kind, &dying));
    let emptied = with(dying.clone(), &json!({"spec": {"finalizers": []}}));
    assert_eq!(update(&kind, Part::Main, &dying, emptied.clone()).unwrap(), dying);
    let emptied = update(&kind, Part::Finalize, &dying, emptied).unwrap();
    assert!(!is_held(&kind, &emptied));
}

#[test]
fn a_body_of_any_shape_is_refused_and_not_tripped_over() {
    for kind in ["Namespace", "Secret", "ConfigMap", "Lease", "Event", "ServiceAccount", "Task"] {
        let kind = core(kind);
        for odd in [json!("x"), json!([1]), json!(5), json!({"spec": {"finalizers": 3}})] {
            let mut body = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": "a"}});
            for member in ["spec", "status", "data", "stringData", "type", "metadata"] {
                let mut body = body.clone();
                body[member] = odd.clone();
                let bytes = body.to_string().into_bytes();
                let decoded = decode(&kind, &bytes, crate::request::media::BodyType::Json);
                drop(decoded.and_then(|body| create(&kind, "default", body, now())));
            }
            body["metadata"]["labels"] = odd;
            let bytes = body.to_string().into_bytes();
            let decoded = decode(&kind, &bytes, crate::request::media::BodyType::Json);
            drop(decoded.and_then(|body| create(&kind, "default", body, now())));
        }
    }
}

#[test]
fn a_secret_folds_its_texts() {
    let kind = core("Secret");
    let sent = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "data": {"a": "MQ=="}, "stringData": {"b": "2"},
    });
    let secret = create(&kind, "default", sent, now()).unwrap();
    assert_eq!(secret["data"], json!({"a": "MQ==", "b": "Mg=="}));
    assert_eq!((secret.get("stringData"), &secret["type"]), (None, &json!("Opaque")));
}
