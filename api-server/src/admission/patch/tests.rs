use serde_json::json;

use super::*;

fn object() -> Value {
    json!({"metadata": {"name": "a"}, "spec": {"args": ["a", "b"], "agent": "n1"}})
}

fn apply(patch_type: PatchType, patch: &Value) -> Result<Value, u16> {
    let patch = Patch::parse(patch_type, patch.to_string().as_bytes());
    patch.and_then(|patch| patch.apply(&object())).map_err(|failure| failure.code())
}

fn json_patch(operation: &Value) -> Result<Value, u16> {
    apply(PatchType::Json, &json!([operation])).map(|mut object| object["spec"].take())
}

fn parse(patch_type: PatchType, body: &str) -> Option<u16> {
    Patch::parse(patch_type, body.as_bytes()).err().map(|failure| failure.code())
}

#[test]
fn a_merge_replaces_lists_and_removes_with_null() {
    let merged = apply(PatchType::Merge, &json!({"spec": {"args": ["c"], "agent": null}})).unwrap();
    assert_eq!(merged["spec"], json!({"args": ["c"]}));
}

#[test]
fn what_cannot_be_read_is_refused() {
    assert_eq!(parse(PatchType::Merge, "[1]"), Some(400));
    assert_eq!(parse(PatchType::Merge, "null"), Some(400));
    assert_eq!(parse(PatchType::Merge, "{\"bad\""), Some(400));
    assert_eq!(parse(PatchType::Merge, "spec: {agent: y}"), Some(400));
    assert_eq!(parse(PatchType::Json, "{\"op\": \"replace\"}"), Some(400));
    assert_eq!(parse(PatchType::Json, "[{\"op\": \"frob\", \"path\": \"/a\"}]"), Some(422));
    assert_eq!(parse(PatchType::Json, "[{\"op\": \"replace\", \"value\": 1}]"), Some(422));
}

#[test]
fn operations_do_what_kubernetes_does() {
    let with = |args: Value| Ok(json!({"args": args, "agent": "n1"}));
    let add = json!({"op": "add", "path": "/spec/args/-", "value": "c"});
    assert_eq!(json_patch(&add), with(json!(["a", "b", "c"])));
    let remove = json!({"op": "remove", "path": "/spec/args/0"});
    assert_eq!(json_patch(&remove), with(json!(["b"])));
    let absent = json!({"op": "test", "path": "/spec/nope", "value": null});
    assert_eq!(json_patch(&absent), with(json!(["a", "b"])));
    let replace = json!({"op": "replace", "path": "/spec/agent", "value": "n2"});
    assert_eq!(json_patch(&replace).unwrap()["agent"], "n2");
    let replace_absent = json!({"op": "replace", "path": "/spec/new", "value": 1});
    assert_eq!(json_patch(&replace_absent).unwrap()["new"], 1);
}

#[test]
fn operations_that_do_not_fit_are_refused() {
    let refused = [
        json!({"op": "test", "path": "/spec/agent", "value": "zz"}),
        json!({"op": "test", "path": "/spec/nope", "value": "zz"}),
        json!({"op": "remove", "path": "/spec/nope"}),
        json!({"op": "add", "path": "/spec/args/99", "value": "q"}),
        json!({"op": "add", "path": "/metadata/labels/k", "value": "v"}),
    ];
    for operation in refused {
        assert_eq!(json_patch(&operation), Err(422), "{operation}");
    }
}

#[test]
fn copies_cannot_blow_an_object_up() {
    let double = json!({"op": "copy", "from": "/spec", "path": "/spec/args/-"});
    let doublings = Value::from(vec![double; 40]);
    assert_eq!(apply(PatchType::Json, &doublings), Err(413));
}

#[test]
fn a_strategic_patch_is_read_where_it_means_a_merge() {
    let plain = json!({"metadata": {"annotations": {"a": "b"}}, "data": {"x": null}});
    assert!(apply(PatchType::Strategic, &plain).is_ok());
    let list = json!({"metadata": {"finalizers": ["x.io/a"]}});
    assert_eq!(apply(PatchType::Strategic, &list), Err(415));
    assert_eq!(apply(PatchType::Strategic, &json!({"$patch": "replace"})), Err(415));
}
