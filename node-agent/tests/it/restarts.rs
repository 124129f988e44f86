//! The agent dies and comes back while containers run.

use meseta_crds::TaskState;
use meseta_crds::task::reason;
use serde_json::json;

use crate::cluster::{Cluster, code_of, pid_of, reason_of, script, state_of, uid_of};
use crate::eventually;
use crate::machine::{Machine, is_alive};
use crate::mesos::{executor, inner, states_of};

#[tokio::test]
async fn a_container_runs_on_and_is_adopted() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let go = "until [ -e go ]; do sleep 0.05; done; echo done; exit 4";
    let uid = uid_of(&cluster.place(&machine.name, "long", script(go)).await);
    let running = cluster.until_state("long", TaskState::Running).await;
    for round in 0..3 {
        if round % 2 == 0 {
            machine.kill_agent().await;
        } else {
            machine.stop_agent().await;
        }
        assert!(is_alive(pid_of(&running).unwrap()));
        machine.start_agent(&cluster);
        // The new one listens: it has taken up what it found.
        assert_eq!(machine.log(&cluster, &uid, "").await, "");
    }
    let still = cluster.until_state("long", TaskState::Running).await;
    assert_eq!(pid_of(&still), pid_of(&running));
    std::fs::write(machine.task_directory(&uid).join("sandbox/work/go"), "").unwrap();
    let ended = cluster.until_released("long").await;
    let seen = (state_of(&ended), reason_of(&ended), code_of(&ended));
    assert_eq!(seen, (TaskState::Failed, reason::NON_ZERO_EXIT, Some(4)));
    assert_eq!(ended.status.unwrap().containers[0].restart_count, 0);
    assert_eq!(machine.log(&cluster, &uid, "follow=true").await, "done\n");
    machine.until_nothing_left(1).await;
}

#[tokio::test]
async fn an_end_while_the_agent_is_away_is_told_when_it_is_back() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let go = "until [ -e go ]; do sleep 0.05; done; echo done; exit 4";
    let uid = uid_of(&cluster.place(&machine.name, "away", script(go)).await);
    let running = cluster.until_state("away", TaskState::Running).await;
    machine.kill_agent().await;
    std::fs::write(machine.task_directory(&uid).join("sandbox/work/go"), "").unwrap();
    let machine_ref = &machine;
    let id = &uid;
    eventually(
        || async move { machine_ref.exit(id, 0).map(drop).ok_or_else(|| "it runs".to_owned()) },
    )
    .await;
    assert!(!is_alive(pid_of(&running).unwrap()));
    assert_eq!(state_of(&cluster.tasks().get("away").await.unwrap()), TaskState::Running);
    machine.start_agent(&cluster);
    let ended = cluster.until_released("away").await;
    assert_eq!((state_of(&ended), code_of(&ended)), (TaskState::Failed, Some(4)));
    machine.until_nothing_left(1).await;

    // Finished long ago, and its output is served by an agent that never saw it run.
    machine.kill_agent().await;
    machine.start_agent(&cluster);
    assert_eq!(machine.log(&cluster, &uid, "follow=true&tailLines=5").await, "done\n");
}

#[tokio::test]
async fn a_shim_that_died_while_the_agent_was_away_is_reported() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let uid = uid_of(&cluster.place(&machine.name, "lost", script("sleep 600")).await);
    cluster.until_state("lost", TaskState::Running).await;
    machine.kill_agent().await;
    crate::machine::kill(machine.checkpoint(&uid, 0).unwrap().shim.pid);
    machine.start_agent(&cluster);
    let task = cluster.until_released("lost").await;
    assert_eq!((state_of(&task), reason_of(&task)), (TaskState::Failed, reason::SHIM_LOST));
    machine.until_nothing_left(1).await;
}

