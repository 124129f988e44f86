//! Executors written for Mesos, with the tasks inside them: a Python program in a real container that
//! speaks to the real executor API.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use meseta_crds::TaskState;
use meseta_crds::task::reason;
use serde_json::{Value, json};

use crate::cluster::{Cluster, message_of, pid_of, reason_of, state_of, uid_of};
use crate::eventually;
use crate::machine::{Machine, kill};
use crate::mesos::{executor, inner, last_of, states_of, updates_of};

/// Kills of the agent in one run of the test.
const KILLS: u64 = 16;
/// Updates of a task that has much to say.
const BURST: usize = 80;

/// Waits until an executor has printed this line.
async fn until_heard(machine: &Machine, executor: &str, line: &str) {
    eventually(|| {
        let output = machine.output(executor);
        async move { if output.lines().any(|heard| heard == line) { Ok(()) } else { Err(output) } }
    })
    .await;
}

/// An executor `e` that runs.
async fn start(cluster: &Cluster, machine: &Machine) -> String {
    let uid = uid_of(&cluster.launch(&machine.name, "e", executor("E", &[])).await);
    cluster.until_state("e", TaskState::Running).await;
    until_heard(machine, &uid, "SUBSCRIBED").await;
    uid
}

/// Sends an executor a message.
async fn tell(cluster: &Cluster, machine: &Machine, executor: &str, message: &'static str) {
    let group = meseta_pki::CONTROL_PLANE_GROUP;
    let path = format!("/v1/executors/{executor}/message");
    let sent = machine.call(cluster, group, Method::POST, &path, message).await;
    assert_eq!(sent.status(), StatusCode::ACCEPTED);
}

fn in_group(mut spec: Value, index: i64, size: i64) -> Value {
    spec["mesos"]["group"] = json!({"id": "g", "size": size, "index": index});
    spec
}

#[tokio::test]
async fn an_executor_runs_tasks_and_is_spoken_to() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let uid = start(&cluster, &machine).await;
    for name in ["a", "b"] {
        cluster.launch(&machine.name, name, inner("e", name, "run")).await;
    }
    cluster.launch(&machine.name, "c", inner("e", "c", "finish")).await;
    let c = cluster.until_told("c").await;
    assert_eq!(states_of(&c), ["STARTING", "RUNNING", "FINISHED"]);
    assert_eq!((state_of(&c), reason_of(&c)), (TaskState::Finished, reason::REPORTED_BY_EXECUTOR));
    assert_eq!(message_of(&c), "done");
    let status = &updates_of(&c)[2].status;
    assert_eq!(status["executor_id"], json!({"value": "E"}));
    assert_eq!(status["agent_id"], json!({"value": machine.name}));

    // What it says is its executor's.
    let uid_of_c = uid_of(&c);
    assert_eq!(machine.log(&cluster, &uid_of_c, "follow=true").await, "");

    // Messages, both ways.
    let group = meseta_pki::CONTROL_PLANE_GROUP;
    let mut stream = machine.call(&cluster, group, Method::GET, "/v1/messages", "").await;
    tell(&cluster, &machine, &uid, "hello").await;
    let record = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    let (_, record) = std::str::from_utf8(&record).unwrap().split_once('\n').unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    assert_eq!(record, json!({"executor": uid, "data": "ZWNobyBoZWxsbw=="}));
    let other = "/v1/executors/11111111-2222-3333-4444-555555555555/message";
    let sent = machine.call(&cluster, group, Method::POST, other, "hello").await;
    assert_eq!(sent.status(), StatusCode::NOT_FOUND);

    // A kill, and a deletion.
    cluster.until_states("a", &["STARTING", "RUNNING"]).await;
    cluster.until_states("b", &["STARTING", "RUNNING"]).await;
    cluster.kill("a", Some(1)).await;
    let a = cluster.until_told("a").await;
    assert_eq!(states_of(&a), ["STARTING", "RUNNING", "KILLED"]);
    cluster.delete("b").await;
    let b = cluster.until_told("b").await;
    assert_eq!(states_of(&b), ["STARTING", "RUNNING", "KILLED"]);
    assert_eq!(state_of(&b), TaskState::Killed);

    // The end of the executor, by its own will after it was asked.
    cluster.kill("e", None).await;
    let ended = cluster.until_told("e").await;
    assert_eq!(
        (state_of(&ended), reason_of(&ended)),
        (TaskState::Killed, reason::KILLED_BY_SCHEDULER),
        "{}",
        message_of(&ended)
    );
    assert!(message_of(&ended).ends_with("exited with code 0"), "{}", message_of(&ended));
    assert!(updates_of(&ended).is_empty(), "an executor is no task");
    let heard = machine.output(&uid);
    for event in ["LAUNCH a", "LAUNCH b", "LAUNCH c", "KILL a", "KILL b", "MESSAGE hello"] {
        assert_eq!(heard.lines().filter(|line| *line == event).count(), 1, "{event}: {heard}");
    }
    assert_eq!(heard.lines().last(), Some("SHUTDOWN"), "{heard}");
    let late = inner("e", "late", "run");
    cluster.launch(&machine.name, "late", late).await;
    let late = cluster.until_told("late").await;
    assert_eq!(
        (state_of(&late), reason_of(&late)),
        (TaskState::Dropped, reason::EXECUTOR_TERMINATED)
    );
    let why = "SOURCE_AGENT REASON_EXECUTOR_TERMINATED: its executor `e` has ended";
    assert_eq!(last_of(&late), why);
    machine.until_nothing_left(3).await;
}

