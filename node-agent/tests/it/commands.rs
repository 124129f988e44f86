//! Command tasks of Mesos frameworks: what their schedulers are told.

use std::collections::BTreeMap;
use std::time::Duration;

use meseta_crds::TaskState;
use meseta_crds::task::reason;
use serde_json::json;

use crate::cluster::{Cluster, code_of, message_of, pid_of, reason_of, script, state_of, uid_of};
use crate::machine::{Machine, is_alive};
use crate::mesos::{FRAMEWORK, command, framework, last_of, states_of, updates_of};

/// Kills of the agent in one run of the test.
const KILLS: u64 = 24;

#[tokio::test]
async fn a_command_is_told_of_from_its_start_to_its_end() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let text = "env | grep ^MESOS_ | sed s/:[0-9]*$/:PORT/ | sort; sleep 0.3; exit 3";
    let uid = uid_of(&cluster.launch(&machine.name, "fails", command(script(text), "fails")).await);
    let running = cluster.until_state("fails", TaskState::Running).await;
    assert_eq!(states_of(&running), ["STARTING", "RUNNING"], "in the write of the state");
    let task = cluster.until_told("fails").await;
    assert_eq!(states_of(&task), ["STARTING", "RUNNING", "FAILED"]);
    assert_eq!(last_of(&task), "SOURCE_EXECUTOR -: Command exited with status 3");
    let update = &updates_of(&task)[2];
    assert_eq!(update.status["task_id"], json!({"value": "Task fails"}));
    assert_eq!(update.status["agent_id"], json!({"value": machine.name}));
    assert_eq!(update.status["container_status"]["container_id"], json!({"value": uid}));
    assert_eq!(updates_of(&task)[..2], updates_of(&running));
    let sandbox = "/run/meseta/sandbox";
    let expected = format!(
        "MESOS_AGENT_ENDPOINT=127.0.0.1:PORT\nMESOS_ALLOCATION_ROLE=default\nMESOS_CHECKPOINT=0\n\
         MESOS_DIRECTORY={sandbox}\nMESOS_EXECUTOR_ID=Task fails\n\
         MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD=5secs\nMESOS_FRAMEWORK_ID={FRAMEWORK}\n\
         MESOS_HTTP_COMMAND_EXECUTOR=0\nMESOS_SANDBOX={sandbox}\nMESOS_SLAVE_ID={}\n\
         MESOS_SLAVE_PID=slave(1)@127.0.0.1:PORT\n",
        machine.name
    );
    assert_eq!(machine.output(&uid), expected);

    // As a limit that the scheduler said is infinite.
    let mut short = command(script("exit 0"), "short");
    short["limits"] = json!({"memory": "4Ei"});
    cluster.launch(&machine.name, "short", short).await;
    let task = cluster.until_told("short").await;
    assert_eq!(states_of(&task), ["STARTING", "RUNNING", "FINISHED"]);
    assert_eq!(last_of(&task), "SOURCE_EXECUTOR -: Command exited with status 0");

    let mut absent = script("");
    absent["containers"] = json!([{"command": ["/no/such/program"]}]);
    cluster.launch(&machine.name, "absent", command(absent, "absent")).await;
    let task = cluster.until_told("absent").await;
    let told = states_of(&task);
    assert_eq!(told.last().map(String::as_str), Some("FAILED"));
    assert!(last_of(&task).starts_with("SOURCE_AGENT REASON_CONTAINER_LAUNCH_FAILED: "));

    let mut hungry = script("exec python3 -c 'b\"x\" * (1 << 30)'");
    hungry["resources"]["memory"] = json!("24Mi");
    cluster.launch(&machine.name, "hungry", command(hungry, "hungry")).await;
    let task = cluster.until_told("hungry").await;
    assert_eq!(reason_of(&task), reason::OUT_OF_MEMORY, "{}", message_of(&task));
    assert!(last_of(&task).starts_with("SOURCE_AGENT REASON_CONTAINER_LIMITATION_MEMORY: "));
    machine.until_nothing_left(4).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_dropped_with_the_next_write() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    cluster.launch(&machine.name, "t", command(script("sleep 1.5"), "t")).await;
    let running = cluster.until_state("t", TaskState::Running).await;
    cluster.acknowledge("t", &updates_of(&running)[0].uuid).await;
    let task = cluster.until_told("t").await;
    assert_eq!(states_of(&task), ["RUNNING", "FINISHED"]);
    assert_eq!(updates_of(&task)[0], updates_of(&running)[1]);
}

#[tokio::test]
async fn a_task_that_is_killed_before_its_agent_comes_is_never_run() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::new();
    let spec = command(script("echo ran"), "early");
    let uid = uid_of(&cluster.launch(&machine.name, "early", spec).await);
    cluster.kill("early", None).await;
    machine.start_agent(&cluster);
    let task = cluster.until_told("early").await;
    assert_eq!(
        (state_of(&task), reason_of(&task)),
        (TaskState::Killed, reason::KILLED_BY_SCHEDULER)
    );
    assert_eq!(states_of(&task), ["KILLED"]);
    let last = "SOURCE_AGENT REASON_TASK_KILLED_DURING_LAUNCH: killed before it was started";
    assert_eq!(last_of(&task), last);
    assert!(!machine.task_directory(&uid).exists());
    machine.until_nothing_left(0).await;
}

