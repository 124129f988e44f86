//! Tasks from an offer to the acknowledgement of their end.

use std::time::Duration;

use meseta_crds::{SCHEDULER_FINALIZER, Task, TaskState};
use meseta_mesos_wire::Encoding;
use meseta_mesos_wire::v1::offer_filters::{MinAllocatableResources, ResourceQuantities};
use meseta_mesos_wire::v1::scheduler::{Call, call, event};
use meseta_mesos_wire::v1::task_status::{Reason, Source};
use meseta_mesos_wire::v1::value::Scalar;
use meseta_mesos_wire::v1::{FrameworkId, FrameworkInfo, OfferFilters, TaskState as State};

use crate::cluster::{Cluster, eventually};
use crate::scheduler::{Scheduler, info, task};
use crate::scribe::{Habit, tell};

/// The record of a task of this id.
async fn record(cluster: &Cluster, id: &str) -> Option<Task> {
    let all = cluster.tasks().list(&Default::default()).await.unwrap();
    let own = |t: &Task| t.spec.mesos.as_ref().is_some_and(|m| m.task_id.as_deref() == Some(id));
    all.into_iter().find(own)
}

fn is_held(task: &Task) -> bool {
    task.metadata.finalizers.iter().flatten().any(|name| name == SCHEDULER_FINALIZER)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_launched_runs_is_killed_and_its_record_is_let_go_of() {
    let (cluster, plane, _agents) = Cluster::with_agent(4).await;
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let mut scheduler = Scheduler::subscribe(plane.address, encoding, info("f")).await;
        let offer = scheduler.run("t1").await;
        let stored = record(&cluster, "t1").await.unwrap();
        assert_eq!(stored.spec.agent_name.as_ref(), Some(&offer.agent_id.value));
        assert!(is_held(&stored));
        let rest = scheduler.offer().await;
        let cpus = rest.resources.iter().find(|resource| resource.name == "cpus").unwrap();
        assert!((cpus.scalar.unwrap().value - 3.5).abs() < 1e-9, "{rest:?}");

        scheduler.kill("t1").await;
        let status = scheduler.update().await;
        assert_eq!(status.state(), State::TaskKilled);
        assert!(is_held(&record(&cluster, "t1").await.unwrap()), "not before it is acknowledged");
        let acknowledge = call::Acknowledge {
            agent_id: status.agent_id.unwrap(),
            task_id: status.task_id,
            uuid: status.uuid.unwrap(),
        };
        let call = Call { acknowledge: Some(acknowledge), ..Call::default() };
        scheduler.tell(call::Type::Acknowledge, call.clone()).await;
        eventually("it is let go of", || async {
            (!is_held(&record(&cluster, "t1").await.unwrap())).then_some(())
        })
        .await;
        // Once more does no harm.
        scheduler.tell(call::Type::Acknowledge, call).await;
        scheduler.tell(call::Type::Teardown, Call::default()).await;
        eventually("nothing is left", || async {
            let tasks = cluster.tasks().list(&Default::default()).await.unwrap();
            let frameworks = cluster.frameworks().list(&Default::default()).await.unwrap();
            (tasks.items.is_empty() && frameworks.items.is_empty()).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_come_one_at_a_time_and_again_on_a_new_stream() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut first = plane.scheduler("f").await;
    let offer = first.offer().await;
    first.launch(&offer, vec![task("t", &offer, 1.0)]).await;
    let starting = first.update().await;
    assert_eq!(starting.state(), State::TaskStarting);
    assert_eq!(starting.uuid.as_ref().unwrap().len(), 16);
    // Nothing more until it is acknowledged; a reconciliation shows that.
    first.reconcile(&["t"]).await;
    let answer = first.update().await;
    assert_eq!(answer.reason(), Reason::Reconciliation);
    assert_eq!((answer.source(), answer.uuid.as_ref()), (Source::Master, None));
    assert_eq!(answer.state(), State::TaskStarting, "what was forwarded");
    let mut second = first.again().await;
    let again = second.update().await;
    assert_eq!(again.uuid, starting.uuid, "the same update on the new stream");
    let acknowledge = call::Acknowledge {
        agent_id: again.agent_id.unwrap(),
        task_id: again.task_id,
        uuid: again.uuid.unwrap(),
    };
    let call = Call { acknowledge: Some(acknowledge), ..Call::default() };
    second.tell(call::Type::Acknowledge, call).await;
    second.acknowledge(State::TaskRunning).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_updates_of_many_tasks_arrive_in_order_for_each() {
    const TASKS: usize = 200;
    let (cluster, plane, _agents) = Cluster::with_agent(400).await;
    let mut scheduler = plane.scheduler("f").await;
    let offer = scheduler.offer().await;
    let tasks = (0..TASKS).map(|n| task(&format!("t{n}"), &offer, 0.1)).collect();
    scheduler.launch(&offer, tasks).await;
    let mut seen = std::collections::BTreeMap::<String, Vec<State>>::new();
    let mut killed = 0;
    while seen.values().map(Vec::len).sum::<usize>() < 3 * TASKS {
        let status = scheduler.update().await;
        let id = status.task_id.value.clone();
        let states = seen.entry(id.clone()).or_default();
        states.push(status.state());
        if status.state() == State::TaskRunning {
            scheduler.kill(&id).await;
            killed += 1;
        }
        let acknowledge = call::Acknowledge {
            agent_id: status.agent_id.unwrap(),
            task_id: status.task_id,
            uuid: status.uuid.unwrap(),
        };
        let call = Call { acknowledge: Some(acknowledge), ..Call::default() };
        scheduler.tell(call::Type::Acknowledge, call).await;
    }
    assert_eq!((killed, seen.len()), (TASKS, TASKS));
    let order = [State::TaskStarting, State::TaskRunning, State::TaskKilled];
    assert!(seen.values().all(|states| states[..] == order), "{seen:?}");
    eventually("few are kept", || async {
        let tasks = cluster.tasks().list(&Default::default()).await.unwrap();
        let kept = meseta_mesos_master::core::lifecycle::MAX_FINISHED;
        (tasks.items.len() == kept).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_answers_than_a_stream_holds_come_as_fast_as_they_are_read() {
    const TASKS: usize = 100_000;
    let (_cluster, plane, _agents) = Cluster::with_agent(1).await;
    let mut scheduler = plane.scheduler("f").await;
    let ids: Vec<String> = (0..TASKS).map(|n| format!("t{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    scheduler.reconcile(&ids).await;
    for id in ids {
        let status = scheduler.update().await;
        assert_eq!((&*status.task_id.value, status.state()), (id, State::TaskUnknown));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_agent_tells_is_told_without_a_uuid() {
    let cluster = Cluster::start().await;
    let plane = cluster.control_plane("a").await;
    let _agents = cluster.agents(1, 4, Habit::Silent).await;
    let mut scheduler = plane.scheduler("f").await;
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, vec![task("t", &offer, 1.0)]).await;
    let stored = eventually("it runs", || async {
        let task = record(&cluster, "t").await?;
        let state = task.status.as_ref().map(|status| status.state);
        (state == Some(TaskState::Running)).then_some(task)
    })
    .await;
    // As the agent-lifecycle controller does when the agent is gone for good.
    tell(&cluster.tasks(), stored.metadata.name.as_ref().unwrap(), TaskState::Lost, &[]).await;
    let status = scheduler.update().await;
    assert_eq!((status.state(), status.uuid), (State::TaskGoneByOperator, None));
    eventually("it is let go of without an acknowledgement", || async {
        record(&cluster, "t").await.is_none_or(|task| !is_held(&task)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_task_ends_it_and_deleting_the_framework_tells_its_scheduler() {
    let (cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    scheduler.run("t1").await;
    scheduler.run("t2").await;
    let name = record(&cluster, "t1").await.unwrap().metadata.name.unwrap();
    cluster.tasks().delete(&name, &Default::default()).await.unwrap();
    scheduler.acknowledge(State::TaskKilled).await;
    eventually("it is gone", || async { record(&cluster, "t1").await.is_none().then_some(()) })
        .await;

    let frameworks = cluster.frameworks();
    let all = frameworks.list(&Default::default()).await.unwrap();
    let name = all.items[0].metadata.name.clone().unwrap();
    frameworks.delete(&name, &Default::default()).await.unwrap();
    assert_eq!(scheduler.stream.error().await.unwrap(), "Framework has been removed");
    eventually("nothing is left", || async {
        let tasks = cluster.tasks().list(&Default::default()).await.unwrap();
        let frameworks = frameworks.list(&Default::default()).await.unwrap();
        (tasks.items.is_empty() && frameworks.items.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declined_and_suppressed_offers_stay_away_until_revive() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    let offer = scheduler.offer().await;
    let decline = call::Decline {
        offer_ids: vec![offer.id.clone()],
        filters: Some(meseta_mesos_wire::v1::Filters { refuse_seconds: Some(3600.0) }),
    };
    let call = Call { decline: Some(decline), ..Call::default() };
    scheduler.tell(call::Type::Decline, call).await;
    // A barrier: calls are carried out in order, and its answer comes on the stream.
    scheduler.reconcile(&["nobody"]).await;
    let event = scheduler.stream.any().await.unwrap();
    assert_eq!(event.r#type(), event::Type::Update, "and no offer: {event:?}");
    scheduler.tell(call::Type::Revive, Call::default()).await;
    let offer = scheduler.offer().await;
    scheduler.tell(call::Type::Suppress, Call::default()).await;
    scheduler.launch(&offer, Vec::new()).await;
    scheduler.reconcile(&["nobody"]).await;
    assert_eq!(scheduler.stream.any().await.unwrap().r#type(), event::Type::Update);
    scheduler.tell(call::Type::Revive, Call::default()).await;
    scheduler.offer().await;
}

/// The call to go on with another `FrameworkInfo`.
fn update(info: FrameworkInfo) -> Call {
    let update = call::UpdateFramework { framework_info: info, ..Default::default() };
    Call { update_framework: Some(update), ..Call::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_updated_framework_is_stored_and_loses_the_offers_of_roles_it_left() {
    let (cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    let offer = scheduler.offer().await;
    let mut changed = info("other name");
    changed.id = Some(FrameworkId { value: scheduler.id.clone() });
    changed.roles = vec!["other".to_owned()];
    let answer = scheduler.call(call::Type::UpdateFramework, update(changed.clone())).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let rescinded = scheduler.stream.next(event::Type::Rescind).await.rescind.unwrap();
    assert_eq!(rescinded.offer_id, offer.id);
    assert_eq!(scheduler.offer().await.allocation_info.unwrap().role(), "other");
    let all = cluster.frameworks().list(&Default::default()).await.unwrap();
    assert_eq!(all.items[0].spec.role, "other");
    changed.user = "somebody".to_owned();
    let answer = scheduler.call(call::Type::UpdateFramework, update(changed)).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_brings_the_offers_that_were_not_wanted_before_it() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let much =
        ResourceQuantities { quantities: [("cpus".to_owned(), Scalar { value: 1000.0 })].into() };
    let minimum = MinAllocatableResources { quantities: vec![much] };
    let filter = OfferFilters { min_allocatable_resources: Some(minimum) };
    let mut picky = info("f");
    picky.offer_filters = [("default".to_owned(), filter)].into();
    let mut scheduler = Scheduler::subscribe(plane.address, Encoding::Json, picky).await;
    // The first offer is made within milliseconds, and declined by the gateway.
    tokio::time::sleep(Duration::from_millis(500)).await;
    scheduler.reconcile(&["nobody"]).await;
    let event = scheduler.stream.any().await.unwrap();
    assert_eq!(event.r#type(), event::Type::Update, "and no offer: {event:?}");
    let mut easy = info("f");
    easy.id = Some(FrameworkId { value: scheduler.id.clone() });
    let answer = scheduler.call(call::Type::UpdateFramework, update(easy)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let first = scheduler.stream.any().await.unwrap();
    assert_eq!(first.r#type(), event::Type::Offers, "{first:?}");
}
