//! The leader changes, schedulers come and go.

use meseta_mesos_wire::Encoding;
use meseta_mesos_wire::v1::TaskState as State;
use meseta_mesos_wire::v1::scheduler::{Call, call};

use crate::cluster::{Cluster, eventually};
use crate::scheduler::{Scheduler, info};
use crate::scribe::Habit;

/// Waits until the record says whether the scheduler is connected.
async fn until_connected(cluster: &Cluster, connected: bool) {
    eventually("the record tells", || async {
        let all = cluster.frameworks().list(&Default::default()).await.unwrap();
        let status = all.items.first()?.status.clone()?;
        (status.scheduler?.connected == connected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_that_comes_back_under_its_id_finds_its_tasks() {
    let (cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut first = plane.scheduler("f").await;
    first.run("t").await;
    until_connected(&cluster, true).await;
    let (mut again, id) = (info("f"), first.id.clone());
    again.id = Some(meseta_mesos_wire::v1::FrameworkId { value: id });
    drop(first);
    until_connected(&cluster, false).await;
    let mut second = Scheduler::subscribe(plane.address, Encoding::Protobuf, again).await;
    until_connected(&cluster, true).await;
    second.reconcile(&[]).await;
    let status = second.update().await;
    assert_eq!((status.task_id.value.as_str(), status.state()), ("t", State::TaskRunning));
    second.kill("t").await;
    second.acknowledge(State::TaskKilled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_that_is_gone_longer_than_it_said_is_torn_down() {
    let (cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut short = info("f");
    short.failover_timeout = Some(0.0);
    let mut scheduler = Scheduler::subscribe(plane.address, Encoding::Json, short).await;
    scheduler.run("t").await;
    drop(scheduler);
    eventually("nothing is left", || async {
        let tasks = cluster.tasks().list(&Default::default()).await.unwrap();
        let frameworks = cluster.frameworks().list(&Default::default()).await.unwrap();
        (tasks.items.is_empty() && frameworks.items.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_framework_that_is_torn_down_says_what_it_waits_for() {
    let (cluster, plane, agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    scheduler.run("t").await;
    until_connected(&cluster, true).await;
    // Nobody is left to end the task.
    drop(agents);
    scheduler.tell(call::Type::Teardown, Call::default()).await;
    eventually("the record tells", || async {
        let all = cluster.frameworks().list(&Default::default()).await.unwrap();
        let status = all.items.first()?.status.clone()?;
        let told = status.message?.starts_with("It is being torn down");
        (told && status.summary? == "1" && !status.scheduler?.connected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_goes_on_where_the_last_was_killed() {
    let cluster = Cluster::start().await;
    let leader = cluster.control_plane("a").await;
    let follower = cluster.control_plane("b").await;
    let _agents = cluster.agents(1, 4, Habit::Tell).await;
    let mut scheduler = leader.scheduler("f").await;
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, vec![crate::scheduler::task("t", &offer, 1.0)]).await;
    let starting = scheduler.update().await;
    let mut again = info("f");
    again.id = Some(meseta_mesos_wire::v1::FrameworkId { value: scheduler.id.clone() });
    drop(leader);
    eventually("the other leads", || async {
        let answer = crate::scheduler::raw(follower.address, "GET /api/v1/scheduler").await;
        (answer.status == 405).then_some(())
    })
    .await;
    let mut scheduler = Scheduler::subscribe(follower.address, Encoding::Json, again).await;
    let status = scheduler.acknowledge(State::TaskStarting).await;
    assert_eq!(status.uuid, starting.uuid, "the same update, from the next leader");
    scheduler.acknowledge(State::TaskRunning).await;
    scheduler.kill("t").await;
    scheduler.acknowledge(State::TaskKilled).await;
    scheduler.run("u").await;
    scheduler.tell(call::Type::Teardown, Call::default()).await;
    follower.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_the_streams_in_good_order() {
    let (_cluster, plane, _agents) = Cluster::with_agent(1).await;
    let mut scheduler = plane.scheduler("f").await;
    plane.shut_down().await;
    assert_eq!(scheduler.stream.error().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_a_scheduler_has_runs_on_while_the_leader_changes() {
    let cluster = Cluster::start().await;
    let leader = cluster.control_plane("a").await;
    let _follower = cluster.control_plane("b").await;
    let _agents = cluster.agents(1, 4, Habit::Tell).await;
    let mut short = info("f");
    short.failover_timeout = Some(3.0);
    let mut scheduler = Scheduler::subscribe(leader.address, Encoding::Json, short).await;
    scheduler.run("t").await;
    // The leader dies with the stream: the next one must find that nobody comes back.
    until_connected(&cluster, true).await;
    drop(leader);
    drop(scheduler);
    eventually("nothing is left", || async {
        let tasks = cluster.tasks().list(&Default::default()).await.unwrap();
        let frameworks = cluster.frameworks().list(&Default::default()).await.unwrap();
        (tasks.items.is_empty() && frameworks.items.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_whose_framework_was_taken_away_by_force_are_ended_too() {
    let (cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    scheduler.run("t").await;
    until_connected(&cluster, true).await;
    let frameworks = cluster.frameworks();
    let all = frameworks.list(&Default::default()).await.unwrap();
    let name = all.items[0].metadata.name.clone().unwrap();
    let patch = serde_json::json!({ "metadata": { "finalizers": [] } });
    let patch = kube::api::Patch::Merge(&patch);
    frameworks.patch(&name, &Default::default(), &patch).await.unwrap();
    let orphan = kube::api::DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..Default::default()
    };
    frameworks.delete(&name, &orphan).await.unwrap();
    assert_eq!(scheduler.stream.error().await.unwrap(), "Framework has been removed");
    eventually("nothing is left", || async {
        let tasks = cluster.tasks().list(&Default::default()).await.unwrap();
        tasks.items.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finalizer_of_somebody_else_stays_on_a_task() {
    let (cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    scheduler.run("t").await;
    let tasks = cluster.tasks();
    let task = tasks.list(&Default::default()).await.unwrap().items.remove(0);
    let name = task.metadata.name.unwrap();
    let mut finalizers = task.metadata.finalizers.unwrap();
    finalizers.insert(0, "example.com/mine".to_owned());
    let patch = serde_json::json!({ "metadata": { "finalizers": finalizers } });
    let patch = kube::api::Patch::Merge(&patch);
    tasks.patch(&name, &Default::default(), &patch).await.unwrap();
    scheduler.kill("t").await;
    scheduler.acknowledge(State::TaskKilled).await;
    eventually("only that one is left", || async {
        let finalizers = tasks.get(&name).await.unwrap().metadata.finalizers?;
        (finalizers == ["example.com/mine"]).then_some(())
    })
    .await;
}
