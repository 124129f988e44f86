//! Who may do what, at the door.

use http::{Method, Request, StatusCode};
use http_body_util::Full;
use meseta_serve::Identity;
use serde_json::{Value, json};

use crate::world::{Answer, TASKS, World, agent};

const AGENTS: &str = "/apis/meseta.dev/v1alpha1/agents";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/meseta-system/leases";
const MERGE: &str = "application/merge-patch+json";

impl World {
    async fn agent(&self, method: Method, path: &str, body: &Value) -> Answer {
        let content_type = if method == Method::PATCH { MERGE } else { "application/json" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.as_user(agent("n1"), method, path, content_type, body).await
    }
}

#[tokio::test]
async fn nobody_is_served_without_an_identity() {
    let world = World::new().await;
    for path in ["/version", TASKS, "/healthz", "/nowhere"] {
        let request = Request::get(path).body(Full::default()).unwrap();
        assert_eq!(world.call(None, request).await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_stranger_discovers_and_reads_nothing() {
    let world = World::new().await;
    let stranger = || Identity { user: "joe".to_owned(), groups: vec!["devs".to_owned()] };
    let get = |path: &'static str| world.as_user(stranger(), Method::GET, path, "", "");
    assert_eq!(get("/version").await.status, StatusCode::OK);
    assert_eq!(get("/apis").await.status, StatusCode::OK);
    let (code, reason, message) = get(TASKS).await.refusal();
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        message,
        "tasks.meseta.dev is forbidden: User \"joe\" cannot list resource \"tasks\" in API group \
         \"meseta.dev\" in the namespace \"default\""
    );
    let log = "/apis/live.meseta.dev/v1alpha1/namespaces/default/tasks/a/log";
    assert_eq!(get(log).await.refusal().0, 403);
}

#[tokio::test]
async fn an_agent_keeps_its_record_and_its_lease() {
    let world = World::new().await;
    let record = |name: &str| json!({"apiVersion": "meseta.dev/v1alpha1", "kind": "Agent", "metadata": {"name": name}, "spec": {}});
    assert_eq!(world.agent(Method::POST, AGENTS, &record("n2")).await.refusal().0, 403);
    world.agent(Method::POST, AGENTS, &record("n1")).await.ok();
    let status = json!({"status": {"addresses": ["127.0.0.1:1"]}});
    world.agent(Method::PATCH, &format!("{AGENTS}/n1/status"), &status).await.ok();
    world.agent(Method::GET, &format!("{AGENTS}/n1"), &Value::Null).await.ok();
    world.post(AGENTS, &record("n2")).await.ok();
    let other = world.agent(Method::PATCH, &format!("{AGENTS}/n2/status"), &status).await;
    assert_eq!(other.refusal().0, 403);
    let listed = format!("{AGENTS}?fieldSelector=metadata.name%3Dn1");
    world.agent(Method::GET, &listed, &Value::Null).await.ok();
    assert_eq!(world.agent(Method::GET, AGENTS, &Value::Null).await.refusal().0, 403);

    let lease = |name: &str| json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}});
    world.agent(Method::POST, LEASES, &lease("agent-n1")).await.ok();
    assert_eq!(world.agent(Method::POST, LEASES, &lease("meseta-leader")).await.refusal().0, 403);
    let renew = json!({"spec": {"renewTime": "2026-01-02T03:04:05.000000Z"}});
    world.agent(Method::PATCH, &format!("{LEASES}/agent-n1"), &renew).await.ok();
}

#[tokio::test]
async fn an_agent_works_on_the_tasks_that_are_placed_on_it() {
    let world = World::new().await;
    let placed = |agent: &str| json!({"spec": {"agentName": agent}, "metadata": {"finalizers": ["meseta.dev/agent"]}});
    world.create("own", placed("n1")).await;
    world.create("other", placed("n2")).await;
    let path = |name: &str| format!("{TASKS}/{name}");
    let everywhere = "/apis/meseta.dev/v1alpha1/tasks?fieldSelector=spec.agentName%3Dn1";
    let list = world.agent(Method::GET, everywhere, &Value::Null).await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.agent(Method::GET, TASKS, &Value::Null).await.refusal().0, 403);
    let running = json!({"status": {"state": "Running"}});
    world.agent(Method::PATCH, &format!("{}/status", path("own")), &running).await.ok();
    world.agent(Method::GET, &path("own"), &Value::Null).await.ok();
    for (method, path, body) in [
        (Method::GET, path("other"), Value::Null),
        (Method::PATCH, format!("{}/status", path("other")), running),
        (Method::PATCH, path("own"), json!({"spec": {"priority": 9}})),
        (Method::PATCH, path("own"), json!({"metadata": {"labels": {"x": "1"}}})),
        (Method::PATCH, path("other"), json!({"metadata": {"finalizers": null}})),
        (Method::DELETE, path("own"), Value::Null),
    ] {
        assert_eq!(world.agent(method, &path, &body).await.refusal().0, 403, "{path} {body}");
    }
    let free = json!({"metadata": {"finalizers": null}});
    world.agent(Method::PATCH, &path("own"), &free).await.ok();
}

#[tokio::test]
async fn an_agent_reports_events_and_reads_no_secrets() {
    let world = World::new().await;
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
        "involvedObject": {"kind": "Task", "namespace": "default", "name": "a"},
        "reason": "Pulled", "message": "m", "type": "Normal",
    });
    world.agent(Method::POST, "/api/v1/namespaces/default/events", &event).await.ok();
    let secrets = world.agent(Method::GET, "/api/v1/namespaces/default/secrets", &Value::Null);
    assert_eq!(secrets.await.refusal().0, 403);
    let selector = "involvedObject.name=a,involvedObject.kind=Task";
    let path = format!("/api/v1/namespaces/default/events?fieldSelector={selector}");
    let events = world.get(&path).await.ok();
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
}
