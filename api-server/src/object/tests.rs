use serde_json::json;

use super::*;
use crate::testing::{task, task_kind};

fn text(object: &Object) -> String {
    let mut json = Vec::new();
    object.body().write_json(object.version(), &mut json);
    String::from_utf8(json).unwrap()
}

#[test]
fn the_version_stands_in_the_text_and_not_in_the_store() {
    let object = task("a", &json!({}));
    assert!(!String::from_utf8_lossy(object.body().bytes()).contains("resourceVersion"));
    let head =
        r#"{"apiVersion":"meseta.dev/v1alpha1","kind":"Task","metadata":{"resourceVersion":"1","#;
    assert!(text(&object).starts_with(head), "{}", text(&object));
    assert_eq!(serde_json::from_str::<Value>(&text(&object)).unwrap(), object.value());
    assert_eq!(object.value()["metadata"]["resourceVersion"], "1");
}

#[test]
fn the_outline_holds_what_is_selected_on_and_little_else() {
    let object = task(
        "a",
        &json!({
            "metadata": {"labels": {"x": "1"}, "annotations": {"big": "text"}},
            "spec": {"agentName": "n1"},
            "status": {"state": "Running", "message": "goes on"},
        }),
    );
    let outline = json!({
        "spec": {"agentName": "n1"},
        "status": {"state": "Running"},
        "metadata": {"name": "a", "namespace": "default", "uid": "uid-of-a", "labels": {"x": "1"}},
    });
    assert_eq!(*object.outline(), outline);
}

#[test]
fn a_body_written_by_another_hand_is_brought_into_shape() {
    let body = br#"{"kind": "Task", "metadata": {"resourceVersion": "7", "name": "a"}, "apiVersion": "meseta.dev/v1alpha1"}"#;
    let body = Bytes::from_static(body);
    let object = Object::decode(&task_kind(), "default/a", Version(9), body).unwrap();
    let expected = json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": "a", "resourceVersion": "9"},
    });
    assert_eq!(object.value(), expected);
}

#[test]
fn what_is_no_object_is_told_and_not_served() {
    for body in ["", "[]", "{}", r#"{"metadata": {}}"#, r#"{"metadata": {"name": 5}}"#] {
        let body = Bytes::from_static(body.as_bytes());
        assert!(Object::decode(&task_kind(), "default/a", Version(1), body).is_err());
    }
}
