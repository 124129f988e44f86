//! Watches.

use futures::TryStreamExt as _;
use http::StatusCode;
use kube::api::{Api, WatchEvent, WatchParams};
use kube::runtime::watcher;
use meseta_crds::Task;
use serde_json::{Value, json};

use crate::world::{TASKS, World, admin, version};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const STREAMING: &str =
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

impl World {
    async fn watch_tasks(&self, query: &str) -> crate::world::Events {
        self.watch(&format!("{TASKS}?watch=1&{query}")).await
    }
}

#[tokio::test]
async fn a_watch_begins_after_its_version_and_goes_on() {
    let world = World::new().await;
    let list = world.get(TASKS).await.ok();
    world.create("a", json!({})).await;
    let mut events = world.watch_tasks(&format!("resourceVersion={}", version(&list))).await;
    assert_eq!(events.brief().await, "ADDED a");
    let patched = world.merge(&format!("{TASKS}/a"), &json!({"spec": {"priority": 1}})).await.ok();
    let event = events.next().await.unwrap();
    assert_eq!(event, json!({"type": "MODIFIED", "object": patched}));
    world.delete(&format!("{TASKS}/a"), &Value::Null).await.ok();
    let event = events.next().await.unwrap();
    assert_eq!(event["type"], "DELETED");
    assert_eq!(event["object"]["spec"], patched["spec"]);
    let (deleted, patched) = (version(&event["object"]), version(&patched));
    assert!(deleted.parse::<u64>().unwrap() > patched.parse::<u64>().unwrap());
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let world = World::new().await;
    world.create("a", json!({})).await;
    for query in ["", "resourceVersion=0"] {
        let mut events = world.watch_tasks(query).await;
        assert_eq!(events.brief().await, "ADDED a");
    }
}

#[tokio::test]
async fn a_streaming_list_ends_its_state_with_a_bookmark() {
    let world = World::new().await;
    world.create("a", json!({"metadata": {"labels": {"x": "1"}}})).await;
    world.create("b", json!({})).await;
    let mut events = world.watch_tasks(&format!("{STREAMING}&labelSelector=x")).await;
    assert_eq!(events.brief().await, "ADDED a");
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    let annotations = &bookmark["object"]["metadata"]["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");
    world.merge(&format!("{TASKS}/a"), &json!({"metadata": {"labels": {"x": null}}})).await.ok();
    let left = events.next().await.unwrap();
    assert_eq!(left["type"], "DELETED");
    assert_eq!(left["object"]["metadata"]["labels"], json!({"x": "1"}), "as it was");
}

#[tokio::test]
async fn a_version_that_is_too_old_is_an_event_and_not_an_error() {
    let before = World::new().await;
    before.create("a", json!({})).await;
    let world = World::over(before.store.clone()).await;
    let mut events = world.watch_tasks("resourceVersion=1").await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(event["object"]["reason"], "Expired");
    let message = event["object"]["message"].as_str().unwrap();
    assert!(message.starts_with("too old resource version: 1 ("), "{message}");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_version_that_was_never_written_makes_the_client_list_anew() {
    let world = World::new().await;
    let mut events = world.watch_tasks("resourceVersion=99999999").await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    let message = event["object"]["message"].as_str().unwrap();
    assert!(message.starts_with("too new resource version: 99999999 ("), "{message}");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_watch_ends_after_its_timeout_with_a_last_bookmark() {
    let world = World::new().await;
    world.create("a", json!({})).await;
    let mut events = world.watch_tasks("timeoutSeconds=3&allowWatchBookmarks=true").await;
    assert_eq!(events.brief().await, "ADDED a");
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_table_names_its_columns_once() {
    let world = World::new().await;
    world.create("a", json!({})).await;
    let path = format!("{TASKS}?watch=1");
    let mut events = world.watch_as(&path, TABLE).await;
    let first = events.next().await.unwrap();
    assert!(first["object"]["columnDefinitions"].is_array());
    assert_eq!(first["object"]["rows"][0]["cells"][0], "a");
    world.create("b", json!({})).await;
    let second = events.next().await.unwrap();
    assert_eq!(second["object"]["columnDefinitions"], Value::Null);
    assert_eq!(second["object"]["rows"][0]["object"]["metadata"]["name"], "b");
}

#[tokio::test]
async fn metadata_is_watched_alone() {
    let world = World::new().await;
    let accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let mut events = world.watch_as(&format!("{TASKS}?watch=1"), accept).await;
    let created = world.create("a", json!({})).await;
    let event = events.next().await.unwrap();
    assert_eq!(event["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(event["object"]["metadata"], created["metadata"]);
    assert_eq!(event["object"].get("spec"), None);
}

#[tokio::test]
async fn a_change_that_is_none_makes_no_event() {
    let world = World::new().await;
    let created = world.create("a", json!({})).await;
    let mut events = world.watch_tasks(&format!("resourceVersion={}", version(&created))).await;
    world.put(&format!("{TASKS}/a"), &created).await.ok();
    world.create("b", json!({})).await;
    assert_eq!(events.brief().await, "ADDED b");
}

#[tokio::test]
async fn one_change_touches_one_of_many_watchers() {
    let world = World::new().await;
    let mut watches = Vec::new();
    for agent in 0..1000 {
        let query = format!("fieldSelector=spec.agentName%3Dn{agent}");
        watches.push(world.watch_tasks(&query).await);
    }
    let before = world.api.deliveries();
    world.create("a", json!({"spec": {"agentName": "n7"}})).await;
    assert_eq!(watches[7].brief().await, "ADDED a");
    assert_eq!(world.api.deliveries() - before, 1);
}

#[tokio::test]
async fn a_change_is_seen_by_the_watches_of_every_server() {
    let world = World::new().await;
    let other = World::over(world.store.clone()).await;
    let mut events = other.watch_tasks("").await;
    for n in 0..20 {
        world.create(&format!("a{n}"), json!({})).await;
        assert_eq!(events.brief().await, format!("ADDED a{n}"));
    }
}

#[tokio::test]
async fn a_kube_watcher_works_in_both_of_its_ways() {
    let world = World::new().await;
    world.create("a", json!({})).await;
    let tasks: Api<Task> = Api::default_namespaced(world.api.client(admin()));
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut events = Box::pin(watcher(tasks.clone(), config));
        let mut seen = Vec::new();
        while seen.len() < 3 {
            seen.push(match events.try_next().await.unwrap().unwrap() {
                watcher::Event::Init => "init",
                watcher::Event::InitApply(_) => "apply",
                watcher::Event::InitDone => "done",
                watcher::Event::Apply(_) | watcher::Event::Delete(_) => "change",
            });
        }
        assert_eq!(seen, ["init", "apply", "done"]);
    }
    let mut raw = Box::pin(tasks.watch(&WatchParams::default(), "0").await.unwrap());
    let first = raw.try_next().await.unwrap().unwrap();
    assert!(matches!(first, WatchEvent::Added(_)));
}

#[tokio::test]
async fn watch_parameters_that_do_not_fit_are_refused() {
    let world = World::new().await;
    for (query, code) in [
        ("sendInitialEvents=true", 422),
        ("resourceVersion=abc", 400),
        ("labelSelector=%3D%3Dbad", 400),
        ("timeoutSeconds=x", 400),
    ] {
        let answer = world.get(&format!("{TASKS}?watch=1&{query}")).await;
        assert_eq!(answer.refusal().0, code, "{query}");
    }
    let answer = world.get_as(&format!("{TASKS}?watch=1"), "text/html").await;
    assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE);
}
