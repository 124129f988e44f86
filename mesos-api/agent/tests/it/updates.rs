//! Updates are stored before they are answered and acknowledged.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use meseta_mesos_wire::Encoding;

use crate::agent::{Agent, UID, uid_of};
use crate::client::{Connection, Events, JSON, PATH, post, request, status, subscribe, update};

#[tokio::test]
async fn an_update_is_answered_and_acknowledged_when_it_is_stored() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    let gate = agent.disk.gate.lock().await;
    let address = agent.address;
    let answer = tokio::spawn(async move { post(address, &update("a", "TASK_RUNNING", 1)).await });
    agent.disk.asked().await;
    // Neither the answer nor the acknowledgement overtakes the disk: what is sent later goes first.
    agent.executors.message(UID, Bytes::from_static(b"later")).unwrap();
    events.expect(&["MESSAGE"]).await;
    assert!(!answer.is_finished());
    drop(gate);
    assert_eq!(answer.await.unwrap().told(), "202");
    events.expect(&["ACKNOWLEDGED a"]).await;
    let stored = agent.disk.updates(&uid_of("a"));
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0]["agent_id"]["value"], "agent-1");
    assert!(stored[0]["timestamp"].is_number());
}

#[tokio::test]
async fn an_update_that_cannot_be_stored_is_refused_and_can_be_repeated() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    agent.disk.broken.store(true, Relaxed);
    let running = update("a", "TASK_RUNNING", 1);
    assert_eq!(post(agent.address, &running).await.told(), "503 the update cannot be stored");
    agent.disk.broken.store(false, Relaxed);
    assert_eq!(post(agent.address, &running).await.told(), "202");
    events.expect(&["ACKNOWLEDGED a"]).await;
    assert_eq!(agent.disk.states(&uid_of("a")), ["TASK_RUNNING"]);
}

#[tokio::test]
async fn a_known_update_is_acknowledged_and_not_stored_again() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    for (state, uuid) in [("TASK_RUNNING", 1), ("TASK_RUNNING", 1), ("TASK_FINISHED", 2)] {
        assert_eq!(post(agent.address, &update("a", state, uuid)).await.told(), "202");
        events.expect(&["ACKNOWLEDGED a"]).await;
    }
    // After the end nothing is stored; it is acknowledged, so that the executor can let go of it.
    assert_eq!(post(agent.address, &update("a", "TASK_RUNNING", 3)).await.told(), "202");
    events.expect(&["ACKNOWLEDGED a"]).await;
    assert_eq!(agent.disk.states(&uid_of("a")), ["TASK_RUNNING", "TASK_FINISHED"]);
}

#[tokio::test]
async fn what_is_not_about_its_tasks_is_taken_and_dropped() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    let mut elsewhere = update("a", "TASK_RUNNING", 1);
    elsewhere["update"]["status"]["agent_id"] = serde_json::json!({"value": "agent-2"});
    assert_eq!(post(agent.address, &elsewhere).await.told(), "202");
    assert_eq!(post(agent.address, &update("x", "TASK_RUNNING", 2)).await.told(), "202");
    assert_eq!(post(agent.address, &update("a", "TASK_RUNNING", 3)).await.told(), "202");
    events.expect(&["ACKNOWLEDGED a"]).await;
    assert_eq!(agent.disk.updates(&uid_of("a")).len(), 1);
}

#[tokio::test]
async fn an_update_whose_sender_went_away_is_stored_and_acknowledged_all_the_same() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    let gate = agent.disk.gate.lock().await;
    let body = update("a", "TASK_RUNNING", 1).to_string();
    let mut connection = Connection::open(agent.address).await;
    connection.send(&request("POST", PATH, &[JSON], body.as_bytes())).await;
    agent.disk.asked().await;
    drop(connection);
    // Seen by the server: the stream of another connection has gone on since.
    agent.executors.message(UID, Bytes::from_static(b"later")).unwrap();
    events.expect(&["MESSAGE"]).await;
    drop(gate);
    events.expect(&["ACKNOWLEDGED a"]).await;
    assert_eq!(agent.disk.states(&uid_of("a")), ["TASK_RUNNING"]);
}

#[tokio::test]
async fn updates_brought_along_are_stored_before_the_stream_goes_on() {
    let (agent, standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    assert_eq!(post(agent.address, &update("a", "TASK_RUNNING", 1)).await.told(), "202");
    drop(events);
    let brought = [
        status("a", "TASK_RUNNING", 1),
        status("a", "TASK_RUNNING", 2),
        status("a", "TASK_FINISHED", 3),
    ];
    let again = subscribe(&[], &brought);
    let mut events = Events::open_with(agent.address, &again, Encoding::Protobuf).await;
    let acknowledged = ["ACKNOWLEDGED a"; 3];
    events.expect(&["SUBSCRIBED"]).await;
    events.expect(&acknowledged).await;
    assert!(standing.borrow().lost.is_empty());
    let states = agent.disk.states(&uid_of("a"));
    assert_eq!(states, ["TASK_RUNNING", "TASK_RUNNING", "TASK_FINISHED"]);
}

#[tokio::test]
async fn no_newer_update_overtakes_those_that_were_brought_along() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    let gate = agent.disk.gate.lock().await;
    let brought = [1, 2, 3].map(|uuid| status("a", "TASK_RUNNING", uuid));
    let again = subscribe(&["a"], &brought);
    let mut events = Events::open_with(agent.address, &again, Encoding::Json).await;
    let address = agent.address;
    let end = tokio::spawn(async move { post(address, &update("a", "TASK_FINISHED", 4)).await });
    agent.disk.asked().await;
    drop(gate);
    assert_eq!(end.await.unwrap().told(), "202");
    events.expect(&["SUBSCRIBED"]).await;
    events.expect(&["ACKNOWLEDGED a"; 4]).await;
    let states = agent.disk.states(&uid_of("a"));
    assert_eq!(states, ["TASK_RUNNING", "TASK_RUNNING", "TASK_RUNNING", "TASK_FINISHED"]);
}