#[tokio::test]
async fn updates_are_told_though_nothing_else_says_whose_they_are() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    cluster.launch(&machine.name, "e", executor("E", &[])).await;
    let uid = uid_of(&cluster.launch(&machine.name, "a", inner("e", "a", "run")).await);
    cluster.until_states("a", &["STARTING", "RUNNING"]).await;
    machine.kill_agent().await;
    // As after a crash of the machine: a file that was not synced.
    std::fs::write(machine.task_directory(&uid).join("task.json"), b"").unwrap();
    cluster.kill("a", None).await;
    machine.start_agent(&cluster);
    let task = cluster.until_told("a").await;
    assert_eq!(states_of(&task), ["STARTING", "RUNNING", "KILLED"]);
    cluster.kill("e", None).await;
    cluster.until_told("e").await;
    machine.until_nothing_left(2).await;
}

#[tokio::test]
async fn a_restart_of_the_machine_ends_what_ran_and_starts_nothing_again() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let spec = json!({
        "containers": [{"command": ["sleep", "600"]}], "restartPolicy": "Always",
    });
    let uid = uid_of(&cluster.place(&machine.name, "boot", spec).await);
    cluster.until_state("boot", TaskState::Running).await;
    machine.kill_agent().await;
    // As if it had been written before the machine was restarted.
    let mut checkpoint = machine.checkpoint(&uid, 0).unwrap();
    crate::machine::kill(checkpoint.shim.pid);
    checkpoint.boot_id = "another boot".to_owned();
    let path = machine.task_directory(&uid).join("run-0").join(meseta_shim_api::CHECKPOINT_FILE);
    meseta_shim_api::write(&path, &checkpoint).unwrap();
    machine.start_agent(&cluster);
    let task = cluster.until_released("boot").await;
    assert_eq!((state_of(&task), reason_of(&task)), (TaskState::Failed, reason::AGENT_REBOOTED));
    machine.until_nothing_left(1).await;
}

#[tokio::test]
async fn a_run_whose_shim_never_came_is_run_once() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::new();
    let uid = uid_of(&cluster.place(&machine.name, "half", script("echo once")).await);
    // Killed between the request and the shim.
    machine.start_agent(&cluster);
    let released = cluster.until_released("half").await;
    assert_eq!(state_of(&released), TaskState::Finished);
    machine.kill_agent().await;
    let second = uid_of(&cluster.place(&machine.name, "half-2", script("echo once")).await);
    let directory = machine.task_directory(&second);
    std::fs::create_dir_all(directory.join("run-0")).unwrap();
    let mut accepted: serde_json::Value = serde_json::from_slice(
        &std::fs::read(machine.task_directory(&uid).join("task.json")).unwrap(),
    )
    .unwrap();
    accepted["uid"] = json!(second);
    accepted["name"] = json!("half-2");
    std::fs::write(directory.join("task.json"), accepted.to_string()).unwrap();
    let request = machine.task_directory(&uid).join("run-0/run.json");
    std::fs::copy(request, directory.join("run-0/run.json")).unwrap();
    machine.start_agent(&cluster);
    let released = cluster.until_released("half-2").await;
    assert_eq!(state_of(&released), TaskState::Finished, "{:?}", released.status);
    assert_eq!(released.status.unwrap().containers[0].restart_count, 0);
    assert_eq!(machine.output(&second), "once\n");
    machine.until_nothing_left(2).await;
}

#[tokio::test]
async fn a_directory_that_says_nothing_is_understood_by_its_record() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let go = "until [ -e go ]; do sleep 0.05; done; exit 4";
    let uid = uid_of(&cluster.place(&machine.name, "torn", script(go)).await);
    let running = cluster.until_state("torn", TaskState::Running).await;
    machine.kill_agent().await;
    std::fs::write(machine.task_directory(&uid).join("task.json"), "{\"na").unwrap();
    machine.start_agent(&cluster);
    assert_eq!(machine.log(&cluster, &uid, "").await, "");
    assert!(is_alive(pid_of(&running).unwrap()));
    std::fs::write(machine.task_directory(&uid).join("sandbox/work/go"), "").unwrap();
    let ended = cluster.until_released("torn").await;
    assert_eq!((state_of(&ended), code_of(&ended)), (TaskState::Failed, Some(4)));
    machine.until_nothing_left(1).await;
}
