//! What is wrong is refused with the field and the reason.

use meseta_e2e::{Space, StoreKind};
use serde_json::{Value, json};

use crate::yaml;

on_both_stores!(
    an_unknown_field_is_named,
    a_wrong_value_is_named_with_what_to_change,
    every_fault_of_a_record_is_told_at_once,
    yaml_that_cannot_be_read_is_refused,
    the_agent_of_a_task_does_not_change,
    a_terminal_state_does_not_change,
    a_framework_that_waits_for_itself_is_refused,
);

fn refused(space: &Space, record: &Value) -> String {
    space.kubectl_fails(&["apply", "-f", "-"], Some(&record.to_string())).unwrap()
}

fn an_unknown_field_is_named(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let mut task = yaml::task("a", "exit 0");
    task["spec"]["containers"][0]["comand"] = json!(["x"]);
    let said = refused(&space, &task);
    assert!(said.contains("unknown field") && said.contains("comand"), "{said}");
    // Who insists gets the record, without the field.
    let text = task.to_string();
    let insist = ["apply", "--validate=ignore", "-f", "-"];
    space.try_kubectl(&insist, Some(&text)).unwrap().success().unwrap();
    let stored = space.get(&["task", "a"]).unwrap();
    assert_eq!(stored["spec"]["containers"][0]["comand"], Value::Null);
}

fn a_wrong_value_is_named_with_what_to_change(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let wrong = |pointer: &str, value: Value| {
        let mut task = yaml::task("a", "exit 0");
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        task.pointer_mut(parent).unwrap()[field] = value;
        refused(&space, &task)
    };
    let said = wrong("/spec/priority", json!("high"));
    assert!(said.contains("spec.priority") && said.contains("integer"), "{said}");
    let said = wrong("/spec/restartPolicy", json!("Sometimes"));
    assert!(said.contains("restartPolicy") && said.contains("OnFailure"), "{said}");
    let said = wrong("/spec/resources/cpu", json!("many"));
    assert!(said.contains("spec.resources"), "{said}");
    let said = wrong("/spec/containers", json!([]));
    assert!(said.contains("spec.containers"), "{said}");
    let said = wrong("/spec/volumes", json!([{"name": "v", "hostPath": {"path": "/proc/1"}}]));
    assert!(said.contains("spec.volumes[0].hostPath.path"), "{said}");
    let said = wrong("/metadata/name", json!("Not A Name"));
    assert!(said.contains("metadata.name"), "{said}");
}

fn every_fault_of_a_record_is_told_at_once(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let mut task = yaml::task("a", "exit 0");
    task["spec"]["containers"][0]["env"] = json!([{"name": "A=B"}]);
    task["spec"]["containers"][0]["workingDir"] = json!("relative");
    task["spec"]["role"] = json!("/eng//");
    let said = refused(&space, &task);
    for field in ["spec.containers[0].env[0].name", "spec.containers[0].workingDir", "spec.role"] {
        assert!(said.contains(field), "no {field} in: {said}");
    }
}

fn yaml_that_cannot_be_read_is_refused(store: StoreKind) {
    let space = Space::new(store).unwrap();
    for text in ["kind: [", "a: b", "apiVersion: meseta.dev/v1\nkind: Nothing\n"] {
        let said = space.kubectl_fails(&["apply", "-f", "-"], Some(text)).unwrap();
        assert!(said.contains("error"), "{said}");
    }
}

fn the_agent_of_a_task_does_not_change(store: StoreKind) {
    let space = Space::new(store).unwrap();
    space.apply(&yaml::task("a", "sleep 1000")).unwrap();
    space.await_task("a", &["Running"]).unwrap();
    for patch in [r#"{"spec":{"agentName":"other"}}"#, r#"{"spec":{"agentName":null}}"#] {
        let args = ["patch", "task", "a", "--type=merge", "-p", patch];
        let said = space.kubectl_fails(&args, None).unwrap();
        assert!(said.contains("spec.agentName") && said.contains("must not change"), "{said}");
    }
    space.kubectl(&["delete", "task", "a", "--timeout=60s"]).unwrap();
}

fn a_terminal_state_does_not_change(store: StoreKind) {
    let space = Space::new(store).unwrap();
    space.apply(&yaml::task("a", "exit 3")).unwrap();
    space.await_task("a", &["Failed"]).unwrap();
    let patch = r#"{"status":{"state":"Running"}}"#;
    let args = ["patch", "task", "a", "--subresource=status", "--type=merge", "-p", patch];
    let said = space.kubectl_fails(&args, None).unwrap();
    assert!(said.contains("status.state") && said.contains("must not change"), "{said}");
}

fn a_framework_that_waits_for_itself_is_refused(store: StoreKind) {
    let space = Space::new(store).unwrap();
    let spec = yaml::spec("exit 0");
    let mut first = yaml::set("first", 1, &spec);
    first["dependsOn"] = json!(["second"]);
    let mut second = yaml::set("second", 1, &spec);
    second["dependsOn"] = json!(["first"]);
    let said = refused(&space, &yaml::framework("circle", &[first, second]));
    assert!(said.contains("spec.taskSets[0].dependsOn"), "{said}");
    let mut lonely = yaml::set("lonely", 1, &spec);
    lonely["dependsOn"] = json!(["nobody"]);
    let said = refused(&space, &yaml::framework("lonely", &[lonely]));
    assert!(said.contains("there is no `nobody`"), "{said}");
}
