//! Tasks that are asked to go.

use meseta_crds::TaskState;
use meseta_crds::task::reason;
use serde_json::json;

use crate::cluster::{Cluster, code_of, pid_of, reason_of, script, state_of, uid_of};
use crate::machine::{Machine, is_alive};

#[tokio::test]
async fn a_deleted_task_gets_sigterm_and_leaves_nothing() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let text = "trap 'echo asked; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let uid = uid_of(&cluster.place(&machine.name, "polite", script(text)).await);
    // A finalizer of somebody else keeps the record, so that its end can be seen.
    let hold = json!({"metadata": {"finalizers": ["meseta.dev/agent", "example.com/test"]}});
    let hold = kube::api::Patch::Merge(&hold);
    cluster.tasks().patch("polite", &kube::api::PatchParams::default(), &hold).await.unwrap();
    let running = cluster.until_state("polite", TaskState::Running).await;
    machine.until_output(&uid, "ready\n").await;
    cluster.delete("polite").await;
    let ended = cluster
        .until("polite", |task| {
            task.metadata.finalizers.as_deref() == Some(&["example.com/test".to_owned()])
        })
        .await;
    assert_eq!((state_of(&ended), reason_of(&ended)), (TaskState::Killed, reason::DELETED));
    assert_eq!(code_of(&ended), Some(9));
    assert!(!is_alive(pid_of(&running).unwrap()));
    assert!(!machine.task_directory(&uid).exists(), "before the finalizer was taken away");
    let free = json!({"metadata": {"finalizers": null}});
    let free = kube::api::Patch::Merge(&free);
    cluster.tasks().patch("polite", &kube::api::PatchParams::default(), &free).await.unwrap();
    cluster.until_gone("polite").await;
    machine.until_nothing_left(0).await;
    machine.stop_agent().await;
    assert_eq!(machine.cgroups(), [""; 0].map(std::path::PathBuf::from));
}

#[tokio::test]
async fn a_deaf_task_is_killed_with_all_its_children() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let mut spec = script("trap '' TERM; sleep 600 & sleep 600 & while :; do sleep 0.05; done");
    spec["terminationGracePeriodSeconds"] = json!(4);
    cluster.place(&machine.name, "deaf", spec).await;
    let running = cluster.until_state("deaf", TaskState::Running).await;
    cluster.delete("deaf").await;
    cluster.until_state("deaf", TaskState::Killing).await;
    cluster.until_gone("deaf").await;
    assert!(!is_alive(pid_of(&running).unwrap()));
    machine.until_nothing_left(0).await;
}

#[tokio::test]
async fn a_deletion_goes_on_when_the_agent_is_killed_meanwhile() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let mut spec = script("trap '' TERM; while :; do sleep 0.05; done");
    spec["terminationGracePeriodSeconds"] = json!(1);
    let uid = uid_of(&cluster.place(&machine.name, "deaf", spec).await);
    cluster.until_state("deaf", TaskState::Running).await;
    cluster.delete("deaf").await;
    crate::eventually(|| {
        let begun = machine.task_directory(&uid).join("stop.json").exists();
        async move { if begun { Ok(()) } else { Err("not begun".to_owned()) } }
    })
    .await;
    machine.kill_agent().await;
    machine.start_agent(&cluster);
    cluster.until_gone("deaf").await;
    machine.until_nothing_left(0).await;
}

#[tokio::test]
async fn a_task_that_is_deleted_before_its_agent_comes_is_never_run() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::new();
    cluster.place(&machine.name, "never", script("echo run")).await;
    cluster.delete("never").await;
    machine.start_agent(&cluster);
    cluster.until_gone("never").await;
    machine.until_nothing_left(0).await;
}

#[tokio::test]
async fn a_deletion_while_an_image_is_unpacked_starts_nothing() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let mut image = crate::layouts::Image::userland();
    // Enough to be in the middle of it.
    let content = vec![b'x'; 256 * 1024];
    for layer in 0..20 {
        image.layer(|archive| {
            for number in 0..20 {
                let path = format!("large/{layer}-{number}");
                crate::layouts::file(archive, &path, 0o644, &content);
            }
        });
    }
    let container = json!({"image": image.reference(), "command": ["/bin/sh", "-c", "true"]});
    let spec = json!({"containers": [container]});
    for round in 0..4 {
        let name = format!("unpacked-{round}");
        let uid = uid_of(&cluster.place(&machine.name, &name, spec.clone()).await);
        crate::eventually(|| {
            let begun = machine.task_directory(&uid).exists();
            async move { if begun { Ok(()) } else { Err("not accepted".to_owned()) } }
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_millis(round * 15)).await;
        cluster.delete(&name).await;
        cluster.until_gone(&name).await;
    }
    machine.until_nothing_left(0).await;
}

#[tokio::test]
async fn a_task_that_was_given_up_is_ended_when_its_agent_is_back() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    cluster.place(&machine.name, "given-up", script("sleep 600")).await;
    let running = cluster.until_state("given-up", TaskState::Running).await;
    machine.kill_agent().await;
    let lost = json!({"status": {"state": "Lost", "reason": "AgentRemoved"}});
    let lost = kube::api::Patch::Merge(&lost);
    let parameters = kube::api::PatchParams::default();
    cluster.tasks().patch_status("given-up", &parameters, &lost).await.unwrap();
    assert!(is_alive(pid_of(&running).unwrap()));
    machine.start_agent(&cluster);
    let task = cluster.until_released("given-up").await;
    assert_eq!((state_of(&task), reason_of(&task)), (TaskState::Lost, reason::AGENT_REMOVED));
    assert!(!is_alive(pid_of(&running).unwrap()));
    machine.until_nothing_left(1).await;
}
