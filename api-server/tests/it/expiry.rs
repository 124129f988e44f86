//! What time does by itself; the clock is moved by the tests.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::world::{TASKS, World, version};

#[tokio::test(start_paused = true)]
async fn an_event_vanishes_after_an_hour() {
    let world = World::new().await;
    let events = "/api/v1/namespaces/default/events";
    let event = json!({
        "metadata": {"name": "e"}, "reason": "Pulled", "type": "Normal",
        "involvedObject": {"kind": "Task", "namespace": "default", "name": "a"},
    });
    world.post(events, &event).await.ok();
    tokio::time::sleep(Duration::from_secs(59 * 60)).await;
    world.get(&format!("{events}/e")).await.ok();
    tokio::time::sleep(Duration::from_secs(3 * 60)).await;
    assert_eq!(world.get(&format!("{events}/e")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn history_is_compacted_after_five_minutes_and_no_watch_notices() {
    let world = World::new().await;
    let first = world.create("a", json!({})).await;
    let mut events =
        world.watch(&format!("{TASKS}?watch=1&resourceVersion={}", version(&first))).await;
    world.create("b", json!({})).await;
    let old = format!("{TASKS}?resourceVersion={}&resourceVersionMatch=Exact", version(&first));
    assert_eq!(world.get(&old).await.ok()["items"].as_array().unwrap().len(), 1);
    tokio::time::sleep(Duration::from_secs(6 * 60)).await;
    world.create("c", json!({})).await;
    tokio::time::sleep(Duration::from_secs(6 * 60)).await;
    assert_eq!(world.get(&old).await.refusal().1, "Expired");
    assert_eq!(events.brief().await, "ADDED b");
    assert_eq!(events.brief().await, "ADDED c");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_every_minute() {
    let world = World::new().await;
    let path = format!("{TASKS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=150");
    let mut events = world.watch(&path).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(events.next().await.unwrap()["type"], "BOOKMARK");
    }
    let created = world.create("a", json!({})).await;
    assert_eq!(events.brief().await, "ADDED a");
    tokio::time::sleep(Duration::from_secs(28)).await;
    let last = events.next().await.unwrap();
    assert_eq!(last["type"], "BOOKMARK");
    assert!(version(&last["object"]) >= version(&created));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(events.next().await, None);
}
