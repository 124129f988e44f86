//! Records that vanish, servers that are silent: nothing that runs is ended for it.

use meseta_crds::TaskState;
use meseta_crds::condition::{get, kind};

use crate::cluster::{Cluster, code_of, pid_of, script, state_of, uid_of};
use crate::eventually;
use crate::machine::{Machine, is_alive};

const WAIT: &str = "until [ -e go ]; do sleep 0.05; done; exit 4";

#[tokio::test]
async fn an_emptied_store_kills_nothing_and_its_return_is_adopted() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let uid = uid_of(&cluster.place(&machine.name, "stays", script(WAIT)).await);
    let done = uid_of(&cluster.place(&machine.name, "done", script("echo kept")).await);
    let running = cluster.until_state("stays", TaskState::Running).await;
    cluster.until_released("done").await;
    machine.kill_agent().await;

    // Another store: nothing of before is in it, the agent's own record included.
    let empty = Cluster::start().await;
    machine.start_agent(&empty);
    let agent = empty
        .until_agent(&machine.name, |agent| {
            let conditions = agent.status.as_ref().map(|status| status.conditions.as_slice());
            get(conditions.unwrap_or_default(), kind::READY)
                .is_some_and(|ready| ready.reason == "OrphanedTasks")
        })
        .await;
    let ready = get(&agent.status.as_ref().unwrap().conditions, kind::READY).unwrap().clone();
    assert_eq!(ready.status, "True");
    assert!(ready.message.contains("default/stays"), "{}", ready.message);
    assert!(is_alive(pid_of(&running).unwrap()));
    assert_eq!(machine.log(&empty, &done, "").await, "kept\n");
    machine.kill_agent().await;

    // The old one is back, as from a backup.
    machine.start_agent(&cluster);
    assert_eq!(machine.log(&cluster, &uid, "").await, "");
    assert!(is_alive(pid_of(&running).unwrap()));
    std::fs::write(machine.task_directory(&uid).join("sandbox/work/go"), "").unwrap();
    let ended = cluster.until_released("stays").await;
    assert_eq!((state_of(&ended), code_of(&ended)), (TaskState::Failed, Some(4)));
    machine.until_nothing_left(2).await;
}

#[tokio::test]
async fn a_silent_server_is_told_everything_when_it_is_back() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let uid = uid_of(&cluster.place(&machine.name, "away", script(WAIT)).await);
    cluster.until_state("away", TaskState::Running).await;
    cluster.set_reachable(false);
    std::fs::write(machine.task_directory(&uid).join("sandbox/work/go"), "").unwrap();
    let (seen, id) = (&machine, &uid);
    eventually(|| async move {
        let written = seen.task_directory(id).join("result.json").exists();
        if written { Ok(()) } else { Err("it runs".to_owned()) }
    })
    .await;
    // Also from an agent that begins in the silence.
    machine.kill_agent().await;
    machine.start_agent(&cluster);
    assert_eq!(state_of(&cluster.tasks().get("away").await.unwrap()), TaskState::Running);
    cluster.set_reachable(true);
    let ended = cluster.until_released("away").await;
    assert_eq!((state_of(&ended), code_of(&ended)), (TaskState::Failed, Some(4)));
    machine.until_nothing_left(1).await;
}

#[tokio::test]
async fn what_ended_and_whose_record_was_deleted_meanwhile_leaves_nothing() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let uid = uid_of(&cluster.place(&machine.name, "gone", script(WAIT)).await);
    cluster.until_state("gone", TaskState::Running).await;
    machine.kill_agent().await;
    // Somebody takes the finalizer away by force, and the record goes.
    let free = serde_json::json!({"metadata": {"finalizers": null}});
    let free = kube::api::Patch::Merge(&free);
    cluster.tasks().patch("gone", &kube::api::PatchParams::default(), &free).await.unwrap();
    cluster.delete("gone").await;
    cluster.until_gone("gone").await;
    machine.start_agent(&cluster);
    cluster
        .until_agent(&machine.name, |agent| {
            let conditions = agent.status.as_ref().map(|status| status.conditions.as_slice());
            get(conditions.unwrap_or_default(), kind::READY)
                .is_some_and(|ready| ready.message.contains("default/gone"))
        })
        .await;
    // It runs on, and ends by itself; then there is nobody to tell.
    std::fs::write(machine.task_directory(&uid).join("sandbox/work/go"), "").unwrap();
    machine.until_nothing_left(0).await;
}
