//! Which answer a bad request gets, and which of several faults counts.

use std::time::Duration;

use meseta_mesos_agent::Occupied;
use meseta_mesos_wire::Encoding;
use serde_json::json;

use crate::agent::{Agent, FRAMEWORK, UID, facts};
use crate::client::{Events, JSON, PATH, ask, call, post, subscribe, update};

/// Method, path, headers, body, and what comes back.
type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a [u8], String);

#[tokio::test]
async fn the_first_check_that_fails_answers() {
    let (agent, _standing) = Agent::with_executor().await;
    let address = agent.address;
    let protobuf = "Content-Type: application/x-protobuf";
    let valid = subscribe(&[], &[]).to_string();
    let valid = valid.as_bytes();
    let no_body = call(&json!({"type": "SUBSCRIBE"})).to_string();
    let in_words = "Expecting 'Content-Type' of application/json or application/x-protobuf";
    let cases: &[Case<'_>] = &[
        ("GET", "/nowhere", &[], b"", "404".to_owned()),
        ("POST", "/api/v1/executor/../x", &[JSON], valid, "404".to_owned()),
        ("GET", PATH, &[], b"", "405 Expecting one of { 'POST' }, but received 'GET'.".to_owned()),
        ("POST", PATH, &[], valid, "400 Expecting 'Content-Type' to be present".to_owned()),
        ("POST", PATH, &["Content-Type: text/plain"], b"{", format!("415 {in_words}")),
        (
            "POST",
            PATH,
            &["Content-Type: application/json; charset=utf-8"],
            valid,
            format!("415 {in_words}"),
        ),
        (
            "POST",
            PATH,
            &[JSON, "Accept: text/html"],
            no_body.as_bytes(),
            "400 Failed to validate Executor::Call: Expecting 'subscribe' to be present".to_owned(),
        ),
        (
            "POST",
            PATH,
            &[JSON, "Accept: text/html"],
            valid,
            "406 Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"
                .to_owned(),
        ),
    ];
    for (method, path, headers, body, expected) in cases {
        let response = ask(address, method, path, headers, body).await;
        assert_eq!(response.told(), *expected, "{method} {path} {headers:?}");
        let text = !response.body.is_empty();
        let plain = text.then_some("text/plain; charset=utf-8");
        assert_eq!(response.header("content-type"), plain, "{response:?}");
    }
    let response = ask(address, "PUT", PATH, &[], b"").await;
    assert_eq!((response.status, response.header("allow")), (405, Some("POST")));
    for (headers, body) in
        [(&[JSON][..], &b"{"[..]), (&[JSON], b"{}"), (&[JSON], b"[]"), (&[protobuf], b"\xff\xff")]
    {
        let response = ask(address, "POST", PATH, headers, body).await;
        assert_eq!(response.status, 400, "{response:?}");
        assert!(response.body.starts_with("Failed to "), "{response:?}");
    }
}

#[tokio::test]
async fn only_known_executors_that_subscribed_are_served() {
    let (agent, _standing) = Agent::with_executor().await;
    let address = agent.address;
    let mut nobody = update("t", "TASK_RUNNING", 1);
    nobody["executor_id"] = json!({"value": "x"});
    assert_eq!(post(address, &nobody).await.told(), "400 Executor cannot be found");
    nobody["framework_id"] = json!({"value": &FRAMEWORK[..FRAMEWORK.len() - 1]});
    assert_eq!(post(address, &nobody).await.told(), "400 Framework cannot be found");
    let early = update("t", "TASK_RUNNING", 1);
    assert_eq!(post(address, &early).await.told(), "403 Executor is not subscribed");
    let unknown = call(&json!({"type": "UNKNOWN"}));
    assert_eq!(post(address, &unknown).await.told(), "403 Executor is not subscribed");
    let _events = Events::open(address).await;
    assert_eq!(post(address, &early).await.told(), "202");
    assert_eq!(post(address, &unknown).await.told(), "501");
}

#[tokio::test]
async fn a_heartbeat_is_answered_before_anything_is_looked_up() {
    let (agent, _standing) = Agent::with_executor().await;
    let heartbeat = json!({
        "type": "HEARTBEAT",
        "executor_id": {"value": "placeholder"},
        "framework_id": {"value": "placeholder"},
    });
    let response = post(agent.address, &heartbeat).await;
    assert_eq!(response.told(), "202");
    assert_eq!(response.header("content-type"), None);
}

#[tokio::test]
async fn until_the_agent_knows_its_executors_it_answers_503() {
    let agent = Agent::start().await;
    for method in ["GET", "POST"] {
        let response = ask(agent.address, method, PATH, &[], b"").await;
        assert_eq!(response.told(), "503 Agent has not finished recovery");
    }
    let _standing = agent.expect();
    agent.executors.recovered();
    Events::open(agent.address).await.expect(&["SUBSCRIBED"]).await;
}

#[tokio::test]
async fn an_executor_that_is_forgotten_is_unknown_and_its_ids_are_free() {
    let (agent, standing) = Agent::with_executor().await;
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED"]).await;
    let second = || {
        let mut facts = facts(Duration::from_secs(60));
        facts.uid = "uid-2".to_owned();
        agent.executors.expect(facts)
    };
    assert_eq!(second().unwrap_err(), Occupied { uid: UID.to_owned() });
    agent.executors.forget(UID);
    assert_eq!(events.short().await, "end");
    drop(events);
    let late = update("t", "TASK_RUNNING", 1);
    assert_eq!(post(agent.address, &late).await.told(), "400 Framework cannot be found");
    let _second = second().unwrap();
    assert!(!agent.executors.connected(UID));
    drop(standing);
}

#[tokio::test]
async fn both_spellings_of_the_path_are_served_in_both_encodings() {
    let (agent, _standing) = Agent::with_executor().await;
    for path in [PATH, "/slave(1)/api/v1/executor", "/slave%281%29/api/v1/executor/"] {
        let body = subscribe(&[], &[]).to_string();
        let mut connection = crate::client::Connection::open(agent.address).await;
        let request = crate::client::request("POST", path, &[JSON], body.as_bytes());
        connection.send(&request).await;
        let head = connection.head().await;
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(head.header("content-type"), Some("application/json"));
    }
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let call = subscribe(&[], &[]);
        let mut events = Events::open_with(agent.address, &call, encoding).await;
        assert_eq!(events.head.header("content-type"), Some(encoding.content_type()));
        events.expect(&["SUBSCRIBED"]).await;
    }
}