#[tokio::test]
async fn an_executor_that_dies_takes_its_tasks_along() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    start(&cluster, &machine).await;
    for name in ["a", "b"] {
        cluster.launch(&machine.name, name, inner("e", name, "run")).await;
        cluster.until_states(name, &["STARTING", "RUNNING"]).await;
    }
    let running = cluster.until_state("e", TaskState::Running).await;
    kill(i32::try_from(pid_of(&running).unwrap()).unwrap());
    for name in ["a", "b"] {
        let task = cluster.until_told(name).await;
        assert_eq!(states_of(&task), ["STARTING", "RUNNING", "FAILED"]);
        assert_eq!(reason_of(&task), reason::EXECUTOR_TERMINATED);
        let said = "SOURCE_AGENT REASON_EXECUTOR_TERMINATED: its executor `e` ended: ";
        assert_eq!(last_of(&task), format!("{said}ended by signal SIGKILL"));
    }
    assert_eq!(state_of(&cluster.until_told("e").await), TaskState::Failed);
    machine.until_nothing_left(3).await;
}

#[tokio::test]
async fn an_executor_may_use_what_its_tasks_were_granted() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    start(&cluster, &machine).await;
    cluster.launch(&machine.name, "a", inner("e", "a", "run")).await;
    cluster.until_states("a", &["STARTING", "RUNNING"]).await;
    // More than the executor has for itself.
    cluster.launch(&machine.name, "b", inner("e", "b", "eat 60")).await;
    let b = cluster.until_told("b").await;
    assert_eq!(states_of(&b), ["STARTING", "RUNNING", "FINISHED"], "{}", message_of(&b));
}

#[tokio::test]
async fn a_group_is_given_to_its_executor_as_a_whole() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let uid = start(&cluster, &machine).await;
    let member = |name: &str, index: i64| in_group(inner("e", name, "run"), index, 2);
    cluster.launch(&machine.name, "second", member("second", 1)).await;
    cluster.launch(&machine.name, "first", member("first", 0)).await;
    for name in ["first", "second"] {
        cluster.until_states(name, &["STARTING", "RUNNING"]).await;
    }
    until_heard(&machine, &uid, "LAUNCH_GROUP first second").await;

    // One that is killed takes along those that wait with it.
    let mut member = member("third", 0);
    member["mesos"]["group"]["id"] = json!("other");
    cluster.launch(&machine.name, "third", member.clone()).await;
    member["mesos"]["taskId"] = json!("fourth");
    member["mesos"]["group"]["index"] = json!(1);
    member["kill"] = json!({});
    cluster.launch(&machine.name, "fourth", member).await;
    for name in ["third", "fourth"] {
        let task = cluster.until_told(name).await;
        assert_eq!(states_of(&task), ["KILLED"], "{name}");
        assert!(last_of(&task).starts_with("SOURCE_AGENT REASON_TASK_KILLED_DURING_LAUNCH: "));
    }
}

