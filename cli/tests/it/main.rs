//! The program against a small API server of the test's own, over TLS.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod flags;

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use meseta_pki::{ADMIN_GROUP, CertificateAuthority};
use meseta_serve::{Identity, Limits, serve, server_config};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

const TASKS: &str = "/apis/meseta.dev/v1alpha1/namespaces/default/tasks";

/// Answers canned records and keeps what was written.
struct Server {
    dir: tempfile::TempDir,
    written: Arc<Mutex<Vec<(Method, Value)>>>,
    shutdown: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Server {
    async fn start() -> Self {
        let ca = CertificateAuthority::generate().unwrap();
        let issued = ca.issue_server(&["127.0.0.1".to_owned()]).unwrap();
        let tls =
            server_config(ca.certificate_pem(), &issued.certificate_pem, &issued.key_pem).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let service = tower::service_fn({
            let written = Arc::clone(&written);
            move |request| answer(request, Arc::clone(&written))
        });
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, tls, Limits::default(), service, shutdown.clone()));

        let admin = ca.issue_client("admin", &[ADMIN_GROUP.to_owned()]).unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "meseta",
            "clusters": [{"name": "meseta", "cluster": {
                "server": format!("https://{address}"),
                "certificate-authority-data": STANDARD.encode(ca.certificate_pem())}}],
            "users": [{"name": "admin", "user": {
                "client-certificate-data": STANDARD.encode(&admin.certificate_pem),
                "client-key-data": STANDARD.encode(&admin.key_pem)}}],
            "contexts": [{"name": "meseta", "context": {"cluster": "meseta", "user": "admin"}}],
        });
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        Self { dir, written, shutdown }
    }

    fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    async fn run(&self, args: &[&str], stdin: &str) -> Output {
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_meseta"))
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // A verb that reads nothing may be gone already.
        input.write_all(stdin.as_bytes()).await.ok();
        drop(input);
        child.wait_with_output().await.unwrap()
    }

    /// Exit code, stdout and stderr.
    async fn meseta(&self, args: &[&str]) -> (i32, String, String) {
        words(&self.run(args, "").await)
    }
}

