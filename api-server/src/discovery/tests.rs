use serde_json::{Value, json};

use super::*;

/// The definition that the golden vectors were recorded with.
const GOLDEN_TASK: &str = include_str!("../../tests/data/golden/task.json");

fn golden_registry() -> Registry {
    Registry::of(vec![serde_json::from_str(GOLDEN_TASK).unwrap()])
}

fn named<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|entry| entry[key] == name).unwrap()
}

#[test]
fn legacy_lists_have_an_entry_for_each_resource_and_status() {
    let list = legacy_resources(&golden_registry(), "golden.example.io", "v1").unwrap();
    assert_eq!(
        list,
        json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": "golden.example.io/v1",
            "resources": [
                {
                    "name": "tasks",
                    "singularName": "task",
                    "namespaced": true,
                    "kind": "Task",
                    "verbs": [
                        "delete", "deletecollection", "get", "list", "patch", "create", "update",
                        "watch"
                    ],
                    "shortNames": ["tk"],
                    "categories": ["golden", "all"],
                },
                {
                    "name": "tasks/status",
                    "singularName": "",
                    "namespaced": true,
                    "kind": "Task",
                    "verbs": ["get", "patch", "update"],
                },
            ],
        })
    );
    let core = legacy_resources(&golden_registry(), "", "v1").unwrap();
    assert_eq!(core["groupVersion"], "v1");
    assert_eq!(named(&core["resources"], "name", "namespaces")["shortNames"], json!(["ns"]));
    assert_eq!(legacy_resources(&golden_registry(), "golden.example.io", "v2"), None);
    assert_eq!(legacy_resources(&golden_registry(), "nope", "v1"), None);
}

#[test]
fn groups_name_their_version_and_the_live_one_is_last() {
    let registry = Registry::new();
    let groups = legacy_groups(&registry);
    let names: Vec<&str> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["name"].as_str().unwrap())
        .collect();
    let expected = ["coordination.k8s.io", "apiextensions.k8s.io", "meseta.dev", "live.meseta.dev"];
    assert_eq!(names, expected);
    let version = json!({ "groupVersion": "meseta.dev/v1alpha1", "version": "v1alpha1" });
    assert_eq!(
        legacy_group(&registry, "meseta.dev").unwrap(),
        json!({
            "kind": "APIGroup",
            "apiVersion": "v1",
            "name": "meseta.dev",
            "versions": [version],
            "preferredVersion": version,
        })
    );
    assert_eq!(legacy_group(&registry, "nope"), None);
    assert_eq!(legacy_group(&registry, ""), None);
}

#[test]
fn aggregated_entries_are_those_of_a_real_server() {
    let registry = golden_registry();
    let core = aggregated_api(&registry);
    assert_eq!(core["items"][0]["metadata"], json!({}));
    let resources = &core["items"][0]["versions"][0]["resources"];
    assert_eq!(
        *named(resources, "resource", "configmaps"),
        json!({
            "resource": "configmaps",
            "responseKind": { "group": "", "kind": "ConfigMap", "version": "" },
            "scope": "Namespaced",
            "shortNames": ["cm"],
            "singularResource": "configmap",
            "verbs": [
                "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"
            ],
        })
    );
    let groups = aggregated_groups(&registry);
    let golden = groups["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["metadata"]["name"] == "golden.example.io")
        .unwrap();
    let kind = json!({ "group": "golden.example.io", "kind": "Task", "version": "v1" });
    assert_eq!(
        golden["versions"],
        json!([{
            "version": "v1",
            "freshness": "Current",
            "resources": [{
                "categories": ["golden", "all"],
                "resource": "tasks",
                "responseKind": kind,
                "scope": "Namespaced",
                "shortNames": ["tk"],
                "singularResource": "task",
                "subresources": [{
                    "responseKind": kind,
                    "subresource": "status",
                    "verbs": ["get", "patch", "update"],
                }],
                "verbs": [
                    "delete", "deletecollection", "get", "list", "patch", "create", "update",
                    "watch"
                ],
            }],
        }])
    );
}

#[test]
fn offers_are_read_and_never_stored() {
    let registry = Registry::new();
    assert!(registry.kinds().iter().all(|kind| kind.group != LIVE_GROUP));
    let legacy = legacy_resources(&registry, LIVE_GROUP, VERSION).unwrap();
    let offers = json!({
        "name": "offers",
        "singularName": "offer",
        "namespaced": true,
        "kind": "Offer",
        "verbs": ["get", "list", "watch"],
        "shortNames": ["ofr"],
    });
    assert_eq!(legacy["resources"][0], offers);
    let aggregated = aggregated_groups(&registry);
    let live = aggregated["items"].as_array().unwrap().last().unwrap();
    let offers = named(&live["versions"][0]["resources"], "resource", "offers");
    let kind = json!({ "group": LIVE_GROUP, "version": VERSION, "kind": "Offer" });
    assert_eq!(offers["responseKind"], kind);
    assert_eq!(offers["verbs"], json!(["get", "list", "watch"]));
}

#[test]
fn the_live_group_has_no_resource_called_tasks() {
    let registry = Registry::new();
    let legacy = legacy_resources(&registry, LIVE_GROUP, VERSION).unwrap();
    let names = legacy["resources"].as_array().unwrap().iter().map(|entry| &entry["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["offers", "tasks/log"]);
    let aggregated = aggregated_groups(&registry);
    let live = aggregated["items"].as_array().unwrap().last().unwrap();
    let tasks = named(&live["versions"][0]["resources"], "resource", "tasks");
    // kubectl and client-go take no resource without a kind, but its subresources.
    assert_eq!(tasks["responseKind"], Value::Null);
    assert_eq!(tasks["subresources"][0]["subresource"], "log");
}

#[test]
fn etags_change_with_the_body() {
    let etag = |registry: &Registry| super::etag(&aggregated_groups(registry));
    assert_eq!(etag(&Registry::new()), etag(&Registry::new()));
    assert_ne!(etag(&Registry::new()), etag(&golden_registry()));
}