/// Hears everything that is said of a task, as a scheduler does that acknowledges what it hears.
async fn hear_all(cluster: &Cluster, name: &str) -> Vec<Value> {
    const FULL: usize = meseta_crds::task::MAX_MESOS_UPDATES;
    let mut told: Vec<Value> = Vec::new();
    while told.last().is_none_or(|status| status["state"] != "TASK_FINISHED") {
        let after = told.last().map(|status| status["uuid"].clone());
        let heard = |status: &Value| Some(&status["uuid"]) == after.as_ref();
        let task = cluster
            .until(name, |task| {
                let updates = updates_of(task);
                let news = !updates.iter().any(|update| heard(&update.status));
                news && (updates.len() == FULL || state_of(task).is_terminal())
            })
            .await;
        let updates = updates_of(&task);
        assert!(updates.len() <= FULL);
        let is_last = updates.last().is_some_and(|last| last.status["state"] == "TASK_FINISHED");
        assert_eq!(is_last, state_of(&task).is_terminal(), "the end is told with its state");
        cluster.acknowledge(name, &updates.last().unwrap().uuid).await;
        told.extend(updates.into_iter().map(|update| update.status));
    }
    told
}

/// Whether a burst was told whole, in order, and each of its updates once.
fn is_whole(told: &[Value]) {
    let said: Vec<&str> = told.iter().filter_map(|status| status["message"].as_str()).collect();
    let mut expected: Vec<String> = (0..BURST).map(|number| number.to_string()).collect();
    expected.push("done".to_owned());
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_task_with_much_to_say_waits_for_its_scheduler() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    start(&cluster, &machine).await;
    let burst = inner("e", "chatty", &format!("burst {BURST}"));
    cluster.launch(&machine.name, "chatty", burst).await;
    is_whole(&hear_all(&cluster, "chatty").await);
    cluster.until_told("chatty").await;
}

#[tokio::test]
async fn a_result_is_told_as_far_as_its_record_has_room() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    start(&cluster, &machine).await;
    for (name, bytes) in [("fits", 700_000), ("does-not", 1 << 20)] {
        cluster.launch(&machine.name, name, inner("e", name, &format!("result {bytes}"))).await;
        let task = cluster.until_told(name).await;
        assert_eq!(states_of(&task), ["STARTING", "RUNNING", "FINISHED"]);
        let status = &updates_of(&task)[2].status;
        let message = status["message"].as_str().unwrap();
        if name == "fits" {
            assert_eq!((status["data"].as_str().unwrap().len(), message), (933_336, "done"));
        } else {
            assert!(status.get("data").is_none());
            assert!(message.starts_with("done [data left out: "), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost_or_told_twice_when_the_agent_is_killed_meanwhile() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    start(&cluster, &machine).await;
    let burst = inner("e", "chatty", &format!("burst {BURST}"));
    let uid = uid_of(&cluster.launch(&machine.name, "chatty", burst).await);
    let kills = async {
        let mut met = 0;
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(120)).await;
            met += usize::from(step(&machine, &uid) == "running");
            machine.kill_agent().await;
            machine.start_agent(&cluster);
        }
        met
    };
    let (told, met) = tokio::join!(hear_all(&cluster, "chatty"), kills);
    println!("{met} kills in the middle of a burst");
    is_whole(&told);
    cluster.until_told("chatty").await;
}

#[tokio::test]
async fn what_an_executor_says_again_of_a_task_that_is_over_is_acknowledged() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let uid = start(&cluster, &machine).await;
    cluster.launch(&machine.name, "a", inner("e", "a", "finish")).await;
    cluster.until_told("a").await;
    machine.kill_agent().await;
    machine.start_agent(&cluster);
    eventually(|| {
        let output = machine.output(&uid);
        async move {
            let back = output.lines().filter(|heard| *heard == "SUBSCRIBED").count() == 2;
            if back { Ok(()) } else { Err(output) }
        }
    })
    .await;
    tell(&cluster, &machine, &uid, "again a").await;
    until_heard(&machine, &uid, "ACKNOWLEDGED a").await;
    assert_eq!(states_of(&cluster.until_told("a").await), ["STARTING", "RUNNING", "FINISHED"]);
}

