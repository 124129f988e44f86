//! Deleting ends containers gracefully, and leaves nothing behind.

use meseta_e2e::{Layout, StoreKind, Witness, await_condition};
use serde_json::{Value, json};
use std::time::Duration;

use crate::yaml;

on_both_stores!(a_deleted_task_gets_its_grace, a_deleted_framework_leaves_nothing_behind);

const DEADLINE: Duration = Duration::from_secs(30);

/// A script that says what happens to it, and runs until it is told to end.
fn polite(name: &str) -> String {
    let told = Witness::say(&format!("{name} told"));
    let start = Witness::say(&format!("{name} started"));
    format!("trap '{told}; exit 0' TERM; {start}; while :; do sleep 0.05; done")
}

/// A script that does not listen, with a child that does not either.
fn deaf(name: &str) -> String {
    let start = Witness::say(&format!("{name} started"));
    format!("trap '' TERM; (while :; do sleep 1; done) & {start}; while :; do sleep 1; done")
}

fn await_heard(witness: &Witness, line: &str) {
    await_condition(line, DEADLINE, || {
        if witness.heard(line) > 0 { Ok(()) } else { Err(format!("{:?}", witness.lines())) }
    })
    .unwrap();
}

fn a_deleted_task_gets_its_grace(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let client = cluster.client();
    let witness = Witness::new().unwrap();
    for (name, script, grace) in
        [("polite", polite("polite"), 60), ("deaf", deaf("deaf"), 1), ("slow", polite("slow"), 0)]
    {
        let mut task = yaml::task(name, &script);
        task["spec"]["terminationGracePeriodSeconds"] = json!(grace);
        witness.add_to(&mut task["spec"]);
        client.apply(&task).unwrap();
        await_heard(&witness, &format!("{name} started"));
    }
    client.kubectl(&["delete", "task", "polite", "deaf", "slow", "--timeout=45s"]).unwrap();
    assert_eq!(witness.heard("polite told"), 1);
    assert_eq!(witness.heard("deaf told"), 0);
    // One that never ran, and one that had ended.
    let mut never = yaml::task("never", "exit 0");
    never["spec"]["resources"]["cpu"] = json!("5000");
    client.apply(&never).unwrap();
    client.apply(&yaml::task("ended", "exit 0")).unwrap();
    client.await_task("ended", &["Finished"]).unwrap();
    client.kubectl(&["delete", "task", "never", "ended", "--timeout=45s"]).unwrap();
    assert_eq!(client.list(&["tasks"]).unwrap(), Vec::<Value>::new());
    cluster.agents()[0].await_nothing_left().unwrap();
}

fn a_deleted_framework_leaves_nothing_behind(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let client = cluster.client();
    let witness = Witness::new().unwrap();
    let spec = |script: &str, grace: i64| {
        let mut spec = yaml::spec(script);
        spec["terminationGracePeriodSeconds"] = json!(grace);
        spec["volumes"] = json!([{"name": "shared", "shared": {}}]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "shared", "mountPath": "/mnt/s"}]);
        witness.add_to(&mut spec);
        spec
    };
    let writes = format!("echo x > /mnt/s/$MESETA_TASK_INDEX; {}", polite("$MESETA_TASK_INDEX"));
    let mut waiting = yaml::set("waiting", 2, &spec("exit 0", 1));
    waiting["dependsOn"] = json!(["polite"]);
    let sets = [
        yaml::set("polite", 3, &spec(&writes, 60)),
        yaml::set("deaf", 2, &spec(&deaf("deaf"), 1)),
        yaml::set("ended", 2, &spec("exit 0", 1)),
        waiting,
    ];
    client.apply(&yaml::framework("all", &sets)).unwrap();
    for index in 0..3 {
        await_heard(&witness, &format!("{index} started"));
    }
    await_condition("deaf tasks", DEADLINE, || match witness.heard("deaf started") {
        2 => Ok(()),
        other => Err(other.to_string()),
    })
    .unwrap();
    let agent = &cluster.agents()[0];
    let running = agent.leftovers();
    // What is looked for afterwards can be found.
    assert!(!running.processes.is_empty() && !running.cgroups.is_empty(), "{running}");
    assert!(running.directories.len() > 5, "{running}");

    client.kubectl(&["delete", "framework", "all", "--timeout=60s"]).unwrap();
    agent.await_nothing_left().unwrap();
    await_condition("namespace without tasks", DEADLINE, || {
        let tasks = client.kubectl(&["get", "tasks", "-o", "name"]).unwrap();
        if tasks.trim().is_empty() { Ok(()) } else { Err(tasks) }
    })
    .unwrap();
    for index in 0..3 {
        assert_eq!(witness.heard(&format!("{index} told")), 1, "{:?}", witness.lines());
    }
}
