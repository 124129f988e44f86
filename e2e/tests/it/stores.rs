//! An emptied or restored store kills no container.

use std::time::Duration;

use meseta_e2e::{Layout, StoreKind, Witness, await_condition};

use crate::yaml;

on_both_stores!(an_emptied_store_kills_no_container, a_restored_store_kills_no_container);

const DEADLINE: Duration = Duration::from_secs(60);

/// A task that says once a moment that it lives.
fn breathing(witness: &Witness, name: &str) -> serde_json::Value {
    let breath = Witness::say(&format!("{name} breathes"));
    let gate = Witness::wait_for(&format!("end-{name}"));
    let script = format!("(while :; do {breath}; sleep 0.1; done) & {gate}; echo over; exit 6");
    let mut task = yaml::task(name, &script);
    witness.add_to(&mut task["spec"]);
    task
}

/// Waits for some more breaths.
fn await_breaths(witness: &Witness, name: &str) {
    let line = format!("{name} breathes");
    let before = witness.heard(&line);
    await_condition(&line, DEADLINE, || match witness.heard(&line) {
        now if now >= before + 20 => Ok(()),
        now => Err(format!("{} breaths", now - before)),
    })
    .unwrap();
}

fn an_emptied_store_kills_no_container(store: StoreKind) {
    let mut cluster = Layout::new(store).agent(&[]).start().unwrap();
    let client = cluster.client();
    let witness = Witness::new().unwrap();
    client.apply(&breathing(&witness, "a")).unwrap();
    let running = client.await_task("a", &["Running"]).unwrap();
    let pid = running["status"]["containers"][0]["pid"].as_i64().unwrap();

    cluster.control_plane(0).kill();
    cluster.empty_store().unwrap();
    cluster.control_plane(0).start().unwrap();
    assert!(client.list(&["tasks"]).unwrap().is_empty());
    // Also when the agent has heard of the new store, and when it has started again with it.
    cluster.await_agent(0).unwrap();
    await_breaths(&witness, "a");
    cluster.agent(0).kill();
    cluster.agent(0).spawn().unwrap();
    client.apply(&yaml::task("b", "echo works")).unwrap();
    client.await_task("b", &["Finished"]).unwrap();
    await_breaths(&witness, "a");
    let parent = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    assert!(parent.is_ok(), "the first process of the container is gone");
}

fn a_restored_store_kills_no_container(store: StoreKind) {
    let mut cluster = Layout::new(store).agent(&[]).start().unwrap();
    let client = cluster.client();
    let witness = Witness::new().unwrap();
    let backup = cluster.directory().join("backup");
    client.apply(&breathing(&witness, "old")).unwrap();
    client.await_task("old", &["Running"]).unwrap();
    cluster.control_plane(0).stop().unwrap();
    cluster.back_up_store(&backup).unwrap();
    cluster.control_plane(0).start().unwrap();
    client.apply(&breathing(&witness, "new")).unwrap();
    client.await_task("new", &["Running"]).unwrap();

    // Back to when only the old one was known.
    cluster.control_plane(0).kill();
    cluster.restore_store(&backup).unwrap();
    cluster.control_plane(0).start().unwrap();
    client.apply(&yaml::task("b", "echo works")).unwrap();
    client.await_task("b", &["Finished"]).unwrap();
    await_breaths(&witness, "new");
    await_breaths(&witness, "old");
    // What is known goes on as if nothing had been.
    witness.release("end-old").unwrap();
    let ended = client.await_task("old", &["Failed"]).unwrap();
    assert_eq!(ended["status"]["containers"][0]["exitCode"], 6);
    assert_eq!(client.meseta(&["logs", "old"]).unwrap(), "over\n");
}
