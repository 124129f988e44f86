//! What schedulers should not do: the answer Mesos gives, and the others do not notice.

use meseta_mesos_wire::Encoding;
use meseta_mesos_wire::v1::TaskState as State;
use meseta_mesos_wire::v1::scheduler::{Call, call, event};
use meseta_mesos_wire::v1::task_status::{Reason, Source};
use meseta_mesos_wire::v1::{self, OfferId};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::{Cluster, eventually};
use crate::scheduler::{
    Scheduler, accept, info, inner, launch, open, raw, scalar, subscription, task,
};

/// Waits for an update of the master about a task.
async fn refused(scheduler: &mut Scheduler, id: &str, state: State, reason: Reason) -> String {
    let status = scheduler.update().await;
    assert_eq!(status.task_id.value, id, "{status:?}");
    assert_eq!((status.state(), status.reason()), (state, reason), "{status:?}");
    assert_eq!((status.source(), status.uuid.as_ref()), (Source::Master, None), "{status:?}");
    status.message.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_is_used_twice_or_gone_drops_the_tasks() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    let offer = scheduler.run("first").await;
    scheduler.launch(&offer, vec![task("second", &offer, 0.5)]).await;
    let (state, reason) = (State::TaskDropped, Reason::InvalidOffers);
    let message = refused(&mut scheduler, "second", state, reason).await;
    assert!(message.starts_with("Task launched with invalid offers: "), "{message}");

    let next = scheduler.offer().await;
    let ids = [next.id.clone(), OfferId { value: "offer-1-999".to_owned() }];
    let call = launch(&ids, vec![task("third", &next, 0.5)]);
    scheduler.tell(call::Type::Accept, call).await;
    refused(&mut scheduler, "third", state, reason).await;
    // The one that was valid went back.
    assert_ne!(scheduler.offer().await.id, next.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_that_knows_no_partitions_sees_task_lost() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut old = info("old");
    old.capabilities.clear();
    old.roles.clear();
    let mut scheduler = Scheduler::subscribe(plane.address, Encoding::Json, old).await;
    let offer = scheduler.offer().await;
    assert_eq!(offer.allocation_info, None);
    assert!(offer.resources.iter().all(|r| r.allocation_info.is_none() && r.role() == "*"));
    scheduler.launch(&offer, vec![task("t", &offer, 0.5)]).await;
    scheduler.acknowledge(State::TaskStarting).await;
    scheduler.acknowledge(State::TaskRunning).await;
    scheduler.launch(&offer, vec![task("u", &offer, 0.5)]).await;
    refused(&mut scheduler, "u", State::TaskLost, Reason::InvalidOffers).await;
    scheduler.reconcile(&["nobody"]).await;
    refused(&mut scheduler, "nobody", State::TaskLost, Reason::Reconciliation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_not_valid_is_an_error_and_the_next_goes_on() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    let offer = scheduler.offer().await;
    let mut no_command = task("no-command", &offer, 0.5);
    no_command.command = None;
    let mut other_agent = task("other-agent", &offer, 0.5);
    other_agent.agent_id.value = "elsewhere".to_owned();
    let bad_id = task("a/b", &offer, 0.5);
    let too_much = task("too-much", &offer, 40.0);
    let mut negative = task("negative", &offer, 0.5);
    negative.resources = vec![scalar("cpus", -1.0)];
    let good = task("good", &offer, 0.5);
    let twice = task("good", &offer, 0.5);
    let tasks = vec![no_command, other_agent, bad_id, too_much, negative, good, twice];
    scheduler.launch(&offer, tasks).await;
    let error = (State::TaskError, Reason::TaskInvalid);
    for id in ["no-command", "other-agent", "a/b", "too-much", "negative", "good"] {
        let message = refused(&mut scheduler, id, error.0, error.1).await;
        assert!(!message.is_empty(), "{id}");
    }
    scheduler.acknowledge(State::TaskStarting).await;
    scheduler.acknowledge(State::TaskRunning).await;
    // The id is taken as long as its first task lives.
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, vec![task("good", &offer, 0.5)]).await;
    let message = refused(&mut scheduler, "good", error.0, error.1).await;
    assert!(message.contains("duplicate ID"), "{message}");
    scheduler.kill("good").await;
    scheduler.acknowledge(State::TaskKilled).await;
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, vec![task("good", &offer, 0.5)]).await;
    scheduler.acknowledge(State::TaskStarting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_differs_from_the_one_of_its_id_is_an_error() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, vec![inner("t1", &offer, "run")]).await;
    scheduler.acknowledge(State::TaskStarting).await;
    scheduler.acknowledge(State::TaskRunning).await;
    let offer = scheduler.offer().await;
    assert_eq!(offer.executor_ids, [v1::ExecutorId { value: "e".to_owned() }]);
    let tasks = vec![inner("t2", &offer, "other"), inner("t3", &offer, "run")];
    scheduler.launch(&offer, tasks).await;
    let message = refused(&mut scheduler, "t2", State::TaskError, Reason::TaskInvalid).await;
    assert!(message.contains("not compatible"), "{message}");
    let status = scheduler.acknowledge(State::TaskStarting).await;
    assert_eq!(status.task_id.value, "t3", "the executor is not launched again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_on_reservations_are_answered_when_they_ask_for_feedback() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    let offer = scheduler.offer().await;
    let operation = v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::Reserve.into()),
        id: Some(v1::OperationId { value: "o1".to_owned() }),
        reserve: Some(v1::offer::operation::Reserve {
            resources: vec![scalar("cpus", 1.0)],
            ..Default::default()
        }),
        ..Default::default()
    };
    let call = accept(std::slice::from_ref(&offer.id), operation);
    scheduler.tell(call::Type::Accept, call).await;
    let event = scheduler.stream.next(event::Type::UpdateOperationStatus).await;
    let status = event.update_operation_status.unwrap().status;
    assert_eq!(status.operation_id.unwrap().value, "o1");
    assert_eq!(status.state, i32::from(v1::OperationState::OperationError));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_that_are_not_the_frameworks_drop_the_whole_call() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    let offer = scheduler.offer().await;
    scheduler.tell(call::Type::Suppress, Call::default()).await;
    scheduler.launch(&offer, Vec::new()).await;
    let revive = call::Revive { roles: vec!["default".to_owned(), "foreign".to_owned()] };
    let call = Call { revive: Some(revive), ..Call::default() };
    scheduler.tell(call::Type::Revive, call).await;
    scheduler.reconcile(&["nobody"]).await;
    assert_eq!(scheduler.stream.any().await.unwrap().r#type(), event::Type::Update);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_that_never_reads_loses_its_stream_and_the_others_go_on() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let call = subscription(info("deaf"));
    let (stream_id, mut stream) = open(plane.address, Encoding::Json, &call, None).await;
    let id = stream.any().await.unwrap().subscribed.unwrap().framework_id.value;
    let deaf = Scheduler {
        address: plane.address,
        encoding: Encoding::Json,
        id,
        stream_id,
        credentials: None,
        stream,
    };
    // It asks and asks, and reads no answer. What it is told waits in a bounded queue.
    let unknown: Vec<String> = (0..4000).map(|n| format!("{n}-{}", "x".repeat(200))).collect();
    let ids: Vec<&str> = unknown.iter().map(String::as_str).collect();
    for _ in 0..20 {
        deaf.reconcile(&ids).await;
    }
    let mut other = plane.scheduler("other").await;
    other.run("t").await;
    eventually("the stream is ended", || async {
        let answer = deaf.call(call::Type::Revive, Call::default()).await;
        (answer.status == 403).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_beyond_the_limit_is_refused() {
    let (_cluster, plane, _agents) = Cluster::with_agent(1).await;
    let scheduler = plane.scheduler("f").await;
    // Its head is enough.
    let line = "POST /api/v1/scheduler HTTP/1.1\r\nContent-Type: application/json\r\n\
                Content-Length: 20000000\r\nX:";
    assert_eq!(raw(plane.address, line).await.status, 413);
    // One that says nothing of its length, as large as it may be and one byte more.
    let head = "POST /api/v1/scheduler HTTP/1.1\r\nHost: m\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n1000001\r\n";
    let mut socket = TcpStream::connect(plane.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b' '; (16 << 20) + 1]).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    scheduler.tell(call::Type::Revive, Call::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_that_never_acknowledges_is_told_again_and_the_others_go_on() {
    let (_cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut silent = plane.scheduler("silent").await;
    let offer = silent.offer().await;
    silent.launch(&offer, vec![task("t", &offer, 0.5)]).await;
    let first = silent.update().await;
    silent.tell(call::Type::Suppress, Call::default()).await;
    let mut other = plane.scheduler("other").await;
    other.run("u").await;
    // After the first back-off of ten seconds, and nothing else before.
    let again = silent.update().await;
    assert_eq!(again.uuid, first.uuid);
}
