//! What an agent says about itself, and which placements it accepts.

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use meseta_crds::condition::{get, is_true, kind};
use meseta_crds::task::reason;
use meseta_crds::{SYSTEM_NAMESPACE, TaskState, agent_lease_name};
use serde_json::json;

use crate::cluster::{Cluster, message_of, reason_of, script, state_of};
use crate::eventually;
use crate::machine::Machine;
use crate::mesos::{command, states_of};

#[tokio::test]
async fn an_agent_registers_and_gives_signs_of_life() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let agent = cluster.until_agent(&machine.name, |_| true).await;
    let status = agent.status.unwrap();
    assert!(is_true(&status.conditions, kind::READY));
    assert!(is_true(&status.conditions, kind::DISK_AVAILABLE));
    assert_eq!(status.capacity["cpu"].as_str(), "1");
    assert_eq!(status.attributes["rack"], "r1");
    assert_eq!(status.attributes["os"], "linux");
    let found = status.machine.unwrap();
    assert!(["v1", "hybrid", "v2"].contains(&found.cgroups.as_str()));
    assert!(!found.boot_id.is_empty() && !found.kernel.is_empty());
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
    let (leases, name) = (&leases, &agent_lease_name(&machine.name));
    eventually(|| async move { leases.get(name).await.map_err(|err| err.to_string()) }).await;

    // It says of itself that it is cordoned, and that it is well.
    let agents: Api<meseta_crds::Agent> = Api::all(cluster.client.clone());
    let cordon = Patch::Merge(json!({"spec": {"unschedulable": true}}));
    agents.patch(&machine.name, &PatchParams::default(), &cordon).await.unwrap();
    cluster
        .until_agent(&machine.name, |agent| {
            let conditions = agent.status.as_ref().map(|status| status.conditions.as_slice());
            get(conditions.unwrap_or_default(), kind::READY)
                .is_some_and(|ready| ready.status == "True" && ready.reason == "AgentCordoned")
        })
        .await;

    // A record that somebody removes is made again.
    let uid = agent.metadata.uid;
    agents.delete(&machine.name, &kube::api::DeleteParams::default()).await.unwrap();
    cluster.until_agent(&machine.name, |agent| agent.metadata.uid != uid).await;
    machine.stop_agent().await;
}

#[tokio::test]
async fn a_machine_says_what_it_has_unless_told_otherwise() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::new();
    machine.config.resources = None;
    machine.config.advertise = Some("agent.example:0".to_owned());
    machine.start_agent(&cluster);
    let agent = cluster
        .until_agent(&machine.name, |agent| {
            agent.status.as_ref().is_some_and(|status| !status.addresses.is_empty())
        })
        .await;
    let status = agent.status.unwrap();
    for name in ["cpu", "memory", "disk"] {
        assert!(status.capacity[name].millis().unwrap() > 0, "{name}");
    }
    let address = &status.addresses[0];
    assert!(address.starts_with("agent.example:") && !address.ends_with(":0"), "{address}");
}

#[tokio::test]
async fn more_than_there_is_room_for_is_dropped() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let large = |cpu: &str| {
        let mut spec = script("sleep 600");
        spec["resources"]["cpu"] = json!(cpu);
        spec
    };
    cluster.place(&machine.name, "first", large("600m")).await;
    cluster.until_state("first", TaskState::Running).await;
    cluster.place(&machine.name, "second", large("600m")).await;
    let task = cluster.until_released("second").await;
    assert_eq!(
        (state_of(&task), reason_of(&task)),
        (TaskState::Dropped, reason::AGENT_OUT_OF_ROOM)
    );
    assert_eq!(message_of(&task), "needs 600m of cpu; 400m of 1 are free on the agent");
    cluster.place(&machine.name, "third", large("400m")).await;
    cluster.until_state("third", TaskState::Running).await;
    // What has ended makes room.
    for name in ["first", "third"] {
        cluster.delete(name).await;
        cluster.until_gone(name).await;
    }
    cluster.place(&machine.name, "fourth", large("1")).await;
    cluster.until_state("fourth", TaskState::Running).await;
    cluster.delete("fourth").await;
    cluster.until_gone("fourth").await;
    machine.until_nothing_left(0).await;
}

