//! What an agent would write of Mesos tasks, and a simulated one does not: their updates.

use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use kube::{Api, Client, ResourceExt as _};
use meseta_crds::{Task, TaskState};
use serde_json::{Value, json};
use tower::BoxError;

/// What is told of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// TASK_STARTING and TASK_RUNNING when it runs; TASK_KILLED when it is killed.
    Tell,
    /// Nothing, but the state.
    Silent,
}

/// A connection for a simulated agent: what it writes of a task's state goes with the updates that
/// an agent makes of it, in the same write.
pub(crate) fn client(inner: Client, habit: Habit) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let inner = inner.clone();
        async move {
            let path = request.uri().path().to_owned();
            let name = path.strip_suffix("/status").and_then(|path| path.rsplit_once("/tasks/"));
            let request = match name {
                Some((_, name)) if habit == Habit::Tell && request.method() == Method::PATCH => {
                    with_updates(&inner, name, request).await
                }
                _ => request,
            };
            inner.send(request).await.map_err(BoxError::from)
        }
    });
    Client::new(service, "default")
}

async fn with_updates(client: &Client, name: &str, request: Request<Body>) -> Request<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut patch: Value = serde_json::from_slice(&body).unwrap();
    let tasks: Api<Task> = Api::namespaced(client.clone(), "default");
    let task = tasks.get_opt(name).await.unwrap();
    let told = |task: &Task| task.spec.mesos.as_ref().is_some_and(|mesos| mesos.task_id.is_some());
    if let Some(task) = task.filter(told) {
        let names: &[&str] = match patch["status"]["state"].as_str() {
            Some("Running") => &["TASK_STARTING", "TASK_RUNNING"],
            Some("Killed") => &["TASK_KILLED"],
            _ => &[],
        };
        let mut list = updates(&task);
        list.extend(names.iter().map(|name| update(&task, name)));
        patch["status"]["mesos"]["updates"] = Value::Array(list);
    }
    let body = patch.to_string();
    let mut request = Request::from_parts(parts, Body::from(body.into_bytes()));
    request.headers_mut().remove(http::header::CONTENT_LENGTH);
    request
}

/// Appends updates to a record and sets its state in the same write; tries again where it changed.
pub(crate) async fn tell(tasks: &Api<Task>, name: &str, state: TaskState, names: &[&str]) {
    loop {
        let Some(task) = tasks.get_opt(name).await.unwrap() else { return };
        let status = task.status.clone().unwrap_or_default();
        if status.state.is_terminal() {
            return;
        }
        let mut list = updates(&task);
        let acknowledged = status.mesos.as_ref().and_then(|mesos| mesos.acknowledged.clone());
        for name in names {
            list.push(update(&task, name));
        }
        let patch = json!({
            "metadata": { "resourceVersion": task.resource_version() },
            "status": { "state": state, "mesos": { "updates": list, "acknowledged": acknowledged } },
        });
        let patch = Patch::Merge(&patch);
        match tasks.patch_status(name, &PatchParams::default(), &patch).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn updates(task: &Task) -> Vec<Value> {
    let mesos = task.status.as_ref().and_then(|status| status.mesos.as_ref());
    let updates = mesos.map(|mesos| mesos.updates.as_slice()).unwrap_or_default();
    updates.iter().map(|update| serde_json::to_value(update).unwrap()).collect()
}

fn update(task: &Task, state: &str) -> Value {
    use base64::Engine as _;
    let uuid = uuid::Uuid::new_v4();
    let mesos = task.spec.mesos.as_ref().unwrap();
    let mut status = json!({
        "task_id": { "value": mesos.task_id },
        "agent_id": { "value": task.spec.agent_name },
        "executor_id": { "value": mesos.executor_id.as_ref().or(mesos.task_id.as_ref()) },
        "state": state,
        "source": "SOURCE_EXECUTOR",
        "timestamp": 1.5,
        "uuid": base64::engine::general_purpose::STANDARD.encode(uuid.as_bytes()),
    });
    if state == "TASK_KILLED" {
        status["message"] = json!("Command terminated with signal Terminated");
    }
    json!({ "uuid": uuid.to_string(), "status": status })
}
