//! From the record to its end, with nothing in the way.

use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use meseta_crds::task::reason;
use meseta_crds::{Task, TaskState};
use meseta_sim::{Auditor, Config, Fleet};
use serde_json::json;

use crate::cluster::{Cluster, DEADLINE, Network, capacity, create_framework};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_costs_at_most_six_writes_from_its_record_to_its_end() {
    const TASKS: usize = 200;
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let config = Config { capacity: capacity(4), ..Config::new(20) };
    let mut auditor = Auditor::start(admin.clone(), config.capacity.clone());
    let fleet = Fleet::start(config, |name| cluster.agent(name)).await.unwrap();
    let control_plane = cluster.control_plane("a", Network::default());

    let tasks: Api<Task> = Api::namespaced(admin.clone(), "default");
    for number in 0..TASKS {
        let spec = serde_json::from_value(json!({
            "containers": [{"command": ["true"]}], "resources": {"cpu": "1"},
        }));
        let task = Task::new(&format!("t{number}"), spec.unwrap());
        tasks.create(&PostParams::default(), &task).await.unwrap();
    }
    let finished = auditor.wait_for(|totals| totals.finished == TASKS);
    tokio::time::timeout(DEADLINE, finished).await.expect("all finish");
    tasks.delete_collection(&DeleteParams::default(), &Default::default()).await.unwrap();
    let gone = auditor.wait_for(|totals| totals.deleted == TASKS);
    let totals = tokio::time::timeout(DEADLINE, gone).await.expect("all are deleted");

    // Tasks that had to wait for others to end may have been told so, which is a write.
    let explained = totals.writes - totals.writes.min(6 * TASKS);
    assert!(explained < TASKS / 2, "{totals:?}");
    assert_eq!(auditor.faults(), [""; 0]);
    assert_eq!(fleet.ledger().faults(), [""; 0]);
    assert_eq!(fleet.ledger().counts().finished, u64::try_from(TASKS).unwrap());
    control_plane.shut_down().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_refuses_a_placement_of_an_older_leader_and_one_it_has_no_room_for() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let long = Duration::from_secs(3600);
    let config = Config { capacity: capacity(1), run_time: (long, long), ..Config::new(1) };
    let agent = config.name(0);
    let fleet = Fleet::start(config, |name| cluster.agent(name)).await.unwrap();
    let tasks: Api<Task> = Api::namespaced(admin.clone(), "default");
    for (name, epoch, state, why) in [
        ("first", 7, TaskState::Running, None),
        ("older", 6, TaskState::Dropped, Some(reason::STALE_LEADER)),
        ("second", 7, TaskState::Dropped, Some(reason::AGENT_OUT_OF_ROOM)),
    ] {
        let spec = json!({
            "containers": [{"command": ["true"]}],
            "resources": {"cpu": "1"},
            "agentName": agent,
            "placement": {"epoch": epoch},
        });
        let task = Task::new(name, serde_json::from_value(spec).unwrap());
        tasks.create(&PostParams::default(), &task).await.unwrap();
        let is_so = |task: Option<&Task>| {
            task.and_then(|task| task.status.as_ref())
                .is_some_and(|status| status.state == state && status.reason.as_deref() == why)
        };
        let seen = kube::runtime::wait::await_condition(tasks.clone(), name, is_so);
        tokio::time::timeout(DEADLINE, seen).await.expect(name).unwrap();
    }
    let counts = fleet.ledger().counts();
    assert_eq!((counts.started, counts.refused_stale, counts.refused_room), (1, 1, 1));
    assert_eq!(fleet.ledger().faults(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_its_scheduler_kills_ends_and_keeps_its_record() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let long = Duration::from_secs(3600);
    let config = Config { capacity: capacity(1), run_time: (long, long), ..Config::new(1) };
    let agent = config.name(0);
    let fleet = Fleet::start(config, |name| cluster.agent(name)).await.unwrap();
    let tasks: Api<Task> = Api::namespaced(admin.clone(), "default");
    let spec = json!({
        "containers": [{"command": ["true"]}],
        "agentName": agent,
        "placement": {"epoch": 1},
    });
    let task = Task::new("t", serde_json::from_value(spec).unwrap());
    tasks.create(&PostParams::default(), &task).await.unwrap();
    for (state, why) in
        [(TaskState::Running, None), (TaskState::Killed, Some(reason::KILLED_BY_SCHEDULER))]
    {
        let is_so = |task: Option<&Task>| {
            task.and_then(|task| task.status.as_ref())
                .is_some_and(|status| status.state == state && status.reason.as_deref() == why)
        };
        let seen = kube::runtime::wait::await_condition(tasks.clone(), "t", is_so);
        tokio::time::timeout(DEADLINE, seen).await.expect("it gets there").unwrap();
        let kill = Patch::Merge(json!({"spec": {"kill": {}}}));
        tasks.patch("t", &PatchParams::default(), &kill).await.unwrap();
    }
    assert_eq!(fleet.ledger().counts().killed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_framework_ends_its_tasks() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let long = Duration::from_secs(3600);
    let config = Config { capacity: capacity(4), run_time: (long, long), ..Config::new(3) };
    let mut auditor = Auditor::start(admin.clone(), config.capacity.clone());
    let fleet = Fleet::start(config, |name| cluster.agent(name)).await.unwrap();
    let control_plane = cluster.control_plane("a", Network::default());
    create_framework(&admin, "service", 12).await;
    let running = auditor.wait_for(|totals| totals.running == 12);
    tokio::time::timeout(DEADLINE, running).await.expect("all run");
    let frameworks: Api<meseta_crds::Framework> = Api::namespaced(admin, "default");
    frameworks.delete("service", &DeleteParams::background()).await.unwrap();
    let gone = auditor.wait_for(|totals| totals.deleted == 12);
    let totals = tokio::time::timeout(DEADLINE, gone).await.expect("all are gone");
    assert_eq!((totals.created, totals.failed), (12, 12));
    assert_eq!(fleet.ledger().counts().killed, 12);
    assert_eq!(auditor.faults(), [""; 0]);
    control_plane.shut_down().unwrap();
}
