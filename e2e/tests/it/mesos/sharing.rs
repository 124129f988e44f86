//! Schedulers and frameworks of task sets share two agents by weight.

use meseta_e2e::{Client, Layout, Options, Scheduler, StoreKind, await_condition, scalar};
use serde_json::{Value, json};

use super::DEADLINE;
use crate::yaml;

on_both_stores!(two_schedulers_and_a_framework_share_two_agents_by_weight);

/// Tasks that fit on the two agents.
const ROOM: usize = 32;

/// Declares a role with this weight.
fn role(client: &Client, path: &str, weight: i64) {
    client
        .apply(&json!({
            "apiVersion": "meseta.dev/v1alpha1", "kind": "FrameworkRole",
            "metadata": {"name": path}, "spec": {"path": path, "weight": weight},
        }))
        .unwrap();
}

/// How many tasks of each role are active.
fn active(client: &Client) -> Result<[usize; 3], String> {
    let tasks = client.list(&["tasks"]).map_err(|error| format!("{error:#}"))?;
    let holds = |task: &&Value| {
        task["spec"]["agentName"].is_string()
            && !["Finished", "Failed", "Killed"]
                .contains(&task["status"]["state"].as_str().unwrap_or_default())
    };
    let of =
        |role: &str| tasks.iter().filter(holds).filter(|task| task["spec"]["role"] == role).count();
    Ok([of("light"), of("heavy"), of("sets")])
}

fn two_schedulers_and_a_framework_share_two_agents_by_weight(store: StoreKind) {
    // Sixteen tasks of a tenth each fit on each agent.
    let size = ["--resources", "cpu=1600m,memory=1Gi"];
    let cluster = Layout::new(store).agent(&size).agent(&size).start().unwrap();
    let client = cluster.client();
    role(&client, "light", 1);
    role(&client, "heavy", 2);
    role(&client, "sets", 1);
    // All want more than there is from the first moment on: nothing is taken away from who runs.
    for agent in cluster.agents() {
        let patch = r#"{"spec":{"unschedulable":true}}"#;
        client.kubectl(&["patch", "agent", &agent.name, "--type=merge", "-p", patch]).unwrap();
    }
    let task = json!({
        "command": {"value": "sleep 1000000"},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
    });
    let master = &cluster.control_planes()[0].mesos;
    let subscribe = |name: &str| {
        let options = Options::new(name).framework("role", name.into()).accept(
            &format!("{name}-"),
            100,
            &task,
            0.0,
        );
        Scheduler::start(master, &options).unwrap()
    };
    let (light, heavy) = (subscribe("light"), subscribe("heavy"));
    let mut spec = yaml::spec("sleep 1000000");
    spec["resources"] = json!({"cpu": "100m", "memory": "32Mi"});
    let mut framework = yaml::framework("sets", &[yaml::set("s", 100, &spec)]);
    framework["spec"]["role"] = "sets".into();
    client.apply(&framework).unwrap();
    await_condition("100 waiting tasks", DEADLINE, || {
        match client.list(&["tasks"]).map_err(|error| format!("{error:#}"))?.len() {
            100 => Ok(()),
            count => Err(count.to_string()),
        }
    })
    .unwrap();
    for agent in cluster.agents() {
        let patch = r#"{"spec":{"unschedulable":false}}"#;
        client.kubectl(&["patch", "agent", &agent.name, "--type=merge", "-p", patch]).unwrap();
    }
    let shared = |of: &str, shares: [usize; 3]| {
        await_condition(of, DEADLINE, || {
            let active = active(&client)?;
            let near = active.iter().zip(shares).all(|(has, share)| has.abs_diff(share) <= 1);
            if near && active.iter().sum::<usize>() == ROOM {
                Ok(())
            } else {
                Err(format!("light, heavy, sets: {active:?}"))
            }
        })
        .unwrap();
    };
    // Nothing idle, and each within one task of its share.
    shared("fair shares of everything", [ROOM / 4, ROOM / 2, ROOM / 4]);
    // What one leaves comes free piece by piece, and is shared by the others in the same way.
    drop(light);
    let frameworks = client.list(&["frameworks"]).unwrap();
    let gone = frameworks.iter().find(|f| f["spec"]["role"] == "light").unwrap();
    let name = gone["metadata"]["name"].as_str().unwrap();
    client.kubectl(&["delete", "framework", name, "--timeout=60s"]).unwrap();
    shared("fair shares of what is left", [0, ROOM * 2 / 3, ROOM / 3]);
    drop(heavy);
}
