//! Agents that fall silent, come back and are removed.

use std::time::Duration;

use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use meseta_crds::{Agent, Framework, Task};
use meseta_runtime::{AgentPolicy, Config, RetentionPolicy};

use crate::agents::{self, Fate};
use crate::records::Records;
use crate::{ControlPlane, config, eventually, framework, task_lines};

async fn lines_are(client: &Client, wanted: &[&str]) {
    eventually(|| async move {
        let lines = task_lines(client).await;
        if lines == wanted { Ok(()) } else { Err(format!("{lines:?}")) }
    })
    .await;
}

#[tokio::test]
async fn unreachable_is_not_lost_and_a_removed_agent_is() {
    let records = Records::new();
    let client = records.client();
    agents::register(&client, "one", 1).await;
    let agent = agents::start(client.clone(), "one", Fate::RunOn);
    let silence = Duration::from_secs(2);
    let agents = AgentPolicy { silence, ..AgentPolicy::default() };
    let config = Config { agents, ..config("a") };
    let control_plane = ControlPlane::start(client.clone(), config);
    let service = framework(
        r#"[{"name": "web", "template": {"spec": {
            "containers": [{}], "resources": {"cpu": "1"}}}}]"#,
    );
    let frameworks: Api<Framework> = Api::namespaced(client.clone(), "default");
    frameworks.create(&PostParams::default(), &service).await.unwrap();
    lines_are(&client, &["job-web-0 Running one"]).await;

    drop(agent);
    lines_are(&client, &["job-web-0 Unreachable one"]).await;
    agents::heartbeat(&client, "one").await;
    // Restored from what was last known; it had not said that its container ran.
    lines_are(&client, &["job-web-0 Staging one"]).await;

    let records: Api<Agent> = Api::all(client.clone());
    records.delete("one", &DeleteParams::default()).await.unwrap();
    lines_are(&client, &["job-web-0 Lost one", "job-web-0-r1 Pending "]).await;
    let tasks: Api<Task> = Api::namespaced(client.clone(), "default");
    let tasks = &tasks;
    eventually(|| async move {
        let finalizers = tasks.get("job-web-0").await.unwrap().metadata.finalizers;
        if finalizers.as_ref().is_none_or(Vec::is_empty) { Ok(()) } else { Err("held".to_owned()) }
    })
    .await;
    control_plane.shut_down().await;
}

#[tokio::test]
async fn finished_tasks_are_kept_in_bounded_number() {
    let records = Records::new();
    let client = records.client();
    agents::register(&client, "one", 8).await;
    let _agent = agents::start(client.clone(), "one", Fate::Finish);
    let retention = RetentionPolicy { max_count: 1, ..RetentionPolicy::default() };
    let config = Config { retention, ..config("a") };
    let control_plane = ControlPlane::start(client.clone(), config);
    let tasks: Api<Task> = Api::namespaced(client.clone(), "default");
    for name in ["one", "two", "three"] {
        let spec = serde_json::from_value(serde_json::json!({"containers": [{}]})).unwrap();
        tasks.create(&PostParams::default(), &Task::new(name, spec)).await.unwrap();
    }
    let client = &client;
    eventually(|| async move {
        let lines = task_lines(client).await;
        if lines.len() == 1 && lines[0].contains("Finished") {
            Ok(())
        } else {
            Err(format!("{lines:?}"))
        }
    })
    .await;
    control_plane.shut_down().await;
}
