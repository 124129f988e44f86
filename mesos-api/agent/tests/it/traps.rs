//! What clients depend on without saying so, one test per trap of the reference (section 7).

use serde_json::json;

use crate::agent::{Agent, EXECUTOR, FRAMEWORK};
use crate::client::{Connection, Events, JSON, PATH, ask, call, post, request, subscribe, update};

/// 7.1.12: an extra key in these objects ends `pymesos`.
#[tokio::test]
async fn ids_in_subscribed_are_exactly_what_the_executor_was_started_with() {
    let (agent, _standing) = Agent::with_executor().await;
    let mut events = Events::open(agent.address).await;
    let event = events.next().await.unwrap();
    let subscribed = &event["subscribed"];
    assert_eq!(subscribed["executor_info"]["executor_id"], json!({"value": EXECUTOR}));
    assert_eq!(subscribed["executor_info"]["framework_id"], json!({"value": FRAMEWORK}));
    assert_eq!(subscribed["framework_info"]["id"], json!({"value": FRAMEWORK}));
    assert_eq!(subscribed["executor_info"]["name"], "an executor");
    assert!(subscribed["agent_info"]["hostname"].is_string());
}

/// 7.1.1: `pymesos` makes integers of its parts.
#[tokio::test]
async fn the_version_is_plain_numbers() {
    let agent = Agent::start().await;
    let response = ask(agent.address, "GET", "/version", &[], b"").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let version: serde_json::Value = serde_json::from_str(&response.body).unwrap();
    let version = version["version"].as_str().unwrap();
    assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
    assert_eq!(ask(agent.address, "GET", "/health", &[], b"").await.told(), "200");
}

/// 7.1.3 and 7.2.3: chunked, no length, and `Connection: close` does not cut it.
#[tokio::test]
async fn a_stream_is_chunked_and_outlives_connection_close() {
    let (agent, _standing) = Agent::with_executor().await;
    let mut events = Events::open(agent.address).await;
    assert_eq!(events.head.header("transfer-encoding"), Some("chunked"));
    assert_eq!(events.head.header("content-length"), None);
    assert_eq!(events.head.header("content-type"), Some("application/json"));
    events.expect(&["SUBSCRIBED"]).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    agent.launch("a");
    events.expect(&["LAUNCH a"]).await;
}

/// 7.1.6: every event has a member named like its type.
#[tokio::test]
async fn an_events_body_is_named_like_its_type() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    for kind in ["subscribed", "launch"] {
        let event = events.next().await.unwrap();
        assert_eq!(event["type"], kind.to_ascii_uppercase());
        assert!(event[kind].is_object(), "{event}");
    }
}

/// 7.1.7, 7.2.4: an answer without a body has a length of 0 and no type, on a connection that goes on.
#[tokio::test]
async fn calls_are_answered_202_with_length_0_on_one_connection() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    let mut connection = Connection::open(agent.address).await;
    for uuid in 1..4 {
        let body = update("a", "TASK_RUNNING", uuid).to_string();
        connection.send(&request("POST", PATH, &[JSON], body.as_bytes())).await;
        let response = connection.response().await;
        assert_eq!((response.status, response.header("content-length")), (202, Some("0")));
        assert_eq!(response.header("content-type"), None);
    }
}

/// 7.2.2: the headers come before there is anything to tell.
#[tokio::test]
async fn the_headers_of_a_stream_come_at_once() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    drop(events);
    let gate = agent.disk.gate.lock().await;
    let brought = [crate::client::status("a", "TASK_RUNNING", 1)];
    let again = subscribe(&["a"], &brought);
    // Comes back with the headers, while the update it brought cannot be stored yet.
    let mut events =
        Events::open_with(agent.address, &again, meseta_mesos_wire::Encoding::Json).await;
    drop(gate);
    events.expect(&["SUBSCRIBED", "ACKNOWLEDGED a"]).await;
}

/// 7.2.14: an executor may die of an event that it does not know.
#[tokio::test]
async fn the_first_heartbeat_comes_after_half_an_hour() {
    let (agent, _standing) = Agent::with_executor().await;
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED"]).await;
    pass(29 * 60).await;
    agent.launch("a");
    events.expect(&["LAUNCH a"]).await;
    pass(61).await;
    assert_eq!(events.next().await.unwrap(), json!({"type": "HEARTBEAT"}));
}

/// Moves the clock; while it stands still nothing is waited for, since the sockets are real.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// 7.4.6 and 1.7: unknown keys, `null` and a body in chunks are taken.
#[tokio::test]
async fn a_call_in_chunks_with_unknown_keys_is_taken() {
    let (agent, _standing) = Agent::with_executor().await;
    let _events = Events::open(agent.address).await;
    let body = call(&json!({
        "type": "MESSAGE",
        "message": {"data": "dXA", "x": {"y": [1]}},
        "update": null,
        "z": 1,
    }));
    assert_eq!(post(agent.address, &body).await.told(), "202");
    let body = body.to_string();
    let (first, second) = body.split_at(20);
    let mut connection = Connection::open(agent.address).await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: h\r\ncOnTent-tYpe: text/html\r\n{JSON}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let whole = format!("{head}{}{}0\r\n\r\n", chunk(first), chunk(second));
    connection.send(whole.as_bytes()).await;
    assert_eq!(connection.response().await.told(), "202", "the last of two headers counts");
    assert_eq!(agent.disk.messages.lock().unwrap().len(), 2);
}
