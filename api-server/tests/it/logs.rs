//! `tasks/log`, against agents over TLS.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use meseta_api_server::Options;
use meseta_pki::{CONTROL_PLANE_GROUP, CertificateAuthority};
use meseta_serve::{Client, Identity, Limits, serve, server_config};
use meseta_store::memory::MemoryStore;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::world::{TASKS, World};

const LOGS: &str = "/apis/live.meseta.dev/v1alpha1/namespaces/default/tasks";

/// A server that can dial agents, and the authority of both.
struct Cluster {
    world: World,
    authority: CertificateAuthority,
    stop: CancellationToken,
    _stop: DropGuard,
}

impl Cluster {
    async fn new() -> Self {
        let authority = CertificateAuthority::generate().unwrap();
        let own = authority.issue_client("plane", &[CONTROL_PLANE_GROUP.to_owned()]).unwrap();
        let ca = authority.certificate_pem();
        let agents = Client::new(ca, &own.certificate_pem, &own.key_pem).unwrap();
        let options = Options { agents: Some(agents), ..Options::default() };
        let world = World::with(Arc::new(MemoryStore::new()), options).await;
        let stop = CancellationToken::new();
        Self { world, authority, stop: stop.clone(), _stop: stop.drop_guard() }
    }

    /// Starts an agent that knows the task with `uid`; returns its address.
    async fn agent(&self, name: &str, uid: String) -> String {
        let issued = self.authority.issue_agent(name).unwrap();
        let ca = self.authority.certificate_pem();
        let tls = server_config(ca, &issued.certificate_pem, &issued.key_pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let answer = answer(&request, &uid);
            async move { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(serve(listener, tls, Limits::default(), service, self.stop.clone()));
        address
    }

    /// Creates the agent's record, with the addresses it says it listens at.
    async fn register(&self, name: &str, addresses: &[&str]) {
        let agents = "/apis/meseta.dev/v1alpha1/agents";
        let record = json!({
            "apiVersion": "meseta.dev/v1alpha1", "kind": "Agent",
            "metadata": {"name": name}, "spec": {},
        });
        self.world.post(agents, &record).await.ok();
        let status = json!({"status": {"addresses": addresses}});
        self.world.merge(&format!("{agents}/{name}/status"), &status).await.ok();
    }
}

/// An agent's answer: what it was asked for, where it knows the task.
fn answer(request: &Request<Incoming>, uid: &str) -> Response<Full<Bytes>> {
    let identity = request.extensions().get::<Identity>().unwrap();
    assert!(identity.is_in(CONTROL_PLANE_GROUP));
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    if path == format!("/v1/tasks/{uid}/log") {
        return Response::new(Full::new(format!("output of {query}\n").into()));
    }
    let status =
        json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "unknown task"});
    let body = Full::new(status.to_string().into());
    Response::builder().status(StatusCode::NOT_FOUND).body(body).unwrap()
}

fn uid(task: &Value) -> String {
    task["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn placed() -> Value {
    json!({"spec": {"agentName": "n1"}})
}

#[tokio::test]
async fn output_comes_from_the_agent_of_the_task() {
    let cluster = Cluster::new().await;
    let task = cluster.world.create("a", placed()).await;
    let address = cluster.agent("n1", uid(&task)).await;
    // The first address is one that nobody answers at.
    cluster.register("n1", &["127.0.0.1:1", &address]).await;
    let answer = cluster.world.get(&format!("{LOGS}/a/log?stream=stderr&tailLines=3")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.body, "output of stream=stderr&follow=false&tailLines=3\n");
}

#[tokio::test]
async fn who_follows_waits_for_placement_and_for_the_agent() {
    let cluster = Cluster::new().await;
    let task = cluster.world.create("a", json!({})).await;
    let path = format!("{LOGS}/a/log?follow=true");
    let follow = cluster.world.get(&path);
    let (answer, ()) = tokio::join!(follow, async {
        let address = cluster.agent("n1", uid(&task)).await;
        cluster.register("n1", &[&address]).await;
        cluster.world.merge(&format!("{TASKS}/a"), &placed()).await.ok();
    });
    assert_eq!(answer.body, "output of stream=stdout&follow=true\n");
}

#[tokio::test]
async fn why_there_is_no_output_is_said() {
    let cluster = Cluster::new().await;
    let absent = cluster.world.get(&format!("{LOGS}/nope/log")).await.refusal();
    assert_eq!((absent.0, absent.2.as_str()), (404, "tasks.meseta.dev \"nope\" not found"));

    cluster.world.create("pending", json!({})).await;
    let pending = cluster.world.get(&format!("{LOGS}/pending/log")).await.refusal();
    assert_eq!(pending.0, 400);
    assert!(pending.2.contains("was not placed on an agent"), "{}", pending.2);

    cluster.world.create("placed", placed()).await;
    let silent = cluster.world.get(&format!("{LOGS}/placed/log")).await.refusal();
    assert_eq!(silent.0, 503);
    assert!(silent.2.contains("agent \"n1\" cannot be asked"), "{}", silent.2);

    let address = cluster.agent("n1", "another".to_owned()).await;
    cluster.register("n1", &[&address]).await;
    let unknown = cluster.world.get(&format!("{LOGS}/placed/log")).await.refusal();
    assert_eq!((unknown.0, unknown.2.as_str()), (404, "unknown task"));

    let odd = cluster.world.get(&format!("{LOGS}/placed/log?stream=both")).await.refusal();
    assert_eq!(odd.0, 400);
}

#[tokio::test]
async fn an_agent_with_the_name_of_another_is_not_believed() {
    let cluster = Cluster::new().await;
    let task = cluster.world.create("a", placed()).await;
    let address = cluster.agent("n2", uid(&task)).await;
    cluster.register("n1", &[&address]).await;
    assert_eq!(cluster.world.get(&format!("{LOGS}/a/log")).await.refusal().0, 503);
}

#[tokio::test]
async fn a_task_that_has_ended_unplaced_is_not_waited_for() {
    let cluster = Cluster::new().await;
    cluster.world.create("a", json!({})).await;
    let killed = json!({"status": {"state": "Killed"}});
    cluster.world.merge(&format!("{TASKS}/a/status"), &killed).await.ok();
    assert_eq!(cluster.world.get(&format!("{LOGS}/a/log?follow=true")).await.refusal().0, 400);
}
