//! One framework, one control plane, no faults.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use meseta_crds::{Framework, FrameworkRole, Task};
use serde_json::json;

use crate::agents::{self, Fate};
use crate::records::Records;
use crate::{ControlPlane, config, eventually, framework, framework_is, map_reduce, task_lines};

async fn create(client: &Client, framework: &Framework) {
    let frameworks: Api<Framework> = Api::namespaced(client.clone(), "default");
    frameworks.create(&PostParams::default(), framework).await.unwrap();
}

#[tokio::test]
async fn sets_run_one_after_the_other_to_the_end() {
    let records = Records::new();
    let client = records.client();
    agents::register(&client, "one", 1).await;
    let _agent = agents::start(client.clone(), "one", Fate::Finish);
    let control_plane = ControlPlane::start(client.clone(), config("a"));
    create(&client, &map_reduce()).await;

    let framework = framework_is(&client, "Succeeded").await;
    let status = framework.status.unwrap();
    assert_eq!(status.summary.as_deref(), Some("3/3"));
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(
        task_lines(&client).await,
        ["job-map-0 Finished one", "job-map-1 Finished one", "job-reduce-0 Finished one"]
    );
    // The reduce was made after both maps had finished.
    let events = records.task_events();
    let made = |name: &str| {
        events.iter().position(|(k, r)| *k == "ADDED" && r["metadata"]["name"] == name).unwrap()
    };
    let finished = |name: &str| {
        let done = |r: &serde_json::Value| r["status"]["state"] == "Finished";
        events.iter().position(|(_, r)| r["metadata"]["name"] == name && done(r)).unwrap()
    };
    assert!(made("job-reduce-0") > finished("job-map-0").max(finished("job-map-1")));
    // A placement is one write: agent, epoch and finalizer together.
    for (_, record) in &events {
        let placed = !record["spec"]["agentName"].is_null();
        assert_eq!(placed, record["spec"]["placement"]["epoch"].is_i64());
    }

    let roles: Api<FrameworkRole> = Api::all(client.clone());
    let roles = &roles;
    eventually(|| async move { roles.get("default").await.map_err(|err| err.to_string()) }).await;
    control_plane.shut_down().await;
}

#[tokio::test]
async fn a_task_that_fits_nowhere_says_why() {
    let records = Records::new();
    let client = records.client();
    agents::register(&client, "one", 1).await;
    let control_plane = ControlPlane::start(client.clone(), config("a"));
    let too_large = framework(
        r#"[{"name": "map", "template": {"spec": {
            "containers": [{"command": ["true"]}], "resources": {"cpu": "64"}}}}]"#,
    );
    create(&client, &too_large).await;
    let tasks: Api<Task> = Api::namespaced(client.clone(), "default");
    let tasks = &tasks;
    let task = eventually(|| async move {
        let task = tasks.get("job-map-0").await.map_err(|err| err.to_string())?;
        let conditions = task.status.clone().unwrap_or_default().conditions;
        conditions
            .into_iter()
            .find(|condition| condition.type_ == "Placed")
            .ok_or_else(|| format!("{:?}", task.status))
    })
    .await;
    assert_eq!(task.status, "False");
    assert!(task.message.contains("64"), "{}", task.message);
    control_plane.shut_down().await;
}

#[tokio::test]
async fn failures_end_the_framework_and_what_still_runs() {
    let records = Records::new();
    let client = records.client();
    agents::register(&client, "one", 8).await;
    let _agent = agents::start(client.clone(), "one", Fate::Fail);
    let control_plane = ControlPlane::start(client.clone(), config("a"));
    let fails = framework(
        r#"[{"name": "map", "replicas": 2, "maxFailures": 0, "template": {"spec": {
            "containers": [{"command": ["false"]}], "resources": {"cpu": "1"}}}}]"#,
    );
    create(&client, &fails).await;
    let framework = framework_is(&client, "Failed").await;
    let message = framework.status.unwrap().message.unwrap();
    assert!(message.starts_with("set map failed: "), "{message}");
    control_plane.shut_down().await;
}

#[tokio::test]
async fn replicas_go_up_and_down() {
    let records = Records::new();
    let client = records.client();
    agents::register(&client, "one", 8).await;
    let _agent = agents::start(client.clone(), "one", Fate::RunOn);
    let control_plane = ControlPlane::start(client.clone(), config("a"));
    let service = |replicas: i64| {
        json!([{"name": "web", "replicas": replicas, "template": {"spec": {
            "containers": [{"command": ["serve"]}], "resources": {"cpu": "1"}}}}])
    };
    create(&client, &framework(&service(1).to_string())).await;
    let frameworks: Api<Framework> = Api::namespaced(client.clone(), "default");
    for replicas in [4, 2] {
        let patch = json!({"spec": {"taskSets": service(replicas)}});
        let parameters = PatchParams::default();
        frameworks.patch("job", &parameters, &Patch::Merge(&patch)).await.unwrap();
        let client = &client;
        eventually(|| async move {
            let lines = task_lines(client).await;
            let running = lines.iter().filter(|line| line.contains("Running")).count();
            let right = i64::try_from(lines.len()).unwrap() == replicas && running == lines.len();
            if right { Ok(()) } else { Err(format!("{lines:?}")) }
        })
        .await;
    }
    control_plane.shut_down().await;
}

#[tokio::test]
async fn a_task_deleted_by_hand_is_made_again() {
    let records = Records::new();
    let client = records.client();
    agents::register(&client, "one", 8).await;
    let _agent = agents::start(client.clone(), "one", Fate::RunOn);
    let control_plane = ControlPlane::start(client.clone(), config("a"));
    create(&client, &framework(r#"[{"name": "web", "template": {"spec": {"containers": [{}]}}}]"#))
        .await;
    let tasks: Api<Task> = Api::namespaced(client.clone(), "default");
    let tasks = &tasks;
    let running = |not: Option<String>| async move {
        let task = tasks.get("job-web-0").await.map_err(|err| err.to_string())?;
        let state = task.status.clone().unwrap_or_default().state;
        let uid = task.metadata.uid;
        if format!("{state:?}") == "Running" && uid != not {
            Ok(uid)
        } else {
            Err(format!("{state:?}"))
        }
    };
    let first = eventually(|| running(None)).await;
    tasks.delete("job-web-0", &DeleteParams::default()).await.unwrap();
    eventually(|| running(first.clone())).await;
    control_plane.shut_down().await;
}
