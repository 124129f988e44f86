//! One leader in effect: whoever leads, a task is placed once, and by the leader of its time.

use std::time::Duration;

use meseta_e2e::{Client, Cluster, Layout, Observer, StoreKind, Witness, await_condition};
use rustix::process::Signal;
use serde_json::json;

use crate::yaml;

on_both_stores!(a_placement_with_an_old_epoch_is_refused_by_the_agent);

/// A lease lasts some seconds, and a busy machine takes its time.
const TAKEOVER_DEADLINE: Duration = Duration::from_secs(40);

/// Which control plane leads, and in which epoch; as `client` sees it.
fn leader(client: &Client) -> Result<(usize, i64), String> {
    let system = client.in_namespace("meseta-system");
    let lease = system.get(&["lease", "meseta-leader"]).map_err(|error| format!("{error:#}"))?;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    let number = match holder.split('_').next() {
        Some("c0") => 0,
        Some("c1") => 1,
        other => return Err(format!("held by {other:?}")),
    };
    Ok((number, lease["spec"]["leaseTransitions"].as_i64().unwrap_or_default()))
}

fn await_leader(client: &Client, other_than: Option<usize>) -> (usize, i64) {
    await_condition("leader", TAKEOVER_DEADLINE, || match leader(client)? {
        (number, epoch) if Some(number) != other_than => Ok((number, epoch)),
        (number, epoch) => Err(format!("c{number} leads in epoch {epoch}")),
    })
    .unwrap()
}

fn two_control_planes() -> Cluster {
    Layout::new(StoreKind::Etcd).control_planes(2).agent(&[]).start().unwrap()
}

#[test]
fn a_framework_goes_on_when_its_leader_is_killed() {
    let mut cluster = two_control_planes();
    let witness = Witness::new().unwrap();
    let (leader, epoch) = await_leader(&cluster.client_of(0), None);
    let other = 1 - leader;
    let client = cluster.client_of(other);
    // What is written through one is seen through the other.
    let mut spec = yaml::spec(&format!("{}; echo done", Witness::wait_for("go")));
    witness.add_to(&mut spec);
    let mut second = yaml::set("second", 2, &spec);
    second["dependsOn"] = json!(["first"]);
    cluster
        .client_of(leader)
        .apply(&yaml::framework("f", &[yaml::set("first", 2, &spec), second]))
        .unwrap();
    client.await_task("f-first-1", &["Running"]).unwrap();

    cluster.control_plane(leader).kill();
    witness.release("go").unwrap();
    let (_, later) = await_leader(&client, Some(leader));
    assert!(later > epoch);
    client
        .await_record(&["framework", "f"], "over", |f| f["status"]["state"] == "Succeeded")
        .unwrap();
    assert_eq!(client.meseta(&["logs", "f-second-1"]).unwrap(), "done\n");
    // The killed one comes back, and follows.
    cluster.control_plane(leader).start().unwrap();
    let back = cluster.client_of(leader);
    assert_eq!(back.list(&["tasks"]).unwrap().len(), 4);
    assert_eq!(await_leader(&back, Some(leader)).1, later);
}

#[test]
fn a_paused_leader_places_nothing_when_it_wakes() {
    /// Tasks of each of three moments: when it is paused, while it is, when it wakes.
    const TASKS: usize = 8;
    let mut cluster = two_control_planes();
    let (paused, old_epoch) = await_leader(&cluster.client_of(0), None);
    let client = cluster.client_of(1 - paused);
    let observer = Observer::start(std::slice::from_ref(&client)).unwrap();
    let create = |moment: &str| {
        let tasks = (0..TASKS).map(|number| yaml::task(&format!("{moment}-{number}"), "exit 0"));
        let documents: Vec<String> = tasks.map(|task| task.to_string()).collect();
        client.apply_text(&documents.join("\n---\n")).unwrap();
    };
    // It is stopped in the middle of its work.
    std::thread::scope(|scope| {
        scope.spawn(|| create("before"));
        await_condition("first task", TAKEOVER_DEADLINE, || {
            if observer.history().is_empty() { Err("none".to_owned()) } else { Ok(()) }
        })
        .unwrap();
        cluster.control_planes()[paused].signal(Signal::STOP).unwrap();
    });
    let (_, new_epoch) = await_leader(&client, Some(paused));
    assert!(new_epoch > old_epoch);
    let taken_over = observer.history().len();
    create("while");
    cluster.control_planes()[paused].signal(Signal::CONT).unwrap();
    create("after");
    await_condition("24 placed tasks", TAKEOVER_DEADLINE, || {
        let latest = observer.latest();
        let placed = latest.values().filter(|seen| seen.task["spec"]["agentName"].is_string());
        match placed.count() {
            count if count == 3 * TASKS => Ok(()),
            count => Err(format!("{count} are placed")),
        }
    })
    .unwrap();
    // It is awake: it answers.
    cluster.control_plane(paused).await_ready().unwrap();
    let history = observer.history();
    let epoch = |seen: &meseta_e2e::Seen| seen.task["spec"]["placement"]["epoch"].as_i64();
    for (index, seen) in history.iter().enumerate().skip(taken_over) {
        let earlier = history[..index].iter().rev().find(|earlier| earlier.name() == seen.name());
        if epoch(seen) != earlier.and_then(epoch) {
            assert_eq!(epoch(seen), Some(new_epoch), "{:#}", seen.task);
        }
    }
    assert_eq!(leader(&client).unwrap(), (1 - paused, new_epoch));
}

fn a_placement_with_an_old_epoch_is_refused_by_the_agent(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let client = cluster.client();
    let witness = Witness::new().unwrap();
    client.apply(&yaml::task("first", "exit 0")).unwrap();
    let first = client.await_task("first", &["Finished"]).unwrap();
    let epoch = first["spec"]["placement"]["epoch"].as_i64().unwrap();

    let placed = |name: &str, epoch: i64| {
        let mut task = yaml::task(name, &Witness::say(name));
        witness.add_to(&mut task["spec"]);
        task["spec"]["agentName"] = json!(cluster.agents()[0].name);
        task["spec"]["placement"] = json!({"epoch": epoch});
        client.apply(&task).unwrap();
    };
    placed("stale", epoch - 1);
    placed("current", epoch);
    let stale = client.await_task("stale", &["Dropped"]).unwrap();
    assert_eq!(stale["status"]["reason"], "StaleLeader");
    client.await_task("current", &["Finished"]).unwrap();
    assert_eq!(witness.lines(), ["current"]);
}
