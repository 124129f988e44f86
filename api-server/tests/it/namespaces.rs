//! The life of a namespace.

use serde_json::{Value, json};

use crate::world::{World, task};

const NAMESPACES: &str = "/api/v1/namespaces";

fn tasks_in(namespace: &str) -> String {
    format!("/apis/meseta.dev/v1alpha1/namespaces/{namespace}/tasks")
}

async fn with_namespace(name: &str) -> World {
    let world = World::new().await;
    world.post(NAMESPACES, &json!({"metadata": {"name": name}})).await.ok();
    world
}

#[tokio::test]
async fn the_first_namespaces_and_definitions_are_there() {
    let world = World::new().await;
    for name in ["default", "kube-system", "meseta-system"] {
        let namespace = world.get(&format!("{NAMESPACES}/{name}")).await.ok();
        assert_eq!(namespace["status"]["phase"], "Active");
        let (code, reason, _) =
            world.delete(&format!("{NAMESPACES}/{name}"), &Value::Null).await.refusal();
        assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    }
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let task = world.get(&format!("{definitions}/tasks.meseta.dev")).await.ok();
    let conditions = task["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|condition| condition["type"] == "Established"));
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_does_not_exist() {
    let world = World::new().await;
    let (code, _, message) =
        world.post(&tasks_in("nowhere"), &task("a", &json!({}))).await.refusal();
    assert_eq!((code, message.as_str()), (404, "namespaces \"nowhere\" not found"));
}

#[tokio::test]
async fn a_namespace_empties_before_it_goes_and_takes_nothing_new() {
    let world = with_namespace("n").await;
    let held = task("held", &json!({"metadata": {"finalizers": ["x.io/hold"]}}));
    world.post(&tasks_in("n"), &held).await.ok();
    world.post(&tasks_in("n"), &task("free", &json!({}))).await.ok();
    let map = json!({"metadata": {"name": "c"}});
    world.post(&format!("{NAMESPACES}/n/configmaps"), &map).await.ok();

    let dying = world.delete(&format!("{NAMESPACES}/n"), &Value::Null).await.ok();
    assert_eq!(dying["status"]["phase"], "Terminating");
    let answer = world.post(&tasks_in("n"), &task("late", &json!({}))).await;
    assert_eq!(answer.refusal().0, 403);
    assert_eq!(answer.json()["details"]["causes"][0]["reason"], "NamespaceTerminating");

    world.gone(&format!("{}/free", tasks_in("n"))).await;
    world.gone(&format!("{NAMESPACES}/n/configmaps/c")).await;
    let namespace = format!("{NAMESPACES}/n");
    let told = world.eventually(&namespace, |answer| {
        let conditions = answer.json()["status"]["conditions"].clone();
        conditions.as_array().into_iter().flatten().any(|condition| {
            condition["type"] == "NamespaceFinalizersRemaining" && condition["status"] == "True"
        })
    });
    told.await;
    let held = format!("{}/held", tasks_in("n"));
    world.merge(&held, &json!({"spec": {"priority": 1}})).await.ok();
    world.merge(&held, &json!({"metadata": {"finalizers": null}})).await.ok();
    world.gone(&format!("{NAMESPACES}/n")).await;
    assert_eq!(world.post(&tasks_in("n"), &task("a", &json!({}))).await.refusal().0, 404);
}

#[tokio::test]
async fn a_namespace_with_a_finalizer_of_its_own_waits_for_finalize() {
    let world = World::new().await;
    let namespace = json!({"metadata": {"name": "n"}, "spec": {"finalizers": ["example.io/mine"]}});
    world.post(NAMESPACES, &namespace).await.ok();
    world.delete(&format!("{NAMESPACES}/n"), &Value::Null).await.ok();
    world
        .eventually(&format!("{NAMESPACES}/n"), |answer| {
            answer.json()["spec"]["finalizers"] == json!(["example.io/mine"])
        })
        .await;
    let finalize = json!({"metadata": {"name": "n"}, "spec": {"finalizers": []}});
    world.put(&format!("{NAMESPACES}/n/finalize"), &finalize).await.ok();
    world.gone(&format!("{NAMESPACES}/n")).await;
}