#[tokio::test]
async fn an_executor_that_died_while_the_agent_was_away_is_reported() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    start(&cluster, &machine).await;
    cluster.launch(&machine.name, "a", inner("e", "a", "run")).await;
    cluster.until_states("a", &["STARTING", "RUNNING"]).await;
    let running = cluster.until_state("e", TaskState::Running).await;
    machine.kill_agent().await;
    kill(i32::try_from(pid_of(&running).unwrap()).unwrap());
    cluster.launch(&machine.name, "b", inner("e", "b", "run")).await;
    machine.start_agent(&cluster);
    let a = cluster.until_told("a").await;
    assert_eq!(states_of(&a), ["STARTING", "RUNNING", "FAILED"]);
    let said = "SOURCE_AGENT REASON_EXECUTOR_TERMINATED: its executor `e` ended: ";
    assert_eq!(last_of(&a), format!("{said}ended by signal SIGKILL"));
    let b = cluster.until_told("b").await;
    assert!(["FAILED", "DROPPED"].contains(&states_of(&b).join(" ").as_str()));
    assert!(last_of(&b).starts_with("SOURCE_AGENT REASON_EXECUTOR_TERMINATED: "));
    assert_eq!(state_of(&cluster.until_told("e").await), TaskState::Failed);
}

#[tokio::test]
async fn a_task_of_a_scheduler_that_is_gone_is_let_go_whatever_was_not_heard() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    start(&cluster, &machine).await;
    let burst = inner("e", "chatty", &format!("burst {BURST}"));
    let uid = uid_of(&cluster.launch(&machine.name, "chatty", burst).await);
    let result = machine.task_directory(&uid).join("result.json");
    eventually(|| {
        let over = result.exists();
        async move { if over { Ok(()) } else { Err("not over".to_owned()) } }
    })
    .await;
    cluster.delete("chatty").await;
    let full = cluster.tasks().get("chatty").await.unwrap();
    assert!(!state_of(&full).is_terminal());
    let free = json!({"metadata": {"finalizers": [meseta_crds::AGENT_FINALIZER]}});
    let free = kube::api::Patch::Merge(&free);
    cluster.tasks().patch("chatty", &kube::api::PatchParams::default(), &free).await.unwrap();
    cluster.until_gone("chatty").await;
    cluster.kill("e", None).await;
    cluster.until_told("e").await;
    machine.until_nothing_left(1).await;
}

#[tokio::test]
async fn tasks_that_are_killed_before_their_executor_comes_are_never_given_to_it() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    cluster.launch(&machine.name, "e", executor("E", &["silent"])).await;
    for name in ["a", "b"] {
        cluster.launch(&machine.name, name, inner("e", name, "run")).await;
    }
    cluster.until_state("e", TaskState::Running).await;
    cluster.kill("a", None).await;
    let task = cluster.until_told("a").await;
    assert_eq!(states_of(&task), ["KILLED"]);
    assert!(last_of(&task).starts_with("SOURCE_AGENT REASON_TASK_KILLED_DURING_LAUNCH: "));
    // The others wait, through a restart of the agent too.
    machine.kill_agent().await;
    machine.start_agent(&cluster);
    cluster.delete("b").await;
    let task = cluster.until_told("b").await;
    assert_eq!(states_of(&task), ["KILLED"]);
    // It does not listen, so it is ended after its grace.
    cluster.kill("e", Some(0)).await;
    let ended = cluster.until_told("e").await;
    assert_eq!(state_of(&ended), TaskState::Killed);
    machine.until_nothing_left(2).await;
}

#[tokio::test]
async fn an_executor_whose_tasks_were_all_killed_is_not_needed() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::new();
    let uid = uid_of(&cluster.launch(&machine.name, "e", executor("E", &[])).await);
    cluster.launch(&machine.name, "a", inner("e", "a", "run")).await;
    cluster.kill("a", None).await;
    machine.start_agent(&cluster);
    let task = cluster.until_told("a").await;
    assert_eq!(states_of(&task), ["KILLED"]);
    let ended = cluster.until_told("e").await;
    assert_eq!(
        (state_of(&ended), reason_of(&ended)),
        (TaskState::Killed, reason::KILLED_BY_SCHEDULER)
    );
    let why = "ended because its tasks were killed before it was given any; exited with code 0";
    assert_eq!(message_of(&ended), why);
    assert_eq!(machine.output(&uid), "SHUTDOWN\n");
    machine.until_nothing_left(1).await;
}

#[tokio::test]
async fn an_executor_waits_for_the_end_of_an_older_one_of_its_id() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let mut stubborn = executor("E", &["stubborn"]);
    stubborn["executor"]["shutdownGracePeriodSeconds"] = json!(1);
    let older = uid_of(&cluster.launch(&machine.name, "older", stubborn).await);
    until_heard(&machine, &older, "SUBSCRIBED").await;
    cluster.kill("older", None).await;
    until_heard(&machine, &older, "SHUTDOWN").await;
    let newer = uid_of(&cluster.launch(&machine.name, "e", executor("E", &[])).await);
    cluster.launch(&machine.name, "a", inner("e", "a", "finish")).await;
    let a = cluster.until_told("a").await;
    assert_eq!(states_of(&a), ["STARTING", "RUNNING", "FINISHED"], "{}", message_of(&a));
    let older = cluster.until_told("older").await;
    assert_eq!(state_of(&older), TaskState::Killed);
    assert!(message_of(&older).ends_with("ended by signal SIGKILL"), "{}", message_of(&older));
    until_heard(&machine, &newer, "LAUNCH a").await;
}