#[tokio::test]
async fn a_later_kill_shortens_the_grace_of_the_first() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let mut spec =
        command(script("trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"), "deaf");
    spec["mesos"]["frameworkInfo"] = framework(&["TASK_KILLING_STATE"]);
    let uid = uid_of(&cluster.launch(&machine.name, "deaf", spec).await);
    machine.until_output(&uid, "ready\n").await;
    let running = cluster.until_state("deaf", TaskState::Running).await;
    cluster.kill("deaf", Some(3000)).await;
    let killing = cluster.until_state("deaf", TaskState::Killing).await;
    assert_eq!(reason_of(&killing), reason::KILLED_BY_SCHEDULER);
    assert_eq!(states_of(&killing), ["STARTING", "RUNNING", "KILLING"]);
    machine.until_output(&uid, "ready\nasked\n").await;
    assert!(is_alive(pid_of(&running).unwrap()));
    cluster.kill("deaf", Some(0)).await;
    let task = cluster.until_told("deaf").await;
    assert_eq!(state_of(&task), TaskState::Killed);
    assert_eq!(states_of(&task), ["STARTING", "RUNNING", "KILLING", "KILLED"]);
    assert_eq!(last_of(&task), "SOURCE_EXECUTOR -: Command terminated with signal Killed");
    // The record stays until the scheduler has heard of it.
    assert!(cluster.tasks().get("deaf").await.is_ok());
    machine.until_nothing_left(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_of_the_agent_at_any_moment_tells_each_state_once() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let mut steps: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut launched = Vec::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..KILLS {
        let name = format!("t{round}");
        let killed = round % 3 == 2;
        let text = match round % 3 {
            0 => "exit 0",
            1 => "sleep 0.2; exit 0",
            _ => "sleep 600",
        };
        let mut spec = command(script(text), &name);
        spec["resources"] = json!({"cpu": "1m"});
        spec["terminationGracePeriodSeconds"] = json!(0);
        let uid = uid_of(&cluster.launch(&machine.name, &name, spec).await);
        if killed && round % 2 == 0 {
            cluster.until_state(&name, TaskState::Running).await;
        }
        if killed {
            cluster.kill(&name, None).await;
        }
        if !killed && round % 4 > 0 {
            crate::kills::until_accepted(&machine, &uid).await;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        tokio::time::sleep(Duration::from_millis((random >> 33) % 60)).await;
        machine.kill_agent().await;
        *steps.entry(crate::kills::step(&machine, &uid)).or_default() += 1;
        machine.start_agent(&cluster);
        launched.push((name, killed));
    }
    println!("kills of the agent by step: {steps:#?}");
    for (name, killed) in &launched {
        let task = cluster.until_told(name).await;
        let told = states_of(&task).join(" ");
        if *killed {
            // What never ran, or was not seen to, is told of by its end alone.
            let whole = ["STARTING RUNNING KILLED", "STARTING KILLED", "KILLED"];
            assert!(whole.contains(&told.as_str()), "{name}: {told}");
        } else {
            assert_eq!(told, "STARTING RUNNING FINISHED", "{name}: {}", message_of(&task));
        }
        let mut uuids: Vec<_> = updates_of(&task).into_iter().map(|update| update.uuid).collect();
        uuids.dedup();
        assert_eq!(uuids.len(), states_of(&task).len(), "{name}");
    }
    assert!(steps.len() >= 3, "the kills have to fall into different steps: {steps:?}");
}

/// One that nobody waits for in these tests.
const HOUR_SECONDS: i64 = 3600;

#[tokio::test]
async fn a_command_that_does_nothing_about_sigterm_ends_of_it_within_its_grace() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let alone = "echo ready; sleep 1000000";
    let parent = "sh -c 'echo ready; while :; do sleep 0.05; done'; echo next; sleep 1000000";
    for (name, text) in [("alone", alone), ("parent", parent)] {
        let spec = command(script(text), name);
        let uid = uid_of(&cluster.launch(&machine.name, name, spec).await);
        machine.until_output(&uid, "ready\n").await;
        cluster.until_state(name, TaskState::Running).await;
        cluster.kill(name, Some(HOUR_SECONDS)).await;
        let task = cluster.until_told(name).await;
        assert_eq!(state_of(&task), TaskState::Killed, "{}", message_of(&task));
        assert_eq!(states_of(&task), ["STARTING", "RUNNING", "KILLED"]);
        assert_eq!(last_of(&task), "SOURCE_EXECUTOR -: Command terminated with signal Terminated");
        assert_eq!(machine.output(&uid), "ready\n");
    }
    machine.until_nothing_left(2).await;
}

#[tokio::test]
async fn a_task_that_is_not_of_mesos_gets_sigterm_in_its_first_process_only() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let text = "trap 'echo asked; wait; exit 7' TERM; \
                sh -c \"trap 'echo child' TERM; echo ready; sleep 1; echo over\" & \
                wait";
    let mut spec = script(text);
    spec["terminationGracePeriodSeconds"] = json!(HOUR_SECONDS);
    let uid = uid_of(&cluster.place(&machine.name, "plain", spec).await);
    machine.until_output(&uid, "ready\n").await;
    cluster.until_state("plain", TaskState::Running).await;
    cluster.kill("plain", None).await;
    let task = cluster.until_released("plain").await;
    assert_eq!((state_of(&task), code_of(&task)), (TaskState::Killed, Some(7)));
    assert_eq!(machine.output(&uid), "ready\nasked\nover\n");
    machine.until_nothing_left(1).await;
}
