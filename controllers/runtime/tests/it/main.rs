//! The controllers against records in memory: a framework from its first task to its end, with agents
//! that do nothing but report, with faults at every write, and with two control planes; and external
//! schedulers with their offers.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod agents;
mod faults;
mod framework;
mod leader;
mod lifecycle;
mod market;
mod records;

use std::time::Duration;

use kube::{Api, Client};
use meseta_crds::{Framework, Task};
use meseta_runtime::Config;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything; far more than it takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// One control plane; dropping it kills it, as SIGKILL would.
struct ControlPlane {
    stop: CancellationToken,
    task: JoinHandle<Result<(), meseta_runtime::Error>>,
}

impl ControlPlane {
    fn start(client: Client, config: Config) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(meseta_runtime::run(client, config, stop.clone()));
        Self { stop, task }
    }

    /// Ends it in good order.
    async fn shut_down(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(DEADLINE, &mut self.task).await;
        ended.expect("it ends when it is told to").unwrap().unwrap();
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Short times, so that a change of leader takes no minute of a test.
fn config(identity: &str) -> Config {
    Config {
        lease_duration: Duration::from_secs(1),
        renew_interval: Duration::from_millis(200),
        retry_interval: Duration::from_millis(100),
        fence_margin: Duration::from_millis(200),
        ..Config::new(identity)
    }
}

/// Polls until `look` returns something; fails with what was seen last.
async fn eventually<T, F: Future<Output = Result<T, String>>>(mut look: impl FnMut() -> F) -> T {
    let begin = tokio::time::Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if begin.elapsed() > DEADLINE => panic!("still: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn framework(text: &str) -> Framework {
    let record: Framework = serde_json::from_value(serde_json::json!({
        "apiVersion": "meseta.dev/v1alpha1",
        "kind": "Framework",
        "metadata": {"name": "job", "namespace": "default"},
        "spec": {"taskSets": serde_json::from_str::<serde_json::Value>(text).unwrap()},
    }))
    .unwrap();
    record
}

/// Two maps and a reduce that waits for them.
fn map_reduce() -> Framework {
    framework(
        r#"[
            {"name": "map", "replicas": 2, "template": {"spec": {
                "containers": [{"command": ["true"]}], "resources": {"cpu": "1"}}}},
            {"name": "reduce", "dependsOn": ["map"], "template": {"spec": {
                "containers": [{"command": ["true"]}], "resources": {"cpu": "1"}}}}
        ]"#,
    )
}

/// Waits until the framework `job` is in `state`.
async fn framework_is(client: &Client, state: &str) -> Framework {
    let frameworks: Api<Framework> = Api::namespaced(client.clone(), "default");
    let frameworks = &frameworks;
    eventually(|| async move {
        let framework = frameworks.get("job").await.map_err(|err| err.to_string())?;
        let status = framework.status.clone().unwrap_or_default();
        if status.state.as_deref() == Some(state) {
            Ok(framework)
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await
}

/// Every task, as `name state agent`.
async fn task_lines(client: &Client) -> Vec<String> {
    let tasks: Api<Task> = Api::namespaced(client.clone(), "default");
    let tasks = tasks.list(&kube::api::ListParams::default()).await.unwrap();
    let mut lines: Vec<String> = tasks
        .into_iter()
        .map(|task| {
            let state = task.status.map(|status| status.state).unwrap_or_default();
            let agent = task.spec.agent_name.unwrap_or_default();
            format!("{} {state:?} {agent}", task.metadata.name.unwrap_or_default())
        })
        .collect();
    lines.sort();
    lines
}
