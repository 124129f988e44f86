//! An agent that is silent keeps its containers; one whose record is deleted loses its tasks, and ends
//! what was replaced when it comes back.

use std::time::Duration;

use meseta_e2e::{Layout, StoreKind, Witness, await_condition};

use crate::yaml;

on_both_stores!(what_was_replaced_is_ended_when_its_agent_comes_back);

const DEADLINE: Duration = Duration::from_secs(60);

fn what_was_replaced_is_ended_when_its_agent_comes_back(store: StoreKind) {
    let mut cluster = Layout::new(store).agent(&[]).agent(&[]).start().unwrap();
    let client = cluster.client();
    let witness = Witness::new().unwrap();
    let told = Witness::say("told $0");
    let started = Witness::say("started $0");
    let script = format!("trap '{told}; exit 0' TERM; {started}; while :; do sleep 0.1; done");
    let mut spec = yaml::spec(&script);
    witness.add_to(&mut spec);
    client.apply(&yaml::framework("f", &[yaml::set("set", 1, &spec)])).unwrap();
    let task = client.await_task("f-set-0", &["Running"]).unwrap();
    let name = task["spec"]["agentName"].as_str().unwrap().to_owned();
    let index = cluster.agents().iter().position(|agent| agent.name == name).unwrap();

    // Gone for good, somebody says; its container runs on.
    cluster.agent(index).kill();
    client.kubectl(&["delete", "agent", &name]).unwrap();
    client.await_task("f-set-0", &["Lost"]).unwrap();
    let replacement = client.await_task("f-set-0-r1", &["Running"]).unwrap();
    assert_ne!(replacement["spec"]["agentName"], name);
    assert!(!cluster.agents()[index].leftovers().processes.is_empty());

    // It was not gone after all.
    cluster.agent(index).spawn().unwrap();
    cluster.await_agent(index).unwrap();
    await_condition("end of what was replaced", DEADLINE, || {
        match cluster.agents()[index].leftovers() {
            found if found.processes.is_empty() && found.cgroups.is_empty() => Ok(()),
            found => Err(found.to_string()),
        }
    })
    .unwrap();
    let same = client.get(&["task", "f-set-0-r1"]).unwrap();
    assert_eq!(same["status"]["state"], "Running");
    assert_eq!(client.get(&["task", "f-set-0"]).unwrap()["status"]["state"], "Lost");
    let lines = witness.lines();
    let count = |word: &str| lines.iter().filter(|line| line.starts_with(word)).count();
    assert_eq!((count("started"), count("told")), (2, 1), "{lines:?}");
}
