//! Several hosts: control planes and agents as separate processes, each with its own network.

use std::collections::BTreeSet;
use std::time::Duration;

use meseta_e2e::{Layout, StoreKind, await_condition};
use serde_json::json;

use crate::yaml;

on_both_stores!(agents_on_other_hosts_run_tasks, a_host_off_the_network_keeps_its_containers);

/// An agent off the network is noticed at once by nobody; its watch is what has to come back.
const RECONNECT_DEADLINE: Duration = Duration::from_secs(60);

fn agents_on_other_hosts_run_tasks(store: StoreKind) {
    let layout = Layout::new(store).on_hosts();
    let layout = layout.agent(&["--attribute", "zone=a"]).agent(&["--attribute", "zone=b"]);
    let cluster = layout.agent(&["--resources", "cpu=1,memory=1Gi,disk=1Gi"]).start().unwrap();
    let client = cluster.client();
    let names: Vec<&str> = cluster.agents().iter().map(|agent| agent.name.as_str()).collect();
    let shown = client.kubectl(&["get", "agents"]).unwrap();
    assert!(names.iter().all(|name| shown.contains(name)), "{shown}");

    // Where a constraint says, and nowhere else.
    for zone in ["a", "b"] {
        let mut task = yaml::task(&format!("in-{zone}"), &format!("echo zone {zone}"));
        task["spec"]["constraints"] =
            json!([{"attribute": "zone", "operator": "In", "values": [zone]}]);
        client.apply(&task).unwrap();
    }
    for (zone, name) in [("a", names[0]), ("b", names[1])] {
        let task = client.await_task(&format!("in-{zone}"), &["Finished"]).unwrap();
        assert_eq!(task["spec"]["agentName"], name);
        let output = client.meseta(&["logs", &format!("in-{zone}")]).unwrap();
        assert_eq!(output, format!("zone {zone}\n"));
    }
    // A set that no single agent has room for.
    let mut spec = yaml::spec("exit 0");
    spec["resources"]["cpu"] = json!("900");
    let sets = [yaml::set("set", 4, &spec)];
    client.apply(&yaml::framework("wide", &sets)).unwrap();
    client
        .await_record(&["framework", "wide"], "over", |f| f["status"]["state"] == "Succeeded")
        .unwrap();
    let tasks = client.list(&["tasks", "-l", "meseta.dev/framework=wide"]).unwrap();
    let used: BTreeSet<_> =
        tasks.iter().map(|task| task["spec"]["agentName"].as_str().unwrap()).collect();
    assert_eq!(used, names[..2].iter().copied().collect());
}

fn a_host_off_the_network_keeps_its_containers(store: StoreKind) {
    let mut cluster = Layout::new(store).on_hosts().agent(&[]).start().unwrap();
    let client = cluster.client();
    client.apply(&yaml::task("a", "until [ -e ended ]; do sleep 0.1; done; exit 9")).unwrap();
    let running = client.await_task("a", &["Running"]).unwrap();
    let host = cluster.agent(0).host.clone().unwrap();
    host.set_connected(false).unwrap();
    // The task ends while nobody hears of it.
    let pid = running["status"]["containers"][0]["pid"].as_i64().unwrap();
    std::fs::write(format!("/proc/{pid}/cwd/ended"), "").unwrap();
    await_condition("end of the container", RECONNECT_DEADLINE, || {
        match std::fs::exists(format!("/proc/{pid}/cwd")) {
            Ok(false) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .unwrap();
    assert_eq!(client.get(&["task", "a"]).unwrap()["status"]["state"], "Running");
    host.set_connected(true).unwrap();
    let ended = client.await_task("a", &["Failed"]).unwrap();
    assert_eq!(ended["status"]["containers"][0]["exitCode"], 9);
    assert_eq!(ended["status"]["reason"], "NonZeroExit");
}