#[tokio::test]
async fn a_leader_of_before_is_refused_also_after_a_restart() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    cluster.place_at(&machine.name, "new", script("true"), Some(7)).await;
    cluster.until_released("new").await;
    machine.kill_agent().await;
    machine.start_agent(&cluster);
    cluster.place_at(&machine.name, "old", script("echo run"), Some(6)).await;
    let task = cluster.until_released("old").await;
    assert_eq!((state_of(&task), reason_of(&task)), (TaskState::Dropped, reason::STALE_LEADER));
    cluster
        .until_agent(&machine.name, |agent| {
            agent.status.as_ref().and_then(|status| status.seen_epoch) == Some(7)
        })
        .await;
    cluster.place_at(&machine.name, "same", script("true"), Some(7)).await;
    assert_eq!(state_of(&cluster.until_released("same").await), TaskState::Finished);
    machine.until_nothing_left(2).await;
}

#[tokio::test]
async fn a_task_placed_by_hand_is_held_while_it_runs() {
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    cluster.place_at(&machine.name, "hand", script("sleep 600"), None).await;
    let task = cluster.until_state("hand", TaskState::Running).await;
    assert_eq!(task.metadata.finalizers, Some(vec![meseta_crds::AGENT_FINALIZER.to_owned()]));
    cluster.delete("hand").await;
    cluster.until_gone("hand").await;
    machine.until_nothing_left(0).await;
}

/// The states of a task's record, one per write, until its agent has let it go; `work` places it.
async fn writes_of(cluster: &Cluster, work: impl Future<Output = ()>) -> Vec<(TaskState, bool)> {
    let watched = cluster.tasks();
    let events = watched.watch(&WatchParams::default(), "0").await.unwrap();
    work.await;
    let mut states = Vec::new();
    let mut events = std::pin::pin!(events);
    while states.last().is_none_or(|(_, held)| *held) {
        match events.next().await.unwrap().unwrap() {
            WatchEvent::Added(task) | WatchEvent::Modified(task) => {
                let finalizers = task.metadata.finalizers.as_deref().unwrap_or_default();
                let held = finalizers.iter().any(|f| f == meseta_crds::AGENT_FINALIZER);
                states.push((state_of(&task), held));
            }
            other => panic!("{other:?}"),
        }
    }
    states
}

#[tokio::test]
async fn a_task_costs_its_agent_three_writes_at_most() {
    // Created and placed in one write by this test; then the agent's three.
    let expected = [
        (TaskState::Pending, true),
        (TaskState::Running, true),
        (TaskState::Finished, true),
        (TaskState::Finished, false),
    ];
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let work = async { drop(cluster.place(&machine.name, "cheap", script("sleep 0.3")).await) };
    assert_eq!(writes_of(&cluster, work).await, expected);

    // What a scheduler is told costs nothing more.
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let spec = command(script("sleep 0.3"), "told");
    let work = async { drop(cluster.launch(&machine.name, "told", spec).await) };
    assert_eq!(writes_of(&cluster, work).await, expected);
    let told = cluster.until_told("told").await;
    assert_eq!(states_of(&told), ["STARTING", "RUNNING", "FINISHED"]);

    // Neither does a kill, of a task that ends at once.
    let cluster = Cluster::start().await;
    let machine = Machine::start(&cluster).await;
    let spec = command(script("sleep 600"), "killed");
    let work = async {
        cluster.launch(&machine.name, "killed", spec).await;
        cluster.until_state("killed", TaskState::Running).await;
        cluster.kill("killed", Some(0)).await;
    };
    let killed = [
        (TaskState::Pending, true),
        (TaskState::Running, true),
        (TaskState::Running, true),
        (TaskState::Killed, true),
        (TaskState::Killed, false),
    ];
    assert_eq!(writes_of(&cluster, work).await, killed, "the second `Running` is the test's kill");
}
