//! The agent is killed at arbitrary moments, with tasks of every kind under way: each runs once,
//! ends as it should, loses no output and no exit code, and leaves nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use meseta_crds::TaskState;
use serde_json::json;

use crate::cluster::{Cluster, code_of, message_of, script, state_of, uid_of};
use crate::eventually;
use crate::machine::Machine;

/// Kills in one run of the test.
const KILLS: u64 = 40;

/// How far a task is, by what is on the disk: the step that a kill fell into.
pub(crate) fn step(machine: &Machine, uid: &str) -> &'static str {
    let task = machine.task_directory(uid);
    let run = task.join("run-0");
    let has = |name: &str| task.join(name).exists();
    if has("released") {
        "released"
    } else if has("result.json") {
        "ended, to be reported and cleaned up"
    } else if run.join("exit.json").exists() {
        "ended, to be seen"
    } else if has("stop.json") {
        "being stopped"
    } else if let Some(checkpoint) = machine.checkpoint(uid, 0) {
        match checkpoint.phase {
            meseta_shim_api::Phase::Preparing => "shim preparing",
            meseta_shim_api::Phase::Created => "container created",
            meseta_shim_api::Phase::Running => "running",
            meseta_shim_api::Phase::Ended => "ended, to be seen",
        }
    } else if run.join("run.json").exists() {
        "requested"
    } else if run.exists() {
        "staging"
    } else if has("task.json") {
        "accepted"
    } else {
        "placed"
    }
}

pub(crate) async fn until_accepted(machine: &Machine, uid: &str) {
    eventually(|| {
        let accepted = machine.task_directory(uid).exists();
        async move { if accepted { Ok(()) } else { Err("not accepted".to_owned()) } }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_loses_and_repeats_nothing() {
    let cluster = Cluster::start().await;
    let mut machine = Machine::start(&cluster).await;
    let mut steps: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut placed = Vec::new();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..KILLS {
        let name = format!("t{round}");
        let mut spec = match round % 4 {
            0 => script("echo begun; exit 3"),
            1 => script("echo begun; sleep 0.3; exit 3"),
            2 => script("echo begun; seq 1 2000; exit 3"),
            _ => script("echo begun; sleep 600"),
        };
        spec["resources"] = json!({"cpu": "1m"});
        spec["terminationGracePeriodSeconds"] = json!(0);
        let uid = uid_of(&cluster.place(&machine.name, &name, spec).await);
        let deleted = round % 4 == 3;
        if deleted {
            cluster.until_state(&name, TaskState::Running).await;
            cluster.delete(&name).await;
        }
        // Every fifth kill comes before the agent has even seen the task.
        if round % 5 > 0 {
            until_accepted(&machine, &uid).await;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // A start takes some tens of milliseconds: most kills fall into one.
        let delay = (random >> 33) % if round % 3 == 0 { 300 } else { 50 };
        tokio::time::sleep(Duration::from_millis(delay)).await;
        machine.kill_agent().await;
        *steps.entry(step(&machine, &uid)).or_default() += 1;
        machine.start_agent(&cluster);
        placed.push((name, uid, deleted));
    }
    println!("kills by step: {steps:#?}");
    for (name, uid, deleted) in &placed {
        if *deleted {
            cluster.until_gone(name).await;
            assert!(!machine.task_directory(uid).exists(), "{name}");
            continue;
        }
        let task = cluster.until_released(name).await;
        let seen = (state_of(&task), code_of(&task));
        assert_eq!(seen, (TaskState::Failed, Some(3)), "{name}: {}", message_of(&task));
        let output = machine.output(uid);
        assert_eq!(output.matches("begun\n").count(), 1, "{name} was started once: {output}");
        if output.len() > 10 {
            let expected: String = (1..=2000).map(|n| format!("{n}\n")).collect();
            assert_eq!(output, format!("begun\n{expected}"), "{name}");
        }
        assert_eq!(task.status.unwrap().containers[0].restart_count, 0, "{name}");
    }
    let sandboxes = placed.iter().filter(|(.., deleted)| !deleted).count();
    machine.until_nothing_left(sandboxes).await;
    assert!(steps.len() >= 3, "the kills have to fall into different steps: {steps:?}");
}
