//! Lists: selectors, pages, versions, tables.

use http::StatusCode;
use serde_json::{Value, json};

use crate::world::{Answer, TASKS, World, version};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

async fn five() -> World {
    let world = World::new().await;
    for n in 0..5 {
        let labels = json!({"n": n.to_string(), "par": if n % 2 == 0 { "even" } else { "odd" }});
        let agent = if n == 3 { "n3" } else { "n1" };
        let patch = json!({"metadata": {"labels": labels}, "spec": {"agentName": agent}});
        world.create(&format!("l{n}"), patch).await;
    }
    world
}

impl World {
    async fn list(&self, query: &str) -> Answer {
        self.get(&format!("{TASKS}?{query}")).await
    }
}

#[tokio::test]
async fn selectors_select() {
    let world = five().await;
    for (query, expected) in [
        ("labelSelector=par%3Dodd", vec!["l1", "l3"]),
        ("labelSelector=par%20in%20(odd),n!%3D1", vec!["l3"]),
        ("fieldSelector=spec.agentName%3Dn3", vec!["l3"]),
        ("fieldSelector=spec.agentName!%3Dn1", vec!["l3"]),
        ("fieldSelector=metadata.name%3Dl2", vec!["l2"]),
        ("fieldSelector=metadata.namespace%3Dother", vec![]),
    ] {
        assert_eq!(names(&world.list(query).await.ok()), expected, "{query}");
    }
    let (code, _, message) = world.list("fieldSelector=spec.nope%3D1").await.refusal();
    assert_eq!((code, message.as_str()), (400, "field label not supported: spec.nope"));
}

#[tokio::test]
async fn an_empty_list_has_items_and_a_version() {
    let world = World::new().await;
    let list = world.list("").await.ok();
    assert_eq!(list["items"], json!([]));
    assert_eq!(list["kind"], "TaskList");
    assert!(version(&list).parse::<u64>().unwrap() > 0);
}

