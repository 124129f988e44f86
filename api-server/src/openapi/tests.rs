use serde::Deserialize;
use serde_json::{Value, json};

use super::{document, index};
use crate::registry::Registry;

/// The definition that the golden vectors were recorded with, and parts of a real server's
/// documents.
const GOLDEN_TASK: &str = include_str!("../../tests/data/golden/task.json");
const GOLDEN_DOCUMENTS: &str = include_str!("../../tests/data/golden/openapi.jsonl");

#[derive(Deserialize)]
struct GoldenDocument {
    step: String,
    document: String,
    contains: Value,
}

fn parsed(registry: &Registry, path: &str) -> Value {
    serde_json::from_slice(&document(registry, path).unwrap().body).unwrap()
}

/// Asserts that every key and item of `expected` is in `actual`, items in any order.
#[track_caller]
fn contains(actual: &Value, expected: &Value, path: &str) {
    match (actual, expected) {
        (Value::Object(fields), Value::Object(expected)) => {
            for (name, expected) in expected {
                let actual = fields.get(name).unwrap_or_else(|| panic!("{path}/{name} is absent"));
                contains(actual, expected, &format!("{path}/{name}"));
            }
        }
        (Value::Array(items), Value::Array(expected)) => {
            for expected in expected {
                let found = items.iter().any(|item| is_within(item, expected));
                assert!(found, "{path} has no {expected}: {actual}");
            }
        }
        _ => assert!(is_within(actual, expected), "{path} is {actual} and not {expected}"),
    }
}

fn is_within(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(fields), Value::Object(expected)) => expected
            .iter()
            .all(|(name, value)| fields.get(name).is_some_and(|actual| is_within(actual, value))),
        (Value::Number(actual), Value::Number(expected)) => actual.as_f64() == expected.as_f64(),
        _ => actual == expected,
    }
}

#[test]
fn documents_have_what_clients_look_for() {
    let registry = Registry::of(vec![serde_json::from_str(GOLDEN_TASK).unwrap()]);
    for line in GOLDEN_DOCUMENTS.lines() {
        let golden: GoldenDocument = serde_json::from_str(line).unwrap();
        let document = parsed(&registry, &golden.document);
        contains(&document, &golden.contains, &golden.step);
    }
}

#[test]
fn every_kind_can_be_explained_and_applied_if_it_is_stored() {
    let registry = Registry::new();
    for kind in registry.kinds().iter().chain(registry.live()) {
        let document = parsed(&registry, &super::root(&kind.group, &kind.version));
        let mark = super::group_version_kind(kind, &kind.kind);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let schema = schemas
            .values()
            .find(|schema| schema["x-kubernetes-group-version-kind"] == json!([mark]))
            .unwrap_or_else(|| panic!("{} has no schema", kind.kind));
        assert_eq!(schema["type"], "object");
        assert!(schema["properties"]["metadata"].is_object());

        let paths = document["paths"].as_object().unwrap();
        let of_kind = |method: &str| {
            paths
                .values()
                .map(|path| path[method].clone())
                .find(|operation| operation["x-kubernetes-group-version-kind"] == mark)
        };
        assert!(of_kind("get").is_some());
        if kind.verbs.contains(&"patch") {
            let parameters = of_kind("patch").unwrap()["parameters"].clone();
            for name in ["fieldValidation", "dryRun"] {
                assert!(
                    parameters.as_array().unwrap().iter().any(|parameter| {
                        parameter["name"] == name && parameter["in"] == "query"
                    }),
                    "{} cannot be patched with {name}",
                    kind.kind
                );
            }
        } else {
            assert_eq!(of_kind("patch"), None);
        }
    }
}

#[test]
fn every_reference_leads_to_a_schema() {
    let registry = Registry::new();
    for path in registry.documents().keys() {
        let document = parsed(&registry, path);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let name = reference.strip_prefix("#/components/schemas/").unwrap();
                        assert!(schemas.contains_key(name), "{path}: {reference} leads nowhere");
                    }
                    open.extend(fields.values());
                }
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
    }
}

#[test]
fn the_index_names_every_document_with_its_hash() {
    let registry = Registry::new();
    let index = index(&registry);
    let document = document(&registry, "apis/meseta.dev/v1alpha1").unwrap();
    assert_eq!(
        index["paths"]["apis/meseta.dev/v1alpha1"]["serverRelativeURL"],
        format!("/openapi/v3/apis/meseta.dev/v1alpha1?hash={}", document.hash)
    );
    assert!(index["paths"]["api/v1"].is_object());
    assert!(super::document(&registry, "apis/nope/v1").is_none());
}

#[test]
fn a_changed_schema_changes_the_hash() {
    let hash = |definition: &Value| {
        let registry = Registry::of(vec![serde_json::from_value(definition.clone()).unwrap()]);
        document(&registry, "apis/golden.example.io/v1").unwrap().hash
    };
    let mut definition: Value = serde_json::from_str(GOLDEN_TASK).unwrap();
    let before = hash(&definition);
    assert_eq!(hash(&definition), before);
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/b";
    let (parent, name) = schema.rsplit_once('/').unwrap();
    definition.pointer_mut(parent).unwrap()[name] = json!({ "type": "string" });
    assert_ne!(hash(&definition), before);
}
