//! Who may subscribe.

use meseta_e2e::{Layout, Options, Scheduler, StoreKind};
use serde_json::json;

use super::wire::post;

/// A SUBSCRIBE as JSON.
const SUBSCRIBE: &str =
    r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"raw"}}}"#;

#[test]
fn with_credentials_in_a_secret_only_principals_are_served() {
    let cluster = Layout::new(StoreKind::Embedded).agent(&[]).start().unwrap();
    let client = cluster.client();
    let master = &cluster.control_planes()[0].mesos;
    let system = client.in_namespace("meseta-system");
    system
        .apply(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "meseta-mesos-credentials"},
            "stringData": {"spark": "sesame"},
        }))
        .unwrap();
    meseta_e2e::await_condition("refusal", super::DEADLINE, || {
        let answer = post(master, "/api/v1/scheduler", &[], SUBSCRIBE);
        if answer.starts_with("HTTP/1.1 401") { Ok(()) } else { Err(answer) }
    })
    .unwrap();
    let wrong = [("Authorization", "Basic c3Bhcms6d3Jvbmc=")]; // spark:wrong
    let answer = post(master, "/api/v1/scheduler", &wrong, SUBSCRIBE);
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("www-authenticate: basic realm=\"mesos-master-scheduler\""),
        "{answer}"
    );
    let options = Options::new("spark").principal("spark", "sesame");
    let scheduler = Scheduler::start(master, &options).unwrap();
    scheduler.await_offer(0).unwrap();
}