#[tokio::test]
async fn pages_show_the_version_of_the_first_whatever_happens_meanwhile() {
    let world = five().await;
    let first = world.list("limit=2").await.ok();
    assert_eq!(names(&first), ["l0", "l1"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    world.delete(&format!("{TASKS}/l2"), &Value::Null).await.ok();
    world.create("l9", json!({})).await;
    let second = world.list(&format!("limit=2&continue={token}")).await.ok();
    assert_eq!(names(&second), ["l2", "l3"]);
    assert_eq!(version(&second), version(&first));
    let token = second["metadata"]["continue"].as_str().unwrap().to_owned();
    let third = world.list(&format!("limit=2&continue={token}")).await.ok();
    assert_eq!(names(&third), ["l4"]);
    assert_eq!(third["metadata"].get("continue"), None);
    assert_eq!(names(&world.list("").await.ok()), ["l0", "l1", "l3", "l4", "l9"]);
}

#[tokio::test]
async fn pages_of_everything_say_how_much_remains() {
    let world = five().await;
    let all = "/apis/meseta.dev/v1alpha1/tasks";
    let first = world.get(&format!("{all}?limit=2")).await.ok();
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = world.get(&format!("{all}?limit=2&continue={token}")).await.ok();
    assert_eq!(second["metadata"]["remainingItemCount"], 1);
    let selected = world.get(&format!("{all}?limit=1&labelSelector=par%3Dodd")).await.ok();
    assert_eq!(selected["metadata"].get("remainingItemCount"), None);
}

#[tokio::test]
async fn pages_with_a_selector_come_from_history_too() {
    let world = five().await;
    let first = world.list("limit=1&labelSelector=par%3Deven").await.ok();
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    world.delete(&format!("{TASKS}/l4"), &Value::Null).await.ok();
    let rest = world.list(&format!("labelSelector=par%3Deven&continue={token}")).await.ok();
    assert_eq!(names(&rest), ["l2", "l4"]);
}

#[tokio::test]
async fn a_compacted_version_is_expired() {
    let world = five().await;
    let first = world.list("limit=2").await.ok();
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    world.create("l9", json!({})).await;
    assert_eq!(world.list("").await.ok()["items"].as_array().unwrap().len(), 6);
    world.store.compact(world.store.version().await.unwrap()).await.unwrap();
    let answer = world.list(&format!("limit=10&continue={token}")).await;
    assert_eq!((answer.status, answer.refusal().1.as_str()), (StatusCode::GONE, "Expired"));
    let token = answer.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    let rest = world.list(&format!("limit=10&continue={token}")).await.ok();
    assert_eq!(names(&rest), ["l2", "l3", "l4", "l9"]);
    let exact = format!("resourceVersion={}&resourceVersionMatch=Exact", version(&first));
    assert_eq!(world.list(&exact).await.refusal().1, "Expired");
}

#[tokio::test]
async fn a_version_in_the_future_is_waited_for_and_then_refused() {
    let world = World::new().await;
    let answer = world.list("resourceVersion=99999999").await;
    assert_eq!(answer.headers["retry-after"], "1");
    let (code, reason, message) = answer.refusal();
    assert_eq!((code, reason.as_str()), (504, "Timeout"));
    assert!(message.starts_with("Timeout: Too large resource version: 99999999, current: "));
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_next_list_of_every_server() {
    let world = World::new().await;
    let other = World::over(world.store.clone()).await;
    for n in 0..50 {
        world.create(&format!("a{n}"), json!({})).await;
        let list = other.list("").await.ok();
        assert_eq!(list["items"].as_array().unwrap().len(), n + 1);
    }
}

#[tokio::test]
async fn a_table_has_the_columns_of_its_kind() {
    let world = five().await;
    let table = world.get_as(TASKS, TABLE).await.ok();
    assert_eq!(table["kind"], "Table");
    let columns = table["columnDefinitions"].as_array().unwrap();
    let titles: Vec<&str> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Name", "State", "Agent", "Exit", "Reason", "Message", "Age"]);
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[3]["cells"][2], "n3");
    assert_eq!(rows[3]["object"]["kind"], "PartialObjectMetadata");
    let bare = world.get_as(&format!("{TASKS}?includeObject=None"), TABLE).await.ok();
    assert_eq!(bare["rows"][0]["object"], Value::Null);
    let one = world.get_as(&format!("{TASKS}/l3"), TABLE).await.ok();
    assert_eq!(one["rows"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn metadata_comes_alone_if_that_is_wanted() {
    let world = five().await;
    let list = world.get_as(TASKS, METADATA).await.ok();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(list["items"][0].get("spec"), None);
}

#[tokio::test]
async fn a_long_list_is_whole() {
    let world = World::new().await;
    let creates = (0..700).map(|n| {
        let world = &world;
        async move { world.create(&format!("t{n:04}"), json!({})).await }
    });
    futures::future::join_all(creates).await;
    let list = world.list("").await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 700);
    let table = world.get_as(TASKS, TABLE).await.ok();
    assert_eq!(table["rows"].as_array().unwrap().len(), 700);
}

#[tokio::test]
async fn paths_that_are_none_are_not_found() {
    let world = World::new().await;
    for path in [
        "/apis/meseta.dev/v1alpha1/nopes",
        "/apis/meseta.dev/v1alpha1/tasks/x",
        "/apis/meseta.dev/v1alpha1/namespaces/default/agents",
        "/apis/apps/v1/deployments",
        "//apis",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.body, "404 page not found\n", "{path}");
    }
    assert_eq!(world.get("/api/v1/pods").await.refusal().1, "NotFound");
}

#[tokio::test]
async fn discovery_is_served_in_both_forms_and_revalidated() {
    let world = World::new().await;
    let legacy = world.get("/apis/meseta.dev/v1alpha1").await.ok();
    assert_eq!(legacy["kind"], "APIResourceList");
    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let aggregated = world.get_as("/apis", accept).await;
    assert_eq!(
        aggregated.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    assert!(aggregated.headers.contains_key("etag"));
    let index = world.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/meseta.dev/v1alpha1"]["serverRelativeURL"].as_str().unwrap();
    let document = world.get(url).await;
    assert_eq!(document.headers["cache-control"], "public, immutable");
    assert!(document.ok()["components"]["schemas"].is_object());
    let moved = world.get("/openapi/v3/apis/meseta.dev/v1alpha1?hash=old").await;
    assert_eq!((moved.status.as_u16(), &moved.headers["location"]), (301, &url.parse().unwrap()));
    assert_eq!(world.get("/readyz").await.body, "ok");
}
