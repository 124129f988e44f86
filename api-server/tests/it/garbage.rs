//! Garbage collection.

use serde_json::{Value, json};

use crate::world::{TASKS, World};

fn path(name: &str) -> String {
    format!("{TASKS}/{name}")
}

fn owned_by(owners: &[&Value]) -> Value {
    let references: Vec<Value> = owners
        .iter()
        .map(|owner| {
            json!({
                "apiVersion": owner["apiVersion"], "kind": owner["kind"],
                "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
                "blockOwnerDeletion": true,
            })
        })
        .collect();
    json!({"metadata": {"ownerReferences": references}})
}

fn held(mut patch: Value) -> Value {
    patch["metadata"]["finalizers"] = json!(["x.io/hold"]);
    patch
}

#[tokio::test]
async fn dependents_follow_their_owner_down_the_chain() {
    let world = World::new().await;
    let first = world.create("first", json!({})).await;
    let second = world.create("second", owned_by(&[&first])).await;
    world.create("third", owned_by(&[&second])).await;
    let map = owned_by(&[&first]);
    let mut map = map;
    map["metadata"]["name"] = "map".into();
    world.post("/api/v1/namespaces/default/configmaps", &map).await.ok();
    world.delete(&path("first"), &Value::Null).await.ok();
    world.gone(&path("third")).await;
    world.gone("/api/v1/namespaces/default/configmaps/map").await;
}

#[tokio::test]
async fn one_owner_is_enough() {
    let world = World::new().await;
    let one = world.create("one", json!({})).await;
    let two = world.create("two", json!({})).await;
    world.create("dependent", owned_by(&[&one, &two])).await;
    world.delete(&path("one"), &Value::Null).await.ok();
    let dependent = path("dependent");
    let left = world.eventually(&dependent, |answer| {
        answer.json()["metadata"]["ownerReferences"].as_array().is_some_and(|list| list.len() == 1)
    });
    assert_eq!(left.await.json()["metadata"]["ownerReferences"][0]["name"], "two");
    world.delete(&path("two"), &Value::Null).await.ok();
    world.gone(&path("dependent")).await;
}

#[tokio::test]
async fn an_owner_that_never_was_counts_as_gone() {
    let world = World::new().await;
    let owner = world.create("owner", json!({})).await;
    let mut other = owner.clone();
    other["metadata"]["uid"] = "12345678-1111-2222-3333-444444444444".into();
    world.create("dependent", owned_by(&[&other])).await;
    world.gone(&path("dependent")).await;
    assert_eq!(world.get(&path("owner")).await.ok(), owner);
}

#[tokio::test]
async fn an_owner_of_an_unknown_kind_keeps_its_dependents() {
    let world = World::new().await;
    let stranger = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "uid": "u"},
    });
    world.create("dependent", owned_by(&[&stranger])).await;
    // Its neighbour is collected after it was looked at.
    let owner = world.create("owner", json!({})).await;
    world.create("neighbour", owned_by(&[&owner])).await;
    world.delete(&path("owner"), &Value::Null).await.ok();
    world.gone(&path("neighbour")).await;
    world.get(&path("dependent")).await.ok();
}

#[tokio::test]
async fn in_the_foreground_the_owner_goes_last() {
    let world = World::new().await;
    let owner = world.create("owner", json!({})).await;
    world.create("dependent", held(owned_by(&[&owner]))).await;
    let options = json!({"propagationPolicy": "Foreground"});
    let waiting = world.delete(&path("owner"), &options).await.ok();
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    world
        .eventually(&path("dependent"), |answer| {
            answer.json()["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    world.get(&path("owner")).await.ok();
    world.merge(&path("dependent"), &json!({"metadata": {"finalizers": null}})).await;
    world.gone(&path("dependent")).await;
    world.gone(&path("owner")).await;
}

#[tokio::test]
async fn a_circle_in_the_foreground_ends() {
    let world = World::new().await;
    let one = world.create("one", json!({})).await;
    let two = world.create("two", owned_by(&[&one])).await;
    world.merge(&path("one"), &owned_by(&[&two])).await.ok();
    world.delete(&path("one"), &json!({"propagationPolicy": "Foreground"})).await.ok();
    world.gone(&path("one")).await;
    world.gone(&path("two")).await;
}

#[tokio::test]
async fn orphans_lose_their_reference_and_stay() {
    let world = World::new().await;
    let owner = world.create("owner", json!({})).await;
    world.create("dependent", owned_by(&[&owner])).await;
    world.delete(&path("owner"), &json!({"propagationPolicy": "Orphan"})).await.ok();
    world.gone(&path("owner")).await;
    let orphan = world.get(&path("dependent")).await.ok();
    assert_eq!(orphan["metadata"].get("ownerReferences"), None);
}

#[tokio::test]
async fn what_lost_its_owner_while_no_server_ran_is_found_by_the_next() {
    let world = World::new().await;
    let store = world.store.clone();
    let owner = world.create("owner", json!({})).await;
    world.create("dependent", owned_by(&[&owner])).await;
    drop(world);
    let key = "/registry/meseta.dev/tasks/default/owner";
    let record = store.get(key).await.unwrap().unwrap();
    let expect = meseta_store::Expect::Version(record.version);
    store.write(key, expect, meseta_store::Change::Delete).await.unwrap();
    let world = World::over(store).await;
    world.gone(&path("dependent")).await;
}

#[tokio::test]
async fn several_servers_collect_the_same_once() {
    let world = World::new().await;
    let others = [World::over(world.store.clone()).await, World::over(world.store.clone()).await];
    let owner = world.create("owner", json!({})).await;
    for n in 0..30 {
        world.create(&format!("d{n}"), owned_by(&[&owner])).await;
    }
    world.delete(&path("owner"), &Value::Null).await.ok();
    for n in 0..30 {
        others[n % 2].gone(&path(&format!("d{n}"))).await;
    }
}
