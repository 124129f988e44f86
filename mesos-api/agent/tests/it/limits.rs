//! What one executor may cost.

use serde_json::json;

use crate::agent::{Agent, UID, uid_of};
use crate::client::{Connection, Events, JSON, PATH, ask, call, post, update};

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_read() {
    let (agent, _standing) = Agent::with_executor().await;
    let body = vec![b' '; (4 << 20) + 1];
    let response = ask(agent.address, "POST", PATH, &[JSON], &body).await;
    assert_eq!(response.told(), "413 A body of more than 4194304 bytes is not read");
}

#[tokio::test]
async fn an_update_may_be_as_large_as_a_call() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    let mut large = update("a", "TASK_FINISHED", 1);
    large["update"]["status"]["message"] = json!("x".repeat((4 << 20) - 1024));
    assert_eq!(post(agent.address, &large).await.status, 202);
    events.expect(&["ACKNOWLEDGED a"]).await;
    assert_eq!(agent.disk.states(&uid_of("a")), ["TASK_FINISHED"]);
}

#[tokio::test]
async fn json_that_is_nested_deeply_is_refused() {
    let (agent, _standing) = Agent::with_executor().await;
    for deep in ["[".repeat(1 << 20), format!("{{\"x\":{}", "{\"y\":".repeat(100_000))] {
        let response = ask(agent.address, "POST", PATH, &[JSON], deep.as_bytes()).await;
        assert_eq!(response.status, 400, "{response:?}");
    }
}

#[tokio::test]
async fn who_does_not_read_holds_up_nobody_and_is_told_less() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    let data = bytes::Bytes::from(vec![0; 256 * 1024]);
    let mut taken = 0;
    while agent.executors.message(UID, data.clone()).is_ok() {
        taken += 1;
        tokio::task::yield_now().await;
        assert!(taken < 1000, "messages are taken without end");
    }
    // Its calls go on, and what it is owed comes when it reads.
    assert_eq!(post(agent.address, &update("a", "TASK_FINISHED", 1)).await.told(), "202");
    assert_eq!(agent.disk.states(&uid_of("a")), ["TASK_FINISHED"]);
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "ACKNOWLEDGED a") {
        kinds.push(events.short().await);
    }
    assert!(kinds.len() <= taken + 1, "{} of {taken}", kinds.len());
}

#[tokio::test]
async fn bad_bytes_end_one_connection_at_most() {
    let (agent, _standing) = Agent::with_executor().await;
    for garbage in ["\0\0\0\0\r\n\r\n", "POST\r\n\r\n", "POST / HTTP/9.9\r\n\r\n"] {
        let mut connection = Connection::open(agent.address).await;
        connection.send(garbage.as_bytes()).await;
    }
    let heartbeat = call(&json!({"type": "HEARTBEAT"}));
    assert_eq!(post(agent.address, &heartbeat).await.told(), "202");
}