#[tokio::test]
async fn an_executor_that_does_not_subscribe_in_time_is_ended() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    cluster.launch(&machine.name, "e", executor("E", &["silent"])).await;
    cluster.launch(&machine.name, "a", inner("e", "a", "run")).await;
    let ended = cluster.until_told("e").await;
    assert_eq!(
        (state_of(&ended), reason_of(&ended)),
        (TaskState::Failed, reason::EXECUTOR_REGISTRATION_TIMEOUT)
    );
    let task = cluster.until_told("a").await;
    assert_eq!(states_of(&task), ["FAILED"]);
    assert!(last_of(&task).starts_with("SOURCE_AGENT REASON_EXECUTOR_REGISTRATION_TIMEOUT: "));
    machine.until_nothing_left(2).await;
}

/// How far a task inside an executor is, by what is on the disk.
fn step(machine: &Machine, uid: &str) -> &'static str {
    let task = machine.task_directory(uid);
    let has = |name: &str| task.join(name).exists();
    match () {
        () if has("released") => "released",
        () if has("result.json") => "over",
        () if has("updates/00000002.json") => "running",
        () if has("updates/00000001.json") => "starting",
        () if has("handed-over") => "handed over",
        () if has("task.json") => "accepted",
        () => "placed",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executors_come_back_to_an_agent_that_was_killed() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let uid = start(&cluster, &machine).await;
    let mut steps: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut launched = Vec::new();
    let mut random = 0x1234_5678_9abc_def1_u64;
    for round in 0..KILLS {
        let name = format!("t{round}");
        let killed = round % 3 == 2;
        let mut spec = inner("e", &name, if killed { "run" } else { "finish" });
        spec["resources"] = json!({"cpu": "1m"});
        let task = uid_of(&cluster.launch(&machine.name, &name, spec).await);
        if killed {
            if round % 2 == 0 {
                cluster.until_states(&name, &["STARTING", "RUNNING"]).await;
            }
            cluster.kill(&name, None).await;
        } else if round % 4 > 0 {
            crate::kills::until_accepted(&machine, &task).await;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        tokio::time::sleep(Duration::from_millis((random >> 33) % 40)).await;
        machine.kill_agent().await;
        *steps.entry(step(&machine, &task)).or_default() += 1;
        machine.start_agent(&cluster);
        launched.push((name, task, killed));
    }
    println!("kills of the agent by step: {steps:#?}");
    let mut lost = 0;
    for (name, _, killed) in &launched {
        let task = cluster.until_told(name).await;
        let told = states_of(&task).join(" ");
        let whole = if *killed { "STARTING RUNNING KILLED" } else { "STARTING RUNNING FINISHED" };
        if told == "DROPPED" {
            assert!(last_of(&task).starts_with("SOURCE_AGENT REASON_AGENT_RESTARTED: "));
            lost += 1;
        } else if !(*killed && ["KILLED", "STARTING KILLED"].contains(&told.as_str())) {
            assert_eq!(told, whole, "{name}: {}", message_of(&task));
        }
        let heard = machine.output(&uid);
        let launches = heard.lines().filter(|line| *line == format!("LAUNCH {name}")).count();
        assert!(launches <= 1, "{name} was started twice: {heard}");
        if told == "DROPPED" {
            assert_eq!(launches, 0, "{name} was told to be lost and was not");
        }
    }
    println!("lost on their way: {lost}");
    assert_eq!(state_of(&cluster.tasks().get("e").await.unwrap()), TaskState::Running);
    cluster.kill("e", None).await;
    cluster.until_told("e").await;
    // What was killed before the agent saw it has left nothing.
    let kept = launched.iter().filter(|(_, uid, _)| machine.task_directory(uid).exists());
    machine.until_nothing_left(1 + kept.count()).await;
    assert!(steps.len() >= 3, "the kills have to fall into different steps: {steps:?}");
}