fn words(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn task(name: &str) -> Value {
    json!({"apiVersion": "meseta.dev/v1alpha1", "kind": "Task",
        "metadata": {"name": name, "namespace": "default", "uid": "u", "resourceVersion": "5"},
        "spec": {}, "status": {"state": "Pending", "conditions": [
            {"type": "Placed", "status": "False", "message": "needs 4 cpus; no agent has them"}]}})
}

fn refusal(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": message});
    (code, status)
}

async fn answer(
    request: Request<Incoming>,
    written: Arc<Mutex<Vec<(Method, Value)>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let identity = request.extensions().get::<Identity>().unwrap();
    assert_eq!(identity.user, "admin");
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let table = request
        .headers()
        .get("accept")
        .is_some_and(|accept| accept.to_str().unwrap().contains("as=Table"));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    if method != Method::GET {
        let body = serde_json::from_slice(&body).unwrap_or_default();
        written.lock().unwrap().push((method.clone(), body));
    }
    let (code, answer) = match (&method, path.as_str()) {
        (_, "/apis") => (200, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
        (_, "/api/v1") => (200, json!({"groupVersion": "v1", "resources": []})),
        (_, "/apis/meseta.dev/v1alpha1") => (
            200,
            json!({"groupVersion": "meseta.dev/v1alpha1",
            "resources": [{"name": "tasks", "singularName": "task", "namespaced": true,
                "kind": "Task", "verbs": ["get"], "shortNames": ["tsk"]}]}),
        ),
        (&Method::GET, TASKS) if table => (
            200,
            json!({"kind": "Table",
            "metadata": {"resourceVersion": "5"},
            "columnDefinitions": [{"name": "Name"}, {"name": "State"}],
            "rows": [{"cells": ["a", "Pending"], "object": {"metadata": {"name": "a"}}}]}),
        ),
        (&Method::GET, TASKS) => (
            200,
            json!({"kind": "TaskList",
            "apiVersion": "meseta.dev/v1alpha1", "metadata": {"resourceVersion": "5"},
            "items": [task("a")]}),
        ),
        (&Method::POST, TASKS) => (201, task("new")),
        (&Method::PATCH, _) => (200, task("a")),
        (&Method::GET, path) if path == format!("{TASKS}/a") => (200, task("a")),
        (&Method::GET, path) if path.ends_with("/tasks/a/log") => {
            return Ok(Response::new(Full::new(Bytes::from_static(b"hello\n"))));
        }
        (&Method::DELETE, path) if path.ends_with("/kept") => {
            refusal(403, "Forbidden", "tasks.meseta.dev \"kept\" is forbidden")
        }
        _ => refusal(404, "NotFound", &format!("no such record: {path}")),
    };
    let body = Full::new(Bytes::from(answer.to_string()));
    let response = Response::builder().status(code).header("content-type", "application/json");
    Ok(response.body(body).unwrap())
}

#[tokio::test]
async fn get_prints_the_servers_table_and_the_records() {
    let server = Server::start().await;
    let (code, out, err) = server.meseta(&["get", "tsk"]).await;
    assert_eq!((code, out.as_str()), (0, "NAME   STATE\na      Pending\n"), "{err}");
    let (_, out, _) = server.meseta(&["get", "tasks", "-o", "name"]).await;
    assert_eq!(out, "task.meseta.dev/a\n");
    let (_, out, _) = server.meseta(&["get", "task/a", "-o", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), task("a"));
    let (_, out, _) = server.meseta(&["get", "task", "a", "-o", "yaml"]).await;
    assert_eq!(serde_yaml::from_str::<Value>(&out).unwrap(), task("a"));
}

#[tokio::test]
async fn exit_codes_say_what_went_wrong() {
    let server = Server::start().await;
    for (args, expected, said) in [
        (&["get", "task", "b"][..], 3, "no such record"),
        (&["get", "nonsense"], 3, "no kind `nonsense`"),
        (&["get", "task/"], 2, "KIND/NAME"),
        (&["why", "framework/"], 2, "KIND/NAME"),
        (&["delete", "task", "kept"], 4, "forbidden"),
        (&["delete", "task"], 2, "give its name"),
        (&["frobnicate"], 2, "unrecognized"),
        (&["get", "tasks", "--kubeconfig", "/nowhere"], 1, "meseta up"),
        (&["get", "tasks", "--server", "https://127.0.0.1:1"], 1, "is Meseta running"),
    ] {
        let (code, out, err) = server.meseta(args).await;
        assert_eq!(code, expected, "{args:?}: {err}");
        assert!(err.contains(said) && out.is_empty(), "{args:?}: {err}");
    }
}

#[tokio::test]
async fn apply_creates_what_is_missing_and_changes_what_differs() {
    let server = Server::start().await;
    let yaml = "apiVersion: meseta.dev/v1alpha1\nkind: Task\nmetadata: {name: new}\n---\n\
        apiVersion: meseta.dev/v1alpha1\nkind: Task\nmetadata: {name: a}\nspec: {priority: 3}\n";
    let (code, out, err) = words(&server.run(&["apply", "-f", "-"], yaml).await);
    assert_eq!(
        (code, out.as_str()),
        (0, "task.meseta.dev/new created\ntask.meseta.dev/a configured\n"),
        "{err}"
    );
    let written = server.written.lock().unwrap();
    assert_eq!(written[0].0, Method::POST);
    assert_eq!(written[0].1["metadata"]["namespace"], "default");
    assert_eq!(written[1].0, Method::PATCH);
    assert_eq!(written[1].1["spec"], json!({"priority": 3}));
}

#[tokio::test]
async fn logs_and_why_speak_of_a_task() {
    let server = Server::start().await;
    assert_eq!(server.meseta(&["logs", "a"]).await.1, "hello\n");
    let (_, out, _) = server.meseta(&["why", "a"]).await;
    assert_eq!(out, "task a waits for an agent: needs 4 cpus; no agent has them\n");
    let (code, _, err) = server.meseta(&["logs", "framework/a"]).await;
    assert_eq!(code, 2, "{err}");
}

#[tokio::test]
async fn completion_is_offered_for_every_shell() {
    let server = Server::start().await;
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = server.meseta(&["completion", shell]).await;
        assert!(code == 0 && out.contains("agent-kubeconfig"), "{shell}");
    }
    let (_, out, _) = server.meseta(&["version"]).await;
    assert!(out.starts_with("meseta 0."), "{out}");
}
