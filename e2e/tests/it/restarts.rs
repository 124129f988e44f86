//! Everything keeps its records and containers over a restart that somebody wanted.

use std::path::Path;
use std::time::Duration;

use meseta_e2e::{Layout, StoreKind, Up, Witness, await_condition};

use crate::yaml;

on_both_stores!(containers_outlive_a_restart_of_agent_and_control_plane);

const DEADLINE: Duration = Duration::from_secs(60);

fn containers_outlive_a_restart_of_agent_and_control_plane(store: StoreKind) {
    let mut cluster = Layout::new(store).agent(&[]).start().unwrap();
    let client = cluster.client();
    let witness = Witness::new().unwrap();
    for name in ["meanwhile", "later"] {
        let gate = Witness::wait_for(name);
        let start = Witness::say(&format!("start {name}"));
        let mut task = yaml::task(name, &format!("{start}; echo 1; {gate}; echo 2; exit 6"));
        witness.add_to(&mut task["spec"]);
        client.apply(&task).unwrap();
    }
    let pid = |name: &str| {
        let task = client.await_task(name, &["Running"]).unwrap();
        task["status"]["containers"][0]["pid"].as_i64().unwrap()
    };
    let (meanwhile, later) = (pid("meanwhile"), pid("later"));
    cluster.agent(0).stop().unwrap();
    cluster.control_plane(0).stop().unwrap();
    // One ends while neither agent nor control plane is there.
    witness.release("meanwhile").unwrap();
    await_condition("end of the container", DEADLINE, || {
        let there = Path::new(&format!("/proc/{meanwhile}/root/proc")).exists();
        if there { Err("it is there".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    cluster.control_plane(0).start().unwrap();
    cluster.agent(0).spawn().unwrap();
    client.await_task("meanwhile", &["Failed"]).unwrap();
    assert_eq!(pid("later"), later);
    witness.release("later").unwrap();
    for name in ["meanwhile", "later"] {
        let task = client.await_task(name, &["Failed"]).unwrap();
        assert_eq!(task["status"]["containers"][0]["exitCode"], 6);
        assert_eq!(client.meseta(&["logs", name]).unwrap(), "1\n2\n");
        assert_eq!(witness.heard(&format!("start {name}")), 1);
    }
    client.kubectl(&["delete", "tasks", "--all", "--timeout=60s"]).unwrap();
    cluster.agents()[0].await_nothing_left().unwrap();
}

#[test]
fn one_process_keeps_records_and_containers_over_a_restart() {
    let mut up = Up::start().unwrap();
    let client = up.client();
    let script = "echo 1; until [ -e ended ]; do sleep 0.1; done; echo 2; exit 6";
    client.apply(&yaml::task("a", script)).unwrap();
    let running = client.await_task("a", &["Running"]).unwrap();
    for graceful in [true, false] {
        if graceful {
            up.stop().unwrap();
        } else {
            up.kill();
        }
        up.start_again().unwrap();
        let same = client.await_task("a", &["Running"]).unwrap();
        assert_eq!(same["metadata"]["uid"], running["metadata"]["uid"]);
        assert_eq!(same["status"]["containers"], running["status"]["containers"]);
    }
    let pid = running["status"]["containers"][0]["pid"].as_i64().unwrap();
    std::fs::write(format!("/proc/{pid}/cwd/ended"), "").unwrap();
    let ended = client.await_task("a", &["Failed"]).unwrap();
    assert_eq!(ended["status"]["containers"][0]["exitCode"], 6);
    assert_eq!(client.meseta(&["logs", "a"]).unwrap(), "1\n2\n");
    client.kubectl(&["delete", "task", "a", "--timeout=60s"]).unwrap();
    await_condition("clean agent", DEADLINE, || {
        let found = up.leftovers();
        if found.is_empty() { Ok(()) } else { Err(found.to_string()) }
    })
    .unwrap();
    up.stop().unwrap();
}
