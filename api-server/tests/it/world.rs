//! A server, and ways to talk to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyDataStream, BodyExt as _, Full};
use meseta_api_server::{ApiServer, Body, Options};
use meseta_serve::Identity;
use meseta_store::Store;
use meseta_store::memory::MemoryStore;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

/// How long a test waits for something that happens by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where tasks of the namespace `default` are.
pub(crate) const TASKS: &str = "/apis/meseta.dev/v1alpha1/namespaces/default/tasks";

pub(crate) struct World {
    pub(crate) api: ApiServer,
    pub(crate) store: Arc<dyn Store>,
    _stop: DropGuard,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.json());
        self.json()
    }

    /// Status, reason and message of a refusal.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let status = self.json();
        assert_eq!(status["kind"], "Status", "{status}");
        assert_eq!(status["code"], self.status.as_u16());
        let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), text("reason"), text("message"))
    }
}

pub(crate) fn admin() -> Identity {
    Identity { user: "admin".to_owned(), groups: vec!["system:masters".to_owned()] }
}

pub(crate) fn agent(name: &str) -> Identity {
    Identity { user: format!("meseta:agent:{name}"), groups: vec!["meseta:agents".to_owned()] }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new())).await
    }

    /// Another server over the same store.
    pub(crate) async fn over(store: Arc<dyn Store>) -> Self {
        Self::with(store, Options::default()).await
    }

    pub(crate) async fn with(store: Arc<dyn Store>, options: Options) -> Self {
        let shutdown = CancellationToken::new();
        let api = ApiServer::start(Arc::clone(&store), options, shutdown.clone()).await.unwrap();
        Self { api, store, _stop: shutdown.drop_guard() }
    }

    pub(crate) async fn call(
        &self,
        identity: Option<Identity>,
        request: Request<Full<Bytes>>,
    ) -> http::Response<Body> {
        let mut request = request;
        if let Some(identity) = identity {
            request.extensions_mut().insert(identity);
        }
        self.api.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn as_user(
        &self,
        identity: Identity,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .body(Full::new(body.into()))
            .unwrap();
        read(self.call(Some(identity), request).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_as(path, "application/json").await
    }

    /// Gets what `accept` says.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        let request = Request::get(path).header("accept", accept).body(Full::default()).unwrap();
        read(self.call(Some(admin()), request).await).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.as_user(admin(), Method::POST, path, "application/json", body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.as_user(admin(), Method::PUT, path, "application/json", body.to_string()).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Answer {
        let content_type = "application/merge-patch+json";
        self.as_user(admin(), Method::PATCH, path, content_type, body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Answer {
        let body = if options.is_null() { String::new() } else { options.to_string() };
        self.as_user(admin(), Method::DELETE, path, "application/json", body).await
    }

    /// Creates a task with `patch` merged into it.
    pub(crate) async fn create(&self, name: &str, patch: Value) -> Value {
        self.post(TASKS, &task(name, &patch)).await.ok()
    }

    /// Opens a watch.
    pub(crate) async fn watch(&self, path: &str) -> Events {
        self.watch_as(path, "application/json").await
    }

    pub(crate) async fn watch_as(&self, path: &str, accept: &str) -> Events {
        let request = Request::get(path).header("accept", accept).body(Full::default()).unwrap();
        let response = self.call(Some(admin()), request).await;
        assert_eq!(response.status(), StatusCode::OK);
        Events { body: BodyDataStream::new(response.into_body()), pending: Vec::new() }
    }

    /// Asks again until the answer is as wanted.
    pub(crate) async fn eventually(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let mut last = None;
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let answer = self.get(path).await;
                if wanted(&answer) {
                    return answer;
                }
                last = Some(answer);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        found.unwrap_or_else(|_| panic!("{path} did not become so: {}", last.unwrap().json()))
    }

    pub(crate) async fn gone(&self, path: &str) {
        self.eventually(path, |answer| answer.status == StatusCode::NOT_FOUND).await;
    }
}

/// A task with `patch` merged into it.
pub(crate) fn task(name: &str, patch: &Value) -> Value {
    let mut task = json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "command": ["true"]}]},
    });
    json_patch::merge(&mut task, patch);
    task
}

async fn read(response: http::Response<Body>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

/// The events of a watch.
pub(crate) struct Events {
    body: BodyDataStream<Body>,
    pending: Vec<u8>,
}

impl Events {
    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk =
                tokio::time::timeout(PATIENCE, self.body.next()).await.expect("no event came");
            self.pending.extend_from_slice(&chunk?.unwrap());
        }
    }

    /// The next event as `ADDED a`.
    pub(crate) async fn brief(&mut self) -> String {
        let event = self.next().await.expect("the watch ended");
        brief(&event)
    }
}

pub(crate) fn brief(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&event["type"]), text(&event["object"]["metadata"]["name"]))
}

pub(crate) fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}
