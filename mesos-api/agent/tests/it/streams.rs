//! What goes out to an executor, and when.

use std::time::Duration;

use bytes::Bytes;
use meseta_mesos_agent::{Killed, Progress, Refused, Undelivered};
use meseta_mesos_wire::{Encoding, v1};
use serde_json::json;

use crate::agent::{Agent, FRAMEWORK, UID, facts, launch, uid_of, until};
use crate::client::{Events, call, post, subscribe, update};

#[tokio::test]
async fn what_waits_goes_out_after_subscribed_and_the_rest_as_it_comes() {
    let (agent, mut standing) = Agent::with_executor().await;
    let group = ["g", "h"].map(|id| launch(id, Progress::New));
    agent.executors.launch_group(UID, group.into()).unwrap();
    agent.launch("a");
    assert!(!agent.executors.connected(UID));
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a", "LAUNCH_GROUP g h"]).await;
    until(&mut standing, |standing| standing.subscribed && standing.connected).await;
    assert_eq!(agent.disk.progress(&uid_of("a")), Progress::HandedOver);
    agent.launch("b");
    events.expect(&["LAUNCH b"]).await;
    agent.launch("b");
    assert_eq!(agent.executors.kill(UID, &uid_of("b"), None, 0), Killed::Told);
    events.expect(&["KILL b"]).await;
}

#[tokio::test]
async fn events_hold_the_same_in_both_encodings() {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let (agent, _standing) = Agent::with_executor().await;
        agent.launch("a");
        let mut events = Events::open_with(agent.address, &subscribe(&[], &[]), encoding).await;
        let subscribed = events.next().await.unwrap()["subscribed"].clone();
        assert_eq!(subscribed["agent_info"]["id"], json!({"value": "agent-1"}));
        assert_eq!(subscribed["container_id"], json!({"value": UID}));
        let task = events.next().await.unwrap()["launch"]["task"].clone();
        assert_eq!(task["data"], "aGk=");
        assert_eq!(task["executor"]["framework_id"], json!({"value": FRAMEWORK}));
        let nanoseconds = 3_000_000_000;
        let policy = v1::KillPolicy { grace_period: Some(v1::DurationInfo { nanoseconds }) };
        agent.executors.kill(UID, &uid_of("a"), Some(policy), 0);
        assert_eq!(
            events.next().await.unwrap()["kill"],
            json!({
                "task_id": {"value": "a"},
                "kill_policy": {"grace_period": {"nanoseconds": nanoseconds}},
            })
        );
        agent.executors.message(UID, Bytes::from_static(b"hi")).unwrap();
        let message = events.next().await.unwrap();
        assert_eq!(message, json!({"type": "MESSAGE", "message": {"data": "aGk="}}));
        assert_eq!(post(agent.address, &update("a", "TASK_RUNNING", 7)).await.status, 202);
        let acknowledged = events.next().await.unwrap()["acknowledged"].clone();
        assert_eq!(acknowledged["task_id"], json!({"value": "a"}));
        assert_eq!(acknowledged["uuid"], "BwcHBwcHBwcHBwcHBwcHBw==");
    }
}

#[tokio::test]
async fn a_second_subscribe_closes_the_older_stream() {
    let (agent, mut standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut first = Events::open(agent.address).await;
    first.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    let again = subscribe(&["a"], &[]);
    let mut second = Events::open_with(agent.address, &again, Encoding::Json).await;
    first.expect(&["end"]).await;
    second.expect(&["SUBSCRIBED"]).await;
    drop(first);
    agent.launch("b");
    second.expect(&["LAUNCH b"]).await;
    drop(second);
    until(&mut standing, |standing| !standing.connected).await;
}

#[tokio::test]
async fn messages_go_both_ways() {
    let (agent, _standing) = Agent::with_executor().await;
    let refused = agent.executors.message(UID, Bytes::from_static(b"early"));
    assert_eq!(refused, Err(Undelivered::NotConnected));
    let mut events = Events::open(agent.address).await;
    agent.executors.message(UID, Bytes::from_static(b"down")).unwrap();
    events.expect(&["SUBSCRIBED", "MESSAGE"]).await;
    let up = call(&json!({"type": "MESSAGE", "message": {"data": "dXA="}}));
    assert_eq!(post(agent.address, &up).await.told(), "202");
    let messages = agent.disk.messages.lock().unwrap().clone();
    assert_eq!(messages, [(UID.to_owned(), b"up".to_vec())]);
}

#[tokio::test]
async fn after_shutdown_only_acknowledgements_follow_and_a_new_stream_is_refused() {
    let (agent, _standing) = Agent::with_executor().await;
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED", "LAUNCH a"]).await;
    let waiting = agent.executors.shutdown(UID, Duration::from_secs(60));
    assert!(waiting.is_empty());
    let late = agent.executors.launch(UID, launch("b", Progress::New));
    assert_eq!(late, Err(Refused::ShuttingDown));
    agent.executors.kill(UID, &uid_of("a"), None, 0);
    events.expect(&["SHUTDOWN"]).await;
    let killed = update("a", "TASK_KILLED", 1);
    assert_eq!(post(agent.address, &killed).await.told(), "202");
    events.expect(&["ACKNOWLEDGED a"]).await;
    Events::open(agent.address).await.expect(&["SHUTDOWN", "end"]).await;
}

#[tokio::test]
async fn an_executor_whose_tasks_were_all_killed_is_shut_down() {
    let (agent, mut standing) = Agent::with_executor().await;
    agent.launch("a");
    let killed = agent.executors.kill(UID, &uid_of("a"), None, 0);
    assert_eq!(killed, Killed::BeforeHandover(vec![uid_of("a")]));
    Events::open(agent.address).await.expect(&["SHUTDOWN", "end"]).await;
    until(&mut standing, |standing| standing.unneeded).await;
}

#[tokio::test]
async fn deadlines_are_told_to_the_agent() {
    let agent = Agent::start().await;
    let mut standing = agent.executors.expect(facts(Duration::from_millis(1))).unwrap();
    agent.executors.recovered();
    until(&mut standing, |standing| standing.overdue).await;
    Events::open(agent.address).await.expect(&["SHUTDOWN", "end"]).await;

    let (agent, mut standing) = Agent::with_executor().await;
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED"]).await;
    agent.executors.shutdown(UID, Duration::MAX);
    agent.executors.shutdown(UID, Duration::from_millis(1));
    until(&mut standing, |standing| standing.grace_over).await;
}

#[tokio::test]
async fn a_launch_that_cannot_be_written_down_waits() {
    use std::sync::atomic::Ordering::Relaxed;

    let (agent, _standing) = Agent::with_executor().await;
    agent.disk.broken.store(true, Relaxed);
    agent.launch("a");
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED"]).await;
    agent.disk.broken.store(false, Relaxed);
    events.expect(&["LAUNCH a"]).await;
}

#[tokio::test]
async fn when_the_agent_stops_the_streams_end() {
    let (mut agent, _standing) = Agent::with_executor().await;
    let mut events = Events::open(agent.address).await;
    events.expect(&["SUBSCRIBED"]).await;
    agent.stop().await;
    events.expect(&["end"]).await;
}
