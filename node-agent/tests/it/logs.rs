//! Output as control planes get it.

use meseta_crds::TaskState;
use serde_json::json;

use crate::cluster::{Cluster, script, state_of, uid_of};
use crate::machine::Machine;

#[tokio::test]
async fn everything_a_chatty_task_says_is_followed_to_its_end() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let text = "i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i + 1)); done";
    let uid = uid_of(&cluster.place(&machine.name, "chatty", script(text)).await);
    cluster.until_state("chatty", TaskState::Running).await;
    let followed = machine.log(&cluster, &uid, "follow=true").await;
    let expected: String = (0..30_000).map(|n| format!("line {n}\n")).collect();
    assert_eq!(followed.len(), expected.len());
    assert!(followed == expected, "in order");
    cluster.until_released("chatty").await;
    assert_eq!(machine.log(&cluster, &uid, "tailLines=2").await, "line 29998\nline 29999\n");
    machine.stop_agent().await;
}

#[tokio::test]
async fn output_is_bounded_and_its_end_is_kept() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    // 44 MB, of which 20 are kept.
    let text = "yes 0123456789 | head -n 4000000; echo the end";
    let uid = uid_of(&cluster.place(&machine.name, "flood", script(text)).await);
    let task = cluster.until_released("flood").await;
    assert_eq!(state_of(&task), TaskState::Finished);
    let tail = machine.log(&cluster, &uid, "tailLines=2").await;
    assert_eq!(tail, "0123456789\nthe end\n");
    let kept = machine.log(&cluster, &uid, "").await;
    assert!(kept.len() <= 2 * 10 * 1024 * 1024 + 65536, "{}", kept.len());
    assert!(kept.ends_with("0123456789\nthe end\n"));
    assert!(kept.len() > 10 * 1024 * 1024, "{}", kept.len());
}

#[tokio::test]
async fn nobody_but_control_planes_is_served() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let uid = uid_of(&cluster.place(&machine.name, "secret", script("echo secret")).await);
    cluster.until_released("secret").await;
    let path = format!("/v1/tasks/{uid}/log");
    let (status, body) = machine.get(&cluster, meseta_pki::AGENTS_GROUP, &path).await;
    assert_eq!(status, http::StatusCode::FORBIDDEN);
    assert!(!body.contains("secret\n"));
    let group = meseta_pki::CONTROL_PLANE_GROUP;
    let (status, body) = machine.get(&cluster, group, "/v1/tasks/unknown/log").await;
    assert_eq!(status, http::StatusCode::NOT_FOUND);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["kind"], &body["reason"]), (&json!("Status"), &json!("NotFound")));
}
